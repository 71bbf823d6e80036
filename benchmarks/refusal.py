"""
``python -m benchmarks.refusal``: how long the demonstration's writers are refused, beside another build's.

All are driven by `benchmarks.refused`, which times each write from its first attempt until it is taken. The
other build makes one flip, without a way back and without a proof that the streams were read to their ends.
Ours is run with both, and once without a way back: like for like, but for that proof.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from tabulate import tabulate

from benchmarks.against import worktree
from benchmarks.budgets import Budget
from benchmarks.child import ROOT, environment
from benchmarks.ending import end
from benchmarks.under_fence import COMMIT

ITEMS, QUICK_ITEMS = 20_000, 1_000
OURS: Final = "now"
ONE_WAY: Final = "now, no way back"

MOST_OF_BEFORE: Final = 1 / 3

_LONGEST_SECONDS: Final = 1_800.0


class Demo(msgspec.Struct, frozen=True, kw_only=True):
    """One demonstration, with a quiet of a second."""

    build: str
    items: int
    longest_seconds: float  # that a write waited, the fence being up
    parts: list[str]  # of each flip, as it was told
    wrong: str = ""  # why it says nothing


@dataclass(frozen=True, slots=True)
class Refusals:
    """Ours, with and without a way back, and the other build's."""

    demos: Sequence[Demo]

    @property
    def budgets(self) -> list[Budget]:
        """That of the longest refusal, with a way back. What was not measured is not met."""
        return [_shorter(self.demos)]

    def shown(self) -> str:
        """The table that a person reads, and the parts of ours."""
        lines = [
            {
                "build": one.build,
                "items": f"{one.items:,}",
                "longest refusal, s": f"{one.longest_seconds:.1f}",
                "result": one.wrong or "held",
            }
            for one in self.demos
        ]
        table = tabulate(lines, headers="keys", disable_numparse=True)
        return "\n".join([table, "", *(part for one in self.demos for part in one.parts)])


def run(*, quick: bool, say: Callable[[str], None]) -> Refusals:
    """
    Run the three demonstrations.

    Args:
        quick: With few items, which is to the other build's advantage.
        say: Told each step.
    """
    items = QUICK_ITEMS if quick else ITEMS
    say(f"demonstration: {items:,} items ...")
    demos = [_demo(OURS, ROOT, items)]
    say(f"    {demos[0].longest_seconds:.1f} s")
    say(f"demonstration without a way back: {items:,} items ...")
    demos.append(_demo(ONE_WAY, ROOT, items, "--one-way"))
    say(f"    {demos[1].longest_seconds:.1f} s")
    try:
        with worktree(COMMIT) as place:
            say(f"demonstration of {COMMIT}: {items:,} items ...")
            demos.append(_demo(COMMIT, place, items))
            say(f"    {demos[2].longest_seconds:.1f} s")
    except click.ClickException as error:
        say(error.message)
    return Refusals(demos)


def _demo(build: str, root: Path, items: int, *options: str) -> Demo:
    with tempfile.TemporaryDirectory() as temporary:
        answer = Path(temporary) / "refused.json"
        script = ROOT / "benchmarks" / "refused.py"
        done = subprocess.run(
            # -P: what lies beside the script is none of the other build's.
            [sys.executable, "-P", str(script), str(answer), *options, "--count", str(items), "--json"],
            cwd=temporary,
            env=environment() | {"PYTHONPATH": str(root)},
            capture_output=True,
            timeout=_LONGEST_SECONDS,
            check=False,
        )
        said: dict[str, Any] = json.loads(answer.read_bytes()) if answer.exists() else {}
    lines = done.stderr.decode(errors="replace").splitlines()
    return Demo(
        build=build,
        items=items,
        longest_seconds=max(said.get("refused", ()), default=0.0),
        parts=[line for line in lines if line.startswith("longest time that a write was refused")],
        wrong="" if done.returncode == 0 and said.get("refused") else "\n".join(lines[-3:]) or "no write was",
    )


def _shorter(demos: Sequence[Demo]) -> Budget:
    items = demos[0].items if demos else ITEMS
    name = f"longest refusal of a write in the demonstration, {items:,} items"
    limit = f"≤ 1/{1 / MOST_OF_BEFORE:g} of {COMMIT}'s"
    by_build = {one.build: one for one in demos}
    ours, theirs = by_build.get(OURS), by_build.get(COMMIT)
    if ours is None or theirs is None:
        return Budget(name=name, limit=limit, met=False, found="not measured")
    if wrong := ours.wrong or theirs.wrong:
        return Budget(name=name, limit=limit, met=False, found=f"wrong: {wrong}")
    share = ours.longest_seconds / theirs.longest_seconds
    found = f"{share:.2f} of it ({ours.longest_seconds:.1f} s against {theirs.longest_seconds:.1f} s)"
    return Budget(name=name, limit=limit, met=share <= MOST_OF_BEFORE, found=found)


@click.command()
@click.option("--quick", is_flag=True, help="With few items.")
def main(quick: bool) -> None:
    """Time the refusals of two demonstrations; ends with status 1 if the budget is missed."""
    found = run(quick=quick, say=lambda line: click.echo(line, err=True))
    end(found.shown(), found.budgets)


if __name__ == "__main__":
    main()
