"""Whose a file is: Python's and the installed distributions', or the user's."""

from __future__ import annotations

import functools
import os
import site
import sysconfig
from pathlib import Path

OURS = ("ddbverify", "replicator")
"""Top-level packages that evidence binds by other means, wherever they are installed."""


@functools.cache
def environment_folders() -> tuple[str, ...]:
    """Folders of the standard library and of ``site-packages``, as they are named and where links lead."""
    named = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    named |= {str(Path(os.__file__).parent), *site.getsitepackages(), site.getusersitepackages()}
    return tuple(sorted(named | {os.path.realpath(folder) for folder in named}))


@functools.lru_cache(maxsize=10_000)
def is_python(file: str) -> bool:
    """Whether a file belongs to the standard library."""
    named = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib")}
    folders = named | {os.path.realpath(folder) for folder in named}
    is_there = any(_is_below(file, folder) for folder in folders)
    return is_there and not {"site-packages", "dist-packages"} & set(Path(file).parts)


@functools.lru_cache(maxsize=10_000)
def is_environment(file: str) -> bool:
    """
    Whether a file belongs to Python or to what is installed.

    An editable install is not: its files lie in the user's own folder. A folder that is merely put on
    the path (``PYTHONPATH``, ``pip install --target``) is not either: nothing else binds it.
    """
    places = (file, os.path.realpath(file))
    return any(_is_below(place, folder) for place in places for folder in environment_folders())


def _is_below(file: str, folder: str) -> bool:
    return file.startswith(folder + os.sep)
