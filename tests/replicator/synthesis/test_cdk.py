"""The application for the CDK, synthesised by it: each resource is the template's own."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, get_args

import pytest

from replicator.stack import stacks
from replicator.synthesis import cdk
from tests.replicator.stack.template_rules import faults, parsed
from tests.replicator.synthesis.test_forms import STACKS

INSTALLED = Path(__file__).parents[3] / "build" / "cdk" / "node_modules"
PACKAGES = f"aws-cdk-lib@{cdk.LIBRARY} constructs@10 typescript@5.6 ts-node@10"

GIVEN = {
    "base": {"StateTableName": "replicator-shop-state"},
    "capture": {"Migration": "shop", "KeySchema": '{"id": "S"}'},
    "queue": {"Migration": "shop"},
    "target": {"Migration": "shop", "Restart": "3"},
    "apply": {"Migration": "shop", "SourceKeys": '{"id": "S"}'},
}

OF_THE_CDK = {"BootstrapVersion", "CheckBootstrapVersion"}


def dotted(node: Any) -> Any:
    """The CDK writes ``Fn::GetAtt`` as one text, which is the same to CloudFormation."""
    if isinstance(node, dict):
        made = {key: dotted(value) for key, value in node.items()}
        if isinstance(made.get("Fn::GetAtt"), list):
            made["Fn::GetAtt"] = ".".join(made["Fn::GetAtt"])
        return made
    return [dotted(one) for one in node] if isinstance(node, list) else node


@pytest.mark.skipif(
    shutil.which("node") is None or not (INSTALLED / "aws-cdk-lib").is_dir(),
    reason=f"the CDK is not installed: npm install --prefix build/cdk {PACKAGES}",
)
def test_the_cdk_makes_of_each_template_the_same_resources(tmp_path: Path) -> None:
    made = [
        dataclasses.replace(
            STACKS[0], name=f"replicator-shop-{part}", text=stacks.template_body(part), parameters=GIVEN[part]
        )
        for part in get_args(stacks.Template)
    ]
    for name, text in cdk.files(made).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "node_modules").symlink_to(INSTALLED)
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
        for section in ("Resources", "Conditions", "Outputs", "Rules"):
            there = {key: one for key, one in found.get(section, {}).items() if key not in OF_THE_CDK}
            assert dotted(there) == ours.get(section, {}), f"{stack.name}: {section}"
        given = {key: one for key, one in found["Parameters"].items() if key not in OF_THE_CDK}
        for key, one in ours["Parameters"].items():
            assert given.pop(key) == one | (
                {"Default": stack.parameters[key]} if key in stack.parameters else {}
            )
        assert given == {}
