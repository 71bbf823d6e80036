"""The proof of the fence: nothing but canaries and TTL comes through the sources' streams for a while."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from ddbverify.errors import EngineError
from ddbverify.names import KeySchema, is_ours
from ddbverify.words import begins_anew, number_of
from replicator.aws import stream
from replicator.aws.stream import StreamReader, Trimmed
from replicator.commands import cutover_drain
from replicator.context import references
from replicator.context.console import Step
from replicator.context.context import Context
from replicator.handlers.records import MalformedRecord

_FENCED_BY_SECONDS = 30.0
"""By then a fence holds for everybody: who still writes is not stopped by it."""

_SECOND = 1.0
"""DynamoDB's clock says whole seconds, so that of two moments it does not say the last one between them."""

_AUDIT_SECONDS = 1.0
"""Between two audits at least: an emulator is looked at more often than there is anything to read."""


def forecast_seconds(context: Context) -> float:
    """What `await_quiet` takes where no write gets through the fence; the last look may be late."""
    return context.config.cutover.quiet + _SECOND + context.pace.poll_seconds


def await_quiet(context: Context, fenced_at: float, in_time: Callable[[str], None], step: Step) -> None:
    """
    Watch the streams until nothing but canaries and TTL came for ``[cutover] quiet``.

    What comes through them meanwhile is audited as it comes, so that less is left for the drain behind this;
    nothing that is found here counts there.

    Args:
        fenced_at: When the fence was up, in seconds since the epoch, the server's clock.
        in_time: Told what is waited for; raises once that takes too long.

    Raises:
        EngineError: A stream cannot be watched.
    """
    quiet = context.config.cutover.quiet
    readers = _readers(context)
    late, warned = 0, False
    quiet_since, audited_at = fenced_at, -math.inf
    try:
        for reader, _ in readers:
            reader.skip(fenced_at)
        while True:
            looked_at = context.server_time()  # before the look: what comes behind it is not in it
            if seen := sum(_writes(reader, schema) for reader, schema in readers):
                late += seen
                quiet_since = context.server_time()
            elif looked_at - quiet_since >= quiet + _SECOND:
                break
            in_time("writes still reach the source: the fence does not hold, or is slow to")
            left = quiet + _SECOND - (context.server_time() - quiet_since)
            to_go = f"{left:.0f} s to go"
            still_written = quiet_since - fenced_at > _FENCED_BY_SECONDS
            step.at(f"{to_go}; {_came_through(late)}" if still_written else to_go)
            if still_written and not warned:
                context.console.warn(_came_through(late))
                warned = True
            began = time.monotonic()
            if began - audited_at >= _AUDIT_SECONDS:
                cutover_drain.read_ahead(context, to_the_end=True)
                audited_at = began
            # The application waits: no longer than the next look has anything to say.
            wait = min(context.pace.poll_seconds, max(left, 0.2)) - (time.monotonic() - began)
            time.sleep(max(wait, 0.0))
    except (Trimmed, MalformedRecord) as error:
        raise EngineError(
            f"The stream could not be watched: {error}", f"{begins_anew(context.cycle)}."
        ) from error
    step.result = f"quiet for {quiet:.0f} s" + (f", after {late} late writes" if late else "")


def _readers(context: Context) -> list[tuple[StreamReader, KeySchema]]:
    """Of each source's stream, with the table's key schema."""
    made: list[tuple[StreamReader, KeySchema]] = []
    for pair in context.config.tables:
        kept = (context.state(pair).get(stream.PLACES) or {}).get("places", {})
        source = context.source_table(pair)
        bound = references.bound_stream(context.resources(pair), source.arn)
        reader = StreamReader(
            context.source_client("dynamodbstreams"),
            bound,
            dict(kept),
            forgotten_was_read=True,  # only what comes after the fence matters here
        )
        made.append((reader, source.keys))
    return made


def _writes(reader: StreamReader, schema: KeySchema) -> int:
    """How many writes of the application came since the last look."""
    seen = ((record.change, record.by_ttl) for record in reader.read())
    return sum(not by_ttl and not is_ours(change.keys, schema) for change, by_ttl in seen)


def _came_through(writes: int) -> str:
    return (
        f"{number_of(writes, 'write')} {'has' if writes == 1 else 'have'} come through the fence: something "
        "writes as root, or the policy does not hold; stop it, or Ctrl-C, which lifts the fence"
    )
