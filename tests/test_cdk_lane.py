"""`make test-cdk` where Node is missing: left out with a sentence on a laptop, never in CI."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from replicator.synthesis import cdk
from tests.cdk_lane import PACKAGE, PYTHON, ROOT


@pytest.mark.parametrize("ci", [False, True])
def test_without_node_the_lane_is_left_out_with_a_sentence(tmp_path, ci):
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.cdk_lane"],
        cwd=ROOT,
        env=environment | {"PATH": str(tmp_path)} | ({"CI": "true"} if ci else {}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == ci
    assert "The CDK wants Node 20 with npm, there is no node" in done.stdout
    assert "make test-cdk" in done.stdout


def test_everything_is_made_with_one_cdk_and_what_is_installed_is_pinned():
    package = json.loads((PACKAGE / "package.json").read_text(encoding="utf-8"))
    assert package["devDependencies"]["aws-cdk-lib"] == cdk.LIBRARY
    assert package["peerDependencies"]["aws-cdk-lib"] == f"^{cdk.LIBRARY}"
    assert all(version[0].isdecimal() for version in package["devDependencies"].values())
    assert f"aws-cdk-lib=={cdk.LIBRARY}" in PYTHON
    for name in ("examples/typescript/package.json", "examples/python/requirements.txt"):
        assert cdk.LIBRARY in (PACKAGE / name).read_text(encoding="utf-8")
    assert "make test-cdk" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
