"""
How far a repair is, in the run's folder: killed, it goes on behind what it has done.

Nothing depends on it but time. A key that is met again is equal already, and all of them are verified.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from ddbverify.evidence import folders


class _Noted(msgspec.Struct):
    repair: str
    done: int
    fates: dict[str, dict[str, int]]


@dataclass(slots=True)
class Progress:
    """
    One repair's.

    Args:
        path: The file; ``None`` where nothing is written, so that nothing is gone on with.
        repair: What tells this repair from another one.
        done: Findings behind which it is, in the order of the file.
        fates: By pair, what became of their keys.
    """

    path: Path | None
    repair: str
    done: int = 0
    fates: dict[str, Counter[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path, repair: str) -> Progress:
        """What is noted; a beginning where nothing is, or nothing that is understood."""
        path = folder / f"repairing-{repair}.json"
        try:
            noted = msgspec.json.decode(path.read_bytes(), type=_Noted)
        except (OSError, msgspec.MsgspecError):
            return cls(path, repair)
        if noted.repair != repair or noted.done < 0:
            return cls(path, repair)
        return cls(path, repair, noted.done, {pair: Counter(found) for pair, found in noted.fates.items()})

    def add(self, done: int, pair: str, fates: Mapping[str, int]) -> None:
        """Note that it is behind so many findings. Raises OSError."""
        self.done = done
        self.fates.setdefault(pair, Counter()).update(fates)
        if self.path is None:
            return
        noted = _Noted(self.repair, done, {one: dict(found) for one, found in self.fates.items()})
        folders.write_atomically(self.path, msgspec.json.encode(noted))

    def forget(self) -> None:
        """It has come to its end."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
