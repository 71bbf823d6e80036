"""
The guard: one ledger entry per source key, written in the transaction that writes the item.

An entry holds the last applied sequence number of its source key. It outlives deletes and
never expires: that is what keeps a late duplicate from bringing a deleted item back
(docs/aws.md T4). Entries of re-keying pairs also hold the target keys that the source key
owns now; each of those has an owner entry, so that no two source keys write one target item.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from ddbverify.items.transform import key_hash
from ddbverify.items.values import with_base64, with_bytes
from ddbverify.names import KeySchema, TypedItem
from replicator.handlers import transact
from replicator.handlers.ceiling import Ceiling
from replicator.handlers.reading import read_items
from replicator.handlers.records import NO_NUMBER
from replicator.handlers.transact import Fate, Unit
from replicator.handlers.wire import JsonTransactions

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import (
        PutTypeDef,
        TransactWriteItemTypeDef,
    )

MOST_TARGET_KEYS = 24
"""Items that one source item may become: with as many old ones to release they fit one transaction."""

ROUNDS = 12


class Applied(Enum):
    """What became of one write under the guard."""

    WRITTEN = auto()
    SUPERSEDED = auto()  # a change with this number or a higher one was applied before
    CONTESTED = auto()  # a target key belongs to another source key; it is in the quarantine
    REFUSED = auto()  # DynamoDB will never take it
    LATER = auto()  # may work another time


@dataclass(frozen=True, slots=True)
class Write:
    """
    The state that a source key's change gives the target.

    Args:
        source_hash: `key_hash` of the source key.
        source_key: The key itself, typed.
        number: Padded sequence number of the change.
        results: The target items; empty for a delete.
        target_key: The target key, where keys go one to one; ``None`` in a re-keying pair.
        repair: The number may be applied again (a repair writes under the quarantined number).
        anew: The item came anew by a change of its batch: what was there before belongs to one that is gone.
    """

    source_hash: str
    source_key: TypedItem
    number: str
    results: Sequence[TypedItem]
    target_key: TypedItem | None
    repair: bool = False
    anew: bool = False


@dataclass(frozen=True, slots=True)
class Ledger:
    """
    Writes to one target table under the guard of its ledger.

    Args:
        client: A boto3 DynamoDB client of the target's region and account.
        table: Name of the ledger table, beside the target.
        target: The target table.
        target_keys: Its key schema.
        contest: Puts a write aside as contested; called *before* its old keys are released.
        ceiling: Of the write units that the transactions may consume a second.
    """

    client: DynamoDBClient | JsonTransactions
    table: str
    target: str
    target_keys: KeySchema
    contest: Callable[[Write], None]
    sleep: Callable[[float], None] = field(default=time.sleep)
    ceiling: Ceiling | None = None

    def apply(self, writes: Sequence[Write]) -> dict[str, Applied]:
        """
        Apply *writes*, at most one per source key, and say of each what became of it.

        Safe to repeat at any point: every write is conditional on its ledger entry.
        """
        one_to_one = [write for write in writes if write.target_key is not None]
        rekeyed = [write for write in writes if write.target_key is None]
        return {**self._apply_one_to_one(one_to_one), **self._apply_rekeyed(rekeyed)}

    def numbers(self, source_hashes: Iterable[str]) -> dict[str, str]:
        """The last applied numbers of these source keys, strongly consistent; absent where there is none."""
        entries = self._read([entry_key(one) for one in source_hashes])
        return {pk.removeprefix("s#"): entry["n"]["S"] for pk, entry in entries.items()}

    # --- keys one to one ------------------------------------------------------------------

    def _apply_one_to_one(self, writes: Sequence[Write]) -> dict[str, Applied]:
        units = []
        fates = {}
        for write in writes:
            try:
                units.append(Unit(write.source_hash, (self._guard(write), *self._items(write))))
            except (ValueError, TypeError, AttributeError):
                fates[write.source_hash] = Fate.REFUSED  # not DynamoDB's typed form, and no item at all
        fates |= transact.write(self.client, units, sleep=self.sleep, ceiling=self.ceiling)
        said = {
            Fate.WRITTEN: Applied.WRITTEN,
            Fate.CONDITION: Applied.SUPERSEDED,
            Fate.REFUSED: Applied.REFUSED,
            Fate.LATER: Applied.LATER,
        }
        return {name: said[fate] for name, fate in fates.items()}

    def _guard(self, write: Write) -> TransactWriteItemTypeDef:
        return {
            "Put": {
                "TableName": self.table,
                "Item": {"pk": {"S": entry_key(write.source_hash)}, "n": {"S": write.number}},
                "ConditionExpression": f"attribute_not_exists(pk) OR n {'<=' if write.repair else '<'} :n",
                "ExpressionAttributeValues": {":n": {"S": write.number}},
            }
        }

    def _items(self, write: Write) -> list[TransactWriteItemTypeDef]:
        if write.results:
            return [self._put(item) for item in write.results]
        assert write.target_key is not None  # noqa: S101  # apply() sorts the re-keyed ones out
        return [self._delete(write.target_key)]

    def _put(self, item: TypedItem) -> TransactWriteItemTypeDef:
        return {"Put": {"TableName": self.target, "Item": self.as_taken(item)}}

    def _delete(self, key: TypedItem) -> TransactWriteItemTypeDef:
        return {"Delete": {"TableName": self.target, "Key": self.as_taken(key)}}

    def as_taken(self, item: TypedItem) -> TypedItem:
        """An item as the client wants it: boto3 encodes bytes itself, JSON has base64 text already."""
        return item if isinstance(self.client, JsonTransactions) else with_bytes(item)

    # --- keys that the transform makes ----------------------------------------------------

    def _apply_rekeyed(self, writes: Sequence[Write]) -> dict[str, Applied]:
        done: dict[str, Applied] = {}
        waiting = list(writes)
        for attempt in range(ROUNDS):
            if not waiting:
                return done
            if attempt > 1:
                self.sleep(min(0.02 * 2**attempt, 1.0))
            planned, decided = self._plan(waiting)
            done.update(decided)
            fates = transact.write(
                self.client, [plan.unit for plan in planned], sleep=self.sleep, ceiling=self.ceiling
            )
            for plan in planned:
                fate = fates[plan.unit.name]
                if fate is Fate.WRITTEN:
                    done[plan.unit.name] = Applied.CONTESTED if plan.contested else Applied.WRITTEN
                elif fate is not Fate.CONDITION:  # a condition that failed is read and planned again
                    done[plan.unit.name] = Applied.REFUSED if fate is Fate.REFUSED else Applied.LATER
            waiting = [write for write in waiting if write.source_hash not in done]
        done.update({write.source_hash: Applied.LATER for write in waiting})
        return done

    def _plan(self, writes: Sequence[Write]) -> tuple[list[_Plan], dict[str, Applied]]:
        """
        Read entries and owners, and say what to write for those writes that do not touch each other.

        Returns:
            Plans for this round, and what is decided without writing. What is in neither
            touches an item of a plan, and waits for the next round.
        """
        entries = self._read([entry_key(write.source_hash) for write in writes])
        decided: dict[str, Applied] = {}
        wanted: dict[str, dict[str, TypedItem]] = {}
        for write in writes:
            entry = entries.get(entry_key(write.source_hash))
            last = entry["n"]["S"] if entry else ""
            if last > write.number or (last == write.number and not write.repair):
                decided[write.source_hash] = Applied.SUPERSEDED
            elif len(write.results) > MOST_TARGET_KEYS:
                decided[write.source_hash] = Applied.REFUSED
            else:
                wanted[write.source_hash] = {key_hash(item, self.target_keys): item for item in write.results}
        open_writes = [write for write in writes if write.source_hash not in decided]
        held = {write.source_hash: _held(entries.get(entry_key(write.source_hash))) for write in open_writes}
        touched_by = {name: {*wanted[name], *held[name]} for name in wanted}
        # A key that is held before and after is this source key's own, and stays so as long as its
        # entry stands as it was read, which the entry's condition sees to.
        moving = {one for name in wanted for one in wanted[name].keys() ^ held[name].keys()}
        owners = self._read(map(_owner_key, moving))
        planned: list[_Plan] = []
        taken: set[str] = set()
        for write in open_writes:
            name = write.source_hash
            if taken & touched_by[name]:
                continue
            taken |= touched_by[name]
            planned.append(
                self._plan_one(write, entries.get(entry_key(name)), wanted[name], held[name], owners)
            )
        return planned, decided

    def _plan_one(
        self,
        write: Write,
        entry: Mapping[str, Any] | None,
        wanted: Mapping[str, TypedItem],
        held: Mapping[str, TypedItem],
        owners: Mapping[str, Mapping[str, Any]],
    ) -> _Plan:
        def owner(target_hash: str) -> str | None:
            found = owners.get(_owner_key(target_hash))
            return found["owner"]["S"] if found else None

        kept = wanted.keys() & held.keys()
        contested = any(owner(one) not in (None, write.source_hash) for one in wanted.keys() - kept)
        if contested:
            self.contest(write)  # first of all: from here on nothing of it can be lost
            wanted = {}
        released = {
            target_hash: key
            for target_hash, key in held.items()
            if target_hash not in wanted and (target_hash in kept or owner(target_hash) == write.source_hash)
        }
        actions = [self._entry(write, entry, wanted)]
        for target_hash, item in wanted.items():
            actions.append(self._put(item))
            if target_hash not in kept:
                actions.append(self._own(write, target_hash))
        for target_hash, key in released.items():
            actions += [self._delete(key), self._disown(write, target_hash)]
        return _Plan(Unit(write.source_hash, tuple(actions)), contested)

    def _entry(
        self, write: Write, entry: Mapping[str, Any] | None, wanted: Mapping[str, TypedItem]
    ) -> TransactWriteItemTypeDef:
        version = int(entry["v"]["N"]) if entry else 0
        held = [
            {"M": {"h": {"S": target_hash}, "k": {"M": self.as_taken(self._target_key(item))}}}
            for target_hash, item in wanted.items()
        ]
        put: PutTypeDef = {
            "TableName": self.table,
            "Item": {
                "pk": {"S": entry_key(write.source_hash)},
                "n": {"S": write.number},
                "v": {"N": str(version + 1)},
                "held": {"L": held},
            },
        }
        # The version, not the number: a repair and a release may write under the same number.
        if entry:
            put["ConditionExpression"] = "v = :v"
            put["ExpressionAttributeValues"] = {":v": {"N": str(version)}}
        else:
            put["ConditionExpression"] = "attribute_not_exists(pk)"
        return {"Put": put}

    def _own(self, write: Write, target_hash: str) -> TransactWriteItemTypeDef:
        return {
            "Put": {
                "TableName": self.table,
                "Item": {"pk": {"S": _owner_key(target_hash)}, "owner": {"S": write.source_hash}},
                "ConditionExpression": "attribute_not_exists(pk) OR #owner = :me",
                "ExpressionAttributeNames": {"#owner": "owner"},
                "ExpressionAttributeValues": {":me": {"S": write.source_hash}},
            }
        }

    def _disown(self, write: Write, target_hash: str) -> TransactWriteItemTypeDef:
        return {
            "Delete": {
                "TableName": self.table,
                "Key": {"pk": {"S": _owner_key(target_hash)}},
                "ConditionExpression": "#owner = :me",
                "ExpressionAttributeNames": {"#owner": "owner"},
                "ExpressionAttributeValues": {":me": {"S": write.source_hash}},
            }
        }

    def _target_key(self, item: TypedItem) -> dict[str, Any]:
        return {name: item[name] for name in self.target_keys}

    # --------------------------------------------------------------------------------------

    def _read(self, keys: Iterable[str]) -> dict[str, Mapping[str, Any]]:
        """Ledger items by ``pk``, strongly consistent. Raises ClientError when AWS does not answer."""
        wanted = [{"pk": {"S": pk}} for pk in dict.fromkeys(keys)]
        return {one["pk"]["S"]: one for one in read_items(self.client, self.table, wanted, self.sleep)}


@dataclass(frozen=True, slots=True)
class _Plan:
    unit: Unit
    contested: bool


def loaded(number: str) -> bool:
    """Whether an entry was written by a load and by no change yet."""
    return number == NO_NUMBER


def entry_key(source_hash: str) -> str:
    """``pk`` of the entry of a source key."""
    return f"s#{source_hash}"


def _owner_key(target_hash: str) -> str:
    return f"o#{target_hash}"


def _held(entry: Mapping[str, Any] | None) -> dict[str, TypedItem]:
    if entry is None:
        return {}
    return {one["M"]["h"]["S"]: with_base64(one["M"]["k"]["M"]) for one in entry["held"]["L"]}
