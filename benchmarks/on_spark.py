"""
``python -m benchmarks.on_spark``: what a diff of two exports takes on Spark, and beside what else it is held.

Beside our own build of another commit, which reads the same items from tables of the page server without a
common order, and beside AWS Labs' algorithm on the same Spark. Run by a Python that has pyspark (``make
bench-spark``). CPU is that of all processes: driver, JVM and workers of Python. What two empty exports (or
tables) take in the same session is taken off, so that what is told of an item is what each of a billion
costs. All cases of a round are measured in turn, since a machine that is busy makes all of them dear.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import click
import msgspec

from benchmarks import against
from benchmarks.against import Build
from benchmarks.ending import end
from benchmarks.export_files import exported
from benchmarks.page_server import KEYS, Generated, Server, Table, page_server
from benchmarks.process_tree import DRIVER, KINDS
from benchmarks.spark_budgets import (
    COLD,
    EMPTY,
    EQUAL,
    EXPORTS,
    LIVE,
    PARTS,
    REKEYED,
    REKEYED_TABLES,
    SAME_ORDER,
    SCAN_ORDER,
    THEIR_FILES,
    THEIR_PAGES,
    Row,
    judge,
    row_of,
    shown,
)
from benchmarks.spark_session import DDBVERIFY, LABS, LABS_PAGES, Asked, Session, Took, spark_session

ITEMS: Final = 100_000
SIZES: Final = 4  # each twice the one before
WORKERS: Final = (1, 2)
ROUNDS: Final = 3
COMMIT: Final = "8a2aec7"
WARM_ITEMS: Final = 2_000
FEW_PARTS, MANY_PARTS = 8, 64  # of empty exports, for what a part costs
SEGMENTS: Final = 8  # of tables

_KEY: Final = ("--key", ",".join(f"{name}:{kind}" for name, kind in KEYS.items()))
_OTHERS: Final = ("missing", "extraneous", "different")
_IDENTITY: Final = ("--transform", "shapes:identity", "--rekeys")


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
        empty = {one.case: one for one in cases if not one.items}
        for number in range(rounds):
            for one in cases:
                if (warming := empty.get(one.empty or one.case)) is not None:
                    warming.once()  # a worker ends behind a minute without a task, and the next one loads
                self._say(f"round {number + 1}: {one.case}, local[{one.workers}], {one.items:,} items ...")
                took.setdefault((one.case, one.items), []).append(one.once())
        return [
            row_of(one.case, one.workers, one.items, took[one.case, one.items], took.get((one.empty, 0), ()))
            for one in cases
        ]

    def sizes(self, session: Session, workers: int, sizes: Sequence[int]) -> list[Measure]:
        """Our exports at every size, ascending."""
        ask = partial(self._ask, session)
        return [Measure(EMPTY, workers, 0, partial(ask, self._written("empty", "void")))] + [
            Measure(
                EXPORTS,
                workers,
                items,
                partial(ask, self._written(f"source-{items}", f"other-{items}")),
                EMPTY,
            )
            for items in sizes
        ]

    def beside(self, session: Session, workers: int, items: int, build: Build) -> list[Measure]:
        """Everything else: re-keyed, the other build, AWS Labs' algorithm, more parts."""
        ask, theirs = partial(self._ask, session), partial(self._theirs, session)
        pair, same = (f"source-{items}", f"other-{items}"), (f"source-{items}", "same")
        no_files, no_pages = f"{THEIR_FILES}, empty", f"{THEIR_PAGES}, empty"
        no_tables = f"{LIVE}, empty"
        nothing, many = self._written("empty", "void"), self._written("empty", "void", MANY_PARTS)
        files, same_files = self._written(*pair), self._written(*same)
        return [
            Measure(EQUAL, 0, items, partial(self._other_build, build, *same, ())),
            Measure(no_tables, workers, 0, partial(self._live, session, "empty", "void")),
            Measure(LIVE, workers, items, partial(self._live, session, *same), no_tables),
            Measure(SCAN_ORDER, 0, items, partial(self._other_build, build, *pair, ())),
            Measure(REKEYED, workers, items, partial(ask, files, options=_IDENTITY), EMPTY),
            Measure(REKEYED_TABLES, 0, items, partial(self._other_build, build, *pair, _IDENTITY)),
            Measure(SAME_ORDER, workers, items, partial(ask, same_files), EMPTY),
            Measure(no_files, workers, 0, partial(theirs, LABS, nothing)),
            Measure(THEIR_FILES, workers, items, partial(theirs, LABS, same_files), no_files),
            Measure(no_pages, workers, 0, partial(theirs, LABS_PAGES, ("empty", "void"))),
            Measure(THEIR_PAGES, workers, items, partial(theirs, LABS_PAGES, same), no_pages),
            Measure(PARTS, workers, 0, partial(ask, many), EMPTY),
        ]

    def cold(self, session: Session, workers: int) -> Row:
        """The first comparison of a session, small; it makes the session warm."""
        self._say(f"local[{workers}]: a first comparison ...")
        took = self._ask(session, self._written(f"source-{WARM_ITEMS}", f"other-{WARM_ITEMS}"))
        return row_of(COLD, workers, WARM_ITEMS, [took], ())

    def _ask(self, session: Session, sides: tuple[str, str], options: tuple[str, ...] = ()) -> Took:
        return session.ask(Asked(what=DDBVERIFY, sides=sides, options=(*_KEY, *options)))

    def _live(self, session: Session, source: str, target: str) -> Took:
        options = tuple(against.sides(self._server))
        return session.ask(Asked(what=DDBVERIFY, sides=(source, target), options=options))

    def _theirs(self, session: Session, what: str, sides: tuple[str, str]) -> Took:
        endpoint = self._server.endpoint_url
        return session.ask(Asked(what=what, sides=sides, endpoint=endpoint, segments=SEGMENTS))

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

    def _written(self, source: str, target: str, parts: int = FEW_PARTS) -> tuple[str, str]:
        """The addresses of exports of two tables, which are written where they are not there."""
        for table in (source, target):
            if (table, parts) not in self._exports:
                place = self._folder / f"{table}-in-{parts}"
                self._exports[table, parts] = exported(self._server, table, place, "DYNAMODB_JSON", parts)
        return self._exports[source, parts], self._exports[target, parts]


