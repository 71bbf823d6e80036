"""The log that `replicator watch` writes of a migration, as far as a page is made of it."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ddbverify.evidence.events import MOST_BYTES, parsed
from ddbverify.evidence.tail import Told, whole

LOG: Final = "watch.jsonl"


@dataclass(frozen=True, slots=True)
class Watched:
    """
    What was read of the log.

    Args:
        told: What it says.
        size: So many bytes of it, whole lines: it grows, and what stands in them stays.
        sha256: Of these.
    """

    told: Told
    size: int
    sha256: str


def read(home: Path, name: str, size: int | None = None) -> Watched | None:
    """
    Read the log as far as its lines are whole; ``None`` where there is none, or one of another migration.

    Args:
        home: Where it lies.
        name: Of the migration.
        size: No more than so many bytes.
    """
    try:
        descriptor = os.open(
            home / LOG, os.O_RDONLY | os.O_NONBLOCK
        )  # a pipe of that name would be waited for
    except OSError:
        return None  # by the way only: `replicator watch` says what is wrong with it
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(MOST_BYTES if size is None else min(size, MOST_BYTES))
    finally:
        os.close(descriptor)
    content = content[: content.rfind(b"\n") + 1]
    told = whole([])
    for line in content.splitlines(keepends=True):
        one = parsed(line, first=told.begun is None)
        if isinstance(one, str):
            told.damage = one or "a line is cut, or is no event"
            break
        told.add(one)
    is_ours = told.begun is not None and (told.begun.of, told.begun.name) == ("migration", name)
    if not is_ours or not told.following:
        return None
    return Watched(told, len(content), hashlib.sha256(content).hexdigest())
