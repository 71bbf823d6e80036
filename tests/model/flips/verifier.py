"""The verifier as a player: what base and links say, beside what a full pass would."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ddbverify.changes.following import Changed, changed_keys, places_now
from ddbverify.changes.shards import Gap
from ddbverify.changes.wire import StreamWire
from ddbverify.compare.judge import Judge
from ddbverify.errors import EngineError
from ddbverify.items.form import Form
from ddbverify.items.keys import join_key
from ddbverify.items.states import State
from replicator.aws.markers import Marked
from tests.model.flips.account import OPERATOR, SIDES
from tests.model.flips.process import HERE
from tests.model.flips.shapes import DIES
from tests.replicator.fakes import KEYS

if TYPE_CHECKING:
    from tests.model.flips.world import FlipWorld
    from tests.replicator.stream_harness import Streams

_UNLIKE = frozenset({State.DIFFERENT, State.MISSING, State.EXTRANEOUS})
_FORM = Form()


class Wire(StreamWire):
    """The verifier's own reading of one table's stream."""

    def __init__(self, streams: Streams) -> None:
        self.stream_arn = streams.arn
        self._keys = KEYS
        self._client: Any = _Raw(streams)


class _Raw:
    """A stream's client whose pages of records are not decoded."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self.get_shard_iterator = streams.get_shard_iterator

    def describe_stream(self, **arguments: Any) -> Any:
        answer = self._streams.describe_stream(**arguments)
        answer["StreamDescription"]["StreamStatus"] = "ENABLED"
        return answer

    def get_records(self, **arguments: Any) -> Any:
        page = self._streams.get_records(**arguments)
        records = [
            {
                "dynamodb": {
                    **{name: one["dynamodb"][name] for name in ("Keys", "SequenceNumber")},
                    "ApproximateCreationDateTime": one["dynamodb"]["ApproximateCreationDateTime"].timestamp(),
                }
            }
            for one in page["Records"]
        ]
        return {"body": json.dumps({**page, "Records": records}).encode()}


class Verifier:
    """Its base was made when the migration began to follow; each link goes on from the last that passed."""

    def __init__(self, world: FlipWorld) -> None:
        self._world = world
        self._open: set[Any] = set()  # what a link let pass undecided
        self._judge = Judge(world.transform, _FORM, (DIES,))
        self.links = 0
        self.full_passes = 0  # in the place of a link

    def begin(self) -> None:
        """The base: both tables as they are."""
        self.places = self._places_now()
        assert not self._unlike(self._all())

    def approach(self) -> None:
        """A link while the application writes: what differs is undecided, and looked at again."""
        keys, after = self._changed()
        self._open, self.places = self._unlike(keys), after

    def verify(self, meanwhile: Callable[[], None]) -> Any:
        """
        The last verification, under the fence.

        Args:
            meanwhile: What the command waits for beside it; it reads all before.

        Raises:
            EngineError: It does not open the gate.
            AssertionError: A full pass would say otherwise.
        """
        before = self._unlike(self._all())
        keys, after = self._changed(marked=self._is_late())
        wrong, in_full = self._unlike(keys), self._unlike(self._all())
        # What somebody has written while the streams were read, a full pass may have passed by then, too.
        assert wrong or not before & in_full, "base and links do not say what a full pass says"
        meanwhile()
        if wrong:
            raise EngineError("The last verification does not open the gate.", "look into it")
        self._open, self.places = set(), after
        self.links += 1
        return None

    def _changed(self, *, marked: bool = False) -> tuple[set[Any], list[Any]]:
        """The keys to look at, and where the next link goes on; all keys where no link can be."""
        now = self._places_now()
        try:
            found = [
                self._read(wire, places, marked=marked)
                for wire, places in zip(self.wires(), self.places, strict=False)
            ]
        except Gap:
            self.full_passes += 1
            return self._all(), now
        return self._open.union(*(one.keys for one in found)), [one.places for one in found]

    def _read(self, wire: Wire, places: Any, *, marked: bool) -> Changed:
        world = self._world
        return changed_keys(
            wire,
            places,
            lag_seconds=0.0,
            server_time=lambda: world.now,
            marked=marked,
            clock=lambda: world.now,
            sleep=self._mark_and_wait if marked else lambda _: None,
        )

    def _mark_and_wait(self, seconds: float) -> None:
        """The cutover writes markers, one for each open shard of both tables; others go on meanwhile."""
        client = self._world.database.of(OPERATOR)
        for table, streams in self._world.database.streams.items():
            slots = [one.slots.start for one in streams.shards.values() if not one.closed]
            Marked(client, table, KEYS).write(slots)
        HERE.process.sleep(seconds)

    def _is_late(self) -> bool:
        """
        Whether a record is not readable yet. Where none is, markers show at once that nothing was missed.

        So they are not written there, which spares most of the requests of most histories.
        """
        return any(
            streams.readable(shard) < len(shard.records)
            for streams in self._world.database.streams.values()
            for shard in streams.shards.values()
        )

    def _places_now(self) -> list[Any]:
        return [places_now(wire, self._world.now) for wire in self.wires()]

    def wires(self) -> list[Wire]:
        """The streams that a link reads."""
        return [Wire(self._world.database.streams[table]) for table in SIDES.values()]

    def _all(self) -> set[Any]:
        tables = self._world.database.tables
        return {join_key(item, KEYS) for table in SIDES.values() for item in tables[table].values()}

    def _unlike(self, keys: Iterable[Any]) -> set[Any]:
        """Those of *keys* of which the target does not hold what the transform makes of the source."""
        world = self._world
        held = [
            {join_key(item, KEYS): item for item in world.database.tables[table].values()}
            for table in SIDES.values()
        ]
        unlike = set()
        for key in keys:
            item, there = held[0].get(key), held[1].get(key)
            made = [] if item is None else [item]
            expected = next(iter(world.transform(item)), None) if item is not None else None
            if self._judge.verdict(expected, there, world.now, made) in _UNLIKE:
                unlike.add(key)
        return unlike
