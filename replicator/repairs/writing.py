"""
The two ways in which a repair writes.

Beside a pipeline: under the ledger, by the number that the key's last change left there. Without one: on
condition that the target's item is, attribute by attribute, as it was read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from ddbverify.evidence.repairs import Entry
from ddbverify.items.transform import key_hash
from ddbverify.items.values import with_bytes
from replicator.handlers import transact
from replicator.handlers.applier import Guard
from replicator.handlers.ceiling import Ceiling, Slot
from replicator.handlers.inverting import unchanged
from replicator.handlers.ledger import Applied, Write
from replicator.handlers.records import NO_NUMBER
from replicator.handlers.transact import Unit
from replicator.repairs.deciding import Fate, Intended, Rules
from replicator.repairs.reading import PacedReads

BATCH: Final = 100  # keys: one BatchGetItem of each table


class Writer(Protocol):
    """Repairs some keys at a time."""

    def repair(self, entries: Sequence[Entry]) -> dict[str, Fate]:
        """What became of each, by the hash of its source key; at most `BATCH`, no key twice."""


@dataclass(frozen=True, slots=True)
class Reads:
    """Both tables of a pair."""

    source: PacedReads
    target: PacedReads

    def intended(self, rules: Rules, entries: Sequence[Entry]) -> dict[str, Intended | Fate]:
        """Read the source first, then the target, and decide; by the hash of the source key."""
        keys = [rules.keys_of(entry) for entry in entries]
        here = self.source.items([source for source, _ in keys])
        there = self.target.items([target for _, target in keys])
        found: dict[str, Intended | Fate] = {}
        for entry, (source, target) in zip(entries, keys, strict=True):
            hashed = key_hash(source, self.source.schema)
            found[hashed] = rules.decide(
                entry, here.get(hashed), there.get(key_hash(target, self.target.schema))
            )
        return found


@dataclass(frozen=True, slots=True)
class Looking:
    """Writes nothing: says what would be written."""

    rules: Rules
    reads: Reads

    def repair(self, entries: Sequence[Entry]) -> dict[str, Fate]:
        """As `Writer.repair`, of what would become of each."""
        return {
            hashed: found if isinstance(found, Fate) else _as_done(found)
            for hashed, found in self.reads.intended(self.rules, entries).items()
        }


_SAID: Final[Mapping[Applied | str, Fate]] = {
    Applied.SUPERSEDED: Fate.OVERTAKEN,
    Applied.REFUSED: Fate.UNTAKEN,
    Applied.LATER: Fate.BUSY,
}


@dataclass(frozen=True, slots=True)
class UnderTheLedger:
    """
    Writes beside a running consumer.

    The numbers are read *before* the source: what that holds then is no older than the change whose number
    it is, so nothing newer is overwritten under it; and whatever is written later has a higher one.
    """

    rules: Rules
    reads: Reads
    ledger: Guard

    def repair(self, entries: Sequence[Entry]) -> dict[str, Fate]:
        """As `Writer.repair`."""
        hashes = [key_hash(self.rules.keys_of(entry)[0], self.reads.source.schema) for entry in entries]
        numbers = self.ledger.numbers(hashes)
        fates: dict[str, Fate] = {}
        writes: dict[str, Intended] = {}
        for hashed, found in self.reads.intended(self.rules, entries).items():
            if isinstance(found, Fate):
                fates[hashed] = found
            else:
                writes[hashed] = found
        applied = self.ledger.apply(
            [
                Write(
                    source_hash=hashed,
                    source_key=one.source_key,
                    number=numbers.get(hashed, NO_NUMBER),
                    results=() if one.item is None else (one.item,),
                    target_key=one.target_key,
                    repair=True,
                )
                for hashed, one in writes.items()
            ]
        )
        for hashed, said in applied.items():
            written = said is Applied.WRITTEN
            fates[hashed] = _as_done(writes[hashed]) if written else _SAID.get(said, Fate.UNTAKEN)
        return fates


_BY_FATE: Final[Mapping[transact.Fate, Fate]] = {
    transact.Fate.CONDITION: Fate.TARGET_MOVED,
    transact.Fate.REFUSED: Fate.UNTAKEN,
    transact.Fate.LATER: Fate.BUSY,
}


@dataclass(frozen=True, slots=True)
class OnCondition:
    """Writes where no pipeline is: on condition that the target is as it was read."""

    rules: Rules
    reads: Reads
    ceiling: Ceiling | None = None
    sleep: Callable[[float], None] = time.sleep

    def repair(self, entries: Sequence[Entry]) -> dict[str, Fate]:
        """As `Writer.repair`."""
        fates: dict[str, Fate] = {}
        wanted: dict[str, Intended] = {}
        units: list[Unit] = []
        for hashed, found in self.reads.intended(self.rules, entries).items():
            if isinstance(found, Fate):
                fates[hashed] = found
            elif (unit := self._unit(hashed, found)) is None:
                fates[hashed] = Fate.TOO_MANY
            else:
                wanted[hashed] = found
                units.append(unit)
        written = transact.write(self.reads.target.client, units, sleep=self.sleep, ceiling=self.ceiling)
        for hashed, fate in written.items():
            fates[hashed] = _as_done(wanted[hashed]) if fate is transact.Fate.WRITTEN else _BY_FATE[fate]
        return fates

    def _unit(self, hashed: str, one: Intended) -> Unit | None:
        target = self.reads.target
        condition = unchanged(one.present, one.item, target.schema, with_bytes)
        if condition is None:
            return None
        on_condition = {"TableName": target.table, **condition}
        action: Any  # of either kind, with what both have
        if one.item is None:
            action = {"Delete": {"Key": with_bytes(one.target_key), **on_condition}}
        else:
            action = {"Put": {"Item": with_bytes(one.item), **on_condition}}
        return Unit(hashed, (action,))


def _as_done(one: Intended) -> Fate:
    return Fate.DELETED if one.item is None else Fate.WRITTEN


@dataclass(slots=True)
class OwnSlots:
    """Slots of a write ceiling that nobody shares, where there is no state table to keep it."""

    _until: float = 0.0

    def take_slot(self, seconds: float, now: float, latest: float) -> Slot:
        """As `Slots.take_slot`."""
        begins = max(now, self._until)
        if begins > latest:
            return Slot(None, None)
        self._until = begins + seconds
        return Slot(begins, None)

    def server_date(self) -> float | None:
        """There is no server to ask."""
        return None
