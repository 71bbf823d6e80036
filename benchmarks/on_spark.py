"""
``python -m benchmarks.on_spark``: what a diff of two exports takes on Spark, and beside what else it is held.

Beside our own build of another commit, which reads the same items from tables of the page server without a
common order, and beside AWS Labs' algorithm on the same Spark. Run by a Python that has pyspark (``make
bench-spark``). CPU is that of all processes: driver, JVM and workers of Python. What two empty exports (or
tables) take in the same session is taken off, so that what is told of an item is what each of a billion
costs. All cases of a round are measured in turn, since a machine that is busy makes all of them dear.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import click
import msgspec
from tabulate import tabulate

from benchmarks import against
from benchmarks.against import Build
from benchmarks.budgets import Budget
from benchmarks.export_files import exported
from benchmarks.page_server import KEYS, Generated, Server, Table, page_server
from benchmarks.process_tree import DRIVER, JVM, KINDS, WORKER
from benchmarks.spark_session import DDBVERIFY, LABS, LABS_PAGES, Asked, Session, Took, spark_session

ITEMS: Final = 100_000
SIZES: Final = 4  # each twice the one before
WORKERS: Final = (1, 2)
ROUNDS: Final = 3
COMMIT: Final = "8a2aec7"
WARM_ITEMS: Final = 2_000
FEW_PARTS, MANY_PARTS = 8, 64  # of empty exports, for what a part costs
SEGMENTS: Final = 8  # of tables

EXPORTS, REKEYED, EMPTY, PARTS = "exports", "re-keyed exports", "empty", "empty, more parts"
SAME_ORDER, THEIR_FILES, THEIR_PAGES = "exports in one order", "AWS Labs, exports", "AWS Labs, pages"
SCAN_ORDER, REKEYED_TABLES = "scan order", "re-keyed"
COLD: Final = "the first"

MOST_CPU: Final = 1.0  # times the CPU of the other build, of tables without a common order
MOST_CPU_REKEYED: Final = 0.7  # times its CPU of a re-keyed pair
MOST_SHUFFLED: Final = 64.0  # bytes per row, which stands for one item of one side
LEAST_TIMES_LABS: Final = 8.0  # so many times less CPU
MOST_OF_A_WORKER, MOST_OF_THE_JVM = 400_000_000, 1_000_000_000

_KEY: Final = ("--key", ",".join(f"{name}:{kind}" for name, kind in KEYS.items()))
_OTHERS: Final = ("missing", "extraneous", "different")
_IDENTITY: Final = ("--transform", "shapes:identity", "--rekeys")


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
        _less(f"CPU per item, exports beside {THEIR_FILES}", of(SAME_ORDER), of(THEIR_FILES)),
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


# --- measuring ----------------------------------------------------------------------------------


def tables(sizes: Sequence[int]) -> dict[str, Table]:
    """Every table that is compared or exported."""
    made: dict[str, Table] = {"empty": Generated(items=0), "void": Generated(items=0)}
    for size in {*sizes, WARM_ITEMS}:
        made[f"source-{size}"] = Generated(items=size)
        made[f"other-{size}"] = Generated(items=size, layout="scan-order")
    made["same"] = Generated(items=max(sizes))
    return made


class Measure(NamedTuple):
    """One case: how it is measured, and what is taken off it."""

    case: str
    workers: int
    items: int
    once: Callable[[], Took]
    empty: str = ""  # the case of the empty pair


class Bench:
    """One run: where everything lies."""

    def __init__(self, server: Server, folder: Path, say: Callable[[str], None]) -> None:
        """Export from *server* into *folder*, as far as it is asked for."""
        self._server, self._folder, self._say = server, folder, say
        self._exports: dict[tuple[str, int], str] = {}
        (folder / "shapes.py").write_text(against.TRANSFORMS, encoding="utf-8")

    def rows(self, cases: Sequence[Measure], rounds: int) -> list[Row]:
        """All of *cases*, in turn."""
        took: dict[tuple[str, int], list[Took]] = {}
        for one in cases:
            if not one.items:
                one.once()  # what is loaded once is nobody's
        for number in range(rounds):
            for one in cases:
                self._say(f"round {number + 1}: {one.case}, local[{one.workers}], {one.items:,} items ...")
                took.setdefault((one.case, one.items), []).append(one.once())
        return [
            row_of(one.case, one.workers, one.items, took[one.case, one.items], took.get((one.empty, 0), ()))
            for one in cases
        ]

    def sizes(self, session: Session, workers: int, sizes: Sequence[int]) -> list[Measure]:
        """Our exports at every size, ascending."""
        ask = partial(self._ask, session)
        return [Measure(EMPTY, workers, 0, partial(ask, "empty", "void"))] + [
            Measure(EXPORTS, workers, items, partial(ask, f"source-{items}", f"other-{items}"), EMPTY)
            for items in sizes
        ]

    def beside(self, session: Session, workers: int, items: int, build: Build) -> list[Measure]:
        """Everything else: re-keyed, the other build, AWS Labs' algorithm, more parts."""
        ask, theirs = partial(self._ask, session), partial(self._theirs, session)
        pair, same = (f"source-{items}", f"other-{items}"), (f"source-{items}", "same")
        no_files, no_pages = f"{THEIR_FILES}, empty", f"{THEIR_PAGES}, empty"
        return [
            Measure(SCAN_ORDER, 0, items, partial(self._other_build, build, *pair, ())),
            Measure(REKEYED, workers, items, partial(ask, *pair, options=_IDENTITY), EMPTY),
            Measure(REKEYED_TABLES, 0, items, partial(self._other_build, build, *pair, _IDENTITY)),
            Measure(SAME_ORDER, workers, items, partial(ask, *same), EMPTY),
            Measure(no_files, workers, 0, partial(theirs, LABS, "empty", "void")),
            Measure(THEIR_FILES, workers, items, partial(theirs, LABS, *same), no_files),
            Measure(no_pages, workers, 0, partial(theirs, LABS_PAGES, "empty", "void")),
            Measure(THEIR_PAGES, workers, items, partial(theirs, LABS_PAGES, *same), no_pages),
            Measure(PARTS, workers, 0, partial(ask, "empty", "void", parts=MANY_PARTS), EMPTY),
        ]

    def cold(self, session: Session, workers: int) -> Row:
        """The first comparison of a session, small; it makes the session warm."""
        self._say(f"local[{workers}]: a first comparison ...")
        took = self._ask(session, f"source-{WARM_ITEMS}", f"other-{WARM_ITEMS}")
        return row_of(COLD, workers, WARM_ITEMS, [took], ())

    def _ask(
        self,
        session: Session,
        source: str,
        target: str,
        *,
        options: tuple[str, ...] = (),
        parts: int = FEW_PARTS,
    ) -> Took:
        sides = self._export(source, parts), self._export(target, parts)
        return session.ask(Asked(what=DDBVERIFY, sides=sides, options=(*_KEY, *options)))

    def _theirs(self, session: Session, what: str, source: str, target: str) -> Took:
        if what == LABS:
            return session.ask(Asked(what=what, sides=(self._export(source), self._export(target))))
        endpoint = self._server.endpoint_url
        return session.ask(Asked(what=what, sides=(source, target), endpoint=endpoint, segments=SEGMENTS))

    def _other_build(self, build: Build, source: str, target: str, options: tuple[str, ...]) -> Took:
        cpu, wall, summary = against.diff(build, source, target, options, self._server, self._folder)
        found = {name: int(str(summary.get(name) or 0)) for name in ("matched", *_OTHERS)}
        return Took(
            cpu=dict.fromkeys(KINDS, 0.0) | {DRIVER: max(0.0, cpu - build.startup)},
            wall_seconds=wall,
            peak=dict.fromkeys(KINDS, 0),
            shuffled=0,
            matched=found.pop("matched"),
            others=sum(found.values()),
        )

    def _export(self, table: str, parts: int = FEW_PARTS) -> str:
        """The address of an export of a table, which is written where it is not there."""
        if (table, parts) not in self._exports:
            place = self._folder / f"{table}-in-{parts}"
            self._exports[table, parts] = exported(self._server, table, place, "DYNAMODB_JSON", parts)
        return self._exports[table, parts]


