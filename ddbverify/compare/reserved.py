"""Pages without the items that the replicator writes for itself: markers are nobody's. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ddbverify.items.keys import JoinKey, marker_keys
from ddbverify.names import RESERVED, KeySchema
from ddbverify.tables.pages import Page


def reserved_text(schema: KeySchema) -> bytes:
    """What stands in a page that holds a reserved key: one without it needs no look at each key."""
    return RESERVED[next(iter(schema.values()))].encode()


def items_of(page: Page, schema: KeySchema) -> Sequence[msgspec.Raw]:
    """
    The items of a page without markers.

    Raises:
        UnreadableKeyError: An item has no key that can be read.
    """
    if reserved_text(schema) not in page.body:
        return page.items
    markers = marker_keys(schema)
    return [raw for raw in page.items if page.key_of(raw) not in markers]


def keyed_items_of(page: Page, schema: KeySchema) -> list[tuple[JoinKey, msgspec.Raw]]:
    """The items of a page without markers, with their keys. Raises as `items_of` does."""
    items = items_of(page, schema)
    return list(zip(map(page.key_of, items), items, strict=True))
