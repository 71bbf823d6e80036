"""
Suspects that look alike: the same state, and the same paths and kinds of difference.

A million differences usually have three causes. A sample of each is settled key by key; once all of it
has proven persistent, the others of the group are looked at once more only (`second_look`).
"""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from ddbverify.compare.causes import without_places
from ddbverify.compare.suspects import Suspect
from ddbverify.items.keys import JoinKey
from ddbverify.items.states import State

SAMPLE: Final = 20
"""Keys of a group that are settled one by one. If one in ten of it were no difference, 88 % would notice."""

FEWEST: Final = 5 * SAMPLE
"""A group of fewer is settled one by one: a sample of it would save little."""

MOST_GROUPS: Final = 1_000
"""Held at once; an item's paths can go through the keys of a map, and those can be data."""


@dataclass(slots=True)
class _Group:
    state: State
    keys: int = 0
    drawn: list[JoinKey] = field(default_factory=list)
    sample: frozenset[JoinKey] | None = None  # fixed when the first of the group is about to be settled
    proven: int = 0
    others: int = 0  # settled, but not as what the group looks like


class Groups:
    """The groups of one pass. Threads share it."""

    def __init__(self) -> None:
        """Start from nothing."""
        self._groups: list[_Group] = []
        self._numbers: dict[tuple[State, tuple[str, ...]], int] = {}
        self._lock = threading.Lock()

    def add(self, key: JoinKey, state: State, paths: Sequence[str]) -> int | None:
        """Note a suspect of which both sides were seen. Returns the number of its group, if it has one."""
        kind = (state, _alike(tuple(paths)))
        with self._lock:
            number = self._numbers.get(kind)
            if number is None:
                if len(self._groups) >= MOST_GROUPS:
                    return None
                number = self._numbers[kind] = len(self._groups)
                self._groups.append(_Group(state))
            group = self._groups[number]
            group.keys += 1
            # Every key with the same chance, however many follow (reservoir sampling).
            if len(group.drawn) < SAMPLE:
                group.drawn.append(key)
            elif (place := int(random.random() * group.keys)) < SAMPLE:  # noqa: S311
                group.drawn[place] = key
            return number

    def wait_for_the_sample(self, suspect: Suspect) -> bool:
        """Whether *suspect* is settled after the sample of its group only."""
        if suspect.group is None:
            return False
        with self._lock:
            group = self._groups[suspect.group]
            if group.keys < FEWEST:
                return False
            if group.sample is None:
                group.sample = frozenset(group.drawn)
            return suspect.key not in group.sample

    def settled(self, suspect: Suspect, state: State | None) -> None:
        """A suspect was settled by itself."""
        if suspect.group is None:
            return
        with self._lock:
            group = self._groups[suspect.group]
            if state is group.state:
                group.proven += 1
            else:
                group.others += 1

    def proven(self, suspect: Suspect) -> State | None:
        """What the others of the group are, as long as nothing of it has turned out otherwise."""
        if suspect.group is None:
            return None
        with self._lock:
            group = self._groups[suspect.group]
            return group.state if group.proven >= SAMPLE and not group.others else None


@lru_cache(maxsize=4_096)
def _alike(paths: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted({without_places(path) for path in paths}))
