"""
What is to become of one key that a verification has found. Pure.

Nothing is written over what nobody has looked at: both items have to be as they were seen.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ddbverify.errors import TransformError
from ddbverify.evidence.repairs import Entry
from ddbverify.items.form import ABSENT, Form, UnknownValue
from ddbverify.items.states import State
from ddbverify.items.transform import Transform
from ddbverify.names import TypedItem


class Fate(StrEnum):
    """What became of one key, in words that can stand in a sentence."""

    WRITTEN = "written"
    DELETED = "deleted"
    EQUAL = "equal already"
    SOURCE_MOVED = "the source's item has changed since it was looked at"
    TARGET_MOVED = "the target's item has changed since it was looked at"
    OVERTAKEN = "a later change of it was applied meanwhile"
    UNMADE = "the transform fails on it"
    UNKNOWN = "it holds a value of a type that is not known"
    TOO_MANY = "the item it replaces has too many attributes for a condition on all of them"
    UNTAKEN = "DynamoDB does not take the item"
    BUSY = "the target takes no more at the moment"


DONE: Final = frozenset({Fate.WRITTEN, Fate.DELETED, Fate.EQUAL})


@dataclass(frozen=True, slots=True)
class Intended:
    """What to write under a key; *item*: ``None``, delete it."""

    source_key: TypedItem
    target_key: TypedItem
    item: TypedItem | None
    present: TypedItem | None  # what the target holds, as it was read


@dataclass(frozen=True, slots=True)
class Rules:
    """By which one pair's keys are decided; *form* has the secret of the digests."""

    form: Form
    transform: Transform

    def keys_of(self, entry: Entry) -> tuple[TypedItem, TypedItem]:
        """The source's and the target's key of a finding: of the same values, under other names at most."""
        ours, theirs = self.transform.source_keys, self.transform.target_keys
        return {name: entry.key[other] for name, other in zip(ours, theirs, strict=True)}, entry.key

    def decide(self, entry: Entry, source: TypedItem | None, target: TypedItem | None) -> Intended | Fate:
        """
        Say what to write for one finding, or why nothing is.

        Args:
            entry: As it was found; one that is extraneous was asked for by name.
            source: Read a moment ago, strongly consistent.
            target: Read after it, likewise.
        """
        try:
            made = self.transform(source) if source is not None else []
            item = made[0] if made else None
            expected, held = self._digest(item), self._digest(target)
        except TransformError:
            return Fate.UNMADE
        except UnknownValue:
            return Fate.UNKNOWN
        if expected == held:
            return Fate.EQUAL
        if expected.hex() != entry.expected:
            return Fate.SOURCE_MOVED
        if held.hex() != entry.target:
            return Fate.TARGET_MOVED
        source_key, target_key = self.keys_of(entry)
        return Intended(source_key, target_key, item, target)

    def _digest(self, item: TypedItem | None) -> bytes:
        return ABSENT if item is None else self.form.digest(item)


@dataclass(frozen=True, slots=True)
class Choice:
    """
    Which findings are to be repaired.

    Args:
        causes: Pair, state and cause of each; ``None``: all.
        deletes: Extraneous ones, too.
    """

    causes: Set[tuple[str, State, str]] | None
    deletes: bool

    def takes(self, entry: Entry) -> bool:
        """
        Whether a finding is to be repaired.

        An item is written whole, so each way in which it differs has to be chosen.
        """
        return self.is_chosen(entry) and (self.deletes or entry.finding is not State.EXTRANEOUS)

    def is_chosen(self, entry: Entry) -> bool:
        """Whether its causes are; nothing is deleted for that alone."""
        if self.causes is None:
            return True
        return all((entry.pair, entry.finding, cause) in self.causes for cause in entry.causes)
