"""An event log as it grows: what has been written so far, thinned so that weeks of it stay small."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from ddbverify.evidence.events import Begun, Checked, Event, Judged, parsed
from ddbverify.evidence.following import Following, Moving

MOST_KEPT: Final = 400
"""Moments of a pair. Of more every second one is let go, so that old ones lie further apart."""

_Moment = TypeVar("_Moment", Event, Following)

_AT_ONCE: Final = 4 * 2**20


@dataclass(slots=True)
class Told:
    """What a log has told so far."""

    begun: Begun | None = None
    passes: dict[str, list[Event]] = field(default_factory=dict)  # by pair, in order
    checks: dict[tuple[str, str], Checked] = field(default_factory=dict)  # by name and pair: the last word
    verdict: Judged | None = None
    following: dict[str, list[Following]] = field(default_factory=dict)  # by pair, in order
    moving: Moving | None = None
    damage: str = ""  # why it is not read on, in words

    def add(self, line: object) -> None:
        """Take one more line."""
        match line:
            case Begun():  # a diff that goes on has another one, and each watch of a migration
                if self.begun is not None and self.begun.name != line.name:
                    self.passes, self.checks, self.following, self.moving = {}, {}, {}, None
                self.begun, self.verdict = line, None
            case Event():
                _keep(self.passes.setdefault(line.pair, []), line)
            case Checked():
                self.checks[line.check, line.pair or ""] = line
            case Judged():
                self.verdict = line
            case Following():
                _keep(self.following.setdefault(line.pair, []), line)
            case Moving():
                self.moving = line


def _keep(kept: list[_Moment], one: _Moment) -> None:
    kept.append(one)
    if len(kept) > MOST_KEPT:
        # The first and the newest stay.
        kept[1:-1] = kept[2:-1:2]


def whole(lines: Sequence[object]) -> Told:
    """What a log that has been read tells."""
    told = Told()
    for line in lines:
        told.add(line)
    return told


class Tail:
    """Reads a log on from where it was, and from its beginning where another one has its name."""

    def __init__(self, path: Path) -> None:
        """
        Prepare; nothing is read yet.

        Args:
            path: Of the log, which need not be there.
        """
        self.path = path
        self.told = Told()
        self.place = ""  # what the log is, and how far it was read: the same for the same log
        self._file: tuple[int, int] | None = None
        self._offset, self._rest = 0, b""

    def poll(self) -> bool:
        """
        Read what has come.

        Returns:
            Whether something has, or another log has taken the place of this one.
        """
        try:
            # A pipe of that name would be waited for.
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return False  # not yet there, or just being replaced: what was told stands
        try:
            return self._read(descriptor)
        finally:
            os.close(descriptor)

    def _read(self, descriptor: int) -> bool:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return self._ends("it is no file")
        file = status.st_dev, status.st_ino
        replaced = self._file is not None and (file != self._file or status.st_size < self._offset)
        if replaced:
            self.told, self._offset, self._rest = Told(), 0, b""
        self._file = file
        came = False
        while not self.told.damage and (content := os.pread(descriptor, _AT_ONCE, self._offset)):
            self._offset += len(content)
            *lines, self._rest = (self._rest + content).split(b"\n")
            for line in lines:
                came = True
                self._take(line + b"\n")
        name = self.told.begun.name if self.told.begun else ""
        self.place = f"{name}:{self._offset - len(self._rest)}"
        return came or replaced

    def _take(self, line: bytes) -> None:
        one = parsed(line, first=self.told.begun is None)
        if isinstance(one, str):
            self.told.damage = self.told.damage or one or "a line is cut, or is no event"
        elif not self.told.damage:
            self.told.add(one)

    def _ends(self, why: str) -> bool:
        is_new, self.told.damage = not self.told.damage, why
        return is_new
