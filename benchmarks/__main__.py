"""``python -m benchmarks``: measure, print a table, and say which budgets are met."""

from __future__ import annotations

import itertools
import os
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click
import msgspec
from tabulate import tabulate

from benchmarks import costs, exporting, links, planning, refusal, replication, under_fence, watching
from benchmarks.budgets import (
    CASES,
    EQUAL,
    OTHER_BORDERS,
    ROLES,
    SCAN_ORDER,
    SPREAD,
    THIRTY_CHECKS,
    TRANSFORM,
    TWO_PROCESSES,
    TWO_PROCESSES_TRANSFORM,
    Budget,
    Row,
    judge,
    ratio,
)
from benchmarks.collection import collection
from benchmarks.ending import verdict
from benchmarks.measure import Job, Who, measure
from benchmarks.page_server import PAGE_ITEMS, Asked, Generated, Server, Table, page_server
from benchmarks.reporting import reporting

SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
QUICK_SIZES = SIZES[:2]
PLAIN_SIZES = 2  # the smallest ones
MOST_OF_OTHER_CASES = 1_000_000  # items; only `equal` goes further
OTHER_PAGE_ITEMS = 2_000  # of a target whose pages end elsewhere than the source's
WAITING_BYTES_PER_ITEM = 256  # about half of what waits at once where no order is shared: it has to spill
ROUNDS = 5
PROCESSES = {TWO_PROCESSES: 2, TWO_PROCESSES_TRANSFORM: 2}
TRANSFORMED = (TRANSFORM, TWO_PROCESSES_TRANSFORM)
PATIENCE_SECONDS, QUICK_PATIENCE_SECONDS = 20.0, 2.0