def chosen(cases: Sequence[Measure], names: Sequence[str]) -> list[Measure]:
    """Those with one of *names* in their own, and the empty pairs of these; all where no name is given."""
    some = [one for one in cases if not names or any(name in one.case for name in names)]
    empty = {one.empty for one in some}
    return [one for one in cases if one in some or one.case in empty]


def run(
    items: int,
    sizes: int,
    workers: Sequence[int],
    rounds: int,
    commit: str,
    names: Sequence[str],
    say: Callable[[str], None],
) -> list[Row]:
    """Measure the most workers with every case that is chosen, and fewer at every size."""
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
                    cases += chosen(bench.beside(session, number, halves[-1], build), names)
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
@click.option("--case", "names", multiple=True, help="Beside exports only these; a part of their names.")
@click.option("--commit", default=COMMIT, show_default=True, help="Of our own build beside it.")
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Keep all figures."
)
def main(
    items: int,
    sizes: int,
    workers: tuple[int, ...],
    rounds: int,
    names: tuple[str, ...],
    commit: str,
    json_file: Path | None,
) -> None:
    """Compare exports on Spark, and what it is held against; ends with status 1 if a budget is missed."""
    rows = run(items, sizes, workers, rounds, commit, names, lambda line: click.echo(line, err=True))
    budgets = judge(rows)
    if json_file is not None:
        json_file.write_bytes(
            msgspec.json.format(msgspec.json.encode({"rows": rows, "budgets": budgets})) + b"\n"
        )
    end(f"CPU per item read, medians of {rounds} rounds\n\n{shown(rows)}", budgets)


if __name__ == "__main__":
    main()
