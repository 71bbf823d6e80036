"""
Repair: re-read a quarantined key from the source and write it under the number it was put aside with.

A dead letter is repaired the same way, never replayed: its image may be old by now.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ddbverify.aws import translated
from ddbverify.config import Pair
from ddbverify.errors import Refused, TransformError
from ddbverify.transform import package_digest
from ddbverify.values import with_base64, with_bytes
from replicator.context import Context
from replicator.ledger import Applied, Ledger, Write
from replicator.state import Quarantined


@dataclass(frozen=True, slots=True)
class Repaired:
    """What a repair did: keys taken out of the quarantine, and why others stayed in it."""

    repaired: int
    left: tuple[str, ...]  # one reason per key, without the key


def run(context: Context, pair: Pair) -> Repaired:
    """
    Repair every quarantined key of a pair, until a round frees none.

    Several rounds, because a key may wait for a target key that another quarantined key
    gives up.

    Raises:
        Refused: The transform is not the one that the migration began with.
    """
    state, resources = context.state(pair), context.resources(pair)
    _check_transform(pair, state.get("bound") or {})
    source = context.source_table(pair)
    target = context.target_table(pair)
    keys = target.keys if target else source.keys
    transform = context.transform(pair, source.keys, keys)
    ledger = Ledger(
        client=context.target,
        table=resources["ledger_table"],
        target=target.name if target else pair.target,
        target_keys=keys,
        contest=state.contest,
    )
    repaired = 0
    while True:
        left: list[str] = []
        freed = 0
        for hashed, entry in state.quarantined().items():
            with translated(f"repair an item of {source.name}"):
                answer = context.source.get_item(
                    TableName=source.name, Key=with_bytes(entry.key), ConsistentRead=True
                )
                image = with_base64(answer["Item"]) if "Item" in answer else None
                try:
                    results = transform(image) if image is not None else []
                except TransformError as error:
                    left.append(error.message)
                    continue
                target_key = None if transform.rekeys else transform.target_key_of(entry.key)
                outcome = ledger.apply([_write(hashed, entry, results, target_key)])[hashed]
                # Superseded: a later change of the key was applied, which is as good.
                if outcome in (Applied.WRITTEN, Applied.SUPERSEDED):
                    state.release(hashed, entry.number)
                    freed += 1
                else:
                    left.append(f"still {outcome.name.lower()}")
        repaired += freed
        if not freed or not left:
            return Repaired(repaired, tuple(left))


def _check_transform(pair: Pair, bound: Mapping[str, object]) -> None:
    """A repair with another transform would write items that the migration never makes."""
    digest = package_digest(pair.transform) if pair.transform else ""
    if (bound.get("transform", ""), bound.get("digest", "")) != (pair.transform or "", digest):
        raise Refused(
            f"The transform of {pair} has changed since the migration began, so nothing was repaired.",
            "put it back, or begin anew: replicator down, then replicator up.",
        )


def _write(hashed: str, entry: Quarantined, results: object, target_key: object) -> Write:
    return Write(hashed, entry.key, entry.number, results, target_key, repair=True)  # type: ignore[arg-type]
