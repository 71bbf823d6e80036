"""
One Scan response: bytes -> keys, item slices, and where the next page starts. Pure.

Only what a join needs is decoded; items stay the bytes they came as (FIELD_NOTES 4). A
response that is not what it should be is an error, never "no more items" (vitess#19008).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from ddbverify.errors import EngineError
from ddbverify.items import KEY_VALUES, JoinKey, UnknownValue
from ddbverify.names import KeySchema, TypedItem

_AGAIN = "run the command again; if it comes back, look for a proxy that alters responses."


@dataclass(frozen=True, slots=True)
class Page:
    """What one Scan request returned."""

    keys: Sequence[JoinKey]
    items: Sequence[msgspec.Raw]  # in the order of *keys*; each holds on to the whole response
    last_key: TypedItem | None  # None: the segment has been read to its end
    consumed: float  # read units

    @property
    def count(self) -> int:
        """Items in this page."""
        return len(self.items)


class _Consumed(msgspec.Struct):
    CapacityUnits: float = 0.0


class _Body(msgspec.Struct):
    Items: list[msgspec.Raw]
    Count: int
    LastEvaluatedKey: dict[str, dict[str, str]] | msgspec.UnsetType = msgspec.UNSET
    ConsumedCapacity: _Consumed | None = None


class PageDecoder:
    """Decodes the pages of one table."""

    def __init__(self, schema: KeySchema) -> None:
        """Prepare for tables with this key schema."""
        self._body = msgspec.json.Decoder(_Body)
        self._keys: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_keys_type(schema))
        self._values = [KEY_VALUES[kind] for kind in schema.values()]

    def decode(self, body: bytes) -> Page:
        """
        One response's body as a page.

        Raises:
            EngineError: It is no JSON, lacks what a page must have, or its ``Count`` is not
                the number of its items. The message quotes nothing of it.
        """
        try:
            page = self._body.decode(body)
            values = self._values
            keys: list[JoinKey] = [
                tuple(make(text) for make, text in zip(values, key, strict=True))
                for key in map(_texts, self._keys.decode(body).Items)
            ]
        except (msgspec.DecodeError, UnicodeDecodeError, UnknownValue, RecursionError) as error:
            # The decoder's own text names places and types, but a value may stand beside them.
            raise EngineError(
                f"A scan page of {len(body)} bytes cannot be read ({type(error).__name__}).", _AGAIN
            ) from None
        if page.Count != len(page.Items):
            raise EngineError(
                f"A scan page says it holds {page.Count} items and holds {len(page.Items)}.", _AGAIN
            )
        last_key = None if page.LastEvaluatedKey is msgspec.UNSET else page.LastEvaluatedKey
        if last_key == {}:
            raise EngineError("A scan page does not say where the next one starts.", _AGAIN)
        consumed = page.ConsumedCapacity.CapacityUnits if page.ConsumedCapacity else 0.0
        return Page(keys, page.Items, last_key, consumed)


def decode_item(raw: bytes | msgspec.Raw) -> TypedItem:
    """
    One item slice as a typed item.

    Raises:
        UnknownValue: It is no JSON object that Python can hold (a lone surrogate, say).
    """
    try:
        return msgspec.json.decode(raw, type=dict[str, dict[str, Any]])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnknownValue(f"an item that cannot be decoded ({type(error).__name__})") from None


def _texts(key: Any) -> list[str]:
    return [getattr(value, value.__struct_fields__[0]) for value in msgspec.structs.astuple(key)]


def _keys_type(schema: KeySchema) -> type[msgspec.Struct]:
    """A type that makes msgspec decode the key attributes and step over all others."""
    fields: list[tuple[str, type]] = []
    rename = {}
    for number, (name, kind) in enumerate(schema.items()):
        fields.append((f"k{number}", msgspec.defstruct("Value", [(kind, str)])))
        rename[f"k{number}"] = name
    try:
        key = msgspec.defstruct("Key", fields, rename=rename)
    except ValueError as error:
        raise EngineError(
            "A key attribute's name holds a quotation mark, a backslash or a control character.",
            "such tables cannot be compared by this version; please report it.",
        ) from error
    return msgspec.defstruct("Keys", [("Items", list[key])])  # type: ignore[valid-type]  # made at run time
