"""What the writers asked for and what they were told, one JSON object a line."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any


class Said(StrEnum):
    """What a writer knows of its write."""

    INVOKED = "invoked"  # it is about to ask
    ACKNOWLEDGED = "acknowledged"  # it happened
    UNKNOWN = "unknown"  # no answer: it may have happened


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One line.

    Args:
        operation: Number of the write, unique in the journal.
        key: The item's key; every key has one writer, whose writes follow each other.
        item: The whole item that the write leaves behind, in plain JSON; ``None`` where it deletes.
    """

    operation: int
    said: Said
    key: str
    item: Mapping[str, Any] | None
    at: float = 0.0


class Journal:
    """Appends entries; every line is written before the writer goes on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("a", encoding="utf-8")
        self._lock = threading.Lock()
        self._operations = 0

    def invoke(self, key: str, item: Mapping[str, Any] | None) -> int:
        """Note a write that is about to be asked for; its number."""
        with self._lock:
            self._operations += 1
            self._line(self._operations, Said.INVOKED, key, item)
            return self._operations

    def answer(self, operation: int, said: Said, key: str, item: Mapping[str, Any] | None) -> None:
        """Note what became of it."""
        with self._lock:
            self._line(operation, said, key, item)

    def close(self) -> None:
        """Nothing more is written."""
        self._file.close()

    def _line(self, operation: int, said: Said, key: str, item: Mapping[str, Any] | None) -> None:
        entry = {"operation": operation, "said": said, "key": key, "item": item, "at": time.time()}
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()


def read(path: Path) -> Iterator[Entry]:
    """Every entry of a journal, in the order written."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            fields = json.loads(line)
            yield Entry(**{**fields, "said": Said(fields["said"])})
