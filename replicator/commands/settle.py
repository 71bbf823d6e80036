"""The end of the way back: what was the source follows nothing any more, and stays fenced."""

from __future__ import annotations

from typing import Any

from ddbverify.config import Pair
from ddbverify.errors import DdbVerifyError, Refused
from ddbverify.names import TARGET
from ddbverify.tables.aws import translated
from ddbverify.words import number_of
from replicator.aws import queue, stream, switch
from replicator.aws.stream import StreamReader
from replicator.commands import after_flip, closing, cutover_drain, invocation, removal
from replicator.context import live, references
from replicator.context.context import Context
from replicator.context.lock import Lock


def settle(context: Context) -> dict[str, Any]:
    """
    Give the way back up: remove what the source follows the target with, and leave both tables.

    Raises:
        Refused: There is none.
    """
    context.need_begun()
    with context.locked("replicator settle") as lock:
        found = live.read(context)
        if found.table != TARGET:
            raise Refused(
                "The application does not use the target, or may not: there is no way back to give up.",
                "see `replicator status`.",
            )
        over = context.turned(found.cycle - found.cycle % 2)
        back = context.turned(over.cycle + 1)
        if found.cycle % 2:
            if closing.is_under_way(back):
                raise Refused(
                    "A cutback was interrupted, and its fence may stand: the application cannot write.",
                    "run `replicator cutback` first: it lifts that fence, or ends what was begun.",
                )
            try:
                for pair in back.config.tables:
                    with back.console.step(f"{pair}: the consumer of the way back is off") as step:
                        switch.stop_consumer(back, pair, step)
                    if left := _left_unapplied(back, pair):
                        back.console.warn(left)
                    _read_to_the_end(over, pair.target)
                live.note(context, TARGET, over.cycle)
            except BaseException:  # Ctrl-C too
                _follow_on(back, lock)
                raise
        elif not removal.exists(back):
            context.console.line("There is no way back: nothing to give up.")
            return {"settled": False, "removed": []}
        after_flip.begin(over)
        removed = []
        # A cutback that was rolled back has armed the way over again. The way back last: by it a run goes on.
        for one in (context.turned(back.cycle + 1), back):
            if removal.exists(one):
                removed += removal.direction(one)
    context.console.line(
        "The way back is given up: the source stays fenced, and as it is by now. What is written to the "
        "target from here on does not reach it, and nothing goes back. The target's TTL and alarms are yours "
        "to set; `replicator down` removes the rest."
    )
    return {"settled": True, "removed": removed}


def _left_unapplied(back: Context, pair: Pair) -> str:
    """What the application has written to the target, and the source does not get any more, in a sentence."""
    waiting = sum(queue.queue_depth(back, pair).values())
    waiting += queue.dead_letters(back, back.resources(pair)["dead_letter_url"])
    aside = len(back.state(pair).quarantined())
    parts = [
        *([f"about {number_of(waiting, 'message')} of its queue"] if waiting else []),
        *([f"{number_of(aside, 'key')} of its quarantine"] if aside else []),
    ]
    return f"given up with the way back, and in {pair.source} only: {' and '.join(parts)}" if parts else ""


def _follow_on(back: Context, lock: Lock) -> None:
    """Where the way back was not given up, its consumers are not left off: the source follows on."""
    try:
        # A lease that was lost is taken again; whoever has it by now decides what becomes of the way back.
        if lock.regain() and live.is_followed(back):
            cutover_drain.consumers_on(back)
            return
        why = "another operator is at work"
    except DdbVerifyError as error:
        why = error.message
    back.console.warn(f"the source may not follow until `replicator resume` or `settle`: {why}")


def _read_to_the_end(over: Context, source: str) -> None:
    """What the way back has written is no late write: the audits behind the flip begin here."""
    pair = next(one for one in over.config.tables if one.source == source)
    state, now = over.state(pair), over.server_time()
    kept = state.get(stream.PLACES) or {}
    bound = references.bound_stream(over.resources(pair), over.source_table(pair).arn)
    reader = StreamReader(
        over.source_client("dynamodbstreams"), bound, dict(kept.get("places", {})), forgotten_was_read=True
    )
    reader.skip(now)
    with translated(f"note how far the stream of {pair} was read"):
        state.put(
            stream.PLACES,
            places=reader.places,
            at_epoch=int(now),
            audited_epoch=int(now),
            examined=0,
            young=0,
            lost=0,
        )


command = invocation.command("settle", settle, "Give the way back up: the source follows nothing any more.")
