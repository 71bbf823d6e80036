"""The last word of incremental exports on each of their keys: keys in memory, images in a temporary file."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from tempfile import TemporaryFile
from typing import BinaryIO, Final

from ddbverify.errors import EngineError
from ddbverify.items.keys import JoinKey

PAGE_BYTES: Final = 1 << 20
"""Of images that are given back at once, about."""

_Place = tuple[int, int]  # offset and length


class Changes:
    """Noted by one thread; then read by one, while any may look at the keys."""

    def __init__(self) -> None:
        """There are none yet."""
        self._places: dict[JoinKey, _Place | None] = {}  # None: deleted
        self._file: BinaryIO | None = None  # until there is an image
        self._end = 0

    @property
    def keys(self) -> Mapping[JoinKey, object]:
        """Every key that was noted."""
        return self._places

    def note(self, key: JoinKey, image: bytes | None) -> None:
        """
        A key holds *image* from now on; ``None``: nothing.

        Raises:
            EngineError: The disk is full, or the like.
        """
        if image is None:
            self._places[key] = None
            return
        try:
            if self._file is None:
                self._file = TemporaryFile()  # noqa: SIM115 - it lives as long as this does
                weakref.finalize(self, self._file.close)
            self._file.write(image)
        except OSError as error:
            raise _full(error) from error
        self._places[key] = (self._end, len(image))
        self._end += len(image)

    def images(self) -> Iterator[list[bytes]]:
        """What the keys hold that were not deleted last, about `PAGE_BYTES` at a time. Raises as `note`."""
        some: list[bytes] = []
        size = 0
        for place in self._places.values():
            if place is None or self._file is None:
                continue
            some.append(_read(self._file, *place))
            size += place[1]
            if size >= PAGE_BYTES:
                yield some
                some, size = [], 0
        if some:
            yield some


def _read(file: BinaryIO, offset: int, length: int) -> bytes:
    try:
        file.seek(offset)
        image = file.read(length)
    except OSError as error:
        raise _full(error) from error
    if len(image) < length:
        raise EngineError("A temporary file was cut short.", "look at TMPDIR, and run the command again.")
    return image


def _full(error: OSError) -> EngineError:
    return EngineError(
        f"What incremental exports hold cannot be kept in a temporary file: {error.strerror}.",
        "make room, or point TMPDIR to a larger disk, and run the command again.",
    )
