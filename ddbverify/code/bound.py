"""Which files digests are over, and which others, that the user's code has read, count beside them."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import ddbverify
from ddbverify.code.places import OURS
from ddbverify.code.reach import Files


@dataclass(frozen=True, slots=True)
class Bound:
    """
    Files that digests are over, one by one.

    Args:
        contents: Path, links followed -> SHA-256.
        roots: Folders in which no other file may have a say.
    """

    contents: Mapping[str, str]
    roots: tuple[str, ...]

    @classmethod
    def of(cls, files: Iterable[Path], folders: Iterable[Path], modules: Iterable[Files]) -> Bound:
        """
        Read all of them now.

        Args:
            files: That digests are over.
            folders: In which no other file may have a say.
            modules: Nor in the packages that these are in.
        """
        packages = {_package(place, file) for some in modules for place, file in some.items() if "/" in place}
        return cls(
            {os.path.realpath(one): hashlib.sha256(one.read_bytes()).hexdigest() for one in files},
            tuple(sorted({os.path.realpath(one) for one in (*folders, *packages)})),
        )

    def others(self, reads: Iterable[str]) -> set[str]:
        """Of files that were read, those that no digest is over and that count; links followed."""
        return {path for path in map(os.path.realpath, reads) if self._counts(path)}

    def _counts(self, path: str) -> bool:
        if path in self.contents:
            return False
        ours = (Path(ddbverify.__file__).parents[1] / name for name in OURS)
        if any(_is_below(path, str(one)) for one in ours):
            return False
        # An environment, or a repository's own folder, inside of the project.
        return any(
            _is_below(path, root)
            and ".git" not in Path(path).relative_to(root).parts
            and not (_is_below(sys.prefix, root) and _is_below(path, sys.prefix))
            for root in self.roots
        )


def as_seen_from(folder: Path, paths: Iterable[str]) -> tuple[str, ...]:
    """Paths as a list in ``migration.toml`` has them."""
    return tuple(sorted(Path(os.path.relpath(path, folder.resolve())).as_posix() for path in paths))


def _package(place: str, file: Path) -> Path:
    """The folder of the top-level package that a module is in."""
    return file.parents[len(Path(place).parts) - 2]


def _is_below(path: str, folder: str) -> bool:
    return path.startswith(folder + os.sep)
