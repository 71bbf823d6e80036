"""Rounds on Spark -> rows, and whether the budgets of Spark are met. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Final

import msgspec
from tabulate import tabulate

from benchmarks.budgets import Budget
from benchmarks.process_tree import JVM, KINDS, WORKER
from benchmarks.spark_session import Took

EXPORTS, REKEYED, EMPTY, PARTS = "exports", "re-keyed exports", "empty", "empty, more parts"
SAME_ORDER, THEIR_FILES, THEIR_PAGES = "exports in one order", "AWS Labs, exports", "AWS Labs, pages"
SCAN_ORDER, REKEYED_TABLES, EQUAL = "scan order", "re-keyed", "equal"
LIVE: Final = "tables in one order"
COLD: Final = "the first"

MOST_CPU: Final = 1.0  # times the CPU of the other build, of tables without a common order
MOST_CPU_LIVE: Final = 1.5  # times its CPU of tables in one order; of the workers alone
MOST_CPU_REKEYED: Final = 0.7  # times its CPU of a re-keyed pair
MOST_SHUFFLED: Final = 64.0  # bytes per row, which stands for one item of one side
LEAST_TIMES_LABS: Final = 8.0  # so many times less CPU
MOST_OF_A_WORKER, MOST_OF_THE_JVM = 400_000_000, 1_000_000_000


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One case: all its rounds."""

    case: str
    workers: int  # of Spark; 0: no Spark, the other build
    items: int  # on each side
    cpu: dict[str, float]  # seconds by kind of process, medians, what an empty one takes taken off
    wall_seconds: float  # the median, nothing taken off
    matched: int  # the least
    others: int  # the most
    peak: dict[str, int] = {}  # of the first round: what has been held is not given back
    shuffled: int = 0  # bytes, the most
    refused: str = ""

    @property
    def microseconds(self) -> float:
        """CPU per item read, of all processes; both sides are read."""
        return sum(self.cpu.values()) / max(1, 2 * self.items) * 1e6

    @property
    def is_exact(self) -> bool:
        """Whether it said what is so: every key on both sides, and equal."""
        return not self.refused and self.matched == self.items and not self.others

    @property
    def shuffled_per_row(self) -> float:
        """Bytes for each item of either side; a matching pair is two rows."""
        return self.shuffled / max(1, 2 * self.matched)


def row_of(case: str, workers: int, items: int, rounds: Sequence[Took], empty: Sequence[Took]) -> Row:
    """
    Rounds of one case.

    Args:
        empty: Rounds of empty exports, to be taken off; none of them where nothing is.
    """
    fixed = {kind: _median([one.cpu[kind] for one in empty]) if empty else 0.0 for kind in KINDS}
    return Row(
        case=case,
        workers=workers,
        items=items,
        cpu={kind: _median([one.cpu[kind] for one in rounds]) - fixed[kind] for kind in KINDS},
        wall_seconds=_median([one.wall_seconds for one in rounds]),
        matched=min(one.matched for one in rounds),
        others=max(one.others for one in rounds),
        peak=rounds[0].peak,
        shuffled=max(one.shuffled for one in rounds),
        refused=next((one.refused for one in rounds if one.refused), ""),
    )


def _median(numbers: Sequence[float]) -> float:
    return statistics.median(numbers)


# --- budgets ------------------------------------------------------------------------------------


def judge(rows: Sequence[Row]) -> list[Budget]:
    """Every budget. What was not measured, was refused, or found something else, is not met."""
    most = max((row.workers for row in rows), default=0)

    def of(case: str, workers: int = most) -> Row | None:
        found = [row for row in rows if (row.case, row.workers) == (case, workers)]
        return max(found, key=lambda row: row.items, default=None)

    exports, at_most = of(EXPORTS), "≤ {:g} times that of tables, other build"
    where = f", local[{most}]"
    return [
        _times(f"CPU per item, {EXPORTS}{where}", exports, of(SCAN_ORDER, 0), at_most, MOST_CPU),
        _times(
            f"CPU per item, {REKEYED}{where}", of(REKEYED), of(REKEYED_TABLES, 0), at_most, MOST_CPU_REKEYED
        ),
        _live(of(LIVE), of(EQUAL, 0)),
        _less(f"CPU per item, exports beside {THEIR_FILES}", of(SAME_ORDER), of(THEIR_FILES)),
        _less(f"CPU per item, tables beside {THEIR_PAGES}", of(LIVE), of(THEIR_PAGES)),
        _less(f"CPU per item, exports beside {THEIR_PAGES}", of(SAME_ORDER), of(THEIR_PAGES)),
        _shuffled(exports),
        _memory("worker", WORKER, exports, MOST_OF_A_WORKER),
        _memory("JVM", JVM, exports, MOST_OF_THE_JVM),
        _exact([row for row in rows if row.case in (EXPORTS, SAME_ORDER, REKEYED) and not row.refused]),
    ]


