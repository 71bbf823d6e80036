"""Measurements -> whether the budgets of the verifier are met. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from benchmarks.measure import Measured, Who
from benchmarks.page_server import Asked

THIRTY_CHECKS = "thirty-checks"

EQUAL, ATTRIBUTE_ORDER, OTHER_BORDERS, SCAN_ORDER = CASES = (
    "equal",
    "attribute-order",
    "other-borders",
    "scan-order",
)
TRANSFORM = "transform"
TWO_PROCESSES, TWO_PROCESSES_TRANSFORM = "two-processes", "two-processes-transform"
SPREAD = (TRANSFORM, TWO_PROCESSES, TWO_PROCESSES_TRANSFORM)
"""Cases that are worth more than one process, and what they are held against."""
SAME_ORDER = {EQUAL, ATTRIBUTE_ORDER, OTHER_BORDERS, THIRTY_CHECKS, *SPREAD}

LEAST_EQUAL, AIM_EQUAL = 40.0, 60.0  # times less CPU per item than the plain diff
LEAST_ATTRIBUTE_ORDER = 12.0
MOST_OF_THE_LOOP = 3.0  # times the CPU of the loop by hand that makes the same thirty comparisons
LEAST_TIMES_FASTER = 1.7  # two processes, of a transform, on two cores
MOST_TIMES_DEARER = 1.15  # two processes, CPU per item
MOST_BYTES = 120_000_000  # orders agree; of each process
ROLES = ("source", "target")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison: what it took, and what the server saw of it."""

    case: str
    who: Who
    items: int  # in each table
    memory: int | None  # the bound it ran under, in bytes
    measured: Measured
    served: dict[str, Asked]  # Scan, per side, all rounds
    other_reads: int  # BatchGetItem, both sides, all rounds
    pages: dict[str, int]  # that one read of each side has

    @property
    def microseconds(self) -> float:
        """CPU per item read; both tables are read."""
        return self.measured.cpu_seconds / (2 * self.items) * 1e6

    @property
    def is_exact(self) -> bool:
        """Whether it said what is so: every key on both sides, and equal."""
        outcome = self.measured.outcome
        return outcome.matched == self.items and not outcome.others and not outcome.incomplete

    def requests_due(self, role: str) -> int:
        """Of one read: its pages, and for each segment the question whether anything follows its end."""
        return self.pages[role] + self.measured.outcome.segments

    @property
    def is_one_read(self) -> bool:
        """Whether each table was read once, and billed as the server did."""
        rounds, reported = self.measured.rounds, self.measured.outcome.read_units
        return not self.other_reads and all(
            served.requests == self.requests_due(role) * rounds
            and served.items == self.items * rounds
            and (reported is None or reported[role] * rounds == served.units)
            for role, served in self.served.items()
        )


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """One budget, and what was measured of it."""

    name: str
    limit: str
    met: bool
    found: str


def judge(rows: Sequence[Row]) -> list[Budget]:
    """Every budget. What was not measured is not met."""
    ours = [row for row in rows if row.who in ("ours", "checks")]
    plain = {row.items: row for row in rows if row.who == "plain"}
    return [
        _cost(EQUAL, ours, plain, LEAST_EQUAL, f" (aim {AIM_EQUAL:g})"),
        _cost(ATTRIBUTE_ORDER, ours, plain, LEAST_ATTRIBUTE_ORDER),
        _thirty_checks(rows),
        _two_processes_cost(ours),
        _two_processes_speed(ours),
        _memory_same_order([row for row in ours if row.case in SAME_ORDER]),
        _memory_no_order([row for row in ours if row.case == SCAN_ORDER]),
        _requests(ours),
        _results(rows),
    ]


def _cost(case: str, ours: Sequence[Row], plain: dict[int, Row], least: float, more: str = "") -> Budget:
    # At the largest size that both have run: the smaller one is mostly start-up, and noise.
    both = [row for row in ours if row.case == case and row.items in plain and row.is_exact]
    name, limit = f"CPU per item, {case}", f"≥ {least:g} times less than the plain diff{more}"
    if not both:
        return _missing(name, limit)
    row = max(both, key=lambda row: row.items)
    times = ratio(row, plain[row.items])
    found = (
        f"{times:.1f} times at {row.items:,} items "
        f"({row.microseconds:.2f} against {plain[row.items].microseconds:.1f} µs)"
    )
    return Budget(name=name, limit=limit, met=times >= least, found=found)


def ratio(row: Row, plain: Row) -> float:
    """How many times less CPU a row took than the plain diff; 0 if it cannot be told from start-up."""
    return plain.microseconds / row.microseconds if row.microseconds else 0.0


def _thirty_checks(rows: Sequence[Row]) -> Budget:
    name = "CPU of thirty checks on items, the whole pass in it"
    limit = f"≤ {MOST_OF_THE_LOOP:g} times a loop by hand, without reading"
    loops = {row.items: row for row in rows if row.who == "loop"}
    both = [row for row in rows if row.who == "checks" and row.items in loops and row.is_exact]
    if not both:
        return _missing(name, limit)
    row = max(both, key=lambda row: row.items)
    loop = loops[row.items]
    times = row.microseconds / loop.microseconds if loop.microseconds else float("inf")
    found = (
        f"{times:.2f} times at {row.items:,} items "
        f"({2 * row.microseconds:.1f} against {2 * loop.microseconds:.1f} µs per pair)"
    )
    return Budget(name=name, limit=limit, met=times <= MOST_OF_THE_LOOP, found=found)


