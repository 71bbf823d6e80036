"""The source's stream: its view, who else reads it, and whom the canary would reach. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ddbverify.words import number_of
from replicator.aws.readers import MOST_READERS, Reader, filter_pattern, is_forwarder
from replicator.context.tables import TableFacts
from replicator.doctor.findings import Finding, ok, problem, warning
from replicator.doctor.looking import Looked, judged
from replicator.doctor.settings import is_global

_WITH_NEW_IMAGE: Final = ("NEW_IMAGE", "NEW_AND_OLD_IMAGES")

_UNSEEN: Final = "readers that use the Streams API or the Kinesis adapter cannot be seen"


def view(source: TableFacts) -> Iterator[Finding]:
    """What the records of a source's stream hold."""
    if source.stream_arn is None:
        yield ok("stream", source.name, "the stream is off: `up` turns it on, and `down` off again")
    elif source.stream_view in _WITH_NEW_IMAGE:
        yield ok("stream", source.name, f"the stream is on, with {source.stream_view}")
    else:
        yield warning(
            "stream",
            source.name,
            f"the stream is on with {source.stream_view}, which holds no new image: the consumer reads each "
            "changed item from the source, a read unit and more for each",
            "live with that, or turn the stream off and on with NEW_IMAGE before `up`; whoever reads it now "
            "has to be mapped to the new one.",
        )


def readers(
    source: TableFacts, found: Looked[list[Reader]], *, forwarders: int, canary: bool
) -> Iterator[Finding]:
    """
    Whether there is room for our forwarders beside those who read the stream, and whom the canary disturbs.

    Args:
        found: Functions of others that the stream is mapped to.
        forwarders: How many of ours will read it.
        canary: Whether one flies.
    """

    def judge(others: list[Reader]) -> Iterator[Finding]:
        reading = [one.function for one in others if one.reads]
        # DynamoDB's quota for a table of one region; of a global table AWS recommends one (docs/aws.md T26).
        most = 1 if is_global(source) else MOST_READERS
        total = len(reading) + forwarders
        who = f"{', '.join(reading)} and {number_of(forwarders, 'forwarder')}" if reading else ""
        if total > MOST_READERS:
            yield problem(
                "stream-readers",
                source.name,
                f"{who or number_of(forwarders, 'forwarder')} make {total} readers of its stream: above "
                f"{MOST_READERS} DynamoDB throttles them all, and forwarder and functions fall behind",
                "take a reader off for the length of the migration, or let one function call the others.",
            )
        elif total > most:
            yield warning(
                "stream-readers",
                source.name,
                f"{who} make {total} readers of the stream of a global table, where AWS recommends one",
                "watch `IteratorAge` of all of them, or take the other reader off for the migration.",
            )
        else:
            beside = f"beside {', '.join(reading)}" if reading else "no function reads it"
            yield ok("stream-readers", source.name, f"room for the forwarder: {beside} ({_UNSEEN})")
        disturbed = [one.function for one in others if one.is_reached and not is_forwarder(one)]
        if disturbed and canary:
            yield warning(
                "canary",
                source.name,
                f"{', '.join(disturbed)} will get the canary, an item with the attribute `replicator` and no "
                "other: a function that fails on it stops its shard",
                f"put this into each of the function's filter patterns: {filter_pattern(source.keys)}; or go "
                "without it: [replication] canary = false.",
            )

    if source.stream_arn is None:
        yield ok("stream-readers", source.name, "nobody reads the stream yet: it is off")
        return
    yield from judged("stream-readers", source.name, found, judge)
