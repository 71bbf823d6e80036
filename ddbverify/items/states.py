"""Where one key of a pair stands, and what is kept of one that is not as it should be. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from ddbverify.names import TypedItem


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

    __hash__ = str.__hash__  # an enum's own is written in Python, and every key that differs is counted by it


@dataclass(frozen=True, slots=True)
class Seen:
    """What a key held when it was decided, as keyed digests (`ddbverify.items.form`); empty: no item."""

    expected: bytes  # what the source's item makes the target hold
    target: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """
    One key that is not `State.MATCHED` or `State.EXCLUDED`.

    The *key* is raw: it goes to the run's own ``findings.jsonl`` (mode 0600) and nowhere else.
    """

    state: State
    key: TypedItem  # of the target; of the source where the target key is not known
    paths: tuple[str, ...] = ()  # attribute paths that differ, without values
    by_cause: bool = False  # it looks as a proven sample does, and was looked at twice: an upper bound
    reason: str = ""  # why it could not be decided or compared, in words, without values
    seen: Seen | None = field(default=None, compare=False, repr=False)  # None: nobody can repair it by this
