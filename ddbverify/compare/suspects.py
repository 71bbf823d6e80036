"""A key on which the scan saw the sides differ, and what it turned out to be."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final

from ddbverify.items.keys import JoinKey
from ddbverify.items.states import State
from ddbverify.names import TypedItem

CONTESTED: Final = b"contested"
"""The expected state of a key that two source items claim; no digest is that short."""


@dataclass(slots=True, kw_only=True)
class Suspect:
    """
    One target key on which the scan saw the sides differ.

    Times are seconds since the epoch on one clock that never goes back.
    """

    key: JoinKey
    owners: set[JoinKey]  # source keys known to claim it; none: nobody knows (re-keyed pairs)
    expected: bytes | None  # state as last seen; None: never seen
    target: bytes | None
    expected_since: float = 0.0  # first seen in that state, and in no other since
    target_since: float = 0.0
    first_seen: float = 0.0
    segment: int | None = None
    history: tuple[bytes, ...] = ()  # expected states since the first look; mostly one
    looks: int = 0
    quiet_looks: int = 0  # since it was last seen moving
    has_moved: bool = False  # one of the sides was seen in two states
    failure: str = ""  # why the last look failed
    group: int | None = None  # of those that look alike; see `ddbverify.compare.groups`
    paths: tuple[str, ...] = ()  # at which the scan saw the sides differ
    prints: tuple[bytes | None, bytes | None] = (None, None)  # of source and target item, byte for byte
    _both_seen: bool = field(init=False, default=False)

    @property
    def was_seen_to_differ(self) -> bool:
        """Whether the scan saw both sides; else only one of them was read."""
        return self._both_seen

    @property
    def moved_at(self) -> float:
        """When either side was last seen to move: on a way back it is the target that changes come from."""
        return max(self.expected_since, self.target_since)

    def __post_init__(self) -> None:
        self._both_seen = self.expected is not None and self.target is not None
        if self.expected is not None and self.expected != CONTESTED:
            self.history = (self.expected,)

    def see_expected(self, state: bytes, at: float) -> None:
        """Note what the source makes the target hold."""
        if state != CONTESTED and state not in self.history:  # no single state of the target would be right
            self.history = (*self.history, state)
        if state != self.expected:
            self.has_moved |= self.expected is not None
            self.expected, self.expected_since = state, at
            self.quiet_looks = 0

    def see_target(self, state: bytes, at: float) -> None:
        """Note what the target holds."""
        if state != self.target:
            self.has_moved |= self.target is not None
            self.target, self.target_since = state, at
            self.quiet_looks = 0


def fingerprint(raw: bytes, secret: bytes) -> bytes:
    """128 keyed bits that stand for the very bytes of an item: another spelling has another one."""
    return hashlib.blake2b(raw, digest_size=16, key=secret).digest()


def fingerprints(
    secret: bytes, source: bytes | None, target: bytes | None
) -> tuple[bytes | None, bytes | None]:
    """Of both items of a key, as far as there are any."""
    return (
        None if source is None else fingerprint(source, secret),
        None if target is None else fingerprint(target, secret),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What became of one suspect."""

    suspect: Suspect
    state: State | None  # None: an orphan, which a second pass over the source has to decide
    converged: bool = False
    expected: bool = False  # whether the target should hold an item, when last seen
    found: bool = False  # whether it holds one
    paths: tuple[str, ...] = ()
    reason: str = ""
    at: float = 0.0
    by_time_only: bool = False  # nobody knew whether the pipeline had passed
    pair: tuple[TypedItem, TypedItem, TypedItem] | None = None
    """Source, target and expected item, where both tables hold one and they belong together."""