EMPTY = ("empty-source", "empty-target")


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All that one run learned, as ``--json`` writes it."""

    machine: str
    python: str
    met: bool
    budgets: list[Budget]
    rows: list[Row]
    costs: list[costs.Cost] = []
    plans: list[planning.Planned] = []
    exports: list[exporting.Row] = []
    streams: list[links.Reading] = []
    links: list[links.Row] = []
    under_fence: list[under_fence.Row] = []
    refusals: list[refusal.Demo] = []
    replicator: replication.Report | None = None


def run(sizes: Sequence[int], *, patience_seconds: float, say: Callable[[str], None]) -> Report:
    """Measure every case at every size that it is meant for, ascending."""
    sizes = sorted(sizes)
    with page_server(_tables(sizes)) as server:
        rows = []
        for who, case, items in _planned(sizes):
            say(f"{who}: {case}, {items:,} items ...")
            rows.append(_row(server, who, case, items, patience_seconds))
            say(f"    {_in_short(rows[-1])}")
        say("event log ...")
        items = max(size for size in sizes if size <= MOST_OF_OTHER_CASES or size == sizes[0])
        log = watching.log_of_a_pass(server.endpoint_url, f"source-{items}", f"equal-{items}")
    say("collection ...")
    collected = collection()
    say("report ...")
    reported = reporting()
    say("live page ...")
    return _report(rows, [*judge(rows), collected, reported, log, watching.page(patience_seconds)])


def _report(rows: list[Row], budgets: list[Budget]) -> Report:
    return Report(
        machine=f"{platform.machine()}, {os.cpu_count()} processors",
        python=platform.python_version(),
        met=all(budget.met for budget in budgets),
        budgets=budgets,
        rows=rows,
    )


def _planned(sizes: Sequence[int]) -> Iterator[tuple[Who, str, int]]:
    for position, items in enumerate(sizes):
        # Side by side, so that both meet the machine in the same mood.
        if position < PLAIN_SIZES:
            yield "plain", EQUAL, items
        if items <= MOST_OF_OTHER_CASES and (position or len(sizes) == 1):
            yield "loop", THIRTY_CHECKS, items
            yield "checks", THIRTY_CHECKS, items
        for case in CASES:
            if case == EQUAL or items <= MOST_OF_OTHER_CASES:
                yield "ours", case, items
        if items <= MOST_OF_OTHER_CASES and (position or len(sizes) == 1):
            for case in SPREAD:
                yield "ours", case, items


def _tables(sizes: Sequence[int]) -> dict[str, Table]:
    tables: dict[str, Table] = {name: Generated(items=0) for name in EMPTY}
    for items in sizes:
        tables |= {
            f"source-{items}": Generated(items=items),
            f"equal-{items}": Generated(items=items),
            f"attribute-order-{items}": Generated(items=items, layout="attribute-order"),
            f"other-borders-{items}": Generated(items=items, page_items=OTHER_PAGE_ITEMS),
            f"scan-order-{items}": Generated(items=items, layout="scan-order"),
        }
    return tables


def _row(server: Server, who: Who, case: str, items: int, patience_seconds: float) -> Row:
    other = EQUAL if case in (THIRTY_CHECKS, *SPREAD) else case
    names = dict(zip(ROLES, (f"source-{items}", f"{other}-{items}"), strict=True))
    memory = items * WAITING_BYTES_PER_ITEM if case == SCAN_ORDER else None
    before = server.stats()
    measured = measure(
        Job(
            who=who,
            endpoint_url=server.endpoint_url,
            source=names["source"],
            target=names["target"],
            empty=EMPTY,
            memory=memory,
            processes=PROCESSES.get(case, 1),
            transform="benchmarks.shapes:identity" if case in TRANSFORMED else None,
            rounds=ROUNDS,
            patience_seconds=patience_seconds,
        )
    )
    after = server.stats()

    def asked(role: str, operation: str) -> Asked:
        then, now = (stats[names[role]].get(operation, Asked()) for stats in (before, after))
        return Asked(now.requests - then.requests, now.items - then.items, now.units - then.units)

    return Row(
        case=case,
        who=who,
        items=items,
        memory=memory,
        measured=measured,
        served={role: asked(role, "Scan") for role in ROLES},
        other_reads=sum(asked(role, "BatchGetItem").requests for role in ROLES),
        pages={role: pages(items, _page_items(case, role), measured.outcome.segments) for role in ROLES},
    )


def _page_items(case: str, role: str) -> int:
    return OTHER_PAGE_ITEMS if (case, role) == (OTHER_BORDERS, "target") else PAGE_ITEMS


def pages(items: int, page_items: int, segments: int) -> int:
    """Pages of one read: each segment has one begun per *page_items*, at least one."""
    borders = [items * segment // segments for segment in range(segments + 1)]
    held = [after - before for before, after in itertools.pairwise(borders)]
    return sum(max(1, -(-count // page_items)) for count in held)


def _shown(rows: Sequence[Row]) -> str:
    plain = {row.items: row for row in rows if row.who == "plain"}
    table = [_line(row, plain.get(row.items)) for row in rows]
    return tabulate(table, headers="keys", disable_numparse=True, colalign=("left", "left"))


def _in_short(row: Row) -> str:
    shown = _line(row, None)
    figures = f"{shown['µs per item']} µs per item, {shown['peak MB']} MB, {shown['wall s']} s"
    return f"{figures}, {shown['result']}"


def _line(row: Row, plain: Row | None) -> dict[str, str]:
    times = ratio(row, plain) if plain else None
    measured, served = row.measured, [row.served[role] for role in ROLES]
    return {
        "case": row.case,
        "who": row.who,
        "items": f"{row.items:,}",
        # What stops early costs little: no figure to be proud of.
        "µs per item": f"{row.microseconds:.2f}" if row.is_exact else "-",
        "times plain": f"{times:.1f}" if times is not None and row.is_exact else "-",
        "peak MB": f"{measured.peak_bytes / 1e6:.0f}",
        "wall s": f"{measured.wall_seconds:.2f}",
        "start-up s": f"{measured.startup_cpu_seconds:.2f}",
        "requests": " + ".join(f"{one.requests / measured.rounds:g}" for one in served),
        "pages": " + ".join(str(row.pages[role]) for role in ROLES),
        "units": " + ".join(f"{one.units / measured.rounds:,.0f}" for one in served),
        "result": "exact" if row.is_exact else "incomplete" if measured.outcome.incomplete else "WRONG",
    }


def _numbers(_context: click.Context, _option: click.Parameter, text: str | None) -> list[int] | None:
    if text is None:
        return None
    sizes = [int(size) for size in text.split(",") if size.isdecimal()]
    if 0 in sizes or len(sizes) != len(set(sizes)) or len(sizes) != text.count(",") + 1:
        raise click.BadParameter("write different numbers above 0, with commas between them")
    return sizes


@click.command()
@click.option("--quick", is_flag=True, help="The two smallest sizes only, some minutes.")
@click.option(
    "--sizes", callback=_numbers, help="Items per table, such as 1000,50000, instead of the usual ones."
)
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write all figures."
)
@click.option("--only", type=click.Choice(["verifier", "replicator"]), help="One half of it.")
def main(quick: bool, sizes: list[int] | None, json_file: Path | None, only: str | None) -> None:
    """Compare and replicate on a loopback server; ends with status 1 if a budget is missed."""

    def say(line: str) -> None:
        click.echo(line, err=True)

    def show(table: str, budgets: Sequence[Budget]) -> None:
        click.echo("\n".join(["", table, "", *map(verdict, budgets), ""]))

    report = _report([], [])
    if only != "replicator":
        patience = QUICK_PATIENCE_SECONDS if quick else PATIENCE_SECONDS
        report = run(sizes or (QUICK_SIZES if quick else SIZES), patience_seconds=patience, say=say)
        show(_shown(report.rows), report.budgets)
        if sizes is None:
            dear = costs.run(quick=quick, say=say)
            show(dear.shown(), dear.budgets)
            plans = planning.run(quick=quick, say=say)
            show(planning.shown(plans), planning.judge(plans))
            exports = exporting.run(quick=quick, say=say)
            show(exporting.shown(exports), exporting.judge(exports))
            changes = links.run(quick=quick, say=say)
            show(changes.shown(), changes.budgets)
            last = under_fence.run(quick=quick, say=say)
            show(last.shown(), last.budgets)
            budgets = [
                *report.budgets,
                *dear.budgets,
                *planning.judge(plans),
                *exporting.judge(exports),
                *changes.budgets,
                *last.budgets,
            ]
            report = msgspec.structs.replace(
                report,
                costs=list(dear.rows),
                plans=plans,
                exports=exports,
                streams=list(changes.readings),
                links=list(changes.rows),
                under_fence=list(last.rows),
                budgets=budgets,
                met=all(budget.met for budget in budgets),
            )
    if only != "verifier":
        moving = replication.run(quick=quick, say=say)
        show(replication.shown(moving), moving.budgets)
        refused = refusal.run(quick=quick, say=say)
        show(refused.shown(), refused.budgets)
        budgets = [*report.budgets, *moving.budgets, *refused.budgets]
        report = msgspec.structs.replace(
            report,
            replicator=moving,
            refusals=list(refused.demos),
            budgets=budgets,
            met=all(budget.met for budget in budgets),
        )
    if json_file is not None:
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    sys.exit(not report.met)


if __name__ == "__main__":
    main()