def _both(rows: Sequence[Row], case: str, beside: str) -> tuple[Row, Row] | None:
    """Two cases at the largest size that both have run."""
    others = {row.items: row for row in rows if row.case == beside and row.is_exact}
    both = [row for row in rows if row.case == case and row.items in others and row.is_exact]
    if not both:
        return None
    row = max(both, key=lambda row: row.items)
    return row, others[row.items]


def _two_processes_cost(rows: Sequence[Row]) -> Budget:
    name, limit = "CPU per item, two processes, equal", f"≤ {MOST_TIMES_DEARER:g} times that of one"
    both = _both(rows, TWO_PROCESSES, EQUAL)
    if both is None:
        return _missing(name, limit)
    two, one = both
    times = two.microseconds / one.microseconds if one.microseconds else float("inf")
    found = (
        f"{times:.2f} times at {two.items:,} items ({two.microseconds:.2f} against {one.microseconds:.2f} µs)"
    )
    return Budget(name=name, limit=limit, met=times <= MOST_TIMES_DEARER, found=found)


def _two_processes_speed(rows: Sequence[Row]) -> Budget:
    name, limit = "items per second, two processes, transform", f"≥ {LEAST_TIMES_FASTER:g} times that of one"
    both = _both(rows, TWO_PROCESSES_TRANSFORM, TRANSFORM)
    if both is None:
        return _missing(name, limit)
    two, one = both
    seconds = two.measured.wall_seconds
    times = one.measured.wall_seconds / seconds if seconds else float("inf")
    found = (
        f"{times:.2f} times at {two.items:,} items ({seconds:.1f} against {one.measured.wall_seconds:.1f} s)"
    )
    return Budget(name=name, limit=limit, met=times >= LEAST_TIMES_FASTER, found=found)


def _memory_same_order(rows: Sequence[Row]) -> Budget:
    name, limit = "memory, orders agree", f"≤ {MOST_BYTES / 1e6:g} MB at every size"
    if not rows:
        return _missing(name, limit)
    worst = max(rows, key=lambda row: row.measured.peak_bytes)
    sizes = sorted({row.items for row in rows})
    found = (
        f"at most {_megabytes(worst)} ({worst.case}, {worst.items:,} items), "
        f"from {sizes[0]:,} to {sizes[-1]:,} items"
    )
    return Budget(name=name, limit=limit, met=worst.measured.peak_bytes <= MOST_BYTES, found=found)


def _memory_no_order(rows: Sequence[Row]) -> Budget:
    name = "memory, no order in common"
    limit = f"≤ {MOST_BYTES / 1e6:g} MB and the bound on what waits; result unchanged"
    if not rows:
        return _missing(name, limit)
    row = max(rows, key=lambda row: row.items)
    # The bound is on the items that wait; the interpreter and the pages in hand are there anyway.
    fits = row.measured.peak_bytes <= MOST_BYTES + (row.memory or 0)
    found = f"{_megabytes(row)} under a bound of {(row.memory or 0) / 1e6:.1f} MB at {row.items:,} items"
    wrong = [row for row in rows if not row.is_exact]
    if wrong:
        found += f"; {_wrong(wrong[0])}"
    return Budget(name=name, limit=limit, met=fits and not wrong, found=found)


def _requests(rows: Sequence[Row]) -> Budget:
    name, limit = "requests", "one read of each table, billed as served"
    # What could not be read to its end shows among the results; a page too many shows here.
    answered = [row for row in rows if row.is_exact]
    if not answered:
        return _missing(name, limit)
    wrong = [row for row in answered if not row.is_one_read]
    if not wrong:
        pages = sum(sum(row.pages.values()) for row in answered)
        ends = sum(row.measured.outcome.segments for row in answered) * len(ROLES)
        found = f"{pages:,} pages, each asked for once, and {ends:,} ends of segments once more"
        return Budget(name=name, limit=limit, met=True, found=found)
    row = wrong[0]
    asked = sum(served.requests for served in row.served.values()) + row.other_reads
    due = sum(map(row.requests_due, ROLES)) * row.measured.rounds
    found = f"{row.case}, {row.items:,} items: {asked:,} requests where {due:,} are due, or another bill"
    return Budget(name=name, limit=limit, met=False, found=found)


def _results(rows: Sequence[Row]) -> Budget:
    name, limit = "results", "every item matched, nothing else, in every run"
    if not rows:
        return _missing(name, limit)
    wrong = [row for row in rows if not row.is_exact]
    found = f"{len(rows)} runs" if not wrong else _wrong(wrong[0])
    return Budget(name=name, limit=limit, met=not wrong, found=found)


def _wrong(row: Row) -> str:
    outcome = row.measured.outcome
    said = f"{outcome.matched:,} matched, {outcome.others:,} others"
    return f"{row.who}, {row.case}, {row.items:,} items: {'; '.join(outcome.incomplete) or said}"


def _missing(name: str, limit: str) -> Budget:
    return Budget(name=name, limit=limit, met=False, found="not measured")


def _megabytes(row: Row) -> str:
    return f"{row.measured.peak_bytes / 1e6:.0f} MB"
