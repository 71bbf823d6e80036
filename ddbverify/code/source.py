"""
The user's Python files are compiled from their text in this process, and never read from bytecode.

A ``.pyc`` beside a file may hold another, weaker text of the same size and time, and would decide. What was
compiled is kept by its digest, so that evidence can be about that text and not about what the file held
before or after.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable
from importlib.machinery import SourceFileLoader, SourcelessFileLoader
from pathlib import Path
from types import CodeType
from typing import Any

from ddbverify.code.places import OURS, is_environment
from ddbverify.code.reach import existing

_compiled: set[tuple[str, str]] = set()
_own: set[str] = set()
_folders: set[str] = set()

_bytecode_or_source = SourceFileLoader.get_code
_bytecode = SourcelessFileLoader.get_code


def install(own: Iterable[str] = (), folders: Iterable[Path | str] = ()) -> None:
    """
    From now on, for the whole process.

    Args:
        own: Top-level packages that count as the user's though they are installed: those of transforms and
            plugins.
        folders: Likewise: that of the checks, which may be the default suite of an installation.
    """
    _own.update(own)
    _folders.update(str(folder) + os.sep for folder in folders)
    SourceFileLoader.get_code = _from_source  # type: ignore[method-assign, assignment]
    SourcelessFileLoader.get_code = _refuse_bytecode  # type: ignore[method-assign]


def installed() -> tuple[frozenset[str], frozenset[str]] | None:
    """What `install` was told, for another process; ``None`` where it was not called."""
    if SourceFileLoader.get_code is not _from_source:
        return None
    return frozenset(_own), frozenset(folder.removesuffix(os.sep) for folder in _folders)


def compiled_elsewhere(texts: Iterable[tuple[str, str]]) -> None:
    """Take what another process of this session has compiled for compiled here."""
    _compiled.update(texts)


def compiled() -> frozenset[tuple[str, str]]:
    """Path and SHA-256 of every text of the user's that was compiled; a file that changed is there twice."""
    return frozenset(_compiled)


def loaded_otherwise() -> set[str]:
    """Files of the user's whose modules are loaded, and from no text that was seen: extensions, archives."""
    seen = {path for path, _ in _compiled}
    found = set()
    for name, module in list(sys.modules.items()):
        file = getattr(getattr(module, "__spec__", None), "origin", None) or getattr(module, "__file__", None)
        there = existing(file) if isinstance(file, str) else None  # the archive, of a module in one
        if there is not None and _is_users(name, str(there.absolute())):
            real = os.path.realpath(there)
            if real not in seen and name.partition(".")[0] not in OURS:
                found.add(real)
    return found


def _is_users(module: str, file: str) -> bool:
    is_own = module.partition(".")[0] in _own or file.startswith(tuple(_folders))
    return is_own or not is_environment(file)


def _from_source(self: SourceFileLoader, fullname: str) -> CodeType | None:
    path = self.get_filename(fullname)
    if fullname.partition(".")[0] in OURS or not _is_users(fullname, path):
        return _bytecode_or_source(self, fullname)
    text = self.get_data(path)
    _compiled.add((os.path.realpath(path), hashlib.sha256(text).hexdigest()))
    code: Any = self.source_to_code(text, path)
    return code  # type: ignore[no-any-return]


def _refuse_bytecode(self: SourcelessFileLoader, fullname: str) -> CodeType | None:
    path = self.get_filename(fullname)
    if not _is_users(fullname, path):
        return _bytecode(self, fullname)
    raise ImportError(
        f"{fullname} is there as bytecode only ({os.path.basename(path)}), which nobody can review: put its "  # noqa: PTH119
        "source beside it, or remove it",
        name=fullname,
        path=path,
    )
