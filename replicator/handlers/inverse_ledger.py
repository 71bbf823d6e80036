"""
The guard of a follower whose items are made by an inverse, of the leader's item and of what it holds itself.

What it holds is read together with the key's entry in the ledger, and the transaction is conditional on both:
where either has changed meanwhile, all of it is read and decided anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ddbverify.items.inverse import Inverse
from ddbverify.items.transform import Transform, canonical_key
from ddbverify.items.values import with_base64, with_bytes
from ddbverify.names import TypedItem, canary_key
from replicator.handlers import transact
from replicator.handlers.inverting import TOO_MANY, Intended, Present, intended, unchanged
from replicator.handlers.ledger import ROUNDS, Applied, Ledger, Write, entry_key
from replicator.handlers.reading import read_items
from replicator.handlers.transact import Fate, Unit

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import PutTypeDef, TransactWriteItemTypeDef

_AT_ONCE = 100
"""Writes whose items are held at one time: an item may have 400 KB."""

_SAID = {
    Fate.WRITTEN: Applied.WRITTEN,
    Fate.REFUSED: Applied.REFUSED,
    Fate.LATER: Applied.LATER,
}


@dataclass(frozen=True, slots=True)
class InverseLedger:
    """
    Writes to a follower through an inverse, under the guard of its ledger.

    Args:
        ledger: Of the follower.
        transform: Of a follower's item it makes a leader's; its source is the follower.
        inverse: The other way round.
    """

    ledger: Ledger
    transform: Transform
    inverse: Inverse

    def apply(self, writes: Sequence[Write]) -> dict[str, Applied | str]:
        """
        Apply *writes*, at most one per key, and say of each what became of it, or why it never can be.

        The result of a write is the leader's own item. Safe to repeat at any point: every write is
        conditional on its ledger entry, and on the item that it replaces.
        """
        canary = canary_key(self.transform.target_keys)  # the user's functions do not know it
        done: dict[str, Applied | str] = {
            **self.ledger.apply([write for write in writes if write.source_key == canary])
        }
        others = [write for write in writes if write.source_key != canary]
        for start in range(0, len(others), _AT_ONCE):
            done |= self._apply(others[start : start + _AT_ONCE])
        return done

    def numbers(self, source_hashes: Iterable[str]) -> dict[str, str]:
        """As `Ledger.numbers`."""
        return self.ledger.numbers(source_hashes)

    def _apply(self, writes: Sequence[Write]) -> dict[str, Applied | str]:
        done: dict[str, Applied | str] = {}
        waiting = list(writes)
        for attempt in range(ROUNDS):
            if not waiting:
                return done
            if attempt > 1:
                self.ledger.sleep(min(0.02 * 2**attempt, 1.0))
            units = []
            for write, present in zip(waiting, self._present(waiting), strict=True):
                planned = self._planned(write, present)
                if isinstance(planned, Unit):
                    units.append(planned)
                else:
                    done[write.source_hash] = planned
            fates = transact.write(
                self.ledger.client, units, sleep=self.ledger.sleep, ceiling=self.ledger.ceiling
            )
            # A condition that failed is read and decided again.
            done |= {name: _SAID[fate] for name, fate in fates.items() if fate is not Fate.CONDITION}
            waiting = [write for write in waiting if write.source_hash not in done]
        return done | {write.source_hash: Applied.LATER for write in waiting}

    def _planned(self, write: Write, present: Present) -> Unit | Applied | str:
        wanted = intended(write, present, self.transform, self.inverse)
        if not isinstance(wanted, Intended):
            return wanted
        keys = self.transform.source_keys
        condition = unchanged(present.item, wanted.item, keys, self.ledger.as_taken)
        if condition is None:
            return TOO_MANY
        on_condition = {"TableName": self.ledger.target, **condition}
        action: Any  # of either kind, with what both have
        if wanted.item is None:
            action = {"Delete": {"Key": self.ledger.as_taken(_key_of(write)), **on_condition}}
        else:
            action = {"Put": {"Item": self.ledger.as_taken(wanted.item), **on_condition}}
        return Unit(write.source_hash, (self._entry(write, present), action))

    def _entry(self, write: Write, present: Present) -> TransactWriteItemTypeDef:
        put: PutTypeDef = {
            "TableName": self.ledger.table,
            "Item": {"pk": {"S": entry_key(write.source_hash)}, "n": {"S": write.number}},
            "ConditionExpression": "attribute_not_exists(pk)",
        }
        if present.number:
            put["ConditionExpression"] = "n = :n"
            put["ExpressionAttributeValues"] = {":n": {"S": present.number}}
        return {"Put": put}

    def _present(self, writes: Sequence[Write]) -> list[Present]:
        """What the follower holds for each write, strongly consistent. Raises as `read_items`."""
        ledger, keys = self.ledger, self.transform.source_keys
        numbers = ledger.numbers([write.source_hash for write in writes])
        wanted = [with_bytes(_key_of(write)) for write in writes]
        found = map(with_base64, read_items(ledger.client, ledger.target, wanted, ledger.sleep))
        items = {canonical_key(item, keys): item for item in found}
        return [
            Present(numbers.get(write.source_hash, ""), items.get(canonical_key(_key_of(write), keys)))
            for write in writes
        ]


def _key_of(write: Write) -> TypedItem:
    assert write.target_key is not None  # noqa: S101  # keys go one to one through an inverse
    return write.target_key
