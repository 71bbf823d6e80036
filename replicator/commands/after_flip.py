"""
The fenced source behind the flip: whoever still writes there is named, since nobody applies it any more.

The forwarder notes what it meets, within seconds. This reads the stream itself, from where the last audit
stopped: the last one of the drain, behind which no change of the application was to come.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ddbverify.config import Pair
from ddbverify.errors import DdbVerifyError, Refused
from ddbverify.names import Fact, KeySchema
from ddbverify.tables.aws import translated
from ddbverify.words import number_of
from replicator.aws import stream
from replicator.aws.stream import StreamReader, Trimmed
from replicator.context import references
from replicator.context.context import Context
from replicator.handlers import late
from replicator.handlers.late import LateWrite
from replicator.handlers.records import Change, MalformedRecord
from replicator.handlers.state import State, now_text

HINT = (
    "`replicator quarantine --keys` names them. Stop what writes there (it runs as root, say), and carry the "
    "items over by hand: the target is the application's by now."
)

_NOT_BEGUN = "nobody has begun to watch it, `replicator audit` does"

_FORGOTTEN = "it was not read for more than 24 hours, and keeps no more"

_CHUNK = 500


@dataclass(slots=True)
class Watched:
    """What is known of the writes to a source behind the flip."""

    examined: int = 0  # records read now
    found: dict[str, LateWrite] = field(default_factory=dict)  # by the key's hash: all that is noted
    unread: str = ""  # why not all of the stream could be read


def begin(context: Context) -> None:
    """Let the forwarders know that from now on every write is late; again changes nothing."""
    for pair in context.config.tables:
        with translated(f"note that the application of {pair} has moved"):
            context.state(pair).put_once(Fact.MOVED, at=now_text())


def watch(context: Context) -> None:
    """Begin to watch the sources, and warn of what is wrong. The flip stands, whatever becomes of this."""
    warn = context.console.warn
    try:
        with translated("watch the source behind the flip"):
            begin(context)
            for pair in context.config.tables:
                if problem := problem_of(pair, look(context, pair)):
                    warn(f"{problem} {HINT}")
    except DdbVerifyError as error:
        warn(
            "who still writes to the source is not watched yet, `replicator audit` begins to: "
            f"{error.message}"
        )


def audited(context: Context) -> dict[str, Any]:
    """
    Read every source's stream on, and tell who writes there.

    The cutover may have been killed right behind the flip, or an earlier build has made it: so the
    forwarders are told here, too.

    Raises:
        Refused: Somebody does, or it cannot be known.
    """
    begin(context)
    watched = {pair: look(context, pair) for pair in context.config.tables}
    for pair, one in watched.items():
        written = f"{number_of(len(one.found), 'key')} written behind the flip"
        context.console.line(f"{pair}: {number_of(one.examined, 'record')} examined, {written}")
        for hashed, write in sorted(one.found.items()):
            context.console.line(f"    {hashed}  written at {write.at}")
    for pair, one in watched.items():
        if problem := problem_of(pair, one):
            raise Refused(problem, HINT)
    return {"pairs": {str(pair): as_json(one) for pair, one in watched.items()}}


def look(context: Context, pair: Pair) -> Watched:
    """Read a source's stream on, note what was written behind the flip, and keep the place."""
    state, watched = context.state(pair), Watched()
    with translated(f"read how far the stream of {pair} was audited"):
        kept = state.get(stream.PLACES) or {}
    now, places = context.server_time(), dict(kept.get("places", {}))
    audited = int(kept.get("audited_epoch", 0))
    try:
        source = context.source_table(pair)
        bound = references.bound_stream(context.resources(pair), source.arn)
        if not places:
            watched.unread = "no audit has noted how far it was read before the flip"
        elif source.stream_arn != bound:
            watched.unread = "it was turned off, or off and on again"
        elif now - audited > stream.KEEPS_SECONDS:
            watched.unread = _FORGOTTEN
        if places:
            client = context.source_client("dynamodbstreams")
            # What is forgotten is said above; what is there is read whatever was.
            reader = StreamReader(client, bound, dict(places), forgotten_was_read=True)
            _read(reader, now, source.keys, state, watched)
            places = reader.places
    except DdbVerifyError as error:
        watched.unread = error.message
    with translated(f"note who has written to the source of {pair}"):
        watched.found = late.noted(state)
        state.put(
            stream.PLACES,
            places=places,
            at_epoch=int(now),
            audited_epoch=audited if watched.unread else int(now),
            examined=watched.examined,
            young=0,
            lost=0,
            unread=watched.unread or None,
        )
    return watched


def _read(reader: StreamReader, until: float, schema: KeySchema, state: State, watched: Watched) -> None:
    """Note every late write that can be read; a place moves behind what is noted only."""
    chunk: list[tuple[Change, bool]] = []

    def note() -> None:
        with translated("note late writes"):
            late.note(state, late.foreign(chunk, schema))
        chunk.clear()

    try:
        for record in reader.read(until):
            chunk.append((record.change, record.by_ttl))
            watched.examined += 1
            if len(chunk) == _CHUNK:
                note()
    except (Trimmed, MalformedRecord) as error:
        watched.unread = str(error)
    note()


def problem_of(pair: Pair, watched: Watched) -> str:
    """What is wrong behind the flip, in a sentence; empty where nothing is."""
    said = []
    if watched.found:
        written = number_of(len(watched.found), "key")
        said.append(f"{written} written to the source of {pair} behind the flip, and nobody applies that")
    if watched.unread:
        why = f"its stream cannot be read whole: {watched.unread}"
        said.append(f"whether anybody else writes to the source of {pair} is not known, since {why}")
    return "; ".join(said) + "." if said else ""


def known(state: State, now: float) -> Watched:
    """What the forwarder and the last audit have noted; the stream is not read."""
    kept = state.get(stream.PLACES) or {}
    unread = str(kept.get("unread") or "")
    if not unread and now - float(kept.get("audited_epoch", 0)) > stream.KEEPS_SECONDS:
        unread = _FORGOTTEN
    if not unread and state.get(Fact.MOVED) is None:
        unread = _NOT_BEGUN
    return Watched(found=late.noted(state), unread=unread)


def as_json(watched: Watched) -> dict[str, Any]:
    """For machines: hashes of keys, no key."""
    return {
        "examined": watched.examined,
        "late_writes": {hashed: one.at for hashed, one in sorted(watched.found.items())},
        "unread": watched.unread or None,
    }
