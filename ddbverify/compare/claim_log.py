"""
What a pass over a re-keyed pair has read, on disk, so that one that was interrupted goes on.

Segments of a re-keyed pair have nothing to do with each other, so that none of them can be
decided by itself: what has to be kept of one is every key in it. One file per segment and side,
in a folder beside the checkpoint, for its owner's eyes only. It holds raw keys and keyed digests
of items, never an item; it is removed when the pass has come to its end.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from ddbverify.compare.claims import Placed, Taken
from ddbverify.compare.sides import Role
from ddbverify.errors import ConfigurationError, Inconclusive
from ddbverify.items.keys import KEY_VALUES, JoinKey, typed_key
from ddbverify.names import KeySchema


class _Line(msgspec.Struct, omit_defaults=True):
    """One page, or the end. A key is the contents of its attributes, in the order of the schema."""

    placed: list[tuple[list[str], bytes, list[str] | None]] = []
    canary: bool = False
    dropped: int = 0
    refused: list[tuple[list[str], str]] = []
    end: bool = False  # a file that a crash of the system has cut short must not look like a smaller segment


class SegmentLog:
    """
    The file of one segment while it is read; use it in a ``with`` statement.

    Raises:
        Inconclusive: The disk is full, or the like.
    """

    def __init__(self, path: Path, schemas: Mapping[Role, KeySchema]) -> None:
        """Begin *path* anew."""
        self._path, self._schemas = path, schemas
        with self._on_disk():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            self._file = os.fdopen(descriptor, "wb")

    def add(self, taken: Taken) -> None:
        """Append one page."""
        source, target = self._schemas[Role.SOURCE], self._schemas[Role.TARGET]
        line = _Line(
            placed=[
                (
                    _parts(one.key, target),
                    one.content,
                    None if one.owner is None else _parts(one.owner, source),
                )
                for one in taken.placed
            ],
            canary=taken.canary,
            dropped=taken.dropped,
            refused=[(_parts(key, source), why) for key, why in taken.refused],
        )
        self._write(line)

    def _write(self, line: _Line) -> None:
        with self._on_disk():
            self._file.write(msgspec.json.encode(line) + b"\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._write(_Line(end=True))
        with self._on_disk() if error is None else suppress(OSError):
            self._file.close()

    @contextmanager
    def _on_disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise Inconclusive(
                f"What was read cannot be kept in {self._path}: {error.strerror}.",
                "make room, then run the command again with --resume.",
            ) from error


class ClaimLog:
    """The folder. Threads may share it, one segment each."""

    def __init__(self, folder: Path, schemas: Mapping[Role, KeySchema], *, anew: bool) -> None:
        """
        Go on from *folder*, or begin there.

        Args:
            folder: Made here.
            schemas: Keys of both tables.
            anew: Whether what is in it belongs to nothing any more.

        Raises:
            ConfigurationError: It cannot be made.
        """
        self._folder, self._schemas = folder, schemas
        try:
            if anew:
                shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"The folder {folder} cannot be made: {error.strerror}.", "name another one with --out."
            ) from error

    def writing(self, role: Role, segment: int) -> SegmentLog:
        """A file for one segment, begun anew. It counts once the checkpoint says that it is whole."""
        return SegmentLog(self._path(role, segment), self._schemas)

    def read(self, role: Role, segment: int) -> Iterator[Taken]:
        """
        The pages of one segment.

        Raises:
            ConfigurationError: The file is not there, or not as it was written.
        """
        path, decoder, line = self._path(role, segment), msgspec.json.Decoder(_Line), _Line()
        source, target = self._schemas[Role.SOURCE], self._schemas[Role.TARGET]
        try:
            with path.open("rb") as file:
                for content in file:
                    line = decoder.decode(content)
                    yield Taken(
                        placed=[
                            Placed(_key(key, target), state, None if owner is None else _key(owner, source))
                            for key, state, owner in line.placed
                        ],
                        canary=line.canary,
                        dropped=line.dropped,
                        refused=[(_key(key, source), why) for key, why in line.refused],
                    )
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"{path} cannot be read ({type(error).__name__}).", "begin anew in another folder."
            ) from error
        if not line.end:
            raise ConfigurationError(f"{path} has been cut short.", "begin anew in another folder.")

    def _path(self, role: Role, segment: int) -> Path:
        return self._folder / f"{role}-{segment}.jsonl"


def _parts(key: JoinKey, schema: KeySchema) -> list[str]:
    return [content for value in typed_key(key, schema).values() for content in value.values()]


def _key(parts: Sequence[str], schema: KeySchema) -> JoinKey:
    return tuple(KEY_VALUES[kind](part) for kind, part in zip(schema.values(), parts, strict=True))
