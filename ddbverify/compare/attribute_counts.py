"""
In which attributes the items differ, counted without values: what a check has to look at to see it.

A gate asks whether some check looks at each difference. A check says what it looks at by kind and
attribute (``value:price``), so differences are counted in the same words. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, Literal

from ddbverify.compare.comparison import DifferentIn
from ddbverify.items.paths import parse_path

MOST_ATTRIBUTES: Final = 200
"""Attributes and kinds held at most: their names can be data, and evidence does not grow with data."""

_Kind = Literal["added", "removed", "value", "type"]

_KINDS: Final[Mapping[str, _Kind]] = {"added": "added", "removed": "removed", "value": "value"}


class AttributeCounts:
    """
    Counts items that differ, by top-level attribute and kind.

    An item is *told* only if every place in which it differs is counted. One that differs in more
    places than are noted, or in an attribute beyond `MOST_ATTRIBUTES`, is not.
    """

    def __init__(self) -> None:
        """Start from nothing."""
        self.told = 0
        self._counts: Counter[tuple[str, _Kind]] = Counter()

    def add(self, paths: Sequence[str]) -> None:
        """Count one item, whose *paths* are as `items.differences` says them."""
        known = _places(tuple(paths))
        room = MOST_ATTRIBUTES - len(self._counts)
        if not known or len(known - self._counts.keys()) > room:
            return
        self.told += 1
        self._counts.update(known)

    @property
    def counted(self) -> tuple[DifferentIn, ...]:
        """Every attribute and kind, sorted."""
        return tuple(
            DifferentIn(attribute=attribute, kind=kind, keys=keys)
            for (attribute, kind), keys in sorted(self._counts.items())
        )


@lru_cache(maxsize=4_096)
def _places(paths: tuple[str, ...]) -> frozenset[tuple[str, _Kind]]:
    """Where an item differs; nowhere, if one of the places cannot be told."""
    places = [_place(path) for path in paths]
    return frozenset() if None in places else frozenset(place for place in places if place is not None)


def _place(path: str) -> tuple[str, _Kind] | None:
    """``info.rating: N -> S`` is another value of ``info``; ``price: N -> S`` another type of ``price``."""
    name, separator, kind = path.rpartition(": ")
    if not separator:
        return None  # "(and 7 more)", "(somewhere)"
    attribute, *below = parse_path(name)
    if below:
        return str(attribute), "value"
    return str(attribute), _KINDS.get(kind, "type")
