"""The construct built as a package, and applications that use it, synthesised in both languages."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.cdk_lane import BUILD, PACKAGE, ROOT, VARIABLE

OF_THE_CDK = {"BootstrapVersion", "CheckBootstrapVersion"}
SECTIONS = ("Resources", "Conditions", "Outputs", "Rules")


def installed() -> Path | None:
    """The environment of the lane, where this is the lane."""
    given = os.environ.get(VARIABLE)
    return Path(given) if given else None


def run(*command: str | Path, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command; whether it worked is for the caller."""
    return subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def built(environment: Path) -> Path:
    """The package as npm would hand it on, and its source in Python beside it."""
    shutil.rmtree(BUILD, ignore_errors=True)
    package = BUILD / "node_modules" / "ddbverify-cdk"
    package.mkdir(parents=True)
    shutil.copytree(PACKAGE / "src", package / "src")
    for name in ("package.json", "README.md"):
        shutil.copy(PACKAGE / name, package)
    shutil.copytree(ROOT / "replicator" / "stack" / "templates", package / "templates")
    shutil.copy(ROOT / "LICENSE", package)
    (package / "node_modules").symlink_to(environment / "node_modules")
    modules = environment / "node_modules"
    done = run("node", modules / "jsii" / "bin" / "jsii", "--fail-on-warnings", folder=package)
    assert done.returncode == 0, done.stdout + done.stderr
    done = run(
        "node",
        modules / "jsii-pacmak" / "bin" / "jsii-pacmak",
        "--code-only",
        "--targets=python",
        f"--outdir={BUILD / 'dist'}",
        folder=package,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return package


def compiled(environment: Path, applications: Mapping[str, str]) -> None:
    """Type-check applications in TypeScript, all at once: reading the CDK's types is what takes its time."""
    folder = BUILD / "applications"
    folder.mkdir()
    modules = folder / "node_modules"
    modules.mkdir()
    for module in (environment / "node_modules").iterdir():
        (modules / module.name).symlink_to(module)
    (modules / "ddbverify-cdk").symlink_to(BUILD / "node_modules" / "ddbverify-cdk")
    for name, text in applications.items():
        (folder / f"{name}.ts").write_text(text, encoding="utf-8")
    compiler = ("--module", "commonjs", "--target", "ES2022", "--strict", "--skipLibCheck")
    files = [f"{name}.ts" for name in applications]
    done = run("node", "node_modules/typescript/bin/tsc", *compiler, *files, folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr


def in_typescript(name: str) -> subprocess.CompletedProcess[str]:
    """Run an application that was compiled; what it synthesises is in `build/cdk/NAME`."""
    return run("node", f"{name}.js", folder=BUILD / "applications", CDK_OUTDIR=str(BUILD / name))


def in_python(environment: Path, name: str, file: Path) -> subprocess.CompletedProcess[str]:
    """Run an application; what it synthesises is in `build/cdk/NAME`."""
    source = BUILD / "dist" / "python" / "src"
    python = environment / "venv" / "bin" / "python"
    return run(python, file, folder=file.parent, CDK_OUTDIR=str(BUILD / name), PYTHONPATH=str(source))


def stacks(name: str) -> dict[str, dict[str, Any]]:
    """The synthesised stacks by their names, as the CDK describes them to whoever deploys them."""
    manifest = json.loads((BUILD / name / "manifest.json").read_text(encoding="utf-8"))
    found = [one for one in manifest["artifacts"].values() if one["type"] == "aws:cloudformation:stack"]
    return {one["properties"]["stackName"]: one for one in found}


def templates(name: str) -> dict[str, dict[str, Any]]:
    """Their templates."""
    return {
        stack: json.loads((BUILD / name / one["properties"]["templateFile"]).read_text(encoding="utf-8"))
        for stack, one in stacks(name).items()
    }


def dotted(node: Any) -> Any:
    """The CDK writes ``Fn::GetAtt`` as one text, which is the same to CloudFormation."""
    if isinstance(node, dict):
        made = {key: dotted(value) for key, value in node.items()}
        if isinstance(made.get("Fn::GetAtt"), list):
            made["Fn::GetAtt"] = ".".join(made["Fn::GetAtt"])
        return made
    return [dotted(one) for one in node] if isinstance(node, list) else node


def section(template: dict[str, Any], name: str) -> Any:
    """A section of a template without what the CDK adds to every stack."""
    return {key: dotted(one) for key, one in template.get(name, {}).items() if key not in OF_THE_CDK}
