"""
How the shared passes of a run went, as they went: one JSON object a line, in ``events.jsonl``.

Nothing decides by it, and it is not signed. It holds no key, no hash of one, and no value.
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from ddbverify.compare.request import Progress

SECONDS_BETWEEN: Final = 1.0
"""Of two lines of one phase: a pass of ten hours leaves some MB."""

MOST_BYTES: Final = 32 * 2**20

ENDED: Final = "ended"
"""The phase of a pass's last line."""

_Count = Annotated[int, Meta(ge=0)]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """How far the pass over a pair was at one moment."""

    at: float  # seconds since the epoch, of this machine's clock
    pair: str
    phase: str  # "scan", "settle" or "second pass"; "ended": no further line of this pass
    segments_finished: _Count
    segments_planned: _Count
    source_items: _Count
    target_items: _Count
    read_units: Annotated[float, Meta(ge=0)]
    open_suspects: _Count  # keys that differed at some look, and are not decided


class EventLog:
    """Appends to a file, from any thread. What cannot be written is left out: no run fails for it."""

    def __init__(self, path: Path, now: Callable[[], float] = time.time) -> None:
        """
        Prepare; the file is made with the first line.

        Args:
            path: Of the file.
            now: Seconds since the epoch.
        """
        self._path, self._now = path, now
        self._lock = threading.Lock()
        self._failed = False

    @contextmanager
    def passing(self, pair_id: str) -> Iterator[Callable[[Progress], None]]:
        """Take the reports of one pass; the last one is written as its end."""
        last: Progress | None = None
        written: tuple[str, float] = ("", 0.0)

        def note(progress: Progress) -> None:
            nonlocal last, written
            last, at = progress, self._now()
            if progress.phase != written[0] or not 0 <= at - written[1] < SECONDS_BETWEEN:
                written = progress.phase, at
                self._write(pair_id, progress, progress.phase, at)

        try:
            yield note
        finally:
            if last is not None:
                self._write(pair_id, last, ENDED, self._now())

    def _write(self, pair_id: str, progress: Progress, phase: str, at: float) -> None:
        event = Event(
            at=round(at, 3),
            pair=pair_id,
            phase=phase,
            segments_finished=progress.segments_finished,
            segments_planned=progress.segments_planned,
            source_items=progress.source_items,
            target_items=progress.target_items,
            read_units=round(progress.read_units, 1),
            open_suspects=progress.open_suspects,
        )
        line = msgspec.json.encode(event) + b"\n"
        with self._lock:
            if self._failed:
                return
            try:
                # Once a second: no descriptor is kept that a fork could inherit, or a check could close.
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
                descriptor = os.open(self._path, flags, 0o600)
                try:
                    self._failed = os.write(descriptor, line) < len(line)
                finally:
                    os.close(descriptor)
            except OSError:
                self._failed = True  # half a line is the last one: whoever reads it says so


@dataclass(frozen=True, slots=True)
class Events:
    """What a file of events holds."""

    events: tuple[Event, ...]
    sha256: str
    damage: str  # why it was not read to its end, in words


def read(path: Path) -> Events | None:
    """
    Read a file of events, as far as it makes sense; ``None`` where there is none.

    Raises:
        OSError: It cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe of that name would be waited for
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(MOST_BYTES + 1) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b"\n"
    found: list[Event] = []
    damage = "it is too long" if len(content) > MOST_BYTES else ""
    decode = msgspec.json.Decoder(Event).decode
    for number, line in enumerate(content.splitlines(keepends=True), start=1):
        try:
            found.append(decode(line if line.endswith(b"\n") else b""))
        except (msgspec.MsgspecError, ValueError):
            damage = f"line {number:,} is cut, or is no event"
            break
    return Events(tuple(found), hashlib.sha256(content).hexdigest(), damage)
