"""Where the demonstration's items come from, and which attributes are their key. Pure but for the file."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from ddbverify.config import read_text
from ddbverify.errors import ConfigurationError

Item = dict[str, Any]
Schema = dict[str, str]

_TYPES = {"S", "N", "B", "BOOL", "NULL", "M", "L", "SS", "NS", "BS"}

DEMO_NAME = "demo_name"
"""Attribute of the two items that swap what they hold; a transform may build its key on it."""


def load_items(path: Path) -> list[Item]:
    """
    Items of a JSON list, gzipped or not; numbers keep every digit.

    Raises:
        ConfigurationError: The file is not there, or is not a list of objects.
    """
    text = read_text(path, "name a JSON file, gzipped or not.", shown_as=f"--items {path}")
    items, problem = _parsed(text)
    if _is_dynamodb_json(items if problem is None else _parsed(text.partition("\n")[0])[0]):
        raise ConfigurationError(
            f"--items {path} is DynamoDB JSON.",
            'use plain JSON instead, such as [{"id": "7", "total": 12.5}] for [{"id": {"S": "7"}, ...}].',
        )
    if problem is not None:
        raise ConfigurationError(
            f"--items {path} is no JSON list of items ({type(problem).__name__}).",
            "give one list of plain JSON objects, gzipped or not.",
        ) from problem
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        raise ConfigurationError(f"--items {path} is not a list of objects.", "give a JSON list of items.")
    return items


def _parsed(text: str) -> tuple[Any, Exception | None]:
    try:
        return json.loads(text, parse_float=Decimal), None
    except (ValueError, RecursionError) as error:
        return None, error


def _is_dynamodb_json(document: object) -> bool:
    """Whether it is what AWS's own tools write: typed items, in a list or in an answer's ``Items``."""
    if isinstance(document, dict):
        document = document.get("Items", [document.get("Item", document)])
    items = document if isinstance(document, list) else []
    return bool(items) and all(
        isinstance(item, dict) and bool(item) and all(map(_is_typed, item.values())) for item in items
    )


def _is_typed(value: object) -> bool:
    return isinstance(value, dict) and len(value) == 1 and set(value) <= _TYPES


def generated_items(count: int, seed: int) -> list[Item]:
    """Orders of a shop, with every type that DynamoDB has; the same for the same seed."""
    draw = random.Random(seed)  # noqa: S311  # a demonstration's data
    return [
        {
            "customer": f"customer-{draw.randrange(count // 6 + 1):05}",
            "order": number,
            "total": Decimal(draw.randrange(1, 10**7)) / 100,
            "note": draw.choice(["", "grüezi", "日本", "left at the door"]),
            "tags": {draw.choice("abcdef") for _ in range(3)},
            "sizes": {Decimal(draw.randrange(100)), Decimal("0.5")},
            "label": draw.randbytes(6),
            "paid": draw.random() < 0.5,
            "coupon": None,
            "lines": [{"sku": f"sku-{draw.randrange(999)}", "n": draw.randrange(9)} for _ in range(2)],
        }
        for number in range(count)
    ]


def find_key(items: Sequence[Item]) -> Schema:
    """
    The key of a list of items: the first attribute if it is unique, else the first pair that is.

    Raises:
        ConfigurationError: No one or two strings or numbers, present in each item, are unique.
    """
    candidates = [
        name
        for name in items[0]
        if all(_kind(item.get(name)) == _kind(items[0][name]) is not None for item in items)
    ]
    tries: list[tuple[str, ...]] = [(candidates[0],)] if candidates else []
    tries += [(one, two) for at, one in enumerate(candidates) for two in candidates[at + 1 :]]
    tries += [(name,) for name in candidates[1:]]
    for names in tries:
        if len({tuple(item[name] for name in names) for item in items}) == len(items):
            return {name: str(_kind(items[0][name])) for name in names}
    raise ConfigurationError(
        "--items: no attribute, and no two together, tell the items apart.", "give the items a unique key."
    )


def find_target_key(
    items: Sequence[Item], source: Schema, transform: Callable[[Item], Any]
) -> tuple[Schema, bool]:
    """
    The key that a transform's items have, and whether it re-keys.

    Attributes with the source key's values are that key, under another name perhaps; else an
    attribute that is new, and unique over all results, is the key.

    Raises:
        ConfigurationError: Neither is found.
    """
    made: list[tuple[Item, Item]] = []
    lists = False
    for item in items:
        result = transform(dict(item))
        lists |= isinstance(result, list)
        results = [] if result is None else result if isinstance(result, list) else [result]
        made += [(item, one) for one in results]
    if not made:
        raise ConfigurationError("--transform: it drops every item.", "return an item for some of them.")
    for same, rekeys in ((_same, lists), (_alike, True)):
        names = [_carrier(made, name, same) for name in source]
        if all(names) and len(set(names)) == len(names) and not (lists and same is _same):
            return {str(name): str(_kind(made[0][1][str(name)])) for name in names}, rekeys
    known = {name for item in items for name in item}
    first = made[0][1]
    for name in [*(name for name in first if name not in known), *first]:
        values = [one.get(name) for _, one in made]
        kind = _kind(first[name])
        if kind and {_kind(value) for value in values} == {kind} and len(set(values)) == len(made):
            return {name: kind}, True
    raise ConfigurationError(
        "--transform: no attribute of its items can be their key.",
        "give each item an attribute that is unique, or keep the source's key attributes.",
    )


def key_of(item: Mapping[str, Any], schema: Mapping[str, str]) -> tuple[Any, ...]:
    """A key as a tuple, fit for a dictionary."""
    return tuple(bytes(item[name]) if kind == "B" else item[name] for name, kind in schema.items())


def _carrier(made: Sequence[tuple[Item, Item]], name: str, same: Callable[[Any, Any], bool]) -> str | None:
    """The attribute of the results that holds the source's *name*; the same name if that one does."""
    first = made[0][1]
    for candidate in [name, *first]:
        if all(same(item[name], one.get(candidate)) for item, one in made):
            return candidate
    return None


def _same(old: Any, new: Any) -> bool:
    return _kind(old) == _kind(new) is not None and bool(old == new)


def _alike(old: Any, new: Any) -> bool:
    return _kind(new) is not None and str(old) == str(new)


def _kind(value: Any) -> str | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        return "S" if value else None
    if isinstance(value, int | Decimal):
        return "N"
    return "B" if isinstance(value, bytes) and value else None


def with_swap_names(
    items: list[Item], schema: Schema, rekeys: bool
) -> tuple[list[Item], tuple[Item, Item] | None]:
    """Move two items of one hash key to the end and name them, so that they can swap what they hold."""
    if not rekeys:
        return items, None
    hash_key, *rest = schema
    by_hash: dict[Any, list[int]] = {}
    for at, item in enumerate(items):
        by_hash.setdefault(item[hash_key] if rest else None, []).append(at)
    chosen = next(places for places in by_hash.values() if len(places) > 1)[-2:]
    last = list(schema)[-1]
    named = [{**items[at], DEMO_NAME: str(items[at][last])} for at in chosen]
    others = [item for at, item in enumerate(items) if at not in chosen]
    return [*others, *named], (named[0], named[1])
