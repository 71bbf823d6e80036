"""
The parts of an export as the pages of a table: no read units, any order, one pass after another.

Each page is a bounded piece of one data file. Incremental exports are read first: what they say of a key
stands in place of what the full one says of it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

import msgspec
from msgspec.json import Decoder

from ddbverify.errors import EngineError
from ddbverify.exports import parts
from ddbverify.exports.export import Export
from ddbverify.exports.manifest import Part
from ddbverify.exports.parts import Malformed
from ddbverify.exports.store import Store
from ddbverify.items.keys import JoinKey, PointRead, typed_key
from ddbverify.names import TypedItem
from ddbverify.tables.pages import Page, PageDecoder

BESIDE_AN_IMAGE: Final = 300
"""Bytes of memory that a key and its place take, about."""

IMAGES_AT_ONCE: Final = 1_000
"""In one page."""


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    """Of a full export."""

    Item: msgspec.Raw


class _Change(msgspec.Struct, forbid_unknown_fields=True):
    """Of an incremental export: the last state of a key in its window; without a new image it was deleted."""

    Keys: msgspec.Raw
    Metadata: msgspec.Raw
    NewImage: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    OldImage: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_LINES: Final = Decoder(_Line)
_CHANGES: Final = Decoder(_Change)

_Read = TypeVar("_Read")

_Decode = Callable[[bytes], list[_Read]]
"""Whole lines -> what is in each. Raises what `_NOT_OF_THE_FORM` names, or `Malformed`."""

_NOT_OF_THE_FORM: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, Malformed)


def _items_in_json(text: bytes) -> list[msgspec.Raw]:
    return [line.Item for line in _LINES.decode_lines(text)]


def _items_in_ion(text: bytes) -> list[msgspec.Raw]:
    from ddbverify.exports import ion  # comes with an extra

    return [msgspec.Raw(item) for item in ion.items_of(text)]


class ExportReader:
    """`compare.reading.Reader` over one export. Threads may share it, each with segments of its own."""

    def __init__(self, export: Export, *, memory: int) -> None:
        """
        Prepare; nothing is read yet.

        Args:
            export: As it was opened.
            memory: Bytes that the images of incremental exports may take.
        """
        self.read_units = 0.0  # exports cost none
        self.requests = 0  # data files read
        self._export, self._memory = export, memory
        self._decoder = PageDecoder(export.table.key_schema)
        self._under_way: dict[int, Iterator[Page]] = {}
        self._changed: dict[JoinKey, bytes | None] | None = None
        self._lock, self._first = threading.Lock(), threading.Lock()

    def scan_page(self, segment: int, total_segments: int, start: TypedItem | None) -> Page:
        """
        The next page of one segment: every *total_segments*-th data file, from the *segment*-th on.

        Args:
            segment: From 0.
            total_segments: Into how many the data files are divided.
            start: ``None`` for the first page; else the next one is given, whatever it is.

        Raises:
            EngineError: A data file is not there, not whole, or not the manifest's.
        """
        if start is None:
            self._under_way[segment] = self._pages(segment, total_segments)
        pages = self._under_way.pop(segment, None)
        if pages is None:  # its reading has failed: what is behind the failure is not its end
            raise EngineError(
                "A segment of an export is asked for behind a page that could not be read.",
                "this is a defect of ours; please report the command that you ran.",
            )
        page = next(pages, None)
        self._under_way[segment] = pages
        return Page((), None, 0.0, b"", self._decoder.key_of) if page is None else page

    def get_items(self, keys: Sequence[TypedItem]) -> list[PointRead]:
        """Not of an export: what it holds under a key is known when all of it was read."""
        raise NotImplementedError

    def _pages(self, segment: int, total_segments: int) -> Iterator[Page]:
        changed = self._changes()
        in_ion = self._export.full.output_format == "ION"
        decode = _items_in_ion if in_ion else _items_in_json
        for part in self._export.full.parts[segment::total_segments]:
            for text, items in self._lines(self._export.store, part, decode):
                if changed:
                    items = [item for item in items if self._decoder.key_of(item) not in changed]
                if items:
                    yield self._page(items, b"\n".join(map(bytes, items)) if in_ion else text)
        if segment == 0 and (images := [image for image in changed.values() if image is not None]):
            yield from self._images(images)

    def _images(self, images: Sequence[bytes]) -> Iterator[Page]:
        """What incremental exports say that keys hold now, as pages."""
        for start in range(0, len(images), IMAGES_AT_ONCE):
            some = images[start : start + IMAGES_AT_ONCE]
            yield self._page([msgspec.Raw(image) for image in some], b"\n".join(some))

    def _page(self, items: Sequence[msgspec.Raw], text: bytes) -> Page:
        key_of = self._decoder.key_of
        return Page(items, typed_key(key_of(items[-1]), self._export.table.key_schema), 0.0, text, key_of)

    def _changes(self) -> dict[JoinKey, bytes | None]:
        """What incremental exports say of their keys, the last word each; ``None``: deleted."""
        with self._first:  # the other threads wait for whoever reads them
            if self._changed is None:
                self._changed = self._read_changes()
            return self._changed

    def _read_changes(self) -> dict[JoinKey, bytes | None]:
        changed: dict[JoinKey, bytes | None] = {}
        held = 0
        for store, its in self._export.changes:
            for part in its.parts:
                for _, lines in self._lines(store, part, _CHANGES.decode_lines):
                    for line in lines:
                        key = self._decoder.key_of(line.Keys)
                        new = None if line.NewImage is msgspec.UNSET else bytes(line.NewImage)
                        if new is not None and self._decoder.key_of(new) != key:
                            raise parts.damaged(part, "a new image has another key than its line")
                        held += len(new or b"") + BESIDE_AN_IMAGE - len(changed.get(key) or b"")
                        changed[key] = new
                    if held > self._memory:
                        raise EngineError(
                            "What the incremental exports hold does not fit into memory.",
                            "raise --memory, or make a full export of a later time.",
                        )
        return changed

    def _lines(self, store: Store, part: Part, decode: _Decode[_Read]) -> Iterator[tuple[bytes, list[_Read]]]:
        """A data file, a piece at a time: text and decoded lines. Its end is proven behind the last."""
        items = 0
        with store.opened(part.name) as file:
            with self._lock:
                self.requests += 1
            parts.require_whole(file, part)
            for text in parts.lines(file, part):
                try:
                    lines = decode(text)
                except _NOT_OF_THE_FORM as error:
                    what = f"a line is not of the form that exports have ({type(error).__name__})"
                    raise parts.damaged(part, what) from None
                items += len(lines)
                yield text, lines
        parts.require_count(part, items)
