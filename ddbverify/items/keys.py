"""Keys of items as values to join by, and what reading the item of one key has shown. Pure."""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from ddbverify.items.form import NUMBER, UnknownValue, bytes_of
from ddbverify.names import MARKERS, KeySchema, TypedItem, marker_key

JoinKey = tuple[str | Decimal | bytes, ...]
"""The values of the key attributes, hash key first. Equal, and equally hashed, when the keys are."""


@dataclass(frozen=True, slots=True)
class ReadFailed:
    """A key that could not be read. It is not absent: nothing is known about it."""

    reason: str  # in words, without values
    is_final: bool = False  # it will not be read by this pass, however often it is tried


PointRead = TypedItem | ReadFailed | None
"""The item, ``None`` if the key holds none, or why it is not known."""


def join_key(key: TypedItem, schema: KeySchema) -> JoinKey:
    """
    The key attributes of an item as one value to join by.

    Raises:
        UnknownValue: An attribute of the key is missing, or is not of its type.
    """
    try:
        return tuple(KEY_VALUES[kind](key[name][kind]) for name, kind in schema.items())
    except (KeyError, TypeError) as error:
        raise UnknownValue("an item without a key attribute of the table's type") from error


def marker_keys(schema: KeySchema) -> frozenset[JoinKey]:
    """The reserved keys of markers, which are no items of anybody's."""
    return _marker_keys(tuple(schema.items()))


@functools.lru_cache(maxsize=64)
def _marker_keys(schema: tuple[tuple[str, str], ...]) -> frozenset[JoinKey]:
    keys = dict(schema)
    return frozenset(join_key(marker_key(keys, number), keys) for number in range(MARKERS))


def typed_key(key: JoinKey, schema: KeySchema) -> dict[str, dict[str, str]]:
    """The inverse of `join_key`."""
    typed = {}
    for (name, kind), value in zip(schema.items(), key, strict=True):
        text = base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)
        typed[name] = {kind: text}
    return typed


def _key_text(content: Any) -> str:
    if not isinstance(content, str):
        raise UnknownValue("a malformed S")
    return content


def _key_number(content: Any) -> Decimal:
    if not isinstance(content, str):
        raise UnknownValue("a malformed N")
    plain = content.isascii() and content.isdigit()  # most keys: ten times faster than the expression
    if not plain and not NUMBER.fullmatch(content):
        raise UnknownValue("a malformed N")
    return Decimal(content)


KEY_VALUES: Final[Mapping[str, Callable[[Any], str | Decimal | bytes]]] = {
    "S": _key_text,
    "N": _key_number,
    "B": bytes_of,
}
"""Key type -> what makes a value to join by of the attribute's content."""
