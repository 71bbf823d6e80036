"""Measurements of the replicator -> whether its budgets are met. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from benchmarks.budgets import Budget
from benchmarks.changes import Content
from benchmarks.loopback import Billed
from benchmarks.replicating import Measured, Who
from replicator.aws.prices import PRICES

LEAST_FORWARDER, LEAST_CONSUMER = 3.0, 5.0  # times less CPU per change than the plain ones
LEAST_QUEUE = 12.0  # times fewer SQS requests, on the films
MOST_GROWTH_BYTES = 10_000_000  # from a tenth of the changes to all of them

JUDGED: tuple[tuple[Content, int], ...] = (("text", 480), ("films", 0))
"""What CPU is judged on: items like those of the verifier's budgets, and real ones."""

FORWARDER_MB, CONSUMER_MB = 512, 1024  # as the templates have it


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One way of one kind of items, and what it took."""

    who: Who
    content: Content
    item_bytes: int
    measured: Measured
    bill: dict[str, Billed]

    @property
    def case(self) -> str:
        """Items in words."""
        if self.content == "films":
            return "films"
        size = f"{self.item_bytes / 1000:g} KB"
        return size if self.content == "text" else f"{size}, incompressible"

    @property
    def microseconds(self) -> float:
        """CPU per change."""
        return self.measured.cpu_seconds / self.measured.changes * 1e6

    @property
    def changes_per_second_and_core(self) -> float:
        """What one core does."""
        return self.measured.changes / self.measured.cpu_seconds

    @property
    def write_units(self) -> float:
        """DynamoDB write units per change: target, ledger, and the state table."""
        units = sum(self.bill.get(name, Billed()).units for name in ("TransactWriteItems", "UpdateItem"))
        return units / self.measured.changes

    @property
    def sqs_requests(self) -> float:
        """Billed SQS requests per change that this half of the way causes."""
        if "forwarder" in self.who:
            return self.bill["SendMessageBatch"].units / self.measured.changes
        return (self.measured.receive_units + self.measured.delete_units) / self.measured.changes


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """What a million changes cost on the way from stream to target, with AWS's list prices."""

    case: str
    who: str  # ours, plain
    sqs_requests: float  # billed, per change
    write_units: float  # per change
    queue_dollars: float  # per million changes, like those below
    write_dollars: float
    lambda_dollars: float  # CPU time at the templates' memory; what a function waits is not in it

    @property
    def dollars(self) -> float:
        """All of it."""
        return self.queue_dollars + self.write_dollars + self.lambda_dollars


def ways(rows: Sequence[Row]) -> list[Way]:
    """Both halves of each way together; a half that was not measured is no way."""
    found = []
    for who, forwarder, consumer in (
        ("ours", "forwarder", "consumer"),
        ("plain", "plain forwarder", "plain consumer"),
    ):
        halves: dict[tuple[str, str], Row] = {(row.case, row.who): row for row in rows}
        for case in dict.fromkeys(row.case for row in rows):
            first, second = halves.get((case, forwarder)), halves.get((case, consumer))
            if first is None or second is None:
                continue
            requests = first.sqs_requests + second.sqs_requests
            gigabyte_seconds = (first.microseconds * FORWARDER_MB + second.microseconds * CONSUMER_MB) / 1024
            found.append(
                Way(
                    case=case,
                    who=who,
                    sqs_requests=requests,
                    write_units=second.write_units,
                    queue_dollars=requests * PRICES.fifo_requests,
                    write_dollars=second.write_units * PRICES.write_units,
                    lambda_dollars=gigabyte_seconds * PRICES.lambda_gb_second,
                )
            )
    return found


def judge(rows: Sequence[Row], steady: Measured | None) -> list[Budget]:
    """Every budget of the replicator. What was not measured is not met."""
    return [
        *(_cpu(rows, "forwarder", "one entry per change", LEAST_FORWARDER, case) for case in JUDGED),
        *(_cpu(rows, "consumer", "one transaction per change", LEAST_CONSUMER, case) for case in JUDGED),
        *(_cpu(rows, "reverse forwarder", "one entry per change", LEAST_FORWARDER, case) for case in JUDGED),
        *(
            _cpu(rows, "reverse consumer", "one transaction per change", LEAST_CONSUMER, case)
            for case in JUDGED
        ),
        *(
            _cpu(rows, "inverse consumer", "a read and a transaction per change", LEAST_CONSUMER, case)
            for case in JUDGED
        ),
        _queue(ways(rows)),
        _memory(steady),
    ]


def times(rows: Sequence[Row], who: str, content: Content, item_bytes: int) -> float | None:
    """How many times less CPU than the plain one; ``None`` where one of them was not measured."""
    costs: dict[str, float] = {
        row.who: row.microseconds for row in rows if (row.content, row.item_bytes) == (content, item_bytes)
    }
    ours, plain = costs.get(who), costs.get(f"plain {who.removeprefix('reverse ')}")
    return plain / ours if ours and plain else None


def _cpu(rows: Sequence[Row], who: str, plain: str, least: float, case: tuple[Content, int]) -> Budget:
    mine = [row for row in rows if row.who == who and (row.content, row.item_bytes) == case]
    name = f"CPU per change, {who}, {mine[0].case if mine else case[0]}"
    limit = f"≥ {least:g} times less than {plain}"
    found = times(rows, who, *case)
    if found is None:
        return Budget(name=name, limit=limit, met=False, found="not measured")
    said = (
        f"{found:.1f} times ({mine[0].microseconds:.0f} against {mine[0].microseconds * found:.0f} µs; "
        f"{mine[0].changes_per_second_and_core:,.0f} changes per second and core)"
    )
    return Budget(name=name, limit=limit, met=found >= least, found=said)


def _queue(found: Sequence[Way]) -> Budget:
    name, limit = "queue cost, films", f"≤ 1/{LEAST_QUEUE:g} of one message per change, sent ten at a time"
    requests = {(way.case, way.who): way.sqs_requests for way in found}
    ours, plain = requests.get(("films", "ours")), requests.get(("films", "plain"))
    if not ours or not plain:
        return Budget(name=name, limit=limit, met=False, found="not measured")
    said = f"1/{plain / ours:.1f} ({ours:.4f} against {plain:.3f} billed requests per change)"
    return Budget(name=name, limit=limit, met=plain / ours >= LEAST_QUEUE, found=said)


def _memory(steady: Measured | None) -> Budget:
    name = "memory, forwarder and consumer"
    limit = f"grows by ≤ {MOST_GROWTH_BYTES / 1e6:g} MB after the first tenth of the changes"
    if steady is None:
        return Budget(name=name, limit=limit, met=False, found="not measured")
    growth = steady.peak_bytes - steady.peak_bytes_at_a_tenth
    said = (
        f"{growth / 1e6:.1f} MB more, at most {steady.peak_bytes / 1e6:.0f} MB, in {steady.changes:,} changes"
    )
    return Budget(name=name, limit=limit, met=growth <= MOST_GROWTH_BYTES, found=said)
