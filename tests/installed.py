"""The built wheel in an environment of its own, without a network: its dependencies are the tests' own."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[1]


def build_wheel(folder: Path) -> Path:
    """Build the wheel of this checkout into *folder*."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


def lend_dependencies(environment: Path) -> None:
    """
    Let an environment have the libraries of this one, as if they were installed in it.

    By links, since a folder that is merely on the path is no part of an environment: what a check read from
    there would have to be named. Not ddbverify, which is here by a ``.pth`` file.
    """
    (packages,) = environment.glob("lib/python*/site-packages")
    for lent in Path(sysconfig.get_path("purelib")).iterdir():
        is_ours = lent.name.startswith("ddbverify") or lent.suffix == ".pth"
        if not is_ours and not (packages / lent.name).exists():
            (packages / lent.name).symlink_to(lent)


def offline() -> dict[str, str]:
    """Variables for a shell whose pip installs a wheel, and nothing that it depends on."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTEST_"))}
    for name in ("PYTHONPATH", "VIRTUAL_ENV"):
        kept.pop(name, None)
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"
    return kept | {
        "PATH": path,
        "PIP_NO_DEPS": "1",
        "PIP_NO_INDEX": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
