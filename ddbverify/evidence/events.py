"""
How a run, a diff or a migration went, as it went: one JSON object a line, in ``events.jsonl``.

Nothing decides by it, and it is not signed. It holds no key, no hash of one, and no value. The terminal, the
live page, the report and metrics read it, so whatever one of them shows, the others show, too.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from ddbverify.compare.request import Progress
from ddbverify.evidence.following import Following, Moving
from ddbverify.evidence.record import CheckRecord

SCHEMA: Final = 1
"""Of the lines. A kind of line or a field more is another schema."""

SECONDS_BETWEEN: Final = 1.0
"""Of two lines of one pass in its first hour. Later ones are further apart, in proportion."""

_FIRST_SECONDS: Final = 3600.0

MOST_BYTES: Final = 32 * 2**20

ENDED: Final = "ended"
"""The phase of a pass's last line."""

Of = Literal["run", "diff", "migration"]

_Count = Annotated[int, Meta(ge=0)]
_Number = Annotated[float, Meta(ge=0)]


class Begun(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="begun"):
    """The first line, and again where an interrupted diff goes on."""

    schema: int
    at: float
    of: Of
    name: str  # id of the run, name of the diff's folder, or of the migration


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="pass"):
    """How far the pass over a pair was at one moment."""

    at: float  # seconds since the epoch, of this machine's clock
    pair: str
    phase: str  # "scan", "settle" or "second pass"; "ended": no further line of this pass
    segments_finished: _Count
    segments_planned: _Count
    source_items: _Count
    target_items: _Count
    read_units: _Number
    open_suspects: _Count  # keys that differed at some look, and are not decided
    counts: dict[str, _Count] = {}  # state -> keys that are decided
    converged: _Count = 0  # keys that differed at first, and then did not
    lag_seconds: _Number = 0.0  # that the slowest of these took
    usd: _Number | None = None  # that the read units cost; None: not known, or nothing of their own


class Checked(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="check"):
    """Where a check on a pair stands; the last line of a check counts."""

    at: float
    check: str  # file.py::function
    pair: str | None
    state: str  # as in the evidence; "not-run" until it has run
    counts: bool  # whether the verdict depends on it
    examined: _Count
    findings: _Count
    seconds: _Number


class Judged(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="verdict"):
    """What the run or the diff came to: its last line."""

    at: float
    verdict: str
    complete: bool


Line = Begun | Event | Checked | Judged | Following | Moving

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Line).decode


