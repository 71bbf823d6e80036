"""How long pytest collects a thousand checks of twenty pairs. It asks AWS for nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from benchmarks.budgets import Budget

CHECKS: Final = 1_000
PAIRS: Final = 20
FILES: Final = 20
MOST_SECONDS: Final = 3.0

_TOML = '[source]\nregion = "eu-west-1"\n\n[target]\nregion = "eu-central-1"\n'
_CHECK = """
@each_item
def check_{0}(source, target):
    assert source["a"] == target["a"]
"""


def collection() -> Budget:
    """
    Collect them in a process of its own.

    Seconds are CPU, user and system, less those of a folder with one check and one pair: the start of
    the interpreter, pytest and boto3 are not what a check costs.
    """
    seconds, found = _collect(CHECKS, PAIRS)
    fixed, _ = _collect(1, 1)
    return Budget(
        name="collection by pytest",
        limit=f"≤ {MOST_SECONDS:g} s of CPU for {CHECKS:,} checks of {PAIRS} pairs",
        met=found == CHECKS * PAIRS and seconds - fixed <= MOST_SECONDS,
        found=f"{seconds - fixed:.2f} s for {found:,} checks, and {fixed:.2f} s to start",
    )


def _collect(checks: int, pairs: int) -> tuple[float, int]:
    """CPU seconds, and how many were collected."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tables = (f'\n[[tables]]\nsource = "t{n}"\ntarget = "t{n}-v2"\n' for n in range(100, 100 + pairs))
        (folder / "migration.toml").write_text(_TOML + "".join(tables))
        (folder / "checks").mkdir()
        for file in range(min(FILES, checks)):
            functions = "".join(_CHECK.format(number) for number in range(file, checks, FILES))
            text = f"from ddbverify import each_item\n{functions}"
            (folder / "checks" / f"check_{file}.py").write_text(text)
        own = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
        before = os.times()
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"),
                *("-p", "ddbverify.pytest_plugin", "checks"),
            ],
            cwd=folder,
            env=os.environ | own,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        after = os.times()
    seconds = after.children_user + after.children_system - before.children_user - before.children_system
    return seconds, sum("::" in line for line in done.stdout.splitlines())
