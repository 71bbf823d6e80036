"""
The parts of an export as the pages of a table: no read units, any order, one pass after another.

Each page is a bounded piece of one data file. Incremental exports are read first: what they say of a key
stands in place of what the full one says of it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, Final

import msgspec

from ddbverify.errors import EngineError
from ddbverify.exports import lines, parts
from ddbverify.exports.changes import Changes
from ddbverify.exports.export import Export
from ddbverify.exports.lines import Format
from ddbverify.exports.manifest import Part
from ddbverify.exports.store import Store
from ddbverify.items.keys import JoinKey, PointRead, typed_key
from ddbverify.names import KeySchema, TypedItem
from ddbverify.tables.pages import Page, PageDecoder

BYTES_PER_CHANGE: Final = 400
"""Of memory, that a key and the place of its image take, about. Images are in a file."""


class ExportReader:
    """`compare.reading.Reader` over one export. Threads may share it, each with segments of its own."""

    def __init__(self, export: Export, *, memory: int) -> None:
        """
        Prepare; nothing is read yet.

        Args:
            export: As it was opened.
            memory: Bytes that the keys of incremental exports may take.
        """
        self.read_units = 0.0  # exports cost none
        self.requests = 0  # data files read
        self._export, self._memory = export, memory
        self._decoder = PageDecoder(export.table.key_schema)
        self._under_way: dict[int, Iterator[Page]] = {}
        self._changed: Changes | None = None
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
        if segment == 0:
            for images in changed.images():
                yield self._page([msgspec.Raw(image) for image in images], b"\n".join(images))
        full = self._export.full
        for part in full.parts[segment::total_segments]:
            with self._opened(self._export.store, part) as file:
                for text, items in lines.items(file, part, full.output_format):
                    if changed.keys:
                        items = [item for item in items if self._decoder.key_of(item) not in changed.keys]
                    if items:
                        yield self._page(items, text)

    def _page(self, items: Sequence[msgspec.Raw], text: bytes) -> Page:
        key_of = self._decoder.key_of
        return Page(items, typed_key(key_of(items[-1]), self._export.table.key_schema), 0.0, text, key_of)

    def _changes(self) -> Changes:
        """What incremental exports say of their keys, the last word each."""
        with self._first:  # the other threads wait for whoever reads them
            if self._changed is None:
                self._changed = self._read_changes()
            return self._changed

    def _read_changes(self) -> Changes:
        changed = Changes()
        for one in self._export.changes:
            for part in one.manifest.parts:
                with self._opened(one.store, part) as file:
                    for page in changes_in(
                        file, part, one.manifest.output_format, self._export.table.key_schema
                    ):
                        for key, image in page:
                            changed.note(key, image)
                        if len(changed.keys) * BYTES_PER_CHANGE > self._memory:
                            raise EngineError(
                                "The keys of the incremental exports do not fit into memory.",
                                "raise --memory, or make a full export of a later time.",
                            )
        return changed

    @contextmanager
    def _opened(self, store: Store, part: Part) -> Iterator[BinaryIO]:
        with store.opened(part.name) as file:
            with self._lock:
                self.requests += 1
            yield file


def changes_in(
    file: BinaryIO, part: Part, form: Format, schema: KeySchema
) -> Iterator[list[tuple[JoinKey, bytes | None]]]:
    """
    What a data file of an incremental export says: each key, with what it holds from then on, if anything.

    Args:
        file: As `lines.changes` has it.
        part: Likewise.
        form: Likewise.
        schema: Of the table's key.

    Raises:
        EngineError: As `lines.changes`; or a line is of another key than the table's, or its image is.
    """
    key_of = PageDecoder(schema).key_of
    for page in lines.changes(file, part, form):
        changed: list[tuple[JoinKey, bytes | None]] = []
        for keys, image in page:
            _require_whole_key(keys, schema)
            key = key_of(keys)
            if image is not None and key_of(image) != key:
                raise parts.damaged(part, "a new image has another key than its line")
            changed.append((key, None if image is None else bytes(image)))
        yield changed


def _require_whole_key(keys: bytes | msgspec.Raw, schema: KeySchema) -> None:
    """A change names all of its key: by less of it, it would stand in place of other items, too."""
    if msgspec.json.decode(keys, type=dict[str, msgspec.Raw]).keys() != schema.keys():
        raise EngineError(
            f"An incremental export has keys of other attributes than {', '.join(schema)}.",
            "give the whole key of the table with --key (or --target-key), such as pk:S,sk:N.",
        )
