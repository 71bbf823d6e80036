"""
What DynamoDB refuses of an item: its size, names, nesting and keys. Pure.

Types and numbers are `ddbverify.items.values`' business. The rules, and where they come from:

* sizes: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html;
  what that page leaves "approximate" about numbers (a byte for each pair of digits, counted
  from the decimal point, and one for a minus sign) was measured to the byte on DynamoDB Local 3.3.0
* item, key and name lengths: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
* nesting: the same page says 32 levels; DynamoDB Local takes 31 lists and maps around a value
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from ddbverify.items.values import item_to_typed
from ddbverify.names import KeySchema, TypedItem

MAX_ITEM_BYTES: Final = 400 * 1024
MAX_KEY_BYTES: Final = (2048, 1024)
"""Of a hash key, of a sort key."""
MAX_NAME_BYTES: Final = 65_535
MAX_CONTAINERS: Final = 31
"""Lists and maps, one inside the other, around a value."""


def item_size(item: Mapping[str, Any]) -> int:
    """
    Bytes that DynamoDB counts for an item of Python values, attribute names included.

    Raises:
        ValueNotAllowed: It holds what DynamoDB has no type for.
        UnicodeEncodeError: It holds half a surrogate pair, which is no text.
    """
    return typed_size(item_to_typed(item))


def typed_size(item: TypedItem) -> int:
    """Like `item_size`, of an item in typed form."""
    return sum(_utf8(name) + _size(value) for name, value in item.items())


def refusals(item: TypedItem, keys: KeySchema, indexes: Iterable[KeySchema] = ()) -> Iterator[str]:
    """
    Say in words, without values, why DynamoDB would not take an item; nothing if it would.

    Args:
        item: In typed form, so that each value has a type of DynamoDB's.
        keys: Key schema of the table.
        indexes: Key schema of each index: an item may lack their attributes, but not hold
            another type or an empty value in them.
    """
    try:
        size = typed_size(item)
    except UnicodeEncodeError:
        yield "text with half a surrogate pair, which is not Unicode"
        return
    if size > MAX_ITEM_BYTES:
        yield f"{size:,} bytes, more than the {MAX_ITEM_BYTES:,} of an item"
    names = list(_names(item))
    if "" in names:
        yield "an attribute without a name"
    if any(_utf8(name) > MAX_NAME_BYTES for name in names):
        yield f"an attribute name of more than {MAX_NAME_BYTES:,} bytes"
    depth = max((_depth(value) for value in item.values()), default=0)
    if depth > MAX_CONTAINERS:
        yield f"{depth} lists and maps one inside the other, more than {MAX_CONTAINERS}"
    for schema, required in ((keys, True), *((index, False) for index in indexes)):
        for (name, kind), longest in zip(schema.items(), MAX_KEY_BYTES, strict=False):
            if name in item or required:
                yield from _key_refusals(name, kind, longest, item.get(name, {}))


def _key_refusals(name: str, kind: str, longest: int, value: Mapping[str, Any]) -> Iterator[str]:
    what = f"the key attribute {name!r}"
    if set(value) != {kind}:
        found = "/".join(value) or "absent"
        yield f"{what} is {found}, not {kind}"
    elif kind != "N":
        size = _size(value)
        if not size:
            yield f"{what} is empty"
        elif size > longest:
            yield f"{what} has {size:,} bytes, more than {longest:,}"


def _size(value: Mapping[str, Any]) -> int:
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return _utf8(content)
        case "N":
            return _number_size(content)
        case "B":
            return len(base64.b64decode(content))
        case "SS" | "NS" | "BS":
            return sum(_size({kind[0]: member}) for member in content)
        case "L":
            return 3 + sum(1 + _size(element) for element in content)
        case "M":
            return 3 + sum(1 + _utf8(name) + _size(element) for name, element in content.items())
    return 1  # BOOL, NULL


def _number_size(content: str) -> int:
    sign, digits, exponent = Decimal(content).as_tuple()
    text = "".join(map(str, digits)).lstrip("0")
    significant = text.rstrip("0")
    if not significant:
        return 1
    # Pairs begin at the decimal point, so 1.5 takes two of them: 01 50.
    lowest = int(exponent) + len(text) - len(significant)
    highest = lowest + len(significant)
    return 1 + -(-highest // 2) - lowest // 2 + sign


def _utf8(text: str) -> int:
    return len(text.encode())


def _names(item: Mapping[str, Any]) -> Iterator[str]:
    for name, value in item.items():
        yield name
        yield from _names_within(value)


def _names_within(value: Mapping[str, Any]) -> Iterator[str]:
    if "M" in value:
        yield from _names(value["M"])
    for element in value.get("L", ()):
        yield from _names_within(element)


def _depth(value: Mapping[str, Any]) -> int:
    if "M" in value:
        return 1 + max(map(_depth, value["M"].values()), default=0)
    if "L" in value:
        return 1 + max(map(_depth, value["L"]), default=0)
    return 0
