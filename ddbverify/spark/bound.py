"""
What binds the user's code in tasks of a gated run: it is compiled from its text, and what it reads is told.

A gated run does this in its own process (`ddbverify.code.source`, `ddbverify.code.reads`). A task does the
same, and leaves what it has seen in its receipt: the run holds that against the digests it is bound to.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from ddbverify.code import reads, source
from ddbverify.code.places import OURS


class Bound(msgspec.Struct, frozen=True):
    """What counts as the user's; see `source.install`."""

    own: frozenset[str]
    folders: frozenset[str]


class Seen(msgspec.Struct, frozen=True):
    """What tasks of one process have loaded and read."""

    reads: tuple[str, ...] = ()
    compiled: tuple[tuple[str, str], ...] = ()  # path and SHA-256 of texts that are none of the transform's


def here() -> Bound | None:
    """How this process is bound; ``None``: it is not, and tasks need not be."""
    installed = source.installed()
    return None if installed is None else Bound(*installed)


def begin(bound: Bound | None) -> None:
    """Bind the process of a task, before it loads anything of the user's."""
    if bound is not None:
        source.install(bound.own, bound.folders)
        reads.watch()


def seen(bound: Bound | None, code: Mapping[str, str]) -> bytes:
    """
    What this process has loaded and read so far, for a receipt.

    Args:
        bound: As at the beginning.
        code: Digests of the transform's files, which are the same where the run is.
    """
    if bound is None:
        return b""
    read: list[str] = []
    reads.report(read.append)
    reads.rest()
    known = frozenset(code.values())
    loaded = (path for path in source.loaded_otherwise() if not _is_archive_of(path, known))
    compiled = (one for one in source.compiled() if one[1] not in known)
    return msgspec.msgpack.encode(Seen((*read, *sorted(loaded)), tuple(sorted(compiled))))


def take(receipt: bytes) -> None:
    """Take what a task has seen for seen here."""
    if not receipt:
        return
    found = msgspec.msgpack.decode(receipt, type=Seen)
    source.compiled_elsewhere(found.compiled)
    for path in found.reads:
        reads.seen_elsewhere(path)


def _is_archive_of(path: str, known: frozenset[str]) -> bool:
    """Whether *path* is an archive (``--py-files``) of which only texts of *known* digests are loaded."""
    if not Path(path).is_file() or path.endswith((".py", ".so", ".pyd")):
        return False
    for name, module in list(sys.modules.items()):
        spec = getattr(module, "__spec__", None)
        origin, loader = getattr(spec, "origin", None), getattr(spec, "loader", None)
        if not isinstance(origin, str) or not origin.startswith(path) or name.partition(".")[0] in OURS:
            continue
        if not _is_text_of(loader, origin, known):
            return False
    return True


def _is_text_of(loader: Any, origin: str, known: frozenset[str]) -> bool:
    try:
        text: bytes = loader.get_data(origin)
    except (AttributeError, OSError):
        return False
    return hashlib.sha256(text).hexdigest() in known
