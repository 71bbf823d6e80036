"""
What one pass over a pair of tables learned: counts that add up, and every counter-example.

The seam between the engine (`runner`) that fills it and the checks that read it. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal, Protocol

import msgspec

from ddbverify.compare.inspection import Inspected
from ddbverify.items.states import Difference, State
from ddbverify.words import number_of


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


class DifferentIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Items in `State.DIFFERENT` that differ in one top-level attribute, in one way."""

    attribute: str
    kind: Literal["added", "removed", "value", "type"]  # a part of a map or list that differs is ``value``
    keys: int  # an item that differs in two attributes counts in both


@dataclass(frozen=True, slots=True, kw_only=True)
class SideFacts:
    """What was read of one table."""

    items: int  # settled: target items held, or expected of the source; without what is excluded or known
    scanned: int  # items that the scan itself returned
    read_units: float
    requests: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stratum:
    """What became of one list of keys. A key may be in the sample, too."""

    name: str
    counts: Mapping[State, int]  # every key once
    in_neither: int  # of those that match: neither table holds them
    listed: int  # findings that were handed on; the sample may have had the rest

    @property
    def keys(self) -> int:
        """How many keys it has."""
        return sum(self.counts.values())

    def as_json(self) -> dict[str, Any]:
        """For a summary."""
        states = {str(state): self.counts.get(state, 0) for state in State}
        return {"name": self.name, "keys": self.keys, **states, "in_neither": self.in_neither}

    def __str__(self) -> str:
        parts = [f"{count:,} {state}" for state, count in self.counts.items() if count]
        parts += [f"{self.in_neither:,} of them in neither table"] if self.in_neither else []
        return f"outside the bound, {self.name}: {number_of(self.keys, 'key')}, {', '.join(parts)}"


class AlteredCopies(Protocol):
    """Copies of real pairs of items, run through the engine; `compare.controls.Controls` in earnest."""

    def __bool__(self) -> bool:
        """Whether there is a pair of items to copy."""

    def unaltered(self) -> Comparison:
        """What the engine says of the copies as they are."""

    def altered(self) -> Sequence[Altered]:
        """Every copy, altered in one way, in which the engine sees a counter-example."""


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
    different_by_cause: int = 0  # of the missing, extraneous and different: an upper bound
    converged: int = 0  # suspects that turned out to be changes under way
    slowest_convergence_seconds: float = 0.0
    started_epoch: float
    ended_epoch: float
    inspected: Mapping[str, Inspected] = field(default_factory=dict)  # checks on items, by id
    equal_by: tuple[EqualBy, ...] = ()  # of the matched ones; a key may stand in several
    known: tuple[KnownKeys, ...] = ()
    different_in: tuple[DifferentIn, ...] = ()
    different_told: int = 0  # different keys whose every difference is in `different_in`
    strata: tuple[Stratum, ...] = ()  # keys looked up beside a sample; in none of the counts above
    unexamined: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())
    of_changes: bool = False  # only keys that were written since an earlier pass were looked at
    engine: str = ""  # that has read and compared, by name and version; empty: this machine's processes
    exports: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """``source``, ``target`` -> `Export.lines`, of the sides that were read from exports."""
    may_be_empty: bool = False  # the configuration says of both tables that they may hold nothing
    controls: AlteredCopies | None = field(
        default=None, repr=False, compare=False
    )  # altered copies, for checks

    @property
    def examined(self) -> int:
        """Keys that have a state other than undecided."""
        return sum(self.counts.values()) - self.counts.get(State.UNDECIDED, 0)

    @property
    def holds_nothing(self) -> bool:
        """Whether both tables were read to their ends, and neither holds an item, not even one left out."""
        planned, finished = self.segments_planned, self.segments_finished
        read = not self.unexamined and 0 < planned == finished == self.segments_total
        return read and not any(self.counts.values())

    @property
    def is_sample(self) -> bool:
        """Whether only some of the segments were planned, to speak for the others."""
        return self.segments_planned < self.segments_total and not self.of_changes

    def only(self, *states: State) -> tuple[Difference, ...]:
        """The differences in one of *states*, in the order met."""
        return tuple(one for one in self.differences if one.state in states)


@dataclass(frozen=True, slots=True)
class Altered:
    """One control that checks can be held against."""

    names: frozenset[str]  # what ``@check(covers=...)`` calls it
    comparison: Comparison
