"""Every file below a folder, through links to folders as well: Python and pytest go through them, too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

# What Python and pytest write while they run. Bytecode outside of these folders is imported without a
# source, and therefore bound.
_CACHES = ("__pycache__", ".pytest_cache")


def files_below(folder: Path, leaving_out: str | None = None) -> Iterator[tuple[str, Path]]:
    """
    Name, from *folder* on, and place of every file; a link to a folder that was gone through is left out.

    Args:
        folder: Where to begin.
        leaving_out: The name of a folder in it.
    """
    seen = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        here = Path(place)
        seen.add(here.resolve())
        folders[:] = [
            name
            for name in folders
            if name not in _CACHES
            and not ((here / name).is_symlink() and (here / name).resolve() in seen)
            and not (here == folder and name == leaving_out)
        ]
        for name in files:
            if (here / name).is_file():  # else a pipe, a socket, or a link to nowhere
                yield (here / name).relative_to(folder).as_posix(), here / name


def links_to_nowhere(folder: Path) -> list[Path]:
    """Links below *folder* to what is not there; the locks of Emacs, which are such links, left out."""
    found = [
        Path(place) / name
        for place, _, files in os.walk(folder)
        for name in files
        if not name.startswith(".#")
    ]
    return sorted(file for file in found if file.is_symlink() and not file.exists())


def python_files(folder: Path) -> list[Path]:
    """Those whose name ends as Python's do, sorted."""
    return sorted(file for name, file in files_below(folder) if name.endswith(".py"))
