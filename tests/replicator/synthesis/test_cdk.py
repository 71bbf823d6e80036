"""The application for the CDK, synthesised by it: each resource is the template's own."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from pathlib import Path
from typing import get_args

import pytest

from replicator.stack import stacks
from replicator.synthesis import cdk
from tests.constructs.cdk_apps import SECTIONS, dotted, installed, section
from tests.replicator.stack.template_rules import faults, parsed
from tests.replicator.synthesis.test_forms import STACKS

GIVEN = {
    "base": {"StateTableName": "replicator-shop-state"},
    "capture": {"Migration": "shop", "KeySchema": '{"id": "S"}'},
    "queue": {"Migration": "shop"},
    "target": {"Migration": "shop", "Restart": "3"},
    "apply": {"Migration": "shop", "SourceKeys": '{"id": "S"}'},
    "audit": {"Migration": "shop"},
}


@pytest.mark.skipif(installed() is None, reason="this is for `make test-cdk`")
def test_the_cdk_makes_of_each_template_the_same_resources(tmp_path: Path) -> None:
    environment = installed()
    assert environment is not None
    made = [
        dataclasses.replace(
            STACKS[0],
            name=f"replicator-shop-{part}",
            text=stacks.template_body(part),
            parameters=GIVEN.get(part, {}),
        )
        for part in get_args(stacks.Template)
    ]
    for name, text in cdk.files(made).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "node_modules").symlink_to(environment / "node_modules")
    done = subprocess.run(
        ["node", "node_modules/ts-node/dist/bin.js", "--transpile-only", "app.ts"],
        cwd=tmp_path,
        env={**os.environ, "CDK_OUTDIR": str(tmp_path / "cdk.out")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr

    for stack in made:
        ours = dotted(parsed(stack.text))
        found = json.loads((tmp_path / "cdk.out" / f"{stack.name}.template.json").read_text(encoding="utf-8"))
        assert faults(found) == []
        for name in SECTIONS:
            assert section(found, name) == ours.get(name, {}), f"{stack.name}: {name}"
        given = section(found, "Parameters")
        for key, one in ours["Parameters"].items():
            assert given.pop(key) == one | (
                {"Default": stack.parameters[key]} if key in stack.parameters else {}
            )
        assert given == {}
