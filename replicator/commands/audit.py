"""
The audit reads the stream itself and holds it against the ledger: nothing was lost on the way.

It keeps its place in the state table. Since a stream keeps 24 hours, a migration that is not
audited at least twice a day cannot be audited whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ddbverify.config import Pair
from ddbverify.errors import Refused
from ddbverify.items.transform import key_hash
from ddbverify.names import Fact, KeySchema, is_ours
from ddbverify.tables.aws import translated
from ddbverify.words import begins_anew, number_of
from replicator.aws import stream
from replicator.aws.queue import dead_letters, queue_depth
from replicator.aws.stream import Record, StreamReader, Trimmed
from replicator.aws.switch import CUTOVER
from replicator.commands import after_flip, invocation, newest_run, notices, repair
from replicator.commands.notices import Notices
from replicator.context import live, references
from replicator.context.context import Context
from replicator.handlers.ledger import Ledger
from replicator.handlers.records import MalformedRecord
from replicator.handlers.state import State

_CHUNK = 500


def lost_hint(context: Context) -> str:
    """What to do about `Audit.lost`: nothing that an audit reads tells what is not forwarded yet."""
    return (
        "see `replicator status`: where the forwarder is behind the stream, audit again once it has caught "
        f"up; what is lost then is lost, and {begins_anew(context.cycle)}."
    )


@dataclass(slots=True)
class Audit:
    """What one audit learned of one pair."""

    examined: int = 0  # records read that lie behind the boundary
    young: int = 0  # not applied yet, and too young to be called lost; only where asked for
    lost: list[str] = field(default_factory=list)  # key hashes of changes that were never applied
    gap: str = ""

    @property
    def clean(self) -> bool:
        """Nothing is lost, nothing is under way, and there is no gap."""
        return not self.lost and not self.young and not self.gap


def audit(context: Context) -> dict[str, Any]:
    """
    Audit every pair, and tell what was found; behind the flip, who still writes to the sources.

    Raises:
        Refused: Something is lost, or may be; or a pair has no ledger yet.
    """
    with notices.of(context, "audit") as told:
        return _audit(context, told)


def _audit(context: Context, told: Notices) -> dict[str, Any]:
    context.need_begun()
    context.need_no_restart()
    context = live.direction(context)
    newest_run.note(context)
    if (context.whole.get(CUTOVER) or {}).get("flipped"):
        return after_flip.audited(context)
    answer: dict[str, Any] = {}
    for pair in context.config.tables:
        if "ledger_table" not in context.resources(pair):
            raise Refused(f"{pair} has no ledger yet.", "run `replicator restore` first.")
        found = run(context, pair)
        answer[str(pair)] = {
            "examined": found.examined,
            "under_way": found.young,
            "lost": len(found.lost),
            "gap": found.gap or None,
        }
        under_way = f", {number_of(found.young, 'key')} under way" if found.young else ""
        context.console.line(
            f"{pair}: {number_of(found.examined, 'record')} examined, lost {len(found.lost)}{under_way}"
        )
        if found.gap:
            told.tell("gap", cycle=context.cycle, reason=f"{pair}: {found.gap}")
            raise Refused(found.gap, f"the gate stays shut; {begins_anew(context.cycle)}.")
        if found.lost:
            said = f"{number_of(len(found.lost), 'change')} of {pair} never applied."
            told.tell("lost", cycle=context.cycle, reason=said)
            raise Refused(said, lost_hint(context))
    return {"pairs": answer}


def run(context: Context, pair: Pair, *, to_the_end: bool = False) -> Audit:
    """
    Audit one pair from where the last audit stopped.

    A record counts as applied when its key's ledger entry has at least its number, or when
    the key stands in the quarantine with at least its number; dead letters are put there first.
    The audit does not move past one that is not.

    Args:
        to_the_end: Also look at the newest records, which may be under way: the proof of drain.
    """
    state, resources = context.state(pair), context.resources(pair)
    boundary = int((state.get(Fact.BOUNDARY) or {})["boundary_epoch"])
    source = context.source_table(pair)
    bound = references.bound_stream(resources, source.arn)
    before = state.get(stream.PLACES) or {}
    kept = before.get("places", {})
    ledger = reading_ledger(context, resources["ledger_table"])
    result = Audit()
    now = context.server_time()
    old = now - context.pace.young_seconds
    # With messages still in the queue, what is not applied is under way, however old it is.
    waiting = any(queue_depth(context, pair).values())
    if dead_letters(context, resources["dead_letter_url"]):
        # After that look: a message is seen in one of the two. One that cannot be read is a gap.
        repair.file_dead_letters(context, pair, source.keys)
    judge = _Judge(state, ledger, source.keys, 0.0 if waiting else old, result)
    audited = int(before.get("audited_epoch", boundary))
    if source.stream_arn != bound:
        result.gap = "the source's stream was turned off, or off and on again"
        state.latch_gap(f"the audit found a gap: {result.gap}")
    late = now - audited > stream.KEEPS_SECONDS
    reader = StreamReader(
        context.source_client("dynamodbstreams"),
        bound,
        dict(kept),
        forgotten_was_read=not late,
    )
    if late:
        result.gap = "the last complete audit is more than 24 hours old, and the stream keeps no more"
        state.latch_gap(f"the audit found a gap: {result.gap}")
    until = now if to_the_end else old
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
    state.put(
        stream.PLACES,
        places=reader.places if result.clean else kept,
        at_epoch=int(now),
        audited_epoch=int(until) if result.clean else audited,
        examined=result.examined,
        young=result.young,
        lost=len(result.lost),
        gap=result.gap or None,
    )
    return result


def reading_ledger(context: Context, table: str) -> Ledger:
    """A ledger that is only read: no target, nothing to contest."""

    def never(_: object) -> None:
        raise AssertionError("an audit writes nothing")

    return Ledger(context.target, table, target="", target_keys={}, contest=never)


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


command = invocation.command("audit", audit, "Hold the stream itself against the ledger: is anything lost?")
