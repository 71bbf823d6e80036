"""
``python -m benchmarks.exporting``: what a diff of exports takes, beside that of tables with the same items.

The tables have no scan order in common, and neither have the exports: that is what exports are like. All are
asked for as a user asks, by ``ddbverify diff``; what it takes for two empty ones is taken off of each.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from tabulate import tabulate

from benchmarks.against import Build, diff
from benchmarks.budgets import Budget
from benchmarks.child import ROOT, timed
from benchmarks.ending import end
from benchmarks.export_files import exported
from benchmarks.page_server import KEYS, Generated, Server, page_server

ITEMS, QUICK_ITEMS = 300_000, 50_000
ROUNDS = 3

MOST: Final = 0.8
"""Times the CPU of tables without a common scan order."""

MOST_IN_ION: Final = 3.2
"""Times the CPU of exports in DynamoDB JSON."""

TABLES, IN_JSON, IN_ION = CASES = ("tables, no common order", "exports", "exports in Ion")

_KEY: Final = ",".join(f"{name}:{kind}" for name, kind in KEYS.items())


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One case."""

    case: str
    items: int  # on each side
    cpu_seconds: float  # the median of the rounds, start-up taken off
    wall_seconds: float
    matched: int

    @property
    def microseconds(self) -> float:
        """CPU per item read."""
        return self.cpu_seconds / (2 * self.items) * 1e6


def run(*, quick: bool, say: Callable[[str], None]) -> list[Row]:
    """Measure every case, in turn."""
    items = QUICK_ITEMS if quick else ITEMS
    made = {
        "source": Generated(items=items),
        "scan-order": Generated(items=items, layout="scan-order"),
        "empty": Generated(items=0),
        "void": Generated(items=0),
    }
    with tempfile.TemporaryDirectory() as temporary, page_server(made) as server:
        folder, ours = Path(temporary), Build("now", ROOT)
        say(f"writing exports of {items:,} items ...")
        sides: dict[tuple[str, bool], list[str]] = {}  # by case, and whether there is an item
        for holds, tables in ((True, ["source", "scan-order"]), (False, ["empty", "void"])):
            sides[TABLES, holds] = tables
            for case, form in ((IN_JSON, "DYNAMODB_JSON"), (IN_ION, "ION")):
                sides[case, holds] = [exported(server, one, folder / f"{one}-{form}", form) for one in tables]
        took: dict[str, list[tuple[float, float, int]]] = {case: [] for case in CASES}
        begin: dict[str, list[float]] = {case: [] for case in CASES}  # exports need no client of AWS's
        for _ in range(ROUNDS):
            for case in CASES:
                say(f"{case}, {items:,} items ...")
                took[case].append(_once(ours, sides[case, True], server, folder))
                begin[case].append(_once(ours, sides[case, False], server, folder)[0])
    return [
        Row(
            case=case,
            items=items,
            cpu_seconds=max(0.0, statistics.median(cpu for cpu, _, _ in rounds) - min(begin[case])),
            wall_seconds=statistics.median(wall for _, wall, _ in rounds),
            matched=min(matched for _, _, matched in rounds),
        )
        for case, rounds in took.items()
    ]


def _once(ours: Build, both: Sequence[str], server: Server, folder: Path) -> tuple[float, float, int]:
    """CPU and wall time of one diff, and how many keys matched."""
    source, target = both
    if "://" not in source:
        cpu, wall, summary = diff(ours, source, target, ("--processes", "1"), server, folder)
        return cpu, wall, _matched(summary)
    command = [sys.executable, "-m", "ddbverify", "diff", source, target, "--key", _KEY]
    done = timed([*command, "--format", "jsonl", "--quiet"], folder, ROOT)
    return done.cpu_seconds, done.wall_seconds, _matched(json.loads(done.output.splitlines()[-1])["summary"])


def _matched(summary: dict[str, Any]) -> int:
    return int(summary.get("matched") or 0)


def judge(rows: Sequence[Row]) -> list[Budget]:
    """Every budget. What was not measured, or found something else, is not met."""
    by_case = {row.case: row for row in rows}
    return [
        _judged(by_case.get(IN_JSON), by_case.get(TABLES), IN_JSON, TABLES, MOST),
        _judged(by_case.get(IN_ION), by_case.get(IN_JSON), IN_ION, IN_JSON, MOST_IN_ION),
    ]


def _judged(row: Row | None, other: Row | None, name: str, others: str, most: float) -> Budget:
    limit = f"≤ {most:g} times that of {others}"
    if row is None or other is None or not other.cpu_seconds:
        return Budget(name=f"CPU per item, {name}", limit=limit, met=False, found="not measured")
    times = row.cpu_seconds / other.cpu_seconds
    found = (
        f"{times:.2f} times at {row.items:,} items "
        f"({row.microseconds:.2f} against {other.microseconds:.2f} µs)"
    )
    wrong = [one for one in (row, other) if one.matched != one.items]
    if wrong:
        found += f"; {wrong[0].case}: {wrong[0].matched:,} of {wrong[0].items:,} matched"
    return Budget(name=f"CPU per item, {name}", limit=limit, met=times <= most and not wrong, found=found)


def shown(rows: Sequence[Row]) -> str:
    """A table for people."""
    return tabulate(
        [(row.case, f"{row.items:,}", f"{row.microseconds:.2f}", f"{row.wall_seconds:.1f}") for row in rows],
        ("case", "items", "µs per item", "wall s"),
        disable_numparse=True,
    )


@click.command()
@click.option("--quick", is_flag=True, help="A smaller number of items.")
def main(*, quick: bool) -> None:
    """Compare exports and tables; ends with status 1 if a budget is missed."""
    rows = run(quick=quick, say=lambda line: click.echo(line, err=True))
    end(shown(rows), judge(rows))


if __name__ == "__main__":
    main()
