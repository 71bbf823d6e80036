"""What a run's child has compiled and read, held against the files that the evidence is bound to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ddbverify.code.bound import Bound, as_seen_from
from ddbverify.evidence.record import Fact, Record
from ddbverify.words import number_of

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Unbound:
    """
    Files that had a say in a run, and that its evidence would not be about.

    Args:
        files: As seen from the folder of ``migration.toml``: no digest is over these.
        changed: Likewise: the text that was compiled is not the one that the digest is over.
    """

    files: tuple[str, ...]
    changed: tuple[str, ...]

    @property
    def facts(self) -> tuple[Fact, ...]:
        """What the evidence says of it."""
        return (Fact(name="unbound", about="", value=self.files),) if self.files else ()

    @property
    def shortcomings(self) -> Iterator[str]:
        """Why the run is not complete, in words."""
        if self.files:
            yield (
                f"the checks or a transform read {_named(self.files)}, which no digest is over: name it in "
                "[checks] files, or in transform_files if a transform reads it"
            )
        if self.changed:
            yield f"{_named(self.changed)} was changed while the checks were being loaded"


def unbound(recorded: Record, bound: Bound, folder: Path, run_folder: Path) -> Unbound:
    """
    Hold what the child says that it compiled and read against what is bound.

    Args:
        recorded: What the child has written.
        bound: From the start of the run.
        folder: Of ``migration.toml``.
        run_folder: What is read there is the run's own.
    """
    others = {path for path, _ in recorded.compiled if path not in bound.contents}
    own = str(run_folder) + os.sep
    others |= {path for path in bound.others(recorded.reads) if not path.startswith(own)}
    changed = {path for path, text in recorded.compiled if bound.contents.get(path, text) != text}
    return Unbound(as_seen_from(folder, others), as_seen_from(folder, changed))


def _named(files: tuple[str, ...]) -> str:
    left = len(files) - _SHOWN
    return ", ".join(files[:_SHOWN]) + (f" and {number_of(left, 'more file')}" if left > 0 else "")