def run(
    items: int, sizes: int, workers: Sequence[int], rounds: int, commit: str, say: Callable[[str], None]
) -> list[Row]:
    """Measure everything: the most workers with every case, fewer at every size."""
    halves = [items >> number for number in reversed(range(sizes))]
    rows: list[Row] = []
    with (
        against.worktree(commit) as place,
        tempfile.TemporaryDirectory() as temporary,
        page_server(tables(halves)) as server,
    ):
        folder = Path(temporary)
        bench, build = Bench(server, folder, say), Build(commit, place)
        build.startup = against.startup(build, server, folder)
        for number in sorted(workers):
            with spark_session(number, folder) as session:
                rows.append(bench.cold(session, number))
                cases = bench.sizes(session, number, halves)
                if number == max(workers):
                    cases += bench.beside(session, number, halves[-1], build)
                rows += bench.rows(cases, rounds)
    return rows


@click.command()
@click.option(
    "--items",
    type=click.IntRange(min=1000),
    default=ITEMS,
    show_default=True,
    help="On each side, at the largest size.",
)
@click.option(
    "--sizes", type=click.IntRange(min=1), default=SIZES, show_default=True, help="Each half of the next."
)
@click.option("--workers", multiple=True, type=click.IntRange(min=1), default=WORKERS, show_default=True)
@click.option("--rounds", type=click.IntRange(min=1), default=ROUNDS, show_default=True, help="Of each case.")
@click.option("--commit", default=COMMIT, show_default=True, help="Of our own build beside it.")
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Keep all figures."
)
def main(
    items: int, sizes: int, workers: tuple[int, ...], rounds: int, commit: str, json_file: Path | None
) -> None:
    """Compare exports on Spark, and what it is held against; ends with status 1 if a budget is missed."""
    rows = run(items, sizes, workers, rounds, commit, lambda line: click.echo(line, err=True))
    budgets = judge(rows)
    click.echo(f"\nCPU per item read, medians of {rounds} rounds\n\n{shown(rows)}\n")
    for budget in budgets:
        click.echo(f"{'met' if budget.met else 'NOT met':8}{budget.name}: {budget.found} [{budget.limit}]")
    if json_file is not None:
        json_file.write_bytes(
            msgspec.json.format(msgspec.json.encode({"rows": rows, "budgets": budgets})) + b"\n"
        )
    sys.exit(not all(budget.met for budget in budgets))


if __name__ == "__main__":
    main()