class EventLog:
    """Appends to a file, from any thread. What cannot be written is left out: no run fails for it."""

    def __init__(
        self, path: Path | None, now: Callable[[], float] = time.time, *, most_bytes: int = MOST_BYTES
    ) -> None:
        """
        Prepare; the file is made with the first line.

        Args:
            path: Of the file; ``None``: nothing is kept.
            now: Seconds since the epoch.
            most_bytes: From here on nothing is written any more.
        """
        self._path, self._now, self._most = path, now, most_bytes
        self._lock = threading.Lock()
        self._failed = path is None
        self.why_not = ""  # nothing is written any more, in words

    def begin(self, of: Of, name: str) -> None:
        """Write the first line. Half a line that a crash has left is cut off."""
        self.write(Begun(schema=SCHEMA, at=self.moment, of=of, name=name), mend=True)

    @property
    def moment(self) -> float:
        """Now, as lines have it."""
        return round(self._now(), 3)

    @contextmanager
    def passing(self, pair_id: str, usd_per_unit: float = 0.0) -> Iterator[Callable[[Progress], None]]:
        """
        Take the reports of one pass; the last one is written as its end.

        Args:
            pair_id: As the configuration names the pair.
            usd_per_unit: US dollars for a read unit; 0 where it costs nothing, or nobody knows.
        """
        last: Progress | None = None
        began, phase, then = self._now(), "", 0.0

        def note(progress: Progress) -> None:
            nonlocal last, phase, then
            last, at = progress, self._now()
            if progress.phase != phase or not 0 <= at - then < _wait(at - began):
                phase, then = progress.phase, at
                self._pass(pair_id, progress, progress.phase, usd_per_unit)

        try:
            yield note
        finally:
            if last is not None:
                self._pass(pair_id, last, ENDED, usd_per_unit)

    def _pass(self, pair_id: str, progress: Progress, phase: str, usd_per_unit: float) -> None:
        self.write(
            Event(
                at=self.moment,
                pair=pair_id,
                phase=phase,
                segments_finished=progress.segments_finished,
                segments_planned=progress.segments_planned,
                source_items=progress.source_items,
                target_items=progress.target_items,
                read_units=round(progress.read_units, 1),
                open_suspects=progress.open_suspects,
                counts={str(state): max(0, count) for state, count in dict(progress.counts).items() if count},
                converged=progress.converged,
                lag_seconds=round(progress.slowest_convergence_seconds, 3),
                usd=round(progress.read_units * usd_per_unit, 6) if usd_per_unit else None,
            )
        )

    def check(self, record: CheckRecord) -> None:
        """Note where a check stands."""
        self.write(
            Checked(
                at=self.moment,
                check=record.name,
                pair=record.pair,
                state=str(record.state),
                counts=record.counts,
                examined=record.examined,
                findings=record.findings,
                seconds=round(record.seconds, 3),
            )
        )

    def verdict(self, verdict: str, *, complete: bool) -> None:
        """Note what it all came to."""
        self.write(Judged(at=self.moment, verdict=verdict, complete=complete))

    def write(self, *lines: Line, mend: bool = False) -> None:
        """Append lines, whole or not at all as far as that is ours to say."""
        content = b"".join(_encode(line) + b"\n" for line in lines)
        with self._lock:
            if self._failed or self._path is None:
                return
            try:
                # Once a second: no descriptor is kept that a fork could inherit, or a check could close.
                flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
                descriptor = os.open(self._path, flags, 0o600)
                try:
                    self._failed = not _append(descriptor, content, self._most, mend=mend)
                    self.why_not = "it is full" if self._failed else ""
                finally:
                    os.close(descriptor)
            except OSError as error:
                self.why_not = error.strerror or type(error).__name__
                self._failed = True  # half a line is the last one: whoever reads it says so


def _wait(seconds: float) -> float:
    """Until the next line of a pass that takes so long already: there are few thousand of any."""
    return SECONDS_BETWEEN * max(1.0, seconds / _FIRST_SECONDS)


def _append(descriptor: int, content: bytes, most_bytes: int, *, mend: bool) -> bool:
    """Returns whether all of it was written. One process at a time: a run's child and parent share a file."""
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    size = os.fstat(descriptor).st_size
    if mend:
        size = _mended(descriptor, size)
    return size + len(content) <= most_bytes and os.write(descriptor, content) == len(content)


def _mended(descriptor: int, size: int) -> int:
    tail = os.pread(descriptor, 2**16, max(0, size - 2**16))
    whole = size - len(tail) + tail.rfind(b"\n") + 1
    if whole < size:
        os.ftruncate(descriptor, whole)
    return whole


@dataclass(frozen=True, slots=True)
class Events:
    """What a file of events holds."""

    lines: tuple[Line, ...]
    sha256: str
    damage: str  # why it was not read to its end, in words

    @property
    def events(self) -> tuple[Event, ...]:
        """Of passes."""
        return tuple(one for one in self.lines if isinstance(one, Event))


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
    found: list[Line] = []
    damage = "it is too long" if len(content) > MOST_BYTES else ""
    for number, line in enumerate(content.splitlines(keepends=True), start=1):
        one = parsed(line, first=not found)
        if isinstance(one, str):
            damage = one or f"line {number:,} is cut, or is no event"
            break
        found.append(one)
    return Events(tuple(found), hashlib.sha256(content).hexdigest(), damage)


def parsed(line: bytes, *, first: bool) -> Line | str:
    """
    One line, or why it is none, in words; empty words for one that is cut or damaged.

    Args:
        line: With its end; without, it is cut.
        first: Whether it is the first of its file, which says what the others are.
    """
    one: Line | None = None
    with suppress(msgspec.MsgspecError, ValueError):
        one = _decode(line if line.endswith(b"\n") else b"")
    if isinstance(one, Begun) and one.schema != SCHEMA:
        one = None
    if first and not isinstance(one, Begun) and line.endswith(b"\n"):
        with suppress(msgspec.MsgspecError, ValueError):
            if isinstance(msgspec.json.decode(line), Mapping):
                return "it was written by another version of ddbverify"
    return one if one is not None and (isinstance(one, Begun) or not first) else ""