def _times(name: str, ours: Row | None, theirs: Row | None, limit: str, most: float) -> Budget:
    limit = limit.format(most)
    if (missing := _unmeasured(name, limit, ours, theirs)) or ours is None or theirs is None:
        return missing or Budget(name=name, limit=limit, met=False, found="not measured")
    times = ours.microseconds / theirs.microseconds
    return Budget(name=name, limit=limit, met=times <= most, found=_ratio(times, ours, theirs))


def _live(ours: Row | None, theirs: Row | None) -> Budget:
    """Of the workers alone: what a JVM does beside them has nothing to do with the items."""
    of_workers = ours and msgspec.structs.replace(ours, cpu={WORKER: ours.cpu[WORKER]})
    limit = "≤ {:g} times that of tables in one order, other build"
    return _times("workers' CPU per item, tables in one order", of_workers, theirs, limit, MOST_CPU_LIVE)


def _less(name: str, ours: Row | None, theirs: Row | None) -> Budget:
    limit = f"at least {LEAST_TIMES_LABS:g} times less"
    if (missing := _unmeasured(name, limit, theirs, ours)) or ours is None or theirs is None:
        return missing or Budget(name=name, limit=limit, met=False, found="not measured")
    times = theirs.microseconds / ours.microseconds
    return Budget(name=name, limit=limit, met=times >= LEAST_TIMES_LABS, found=_ratio(times, ours, theirs))


def _ratio(times: float, ours: Row, theirs: Row) -> str:
    each = f"{ours.microseconds:.1f} and {theirs.microseconds:.1f} µs"
    return f"{times:.2f} times at {ours.items:,} items ({each})"


def _unmeasured(name: str, limit: str, *rows: Row | None) -> Budget | None:
    """What to say where one of *rows* is no measurement."""
    for row in rows:
        if row is None or row.microseconds <= 0:  # less than nothing is no measurement
            said = (row.refused if row else "") or "not measured"
        elif not row.is_exact:
            said = (
                row.refused or f"{row.case}: {row.matched:,} of {row.items:,} matched, {row.others:,} others"
            )
        else:
            continue
        return Budget(name=name, limit=limit, met=False, found=said)
    return None


def _shuffled(row: Row | None) -> Budget:
    name, limit = "bytes shuffled per row (one item of one side)", f"≤ {MOST_SHUFFLED:g}"
    if row is None:
        return Budget(name=name, limit=limit, met=False, found="not measured")
    each = row.shuffled_per_row
    found = f"{each:.1f}; {2 * each:.1f} per pair of items that match, which is two rows"
    return Budget(name=name, limit=limit, met=0 < each <= MOST_SHUFFLED, found=found)


def _memory(what: str, kind: str, row: Row | None, limit: int) -> Budget:
    most = row.peak.get(kind, 0) if row else 0
    found = f"{most / 1e6:,.0f} MB at {row.items:,} items" if row else "not measured"
    return Budget(
        name=f"memory of a {what}", limit=f"≤ {limit / 1e6:,.0f} MB", met=0 < most <= limit, found=found
    )


def _exact(rows: Sequence[Row]) -> Budget:
    wrong = [row for row in rows if not row.is_exact]
    found = f"{wrong[0].case}: {wrong[0].matched:,} of {wrong[0].items:,}" if wrong else f"{len(rows)} cases"
    return Budget(name="everything matches", limit="all", met=bool(rows) and not wrong, found=found)


def shown(rows: Sequence[Row]) -> str:
    """A table for people."""
    lines = [
        (
            row.case,
            f"local[{row.workers}]" if row.workers else "no Spark",
            f"{row.items:,}",
            f"{row.microseconds:.1f}" if row.items else "",
            *(f"{row.cpu.get(kind, 0):.2f}" if row.workers else "" for kind in (WORKER, JVM)),
            f"{sum(row.cpu.values()):.2f}",
            f"{row.wall_seconds:.1f}",
            f"{row.shuffled_per_row:.1f}" if row.workers and row.matched else "",
            *(f"{row.peak[kind] / 1e6:,.0f}" if row.workers else "" for kind in (WORKER, JVM)),
            "exact" if row.is_exact else row.refused or "NOT exact",
        )
        for row in rows
    ]
    head = (
        "case", "where", "items", "µs per item", "workers' s", "JVM s", "CPU s", "wall s",
        "bytes per row", "worker MB", "JVM MB", "result",
    )  # fmt: skip
    return tabulate(lines, head, disable_numparse=True)
