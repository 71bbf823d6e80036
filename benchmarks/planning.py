"""
``python -m benchmarks.planning``: the time that ``ddbverify plan`` says, beside the one that ``diff`` takes.

Both are asked for the same tables with the same options, as a user asks them. What a diff of two empty tables
takes is taken off, since a plan is about the tables.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from tabulate import tabulate

from benchmarks.against import TRANSFORMS, Build, Case, diff, sides, tables
from benchmarks.budgets import Budget
from benchmarks.child import ROOT, environment
from benchmarks.ending import end
from benchmarks.page_server import Server, page_server

ITEMS, QUICK_ITEMS = 200_000, 50_000
ROUNDS = 3

MOST: Final = 1.5
"""Times as long as planned, or as short."""

RATE: Final = ("--read-units", "10000")
"""A plan needs a rate: the page server has no capacity that it could be bound by."""

CASES: Final = (
    Case("equal"),
    Case("transform", options=("--transform", "shapes:identity")),
    Case("re-keyed", options=("--transform", "shapes:identity", "--rekeys")),
    Case("10 % differ", "changed-10", ("--settle", "0s"), differs=10),
)


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """One case: what was said beforehand, and what it took."""

    case: str
    items: int  # in each table
    bound_by: str
    seconds: float
    cpu_seconds: float
    took_seconds: float  # the median of the rounds, like the next
    took_cpu_seconds: float
    wrong: str = ""  # what the diff said that is not so

    @property
    def times(self) -> float:
        """How far off the time is: 1 if it is right, and more if it took longer, or shorter."""
        least, most = sorted((self.seconds, self.took_seconds))
        return most / least if least > 0 else float("inf")


def run(*, quick: bool, say: Callable[[str], None]) -> list[Planned]:
    """Plan and measure every case."""
    items = QUICK_ITEMS if quick else ITEMS
    with tempfile.TemporaryDirectory() as temporary, page_server(tables(items)) as server:
        folder, ours = Path(temporary), Build("now", ROOT)
        (folder / "shapes.py").write_text(TRANSFORMS, encoding="utf-8")
        nothing = [diff(ours, "empty", "void", (), server, folder)[:2] for _ in range(ROUNDS)]
        begin = [statistics.median(column) for column in zip(*nothing, strict=True)]
        rows = []
        for case in CASES:
            say(f"plan and diff: {case.name}, {items:,} items ...")
            rows.append(_row(case, ours, server, folder, items, begin))
            say(f"    planned {rows[-1].seconds:.1f} s, took {rows[-1].took_seconds:.1f} s")
    return rows


def _row(
    case: Case, ours: Build, server: Server, folder: Path, items: int, begin: Sequence[float]
) -> Planned:
    options = (*case.options, *RATE)
    made = _plan(case, options, server, folder)
    rounds = [diff(ours, "source", case.target, options, server, folder) for _ in range(ROUNDS)]
    expected = len(range(0, items, case.differs)) if case.differs else 0
    counts = {"matched": items - expected, "different": expected}
    said = [{name: summary.get(name) for name in counts} for _, _, summary in rounds]
    share = 1 / case.differs if case.differs else 0.0
    (settling,) = [one for one in made["settling"]["scenarios"] if one["share"] == share]
    return Planned(
        case=case.name,
        items=items,
        bound_by=made["bound_by"],
        # They differ in one way, which is what the lower figure is for.
        seconds=made["seconds"] + settling["seconds"][0],
        cpu_seconds=made["cpu"]["seconds"],
        took_seconds=statistics.median(wall for _, wall, _ in rounds) - begin[1],
        took_cpu_seconds=statistics.median(cpu for cpu, _, _ in rounds) - begin[0],
        wrong="" if said == [counts] * ROUNDS else json.dumps(said),
    )


def _plan(case: Case, options: Sequence[str], server: Server, folder: Path) -> dict[str, Any]:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "ddbverify",
            "plan",
            "source",
            case.target,
            *sides(server),
            *options,
            "--json",
        ],
        cwd=folder,
        env=environment() | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        check=True,
    )
    made: dict[str, Any] = json.loads(done.stdout)
    return made


def judge(rows: Sequence[Planned]) -> list[Budget]:
    """One budget for each case. What was not measured is not met, nor is a wrong answer."""
    by_name = {row.case: row for row in rows}
    return [_budget(case.name, by_name.get(case.name)) for case in CASES]


def _budget(case: str, row: Planned | None) -> Budget:
    name, limit = f"plan, {case}", f"within a factor of {MOST:g} of what it takes"
    if row is None:
        return Budget(name=name, limit=limit, met=False, found="not measured")
    if row.wrong:
        return Budget(name=name, limit=limit, met=False, found=f"wrong: {row.wrong}")
    found = f"{row.times:.2f} ({row.seconds:.1f} s planned, {row.took_seconds:.1f} s taken)"
    return Budget(name=name, limit=limit, met=row.times <= MOST, found=found)


def shown(rows: Sequence[Planned]) -> str:
    """As a table."""
    lines = [
        {
            "case": row.case,
            "items": f"{row.items:,}",
            "bound by": row.bound_by,
            "planned s": f"{row.seconds:.2f}",
            "took s": f"{row.took_seconds:.2f}",
            "factor": f"{row.times:.2f}",
            "planned CPU s": f"{row.cpu_seconds:.2f}",
            "took CPU s": f"{row.took_cpu_seconds:.2f}",
            "result": "WRONG" if row.wrong else "exact",
        }
        for row in rows
    ]
    return tabulate(lines, headers="keys", disable_numparse=True)


@click.command()
@click.option("--quick", is_flag=True, help="Small tables.")
def main(quick: bool) -> None:
    """Measure whether plans tell the truth; ends with status 1 if one does not."""
    rows = run(quick=quick, say=lambda line: click.echo(line, err=True))
    end(shown(rows), judge(rows))


if __name__ == "__main__":
    main()
