"""The verifier as a player: what base and links say, beside what a full pass would."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ddbverify.changes.following import Changed, changed_keys, places_now
from ddbverify.changes.places import Kind, Place
from ddbverify.changes.shards import Shard
from ddbverify.changes.wire import Records
from ddbverify.errors import EngineError
from ddbverify.items.keys import join_key
from tests.model.flips.account import SIDES
from tests.replicator.fakes import KEYS

if TYPE_CHECKING:
    from tests.model.flips.world import FlipWorld
    from tests.replicator.stream_harness import Streams


class Wire:
    """One table's stream, as `following.Stream` has it."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self.stream_arn = streams.arn

    def shards(self) -> list[Shard]:
        return [Shard(one.shard_id, one.parent, one.closed) for one in self._streams.shards.values()]

    def iterator(self, shard_id: str, place: Place | None) -> str:
        how: dict[str, Any] = {"ShardIteratorType": "TRIM_HORIZON"}
        if place is not None and place.kind is Kind.AFTER:
            how = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": place.at}
        found = self._streams.get_shard_iterator(StreamArn=self.stream_arn, ShardId=shard_id, **how)
        return str(found["ShardIterator"])

    def records(self, iterator: str, since_epoch: float = 0.0) -> Records:
        page = self._streams.get_records(ShardIterator=iterator)
        changes = [
            (one["dynamodb"], one["dynamodb"]["ApproximateCreationDateTime"]) for one in page["Records"]
        ]
        last = changes[-1] if changes else None
        return Records(
            keys=tuple(join_key(one["Keys"], KEYS) for one, at in changes if at.timestamp() >= since_epoch),
            last_number=last[0]["SequenceNumber"] if last else "",
            last_epoch=last[1].timestamp() if last else 0.0,
            iterator=page.get("NextShardIterator"),
        )


class Verifier:
    """Its base was made when the migration began to follow; each link goes on from the last that passed."""

    def __init__(self, world: FlipWorld) -> None:
        self._world = world
        self._open: set[Any] = set()  # what a link let pass undecided
        self.links = 0

    def begin(self) -> None:
        """The base: both tables as they are."""
        self.places = [places_now(wire, self._world.now) for wire in self.wires()]
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
        keys, after = self._changed()
        wrong, in_full = self._unlike(keys), self._unlike(self._all())
        assert bool(wrong) == bool(in_full), "base and links do not say what a full pass says"
        meanwhile()
        if wrong:
            raise EngineError("The last verification does not open the gate.", "look into it")
        self._open, self.places = set(), after
        self.links += 1
        return None

    def _changed(self) -> tuple[set[Any], list[Any]]:
        found = [self._read(wire, places) for wire, places in zip(self.wires(), self.places, strict=False)]
        return self._open.union(*(one.keys for one in found)), [one.places for one in found]

    def _read(self, wire: Wire, places: Any) -> Changed:
        world = self._world
        return changed_keys(
            wire,
            places,
            lag_seconds=0.0,
            server_time=lambda: world.now,
            clock=lambda: world.now,
            sleep=lambda _: None,
        )

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
            item = held[0].get(key)
            wanted = world.transform(item) if item is not None else []
            there = [held[1][key]] if key in held[1] else []
            if wanted != there:
                unlike.add(key)
        return unlike
