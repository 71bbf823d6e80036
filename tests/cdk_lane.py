"""
The tests of the AWS CDK, in an environment of their own: ``python -m tests.cdk_lane``.

`make test-cdk` calls it. npm's packages and Python's stand beside the other engines, and are kept.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

from replicator.embedded.environment import engines_folder
from replicator.synthesis.cdk import LIBRARY

ROOT: Final = Path(__file__).parents[1]
PACKAGE: Final = ROOT / "constructs" / "cdk"
BUILD: Final = ROOT / "build" / "cdk"
"""Where the construct is built and the applications are synthesised; `make lint-security` looks there."""

VARIABLE: Final = "DDBVERIFY_CDK"
"""Names the environment to the tests. Without it they are skipped: they are this lane's."""

NODE_AT_LEAST: Final = 20
BESIDE: Final = ("ts-node@10.9.2", "@types/node@20.19.43", "typescript@5.6.3")
"""What runs an application in TypeScript, beside what the construct is built with (its package.json)."""
PYTHON: Final = (f"aws-cdk-lib=={LIBRARY}", "constructs==10.3.0", "jsii==1.112.0")


def missing() -> str | None:
    """Say in one line what keeps the lane from running."""
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            return (
                f"The CDK wants Node {NODE_AT_LEAST} with npm, there is no {tool}; install it, "
                "then run `make test-cdk`"
            )
    done = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False)
    version = done.stdout.strip().removeprefix("v").partition(".")[0]
    if not version.isdecimal() or int(version) < NODE_AT_LEAST:
        return (
            f"The CDK wants Node {NODE_AT_LEAST}, there is {done.stdout.strip() or 'one that does not run'}; "
            "install it, then run `make test-cdk`"
        )
    return None


def environment() -> Path:
    """The folder with ``node_modules`` and a ``venv``, made anew where it is made of something else."""
    folder = engines_folder() / f"cdk-{LIBRARY}-python-{sys.version_info[0]}.{sys.version_info[1]}"
    stamp, described = folder / "made-of", (PACKAGE / "package.json").read_text(encoding="utf-8")
    made_of = "\n".join((*BESIDE, *PYTHON, described))
    if stamp.exists() and stamp.read_text(encoding="utf-8") == made_of:
        return folder
    print(f"installing the CDK {LIBRARY} (some 500 MB, once) into {folder}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "package.json").write_text(described, encoding="utf-8")
    options = ("--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock", "--loglevel=error")
    subprocess.run(["npm", "install", *options, "--no-save", *BESIDE], cwd=folder, check=True)
    venv.create(folder / "venv", with_pip=True)
    pip = [str(folder / "venv" / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input"]
    subprocess.run([*pip, "install", "-qq", *PYTHON], check=True)
    stamp.write_text(made_of, encoding="utf-8")
    return folder


def main(arguments: list[str]) -> int:
    """
    Run the tests.

    Returns:
        0 also where Node is missing on a laptop: the lane is left out, and says so. With ``CI`` set that is
        1: there the lane is never left out.
    """
    if told := missing():
        print(told)
        return 1 if os.environ.get("CI") else 0
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *TESTS, *arguments]
    print(f"CDK {LIBRARY}: {' '.join(command)}", flush=True)
    variables = os.environ | {"PYTHONPATH": str(ROOT), VARIABLE: str(environment())}
    return subprocess.run(command, cwd=ROOT, env=variables, check=False).returncode


TESTS: Final = ("tests/constructs/test_cdk.py", "tests/replicator/synthesis/test_cdk.py")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
