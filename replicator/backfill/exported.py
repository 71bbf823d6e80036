"""
The items of an export as the pages of a load: one data file is one segment.

A file is fetched whole and held against its checksum before any of it is loaded; its end, and the number of
its items, are proven before its last page. What makes an item of a line is the replicator's own, as is all
reading of items that are then written.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ddbverify.exports import parts
from ddbverify.exports.export import Export
from ddbverify.exports.manifest import Part
from ddbverify.names import TypedItem
from replicator.backfill.pages import Page

_DONE = "items"  # of a place: how many of the file's items are in the target


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    Item: msgspec.Raw


_LINES = msgspec.json.Decoder(_Line)


class ExportedItems:
    """What a load reads of an export. Threads may share it, each with files of its own."""

    def __init__(self, export: Export) -> None:
        self._store, self._parts = export.store, export.full.parts

    def pages(self, segment: int, last: TypedItem | None) -> Iterator[Page]:
        """
        Pages of a data file behind the place *last*; the last one has none to go on from.

        Raises:
            EngineError: The file is not there, not whole, or not the manifest's.
        """
        part = self._parts[segment]
        done = 0 if last is None else int(last[_DONE]["N"])
        seen, held = 0, Page((), None, 0.0)
        with self._store.opened(part.name) as file:
            parts.require_whole(file, part)
            for text in parts.lines(file, part):
                items = _items(text, part)
                before, seen = seen, seen + len(items)
                if fresh := items[max(0, done - before) :]:
                    if held.items:  # what is yielded with a place is not the end: that comes below
                        yield held
                    held = Page(fresh, {_DONE: {"N": str(seen)}}, 0.0)
        parts.require_count(part, seen)
        yield Page(held.items, None, 0.0)


def _items(text: bytes, part: Part) -> list[msgspec.Raw]:
    try:
        return [line.Item for line in _LINES.decode_lines(text)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        what = f"a line is not of the form that exports have ({type(error).__name__})"
        raise parts.damaged(part, what) from None
