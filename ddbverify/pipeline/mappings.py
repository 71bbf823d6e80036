"""
Whether changes still come in: the source's live stream, and the two event source mappings.

A stream that was switched off and on again is another stream. The forwarder's mapping still reads the old
one, which gets no more changes, and everything else looks healthy until somebody writes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ddbverify import names
from ddbverify.config import Config, Pair
from ddbverify.errors import NotFoundError
from ddbverify.tables import aws, table
from ddbverify.words import begins_anew

ENABLED: Final = "Enabled"
DISABLED: Final = "Disabled"
GONE: Final = "gone"

# What Lambda says when nothing is wrong; else it is "PROBLEM: ...", or a word that nobody here knows.
# https://docs.aws.amazon.com/lambda/latest/api/API_GetEventSourceMapping.html
_FINE: Final = ("OK", "No records processed")
_LONGEST: Final = 200  # of Lambda's words


@dataclass(frozen=True, slots=True)
class Source:
    """One event source mapping: what it reads, and how that goes."""

    state: str  # as Lambda calls it; "gone", or "unknown" where the state table names none
    reads: str = ""  # ARN of the stream or queue
    last_result: str = ""  # of its last batch, in Lambda's words
    by: str = "event source mapping"  # what it is; or a worker, which stands in its place


def look(config: Config, pair: Pair, uuid: str) -> Source:
    """
    Ask Lambda for one event source mapping.

    Raises:
        EngineError: Lambda refused. That there is none is no error.
    """
    client = aws.client(config.source, "lambda", region=names.region_of(pair.source))
    try:
        with aws.translated(f"read the event source mapping {uuid}"):
            found = client.get_event_source_mapping(UUID=uuid)
    except NotFoundError:
        return Source(GONE)
    return Source(
        str(found["State"]),
        str(found.get("EventSourceArn") or ""),
        str(found.get("LastProcessingResult") or ""),
    )


def live_stream(config: Config, pair: Pair) -> str | None:
    """
    ARN of the source's stream as it is now; ``None`` where it is off, or there is no such table.

    Raises:
        EngineError: DynamoDB refused.
        ConfigurationError: DynamoDB answers with another table than the one that the settings name.
    """
    try:
        return table.describe(config.source, pair.source).stream_arn
    except NotFoundError:
        return None


def problems(
    resources: Mapping[str, Any],
    sources: Mapping[str, Source],
    live: str | None,
    *,
    expected_off: Collection[str] = (),
    cycle: int = 0,
) -> list[str]:
    """
    Name everything that keeps changes from coming in. Pure.

    Args:
        resources: The fact of that name: what the migration is bound to.
        sources: ``forwarder`` and ``consumer`` -> its mapping.
        live: The source's stream as it is now.
        expected_off: Which of the mappings are to be off now.
        cycle: Number of the direction.
    """
    found = []
    bound = str(resources.get("stream_arn") or "")
    if live is None:
        found.append(
            "the source's stream is off: changes are not captured, and some may be lost "
            f"({begins_anew(cycle)})"
        )
    elif live != bound:
        found.append(
            "the source's stream was switched off and on again: the forwarder reads the old one, and what "
            f"was written since may be lost ({begins_anew(cycle)})"
        )
    for part, source in sources.items():
        wanted = DISABLED if part in expected_off else ENABLED
        if source.state != wanted:
            found.append(f"the {part}'s {source.by} is {source.state}, not {wanted}")
        if source.reads and not (
            source.reads == bound if part == "forwarder" else _is_queue(source.reads, resources)
        ):
            what = "stream" if part == "forwarder" else "queue"
            found.append(
                f"the {part}'s {source.by} reads {source.reads}, which is not the {what} of this "
                f"pair ({begins_anew(cycle)})"
            )
        if source.last_result and not source.last_result.startswith(_FINE):
            found.append(
                f"the {part} failed on its last batch: {source.last_result[:_LONGEST]} "
                "(the function's log says why)"
            )
    return found


def _is_queue(arn: str, resources: Mapping[str, Any]) -> bool:
    return arn.rpartition(":")[2] == str(resources.get("queue_url") or "").rpartition("/")[2]
