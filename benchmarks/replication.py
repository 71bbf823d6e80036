"""What moving data costs: forwarder, consumer and load on a loopback, the queue's bill, the lag."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from tabulate import tabulate

from benchmarks import lag, loading
from benchmarks.budgets import Budget
from benchmarks.changes import FILMS, Content
from benchmarks.loopback import Billed, Loopback, loopback
from benchmarks.replicating import Job, Measured, Who, measure
from benchmarks.replicator_budgets import JUDGED, Row, Way, judge, times, ways

CASES: tuple[tuple[Content, int], ...] = (
    ("text", 300),
    ("text", 480),
    ("text", 1_000),
    ("text", 4_000),
    ("random", 1_000),
    ("films", 0),
)
CHANGES, QUICK_CHANGES = 20_000, 5_000
PLAIN_SHARE = 5  # the plain ones get through so many times fewer, for the same patience
STEADY_CHANGES, QUICK_STEADY_CHANGES = 1_000_000, 30_000
ROUNDS = 3

WHO: tuple[Who, ...] = ("forwarder", "plain forwarder", "consumer", "plain consumer")

BACK: tuple[Who, ...] = (
    "reverse forwarder",
    "reverse consumer",
    "inverse consumer",
    "plain inverse consumer",
)
"""Of a way back, on what budgets are judged on; plain ones are those of the way over, but for the last."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All that one run learned about the replicator."""

    budgets: list[Budget]
    rows: list[Row]
    ways: list[Way]
    steady: Measured | None
    loads: list[loading.Load]
    lag: lag.Lag


def run(*, quick: bool, say: Callable[[str], None]) -> Report:
    """Measure every case; the films where they lie beside the checkout."""
    changes = QUICK_CHANGES if quick else CHANGES
    with loopback() as server:
        rows = []
        for content, item_bytes in CASES:
            if content == "films" and not FILMS.is_file():
                say("films: not measured, ../shared/data is not here")
                continue
            for who in (*WHO, *(BACK if (content, item_bytes) in JUDGED else ())):
                say(f"{who}: {content}, {item_bytes} bytes ...")
                share = PLAIN_SHARE if who.startswith("plain") else 1
                rows.append(_row(server, who, content, item_bytes, changes // share, 1 if quick else ROUNDS))
                say(f"    {rows[-1].microseconds:.0f} µs per change")
        steady = QUICK_STEADY_CHANGES if quick else STEADY_CHANGES
        say(f"memory: {steady:,} changes through both ...")
        kept = measure(
            Job(who="both", endpoint_url=server.endpoint_url, content="text", item_bytes=480, changes=steady)
        )
    loads = loading.run(quick=quick, say=say)
    say("lag: a migration on the embedded AWS ...")
    return Report(
        budgets=[*judge(rows, kept), loading.judge(loads)],
        rows=rows,
        ways=ways(rows),
        steady=kept,
        loads=loads,
        lag=lag.measured(seconds=10.0 if quick else 60.0),
    )


def _row(server: Loopback, who: Who, content: Content, item_bytes: int, changes: int, rounds: int) -> Row:
    """The cheapest of several rounds: whatever else the machine did is not the code's."""
    job = Job(
        who=who, endpoint_url=server.endpoint_url, content=content, item_bytes=item_bytes, changes=changes
    )
    found: list[tuple[Measured, dict[str, Billed]]] = [(measure(job), server.bill()) for _ in range(rounds)]
    measured, bill = min(found, key=lambda one: one[0].cpu_seconds)
    return Row(who=who, content=content, item_bytes=item_bytes, measured=measured, bill=bill)


def shown(report: Report) -> str:
    """As tables."""
    cpu = [_cpu_line(report.rows, row) for row in report.rows if not row.who.startswith("plain")]
    bills = [_bill_line(report.ways, way) for way in report.ways]
    tables = [_table(cpu), "", _table(bills), "", loading.shown(report.loads), "", report.lag.shown()]
    return "\n".join(tables)


def _cpu_line(rows: Sequence[Row], row: Row) -> dict[str, Any]:
    less = times(rows, row.who, row.content, row.item_bytes)
    return {
        "who": row.who,
        "items": row.case,
        "µs per change": f"{row.microseconds:.0f}",
        "times plain": f"{less:.1f}" if less else "-",
        "changes per s and core": f"{row.changes_per_second_and_core:,.0f}",
        "messages per 1,000": f"{row.measured.messages / row.measured.changes * 1000:.0f}",
        "peak MB": f"{row.measured.peak_bytes / 1e6:.0f}",
    }


def _bill_line(found: Sequence[Way], way: Way) -> dict[str, Any]:
    plain = next((one for one in found if one.case == way.case and one.who == "plain"), None)
    less = f"1/{plain.sqs_requests / way.sqs_requests:.1f}" if plain and way.who == "ours" else "1"
    return {
        "items": way.case,
        "way": way.who,
        "SQS requests per 1,000": f"{way.sqs_requests * 1000:.1f}",
        "of plain": less,
        "write units per change": f"{way.write_units:.2f}",
        "$ per million: queue": f"{way.queue_dollars:.4f}",
        "writes": f"{way.write_dollars:.2f}",
        "Lambda": f"{way.lambda_dollars:.4f}",
        "all": f"{way.dollars:.2f}",
    }


def _table(lines: Sequence[dict[str, Any]]) -> str:
    return tabulate(lines, headers="keys", disable_numparse=True, colalign=("left", "left"))
