"""
What one pass over a pair of tables learned: counts that add up, and every counter-example.

The seam between the engine (`runner`) that fills it and the checks that read it. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

from ddbverify.inspection import Inspected
from ddbverify.names import TypedItem

if TYPE_CHECKING:
    from ddbverify.controls import Controls
    from ddbverify.strata import Stratum


class State(StrEnum):
    """Where one key of the pair stands once the pass has settled. Every key has exactly one."""

    MATCHED = "matched"
    MISSING = "missing"  # expected in the target, not there
    EXTRANEOUS = "extraneous"  # in the target, expected by no source item
    DIFFERENT = "different"  # on both sides, attributes differ
    KNOWN = "known"  # missing, extraneous or different, and accepted by a plugin until a day
    EXCLUDED = "excluded"  # the canary, an item past its TTL on one side only, or dropped by the transform
    UNCOMPARABLE = "uncomparable"  # the transform raised, or a type that is not known
    CHURNING = "churning"  # never held still long enough to be decided
    UNDECIDED = "undecided"  # a read failed, or time ran out


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """
    One key that is not `State.MATCHED` or `State.EXCLUDED`.

    The *key* is raw: it goes to the run's own ``findings.jsonl`` (mode 0600) and nowhere else.
    """

    state: State
    key: TypedItem  # of the target; of the source where the target key is not known
    paths: tuple[str, ...] = ()  # attribute paths that differ, without values
    reason: str = ""  # why it could not be decided or compared, in words, without values


class EqualBy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Keys that count as equal by a plugin's word only: the items differ."""

    plugin: str
    hook: str
    keys: int


class KnownKeys(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Differences that a plugin accepts for one reason; they are in `State.KNOWN`."""

    plugin: str
    reason: str
    expires: date  # the last day, in UTC
    keys: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SideFacts:
    """What was read of one table."""

    items: int  # settled: target items held, or expected of the source; without what is excluded or known
    scanned: int  # items that the scan itself returned
    read_units: float
    requests: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """
    The settled outcome of one shared pass over one pair.

    ``sum(counts.values())`` is the number of keys seen on either side. *unexamined* says in
    words what was not looked at: a segment without a proven end, a scan that was cut short.
    It is empty exactly when everything that was planned has been read.
    """

    pair_id: str
    counts: Mapping[State, int]
    differences: tuple[Difference, ...] = ()
    source: SideFacts
    target: SideFacts
    segments_planned: int
    segments_finished: int
    segments_total: int  # more than planned: a sample
    seed: int | None = None  # of the sample; None for a full pass
    converged: int = 0  # suspects that turned out to be changes under way
    slowest_convergence_seconds: float = 0.0
    started_epoch: float
    ended_epoch: float
    inspected: Mapping[str, Inspected] = field(default_factory=dict)  # checks on items, by id
    equal_by: tuple[EqualBy, ...] = ()  # of the matched ones; a key may stand in several
    known: tuple[KnownKeys, ...] = ()
    strata: tuple[Stratum, ...] = ()  # keys looked up beside a sample; in none of the counts above
    unexamined: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())
    controls: Controls | None = field(default=None, repr=False, compare=False)  # altered copies, for checks

    @property
    def examined(self) -> int:
        """Keys that have a state other than undecided."""
        return sum(self.counts.values()) - self.counts.get(State.UNDECIDED, 0)

    @property
    def is_sample(self) -> bool:
        """Whether only some of the segments were planned."""
        return self.segments_planned < self.segments_total

    def only(self, *states: State) -> tuple[Difference, ...]:
        """The differences in one of *states*, in the order met."""
        return tuple(one for one in self.differences if one.state in states)
