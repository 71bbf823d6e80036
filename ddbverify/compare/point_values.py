"""
The items behind a finding, for ``diff --values``: read again, strongly consistent.

They are what the tables held at that moment, which stands beside them; on live tables that
may be more than what the finding was decided on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from ddbverify.errors import TransformError
from ddbverify.items.keys import PointRead, ReadFailed
from ddbverify.items.states import Difference, State
from ddbverify.items.transform import Transform
from ddbverify.names import KeySchema, TypedItem

UNITS_PER_ITEM: Final = 100
"""At most: an item has up to 400 KB, and a unit is 4 KB of it."""


class PointReader(Protocol):
    """Reads single items of one table; `wire.TableReader` in earnest."""

    read_units: float

    def get_items(self, keys: Sequence[TypedItem]) -> list[PointRead]:
        """One answer per key, in their order."""


class PointValues:
    """Reads both items of a finding, within a budget of its own."""

    def __init__(
        self,
        source: PointReader,
        target: PointReader,
        *,
        source_keys: KeySchema,
        target_keys: KeySchema,
        rekeys: bool,
        transform: Transform | None = None,
        max_read_units: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """
        Prepare for one pair.

        Args:
            source: Reads the source.
            target: Reads the target.
            source_keys: Key schema of the source.
            target_keys: Of the target.
            rekeys: Whether a source key tells nothing about its target keys.
            transform: What makes a target item of a source item, where there is one.
            max_read_units: Over both; once spent, items are marked as not read.
            clock: Seconds since the epoch.
        """
        self.source, self.target = source, target
        self._source_keys, self._target_keys, self._rekeys = source_keys, target_keys, rekeys
        self._transform, self._max_read_units, self._clock = transform, max_read_units, clock

    def of(self, difference: Difference) -> dict[str, Any]:
        """
        Both items of one finding.

        Returns:
            ``read_at`` (UTC); ``source`` and ``target``, an item in DynamoDB JSON or ``None`` for
            none; with a transform also ``expected``, what it makes of the source's. What could not
            be read or made is left out, and ``unread`` says why.
        """
        found: dict[str, Any] = {
            "read_at": datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds")
        }
        unread: dict[str, str] = {}
        keys = self._keys_of(difference)
        for side, reader in (("source", self.source), ("target", self.target)):
            item = self._read(reader, keys[side])
            if isinstance(item, ReadFailed):
                unread[side] = item.reason
            else:
                found[side] = item
        if self._transform is not None and "source" in found:
            try:
                made = self._transform(found["source"]) if found["source"] is not None else []
                found["expected"] = made[0] if made else None
            except TransformError as error:
                unread["expected"] = error.message
        return found | ({"unread": unread} if unread else {})

    def _read(self, reader: PointReader, key: TypedItem | None) -> PointRead:
        if key is None:
            return ReadFailed("the pair is re-keyed, and the key of this side is not known")
        spent = self.source.read_units + self.target.read_units
        if self._max_read_units is not None and spent + UNITS_PER_ITEM > self._max_read_units:
            return ReadFailed("the budget for values is spent")
        return reader.get_items([key])[0]

    def _keys_of(self, difference: Difference) -> Mapping[str, TypedItem | None]:
        """A finding's key is of the target, or of the source where the target's is not known."""
        key = difference.key
        if self._rekeys:
            if difference.state is State.UNCOMPARABLE:  # of either; their names may be the same
                return {"source": None, "target": None}
            return {"source": None, "target": key}
        is_of_target = key.keys() == set(self._target_keys)
        both = (self._target_keys, self._source_keys)
        names, others = both if is_of_target else reversed(both)
        other = {theirs: key[ours] for ours, theirs in zip(names, others, strict=True)}
        return {"source": other, "target": key} if is_of_target else {"source": key, "target": other}
