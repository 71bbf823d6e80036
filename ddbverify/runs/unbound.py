"""What a run's child has compiled and read, held against the files that the evidence is bound to."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import ddbverify
from ddbverify.code.places import OURS
from ddbverify.evidence.digests import Bound
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
    others |= {path for path in map(os.path.realpath, recorded.reads) if _counts(path, bound, run_folder)}
    changed = {path for path, text in recorded.compiled if bound.contents.get(path, text) != text}
    return Unbound(_as_seen_from(folder, others), _as_seen_from(folder, changed))


def _counts(path: str, bound: Bound, run_folder: Path) -> bool:
    if path in bound.contents:
        return False
    ours = (Path(ddbverify.__file__).parents[1] / name for name in OURS)
    if any(_is_below(path, str(one)) for one in (run_folder, *ours)):
        return False
    # An environment, or a repository's own folder, inside of the project.
    return any(
        _is_below(path, root)
        and ".git" not in Path(path).relative_to(root).parts
        and not (_is_below(sys.prefix, root) and _is_below(path, sys.prefix))
        for root in bound.roots
    )


def _is_below(path: str, folder: str) -> bool:
    return path.startswith(folder + os.sep)


def _as_seen_from(folder: Path, paths: set[str]) -> tuple[str, ...]:
    return tuple(sorted(Path(os.path.relpath(path, folder.resolve())).as_posix() for path in paths))


def _named(files: tuple[str, ...]) -> str:
    left = len(files) - _SHOWN
    return ", ".join(files[:_SHOWN]) + (f" and {number_of(left, 'more file')}" if left > 0 else "")
