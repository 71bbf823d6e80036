"""
One Scan response: bytes -> item slices, and where the next page starts. Pure.

Only what a join needs is decoded; items stay the bytes they came as. A
response that is not what it should be is an error, never "no more items" (vitess#19008).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from ddbverify.errors import EngineError, UnreadableKeyError
from ddbverify.items.form import UnknownValue
from ddbverify.items.keys import KEY_VALUES, JoinKey
from ddbverify.names import KeySchema, TypedItem
from ddbverify.words import number_of

_AGAIN = "run the command again; if it comes back, look for a proxy that alters responses."


@dataclass(frozen=True, slots=True)
class Page:
    """What one Scan request returned."""

    items: Sequence[msgspec.Raw]  # each holds on to the whole response
    last_key: TypedItem | None  # None: the segment has been read to its end
    consumed: float  # read units
    body: bytes
    key_of: Callable[[bytes | msgspec.Raw], JoinKey]
    """The key of one of *items*; raises UnreadableKeyError for an item without it."""

    @property
    def count(self) -> int:
        """Items in this page."""
        return len(self.items)

    @property
    def keys(self) -> list[JoinKey]:
        """The keys of all items, in their order; decoded when asked for."""
        return [self.key_of(item) for item in self.items]


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
        self._key: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_key_type(schema))
        self._wanted = ",".join(f"{name}:{kind}" for name, kind in schema.items())
        self._make = [KEY_VALUES[kind] for kind in schema.values()]

    def decode(self, body: bytes) -> Page:
        """
        One response's body as a page.

        Raises:
            EngineError: It is no JSON, lacks what a page must have, or its ``Count`` is not
                the number of its items. The message quotes nothing of it.
        """
        try:
            page = self._body.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            # The decoder's own text names places and types, but a value may stand beside them.
            raise EngineError(
                f"A scan page of {len(body)} bytes cannot be read ({type(error).__name__}).", _AGAIN
            ) from None
        if page.Count != len(page.Items):
            raise EngineError(
                f"A scan page says it holds {number_of(page.Count, 'item')} and holds {len(page.Items)}.",
                _AGAIN,
            )
        last_key = None if page.LastEvaluatedKey is msgspec.UNSET else page.LastEvaluatedKey
        if last_key == {}:
            raise EngineError("A scan page does not say where the next one starts.", _AGAIN)
        consumed = page.ConsumedCapacity.CapacityUnits if page.ConsumedCapacity else 0.0
        return Page(page.Items, last_key, consumed, body, self.key_of)

    def page_of(self, items: Sequence[TypedItem]) -> Page:
        """Items as the page that a scan would have returned."""
        return self.decode(msgspec.json.encode({"Items": items, "Count": len(items)}))

    def key_of(self, item: bytes | msgspec.Raw) -> JoinKey:
        """
        The key of one item slice, as a value to join by.

        Raises:
            UnreadableKeyError: The item has no such key. The message quotes nothing of it.
        """
        try:
            key = self._key.decode(item)
            hash_key = self._make[0](key.hash.content)
            return (hash_key, self._make[1](key.range.content)) if len(self._make) > 1 else (hash_key,)
        except (msgspec.DecodeError, UnicodeDecodeError, UnknownValue, RecursionError) as error:
            raise UnreadableKeyError(
                f"A scan returned an item whose key cannot be read as {self._wanted} "
                f"({type(error).__name__}).",
                _AGAIN,
            ) from None


def _key_type(schema: KeySchema) -> type[msgspec.Struct]:
    """A type that makes msgspec decode the key attributes and step over all others."""
    fields = []
    rename = {}
    for part, (name, kind) in zip(("hash", "range"), schema.items(), strict=False):
        fields.append(
            (part, msgspec.defstruct("Value", [("content", str)], rename={"content": kind}, gc=False))
        )
        rename[part] = name
    try:
        return msgspec.defstruct("Key", fields, rename=rename, gc=False)
    except ValueError as error:
        raise EngineError(
            "A key attribute's name holds a quotation mark, a backslash or a control character.",
            "such tables cannot be compared by this version; please report it.",
        ) from error
