"""
The audit reads the stream itself and holds it against the ledger: nothing was lost on the way.

It keeps its place in the state table. Since a stream keeps 24 hours, a migration that is not
audited at least twice a day cannot be audited whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ddbverify.items.transform import key_hash
from ddbverify.names import Fact, KeySchema, is_ours
from ddbverify.tables.translation import translated
from replicator.audits.place import Place
from replicator.aws import stream
from replicator.aws.stream import Record, StreamReader, Trimmed
from replicator.handlers.ledger import Ledger
from replicator.handlers.records import MalformedRecord
from replicator.handlers.state import State

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_CHUNK = 500


@dataclass(slots=True)
class Audit:
    """What one audit learned of one pair."""

    examined: int = 0  # records read that lie behind the boundary
    young: int = 0  # not applied yet, and too young to be called lost; only where asked for
    lost: list[str] = field(default_factory=list)  # key hashes of changes that were never applied
    gap: str = ""
    incomplete: str = ""  # why it has not read all that it was to read

    @property
    def found_nothing(self) -> bool:
        """Of what was read, nothing is lost, nothing is under way, and there is no gap."""
        return not self.lost and not self.young and not self.gap

    @property
    def clean(self) -> bool:
        """All was read, and nothing was found."""
        return self.found_nothing and not self.incomplete


def run(place: Place, *, to_the_end: bool = False) -> Audit:
    """
    Audit one pair from where the last audit stopped.

    A record counts as applied when its key's ledger entry has at least its number, or when
    the key stands in the quarantine with at least its number; dead letters are put there first.
    The audit does not move past one that is not.

    Args:
        to_the_end: Also look at the newest records, which may be under way: the proof of drain.
    """
    state = place.state
    boundary = int((state.get(Fact.BOUNDARY) or {})["boundary_epoch"])
    source = place.source()
    bound = place.bound_stream(source)
    kept = state.get(stream.PLACES)
    before = kept or {}
    places = before.get("places", {})
    result = Audit()
    now = place.now()
    old = now - place.young_seconds
    # With messages still in the queue, what is not applied is under way, however old it is.
    waiting = place.waiting()
    place.file_letters(source.keys)
    ledger = reading_ledger(place.ledgers(), place.resources["ledger_table"])
    judge = _Judge(state, ledger, source.keys, 0.0 if waiting else old, result)
    audited = int(before.get("audited_epoch", boundary))
    if source.stream_arn != bound:
        result.gap = "the source's stream was turned off, or off and on again"
        state.latch_gap(f"the audit found a gap: {result.gap}")
    late = now - audited > stream.KEEPS_SECONDS
    reader = StreamReader(
        place.streams(), bound, dict(places), forgotten_was_read=not late, in_time=place.in_time
    )
    if late:
        result.gap = "the last complete audit is more than 24 hours old, and the stream keeps no more"
        state.latch_gap(f"the audit found a gap: {result.gap}")
    until = place.until(before, now if to_the_end else old)
    try:
        chunk: list[Record] = []
        for record in reader.read(until):
            if record.change.created_at >= boundary:
                chunk.append(record)
            if len(chunk) == _CHUNK:
                judge.hold_against_ledger(chunk)
                chunk = []
        judge.hold_against_ledger(chunk)
    except (Trimmed, MalformedRecord) as error:
        result.gap = str(error)
        state.latch_gap(f"the audit found a gap: {error}")
    if reader.cut_short:
        result.incomplete = "its time was over; the next one goes on from where it stopped"
    noted = place.keep(
        kept,
        places=reader.places if result.found_nothing else places,
        at_epoch=int(now),
        audited_epoch=int(until) if result.clean else audited,
        examined=result.examined,
        young=result.young,
        lost=len(result.lost),
        gap=result.gap or None,
        incomplete=result.incomplete or None,
        until_epoch=int(until) if result.incomplete else None,
    )
    if not noted:
        result.incomplete = "another audit has noted its place meanwhile"
    return result


def reading_ledger(client: DynamoDBClient, table: str) -> Ledger:
    """A ledger that is only read: no target, nothing to contest."""

    def never(_: object) -> None:
        raise AssertionError("an audit writes nothing")

    return Ledger(client, table, target="", target_keys={}, contest=never)


@dataclass(slots=True)
class _Judge:
    state: State
    ledger: Ledger
    schema: KeySchema
    young_after: float
    result: Audit

    def hold_against_ledger(self, chunk: list[Record]) -> None:
        if not chunk:
            return
        newest: dict[str, Record] = {}
        for record in chunk:
            hashed = key_hash(record.change.keys, self.schema)
            last = newest.get(hashed)
            if last is None or last.change.sequence_number < record.change.sequence_number:
                newest[hashed] = record
        with translated("read the ledger"):
            numbers = self.ledger.numbers(newest)
        behind = {
            hashed: record
            for hashed, record in newest.items()
            if numbers.get(hashed, "") < record.change.sequence_number
            and not is_ours(record.change.keys, self.schema)
        }
        aside: Mapping[str, str] = (
            {hashed: entry.number for hashed, entry in self.state.quarantined().items()} if behind else {}
        )
        for hashed, record in behind.items():
            if aside.get(hashed, "") >= record.change.sequence_number:
                continue
            if record.change.created_at >= self.young_after:
                self.result.young += 1
            else:
                self.result.lost.append(hashed)
        self.result.examined += len(chunk)
