"""
What becomes of the changes of one batch: written, superseded, dropped, or put aside.

Of each key the last change counts. What it asks for is written under the ledger's guard; what can never be
applied goes to the quarantine, and its neighbours go on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ddbverify.errors import TransformError
from ddbverify.items.transform import Transform, key_hash
from ddbverify.names import TypedItem, canary_key
from replicator.handlers.envelope import Letter
from replicator.handlers.ledger import Applied, Write, loaded
from replicator.handlers.records import NO_NUMBER, Change
from replicator.handlers.state import Quarantined


@dataclass(frozen=True, slots=True)
class Message:
    """
    One message as SQS delivered it.

    Args:
        letter: ``None`` where there is nothing to apply in it.
        retired: Changes that it held of a stream which a restart has left.
    """

    message_id: str
    group_id: str
    letter: Letter | None
    retired: int = 0


class Guard(Protocol):
    """What the consumer needs of a `Ledger`; it may say in words why a write can never be applied."""

    def apply(self, writes: Sequence[Write]) -> Mapping[str, Applied | str]: ...
    def numbers(self, source_hashes: Sequence[str]) -> dict[str, str]: ...


class Notebook(Protocol):
    """What the consumer needs of a `State`."""

    def quarantine(self, key_hash: str, key: TypedItem, number: str, reason: str) -> None: ...
    def quarantined(self) -> Mapping[str, Quarantined]: ...
    def release(self, key_hash: str, number: str) -> None: ...


@dataclass(slots=True)
class Applier:
    """
    Applies the changes of one batch; made anew for each, its counts are the batch's.

    Args:
        transform: Holds both key schemas.
        boundary: Seconds since the epoch; earlier changes are in the backup already.
        fetch: The source's item of a key, strongly consistent, or ``None``.
    """

    transform: Transform
    guard: Guard
    notebook: Notebook
    boundary: int
    fetch: Callable[[TypedItem], TypedItem | None]
    counts: Counter[str] = field(default_factory=Counter)
    canaries: list[Change] = field(default_factory=list)
    written: dict[str, str] = field(default_factory=dict)  # key hash -> number
    superseded: dict[str, str] = field(default_factory=dict)  # likewise: the entry has it, or a higher one
    anew: set[str] = field(default_factory=set)  # keys with an INSERT or a REMOVE behind the boundary
    behind: set[str] = field(default_factory=set)  # keys with a change behind the boundary
    aside: int = 0  # changes that were put into the quarantine

    def __call__(self, batch: Sequence[Message]) -> set[str]:
        """Apply every change of *batch*; the ids of the messages that have to come again."""
        newest, holders = self._last_change_of_each_key(batch)
        dropped = self._before_the_boundary(newest)
        writes, aside = [], []
        for hashed, change in newest.items():
            if hashed in dropped:
                self.counts["dropped"] += 1
                continue
            write = self._write(hashed, change)
            if isinstance(write, str):
                aside.append((hashed, change, write))
            else:
                writes.append(write)
        outcomes = self.guard.apply(writes) if writes else {}
        refused = [
            (hashed, newest[hashed], outcome if isinstance(outcome, str) else "refused by DynamoDB")
            for hashed, outcome in outcomes.items()
            if outcome is Applied.REFUSED or isinstance(outcome, str)
        ]
        self._put_aside([*aside, *refused])
        self.written = {
            hashed: newest[hashed].sequence_number
            for hashed, outcome in outcomes.items()
            if outcome is Applied.WRITTEN
        }
        self.superseded = {
            hashed: newest[hashed].sequence_number
            for hashed, outcome in outcomes.items()
            if outcome is Applied.SUPERSEDED
        }
        names = {Applied.WRITTEN: "applied", Applied.SUPERSEDED: "superseded"}
        self.counts.update(names[outcome] for outcome in outcomes.values() if outcome in names)
        schema = self.transform.source_keys  # a canary that was not applied has not arrived
        self.canaries = [one for one in self.canaries if outcomes[key_hash(one.keys, schema)] in names]
        self.aside += sum(outcome is Applied.CONTESTED for outcome in outcomes.values())  # by the guard
        later = [hashed for hashed, outcome in outcomes.items() if outcome is Applied.LATER]
        return {message_id for hashed in later for message_id in holders[hashed]}

    def _last_change_of_each_key(
        self, batch: Sequence[Message]
    ) -> tuple[dict[str, Change], dict[str, set[str]]]:
        newest: dict[str, Change] = {}
        holders: dict[str, set[str]] = {}
        changes = 0
        for message in batch:
            for change in message.letter.changes if message.letter else ():
                changes += 1
                hashed = key_hash(change.keys, self.transform.source_keys)
                holders.setdefault(hashed, set()).add(message.message_id)
                if change.created_at >= self.boundary:
                    self.behind.add(hashed)
                    if change.event_name != "MODIFY":
                        self.anew.add(hashed)
                last = newest.get(hashed)
                if last is None or last.sequence_number < change.sequence_number:
                    newest[hashed] = change
        self.counts["superseded"] += changes - len(newest)
        return newest, holders

    def _before_the_boundary(self, newest: Mapping[str, Change]) -> set[str]:
        """
        Keys of whose changes the backup holds all that are in the batch.

        All, since times may go back by a second or two where numbers grow: a change behind the
        boundary has to leave its entry. Dropped only where no change of the key was applied yet:
        a key whose entry has a number has left the backup's state, and its order is the guard's
        to judge.
        """
        early = newest.keys() - self.behind
        if not early:
            return set()
        numbers = self.guard.numbers(sorted(early))
        marker = canary_key(self.transform.source_keys)
        return {
            hashed
            for hashed in early
            if loaded(numbers.get(hashed, NO_NUMBER)) and newest[hashed].keys != marker
        }

    def _write(self, hashed: str, change: Change) -> Write | str:
        """The write that a change asks for, or why it can never be applied."""
        target_key = None if self.transform.rekeys else self.transform.target_key_of(change.keys)
        if change.keys == canary_key(self.transform.source_keys):
            # Recorded as arrived; and in case the backup caught it, it is deleted from the target.
            self.canaries.append(change)
            return Write(hashed, change.keys, change.sequence_number, (), target_key)
        image = self.fetch(change.keys) if change.fetch else change.new_image
        try:
            results = self.transform(image) if image is not None else []
        except TransformError as error:
            return error.message
        anew = hashed in self.anew
        return Write(hashed, change.keys, change.sequence_number, results, target_key, anew=anew)

    def _put_aside(self, changes: Sequence[tuple[str, Change, str]]) -> None:
        """Quarantine what can never be applied, unless a later change of the key was."""
        if not changes:
            return
        numbers = self.guard.numbers([hashed for hashed, _, _ in changes])
        for hashed, change, reason in changes:
            if numbers.get(hashed, "") >= change.sequence_number:
                self.counts["superseded"] += 1
                continue
            self.notebook.quarantine(hashed, change.keys, change.sequence_number, reason)
            self.aside += 1

    def clear_quarantine(self) -> None:
        """
        Release the keys that this batch has written, or has found written by a later change.

        Found: by a consumer that died before it released them, and whose messages come again. Not needed
        where nothing was ever put aside.
        """
        for hashed, entry in self.notebook.quarantined().items():
            if hashed in self.written:
                self.notebook.release(hashed, self.written[hashed])
            # Above it: a contested change leaves its number in the entry, too, and its items are not written.
            elif self.superseded.get(hashed, "") > entry.number:
                self.notebook.release(hashed, entry.number)
