"""
The last word of the demonstration, with plain boto3 and the journal only.

Nothing of the replicator or the verifier is used: what is judged must not judge itself.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from boto3.dynamodb.types import Binary, TypeDeserializer

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table

Item = dict[str, Any]
Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Proof:
    """How the target differs from what the last acknowledged writes say; all zero means proven."""

    acknowledged: int  # writes in the journal
    expected: int  # items that the target has to hold
    lost: int  # expected, and not there
    resurrected: int  # there, though the last acknowledged write removed it
    stale: int  # there, and not as the last acknowledged write left it
    unexpected: int  # there, and never written by anyone

    @property
    def holds(self) -> bool:
        """Whether nothing at all differs, and there was something to look at."""
        return self.expected > 0 and not (self.lost or self.resurrected or self.stale or self.unexpected)

    def __str__(self) -> str:
        text = f"lost {self.lost}, resurrected {self.resurrected}, stale {self.stale}"
        return text + (f", unexpected {self.unexpected}" if self.unexpected else "")


def prove(
    table: Table, journal: Path, target_keys: list[str], transform: Callable[[Item], Any] | None
) -> Proof:
    """
    Hold every item of the target against the journal.

    Args:
        table: A boto3 table resource of the target.
        journal: The file that `replicator.demo.traffic` wrote.
        target_keys: Names of the target's key attributes.
        transform: The migration's, ``None`` where items stay as they are.
    """
    last: dict[str, Item | None] = {}
    ever: set[Key] = set()
    writes = 0
    with journal.open(encoding="utf-8") as lines:
        for line in lines:
            entry = json.loads(line)
            item = None if entry["item"] is None else _item(entry["item"])
            last[json.dumps(entry["key"], sort_keys=True)] = item
            ever.update(_key(made, target_keys) for made in _made(item, transform))
            writes += 1
    expected = {_key(made, target_keys): made for item in last.values() for made in _made(item, transform)}
    actual: dict[Key, Item] = {}
    arguments: dict[str, Any] = {"ConsistentRead": True}
    while True:
        page = table.scan(**arguments)
        actual.update((_key(item, target_keys), item) for item in map(_unwrapped, page["Items"]))
        if "LastEvaluatedKey" not in page:
            break
        arguments["ExclusiveStartKey"] = page["LastEvaluatedKey"]
    extra = actual.keys() - expected.keys()
    return Proof(
        acknowledged=writes,
        expected=len(expected),
        lost=len(expected.keys() - actual.keys()),
        resurrected=len(extra & ever),
        stale=sum(1 for key in expected.keys() & actual.keys() if expected[key] != actual[key]),
        unexpected=len(extra - ever),
    )


def _made(item: Item | None, transform: Callable[[Item], Any] | None) -> list[Item]:
    if item is None:
        return []
    result = transform(dict(item)) if transform else item
    return [] if result is None else result if isinstance(result, list) else [result]


def _key(item: Item, names: list[str]) -> Key:
    return tuple(item[name] for name in names)  # Decimals are equal by value, however they are spelt


def _item(wire: Any) -> Item:
    read = TypeDeserializer().deserialize
    return {name: _unwrapped(read(_with_bytes(value))) for name, value in wire.items()}


def _with_bytes(value: Any) -> Any:
    ((kind, content),) = value.items()
    if kind == "B":
        return {kind: base64.b64decode(content)}
    if kind == "BS":
        return {kind: [base64.b64decode(one) for one in content]}
    if kind == "L":
        return {kind: [_with_bytes(one) for one in content]}
    if kind == "M":
        return {kind: {name: _with_bytes(one) for name, one in content.items()}}
    return value


def _unwrapped(value: Any) -> Any:
    """boto3's Binary as bytes, at any depth."""
    if isinstance(value, Binary):
        return bytes(cast("bytes", value))  # its types do not say that it can become them
    if isinstance(value, dict):
        return {name: _unwrapped(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_unwrapped(one) for one in value]
    if isinstance(value, set):
        return {_unwrapped(one) for one in value}
    return value
