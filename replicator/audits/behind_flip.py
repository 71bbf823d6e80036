"""
The fenced source behind the flip: whoever still writes there is named, since nobody applies it any more.

The forwarder notes what it meets, within seconds. This reads the stream itself, from where the last audit
stopped: the last one of the drain, behind which no change of the application was to come.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from ddbverify.errors import DdbVerifyError
from ddbverify.names import Fact, KeySchema
from ddbverify.tables.translation import translated
from replicator.audits.place import Place
from replicator.aws import stream
from replicator.aws.stream import StreamReader, Trimmed
from replicator.handlers import late
from replicator.handlers.late import LateWrite
from replicator.handlers.records import Change, MalformedRecord
from replicator.handlers.state import State

_NOT_BEGUN: Final = "nobody has begun to watch it, `replicator audit` does"

_FORGOTTEN: Final = "it was not read for more than 24 hours, and keeps no more"

_CHUNK: Final = 500


@dataclass(slots=True)
class Watched:
    """What is known of the writes to a source behind the flip."""

    examined: int = 0  # records read now
    found: dict[str, LateWrite] = field(default_factory=dict)  # by the key's hash: all that is noted
    unread: str = ""  # why not all of the stream could be read
    incomplete: str = ""  # why it was not read to its end now; the next look goes on


def look(place: Place, name: str) -> Watched:
    """
    Read a source's stream on, note what was written behind the flip, and keep the place.

    Args:
        name: Of the pair, for messages.
    """
    state, watched = place.state, Watched()
    with translated(f"read how far the stream of {name} was audited"):
        before = state.get(stream.PLACES)
        kept = before or {}
    now, places = place.now(), dict(kept.get("places", {}))
    until = place.until(kept, now)
    audited = int(kept.get("audited_epoch", 0))
    try:
        source = place.source()
        bound = place.bound_stream(source)
        if not places:
            watched.unread = "no audit has noted how far it was read before the flip"
        elif source.stream_arn != bound:
            watched.unread = "it was turned off, or off and on again"
        elif now - audited > stream.KEEPS_SECONDS:
            watched.unread = _FORGOTTEN
        if places:
            # What is forgotten is said above; what is there is read whatever was.
            reader = StreamReader(
                place.streams(), bound, dict(places), forgotten_was_read=True, in_time=place.in_time
            )
            _read(reader, until, source.keys, state, watched)
            places = reader.places
            if reader.cut_short:
                watched.incomplete = "its time was over; the next one goes on from where it stopped"
    except DdbVerifyError as error:
        watched.unread = error.message
    with translated(f"note who has written to the source of {name}"):
        watched.found = late.noted(state)
        noted = place.keep(
            before,
            places=places,
            at_epoch=int(now),
            audited_epoch=audited if watched.unread or watched.incomplete else int(until),
            examined=watched.examined,
            young=0,
            lost=0,
            unread=watched.unread or None,
            incomplete=watched.incomplete or None,
            until_epoch=int(until) if watched.incomplete else None,
        )
    if not noted:
        watched.incomplete = "another audit has noted its place meanwhile"
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


def known(state: State, now: float) -> Watched:
    """What the forwarder and the last audit have noted; the stream is not read."""
    kept = state.get(stream.PLACES) or {}
    unread = str(kept.get("unread") or "")
    if not unread and now - float(kept.get("audited_epoch", 0)) > stream.KEEPS_SECONDS:
        unread = _FORGOTTEN
    if not unread and state.get(Fact.MOVED) is None:
        unread = _NOT_BEGUN
    return Watched(found=late.noted(state), unread=unread)
