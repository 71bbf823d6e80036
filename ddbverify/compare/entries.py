"""
What a join of pages holds: pages under way, items that wait for their partner, and what it hands on.

`Left` is what one segment has left over, as it travels from the process that read it to the one that
joins all segments.
"""

from __future__ import annotations

import marshal
import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from ddbverify.compare.at_once import KeyOf
from ddbverify.compare.memory import BESIDE_THE_ITEM
from ddbverify.compare.sides import Role
from ddbverify.compare.suspects import Suspect
from ddbverify.items.keys import JoinKey
from ddbverify.items.states import Difference, State

SUSPECT_BYTES: Final = 1_200
"""Of one suspect with its key, digests and history, about."""

AT_ONCE: Final = 5_000
"""Entries that are handed on together, at most."""


@dataclass(slots=True)
class Ahead:
    """A page of one side, of which the items from *next* on have not been looked at."""

    items: Sequence[msgspec.Raw]
    key_of: KeyOf
    at: float
    holds_canary: bool
    next: int = 0

    @property
    def left(self) -> int:
        """Items that have not been looked at."""
        return len(self.items) - self.next


class Waiting(msgspec.Struct, gc=False):
    """An item that has not met its partner. One is made for each that waits: a struct is made quickest."""

    raw: bytes  # a copy: a slice would keep its whole page
    at: float
    segment: int | None

    @property
    def size(self) -> int:
        """Bytes of memory, about."""
        return len(self.raw) + BESIDE_THE_ITEM


_KINDS: Final = {Role.SOURCE: b"s", Role.TARGET: b"t", None: b"?"}
_ROLES: Final = {kind: role for role, kind in _KINDS.items()}


def record_of(role: Role | None, entry: Waiting | Suspect) -> bytes:
    """An item of *role* that waits, or (``None``) a suspect, for the disk."""
    if isinstance(entry, Waiting):
        return _KINDS[role] + marshal.dumps((entry.raw, entry.at, entry.segment))
    return _KINDS[None] + pickle.dumps(entry, pickle.HIGHEST_PROTOCOL)


def recorded(record: bytes) -> tuple[Role | None, Any]:
    """The inverse. This process wrote the record, to a file without a name."""
    role, content = _ROLES[record[:1]], memoryview(record)[1:]
    if role is None:
        return None, pickle.loads(content)  # noqa: S301
    return role, Waiting(*marshal.loads(content))  # noqa: S302


Entry = tuple[bytes, float, int | None]
"""A `Waiting` that travels."""

Pair = tuple[JoinKey, Entry, Entry]
"""Source and target of a key, which somebody else is to judge."""

Refused = tuple[Difference, bool]
"""A key that cannot be compared, and whether the target holds it."""


@dataclass(slots=True)
class Left:
    """Some of what a segment has left over."""

    suspects: list[tuple[Suspect, State | None]] = field(default_factory=list)
    """With the state that the two sides looked like, where both were seen: their group is found by it."""
    waiting: list[tuple[Role, JoinKey, Entry]] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)

    @property
    def keys(self) -> Iterator[JoinKey]:
        """Every key that is in it and not refused."""
        yield from (suspect.key for suspect, _ in self.suspects)
        yield from (key for _, key, _ in self.waiting)
        yield from (key for key, _, _ in self.pairs)


def in_parts(
    suspects: Sequence[tuple[Suspect, State | None]],
    waiting: Mapping[Role, Mapping[JoinKey, Waiting]],
    pairs: Sequence[Pair],
) -> Iterator[Left]:
    """All of it, at most `AT_ONCE` entries at a time."""
    part, held = Left(), 0
    for one in suspects:
        part.suspects.append(one)
        held += 1
        if held % AT_ONCE == 0:
            yield part
            part = Left()
    for role, entries in waiting.items():
        for key, entry in entries.items():
            part.waiting.append((role, key, (entry.raw, entry.at, entry.segment)))
            held += 1
            if held % AT_ONCE == 0:
                yield part
                part = Left()
    for pair in pairs:
        part.pairs.append(pair)
        held += 1
        if held % AT_ONCE == 0:
            yield part
            part = Left()
    if part.suspects or part.waiting or part.pairs:
        yield part
