"""
One data file of an export: proven to be the one of the manifest, then read line by line.

A gzip file that was cut at the end of a member, or emptied, looks sound to every ordinary reader. So nothing
of a file is handed on before its checksum is right, and its end is believed only when the last member is
whole, the last line is ended and the items are as many as the manifest says.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final

from ddbverify.errors import EngineError
from ddbverify.exports.manifest import Part
from ddbverify.words import number_of

READ_BYTES: Final = 1 << 16  # of which zlib may make a thousand times as many
PAGE_BYTES: Final = 1 << 20
"""About as much as a page of a scan holds."""

_GZIP: Final = 31  # zlib's window size, and that a gzip header and trailer are expected
_AGAIN: Final = "copy the whole export anew, or make another one."


class Malformed(Exception):
    """A line holds what no line of an export can; the text quotes nothing of it."""


def require_whole(file: BinaryIO, part: Part) -> None:
    """
    Read a data file once, and hold it against the manifest; it stands at its beginning afterwards.

    Raises:
        EngineError: It is another file than the manifest's, or a part of it.
    """
    digest = hashlib.md5(usedforsecurity=False)
    while block := file.read(READ_BYTES):
        digest.update(block)
    if digest.digest() != part.md5:
        raise damaged(part, "it does not match its checksum in the manifest")
    file.seek(0)


def lines(file: BinaryIO, part: Part) -> Iterator[bytes]:
    """
    The lines of a data file, about `PAGE_BYTES` at a time, each ended.

    Raises:
        EngineError: It is no gzip file, or does not end where one ends.
    """
    pieces: list[bytes] = []
    size = 0
    for text in _inflated(file, part):
        size += len(text)
        end = text.rfind(b"\n") + 1 if size >= PAGE_BYTES else 0
        if not end:
            pieces.append(text)
            continue
        yield b"".join((*pieces, text[:end]))
        pieces, size = [text[end:]], len(text) - end
    if last := b"".join(pieces):
        if not last.endswith(b"\n"):
            raise damaged(part, "its last line is not ended")
        yield last


def require_count(part: Part, items: int) -> None:
    """Raises EngineError unless the manifest says of *part* that it holds so many items."""
    if items != part.items:
        raise damaged(part, f"it holds {number_of(items, 'item')}, and {part.items:,} by the manifest")


def damaged(part: Part, what: str) -> EngineError:
    """What to raise of a part that is not as it should be; *what* holds no value."""
    return EngineError(f"The data file {part.name} of the export is not whole: {what}.", _AGAIN)


def _inflated(file: BinaryIO, part: Part) -> Iterator[bytes]:
    """What is in all members of a gzip file, piece by piece."""
    inflate, is_inside = zlib.decompressobj(_GZIP), False
    while block := file.read(READ_BYTES):
        while block:
            try:
                text = inflate.decompress(block)
            except zlib.error:
                raise damaged(part, "it is no gzip file, or a damaged one") from None
            if text:
                yield text
            block, is_inside = inflate.unused_data, not inflate.eof
            if inflate.eof:
                inflate = zlib.decompressobj(_GZIP)
    if is_inside:
        raise damaged(part, "it ends in the middle")
