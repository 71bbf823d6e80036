"""What a verdict costs where tables differ or are transformed: ``ddbverify diff`` as a user runs it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec
from tabulate import tabulate

from benchmarks.against import TRANSFORMS, Build, Case, measure, startup, tables
from benchmarks.budgets import Budget
from benchmarks.child import ROOT
from benchmarks.measure import Job
from benchmarks.measure import measure as measure_in_process
from benchmarks.page_server import Generated, Server, Table, page_server

ITEMS, QUICK_ITEMS = 100_000, 20_000
EQUAL_ROUNDS: Final = 3
"""Runs of `EQUAL`, the least of which counts: it takes less than the command's start, which is taken off."""

_NOW: Final = ("--settle", "0s")
EQUAL: Final = Case("equal", least=30)

# How many times less CPU than the plain diff, which neither transforms nor looks twice at anything.
CASES: Final = (
    EQUAL,
    Case("transform", options=("--transform", "shapes:identity"), least=5),
    Case("re-keyed", options=("--transform", "shapes:identity", "--rekeys"), least=3),
    Case("1 % differ", "changed-100", differs=100, least=10, most_passes=1.3),
    Case("10 % differ", "changed-10", differs=10, least=4, most_passes=3),
    Case("all differ", "changed-1", differs=1, least=1, most_passes=3),
)


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """One case: what it took, beside the plain diff of the same tables."""

    case: str
    items: int  # in each table
    microseconds: float  # CPU per item read, start-up taken off
    plain: float  # the same of the plain diff
    passes: float  # read units of everything, in units of one pass over both tables
    wall_seconds: float
    wrong: str  # what was said that is not so; empty where all of it was


@dataclass(frozen=True, slots=True)
class Costs:
    """All cases, and what each may cost."""

    rows: Sequence[Cost]

    @property
    def budgets(self) -> list[Budget]:
        """One for each case; of a wrong answer none is met."""
        by_name = {row.case: row for row in self.rows}
        return [_budget(case, by_name.get(case.name)) for case in CASES]

    def shown(self) -> str:
        """The table that a person reads."""
        headers = ("case", "items", "µs per item", "plain µs", "times plain", "passes", "wall s", "result")
        rows = [
            (
                row.case,
                f"{row.items:,}",
                f"{row.microseconds:.2f}",
                f"{row.plain:.1f}",
                f"{_times(row):.1f}",
                f"{row.passes:.2f}",
                f"{row.wall_seconds:.1f}",
                "WRONG" if row.wrong else "exact",
            )
            for row in self.rows
        ]
        return tabulate(rows, headers, disable_numparse=True)


def run(*, quick: bool, say: Callable[[str], None]) -> Costs:
    """
    Measure every case.

    Args:
        quick: Small tables, and a settle time of zero. `EQUAL` keeps its size: of small tables its work would
            be a tenth of the command's start, and the noise of that would decide.
        say: Told each step.
    """
    items = QUICK_ITEMS if quick else ITEMS
    with (
        tempfile.TemporaryDirectory() as temporary,
        page_server(tables(items)) as server,
        page_server(_equal_tables(ITEMS)) as whole,
    ):
        folder = Path(temporary)
        (folder / "shapes.py").write_text(TRANSFORMS, encoding="utf-8")
        ours = Build("now", ROOT)
        ours.startup = startup(ours, server, folder)
        rows: list[Cost] = []
        for case in CASES:
            where, size, rounds = (whole, ITEMS, EQUAL_ROUNDS) if case is EQUAL else (server, items, 1)
            say(f"{case.name}, {size:,} items ...")
            asked = replace(case, options=case.options + _NOW) if quick else case
            for _ in range(rounds):
                measure(ours, asked, where, size, folder)
            rows.append(_row(ours, asked, size, _plain(server, case.target) / (2 * items)))
    return Costs(rows)


def _equal_tables(items: int) -> dict[str, Table]:
    return {name: Generated(items=items) for name in ("source", EQUAL.target)}


def _row(ours: Build, case: Case, items: int, plain_seconds_per_item: float) -> Cost:
    one_pass = ours.units[EQUAL.name] / ITEMS * items
    return Cost(
        case=case.name,
        items=items,
        microseconds=min(ours.cpu[case.name]) / (2 * items) * 1e6,
        plain=plain_seconds_per_item * 1e6,
        passes=ours.units[case.name] / one_pass,
        wall_seconds=min(ours.wall[case.name]),
        wrong=ours.wrong.get(case.name, ""),
    )


def _plain(server: Server, target: str) -> float:
    """CPU seconds of the plain diff of the same two tables."""
    empty = ("empty", "void")
    job = Job(who="plain", endpoint_url=server.endpoint_url, source="source", target=target, empty=empty)
    return measure_in_process(job).cpu_seconds


def _times(row: Cost) -> float:
    return row.plain / row.microseconds if row.microseconds else 0.0


def _budget(case: Case, row: Cost | None) -> Budget:
    limit = f"CPU ≥ {case.least:g} times less than the plain diff" + (
        f", reads ≤ {case.most_passes:g} passes" if case.most_passes is not None else ""
    )
    name = f"cost, {case.name}"
    if row is None:
        return Budget(name=name, limit=limit, met=False, found="not measured")
    figures = f"{row.microseconds:.2f} against {row.plain:.1f} µs"
    found = f"{_times(row):.1f} times ({figures}), {row.passes:.2f} passes"
    met = not row.wrong and _times(row) >= case.least
    met &= case.most_passes is None or row.passes <= case.most_passes
    return Budget(name=name, limit=limit, met=met, found=f"wrong: {row.wrong}" if row.wrong else found)
