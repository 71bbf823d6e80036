"""
How far a pass has come, so that one that was interrupted goes on: one JSON line per finished segment.

It holds keys that were still open when their segment ended, so only its owner may read it. It is
bound to the comparison that wrote it: to both tables, and to everything that decides what is equal.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ddbverify.errors import ConfigurationError, Inconclusive
from ddbverify.names import TypedItem

_VERSION = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentDone:
    """One segment that was read to its end on both sides."""

    segment: int
    matched: int
    excluded: int  # without the canary
    canary: bool
    scanned: dict[str, int]  # "source", "target" -> items
    read_units: dict[str, float]  # so far, all segments together
    requests: dict[str, int]  # likewise
    open_keys: Sequence[TypedItem] = field(default=(), repr=False)  # neither matched nor excluded


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimsDone:
    """One segment of one table of a re-keyed pair, read to its end; what was in it stands in a `ClaimLog`."""

    role: str
    segment: int
    scanned: int  # items
    read_units: float  # of that table so far, all segments together
    requests: int  # likewise


class Checkpoint:
    """The file of one pass. Threads may share it."""

    def __init__(
        self,
        path: Path,
        finished: Sequence[SegmentDone],
        plan: dict[str, Any] | None,
        claims: Sequence[ClaimsDone] = (),
    ) -> None:
        """Use `Checkpoint.open`."""
        self.path = path
        self.finished = tuple(finished)
        self.claims = tuple(claims)
        self.plan = plan
        self._lock = threading.Lock()

    @classmethod
    def open(cls, path: Path, binding: Sequence[object]) -> Checkpoint:
        """
        Go on from *path*, or begin there.

        Args:
            path: A file that this comparison has written, or that does not exist.
            binding: Everything that the result depends on; another one is another comparison.

        Raises:
            ConfigurationError: It belongs to another comparison, or cannot be read or written.
        """
        bound = hashlib.sha256(json.dumps(binding, default=str).encode()).hexdigest()
        try:
            if not path.exists():
                handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                os.close(handle)
            lines = _whole_lines(path)
        except OSError as error:
            raise ConfigurationError(
                f"The checkpoint {path} cannot be read or written: {error.strerror}.",
                "name another folder with --out.",
            ) from error
        if not lines:
            made = cls(path, (), None)
            made._append({"version": _VERSION, "bound": bound})
            return made
        if (lines[0].get("version"), lines[0].get("bound")) != (_VERSION, bound):
            raise ConfigurationError(
                f"The checkpoint {path} belongs to another comparison: other tables, or other settings.",
                "repeat the command that wrote it, or begin anew in another folder.",
            )
        plans = [line["plan"] for line in lines[1:] if "plan" in line]
        done = [SegmentDone(**line["done"]) for line in lines[1:] if "done" in line]
        claims = [ClaimsDone(**line["claims"]) for line in lines[1:] if "claims" in line]
        return cls(path, done, plans[0] if plans else None, claims)

    @property
    def claims_folder(self) -> Path:
        """Where the `ClaimLog` of a re-keyed pair is."""
        return self.path.with_name(f"{self.path.name}.claims")

    def planned(self, **plan: Any) -> None:
        """Note how the tables are cut; later runs have to cut them the same way."""
        if self.plan is None:
            self.plan = plan
            self._append({"plan": plan})

    def done(self, segment: SegmentDone) -> None:
        """Note a segment; it is safe from a kill of the process when this returns."""
        self._append({"done": asdict(segment)})

    def claims_done(self, segment: ClaimsDone) -> None:
        """Likewise, of one table of a re-keyed pair, once its claims are on the disk."""
        self._append({"claims": asdict(segment)})

    def _append(self, line: dict[str, Any]) -> None:
        try:
            with self._lock, self.path.open("a", encoding="ascii") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise Inconclusive(
                f"The checkpoint {self.path} cannot be written: {error.strerror}.",
                "free the disk, then run the command again with --resume.",
            ) from error


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    """The lines that were written to their end; half a line, of a killed process, is cut off."""
    content = path.read_bytes()
    end = content.rfind(b"\n") + 1
    if end < len(content):
        with path.open("r+b") as file:
            file.truncate(end)
    try:
        return [json.loads(line) for line in content[:end].splitlines()]
    except ValueError as error:
        raise ConfigurationError(
            f"The checkpoint {path} is damaged.", "begin anew in another folder."
        ) from error
