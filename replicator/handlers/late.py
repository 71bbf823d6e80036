"""
Writes that reach the source's stream behind the flip: the fence keeps them off, and nobody applies them.

Each is noted by its key, as the quarantine does: by a hash, with the key beside it for who asks for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ddbverify.items.transform import key_hash
from ddbverify.names import Fact, KeySchema, TypedItem, is_ours
from replicator.handlers.records import Change
from replicator.handlers.state import State, key_from_strings, text_of


@dataclass(frozen=True, slots=True)
class LateWrite:
    """A key of the source that was written behind the flip, and when the newest of its writes was made."""

    key: TypedItem
    number: str
    at: str


def foreign(changes: Iterable[tuple[Change, bool]], schema: KeySchema) -> dict[str, Change]:
    """
    The newest change of each key, by its hash, that neither we nor time to live have made.

    Args:
        changes: Changes, and of each whether time to live has made it.
        schema: Of the source.
    """
    newest = dict[str, Change]()
    for change, by_ttl in changes:
        if by_ttl or is_ours(change.keys, schema):
            continue
        hashed = key_hash(change.keys, schema)
        if hashed not in newest or newest[hashed].sequence_number < change.sequence_number:
            newest[hashed] = change
    return newest


def note(state: State, found: Mapping[str, Change]) -> None:
    """Keep late writes by their keys; the same ones again change nothing."""
    for hashed, change in found.items():
        state.put(
            Fact.LATE + hashed,
            key={name: dict(value) for name, value in change.keys.items()},  # text, whatever its type
            number=change.sequence_number,
            at=text_of(change.created_at),
        )


def noted(state: State) -> dict[str, LateWrite]:
    """The late writes that are known, by the key's hash."""
    return {
        hashed: LateWrite(key_from_strings(fact["key"]), fact["number"], fact["at"])
        for hashed, fact in state.all(Fact.LATE)
    }
