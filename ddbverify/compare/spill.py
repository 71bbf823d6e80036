"""
Records that wait on disk, cut into partitions by their key, so that each fits into memory again.

The files are customers' data: they have no name, so that nobody else can open them and nothing
of them outlives the process, however it ends.
"""

from __future__ import annotations

import struct
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import IO

from ddbverify.errors import Inconclusive
from ddbverify.items.keys import JoinKey

PARTITIONS = 64

_LENGTH = struct.Struct("<I")


class Spill:
    """Takes records, and gives them back one partition after the other. Threads may share it."""

    def __init__(self, folder: str | None = None) -> None:
        """Use *folder*, by default the system's for temporary files; nothing is made before it is needed."""
        self.records = 0
        self._folder = folder
        self._files: list[IO[bytes]] = []
        self._lock = threading.Lock()

    def add(self, key: JoinKey, record: bytes) -> None:
        """
        Put a record aside. All records of one key come back in the order in which they were added.

        Raises:
            Inconclusive: The disk is full, or there is no place to write.
        """
        with self._lock:
            try:
                if not self._files:
                    self._files = [
                        tempfile.TemporaryFile(prefix="ddbverify-", dir=self._folder)  # noqa: SIM115
                        for _ in range(PARTITIONS)
                    ]
                # Python hashes equal keys equally, 1 and 1.0 too, for as long as the process lives.
                file = self._files[hash(key) % PARTITIONS]
                file.write(_LENGTH.pack(len(record)) + record)
            except OSError as error:
                raise _no_room(self._folder, error) from error
            self.records += 1

    def partitions(self) -> Iterator[Iterable[bytes]]:
        """Each partition's records, read as often as wanted, before the next. Ends with nothing left."""
        try:
            for file in self._files:
                try:
                    file.flush()
                except OSError as error:
                    raise _no_room(self._folder, error) from error
                yield _Records(file)
                file.close()
        finally:
            self.close()

    def close(self) -> None:
        """Give the disk back."""
        for file in self._files:
            with suppress(OSError):  # what could not be flushed is not wanted any more
                file.close()
        self._files = []


class _Records:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def __iter__(self) -> Iterator[bytes]:
        self._file.seek(0)
        while head := self._file.read(_LENGTH.size):
            yield self._file.read(_LENGTH.unpack(head)[0])


def _no_room(folder: str | None, error: OSError) -> Inconclusive:
    return Inconclusive(
        f"What does not fit into memory cannot wait in {folder or tempfile.gettempdir()}: {error.strerror}.",
        "free or name a larger disk (TMPDIR), or raise `memory` under [verification].",
    )
