"""
Which files the user's code reads while checks are loaded and called, seen through Python's audit events.

What a program that the code starts reads, or a library in C by itself, is not seen: Python tells nothing
of it.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import ddbverify
from ddbverify.code.places import environment_folders, is_environment, is_python

_OURS = str(Path(ddbverify.__file__).parent) + os.sep

# What these read by themselves decides nothing: sources for tracebacks, settings of a client, a database
# of examples that were tried before.
_READERS = (
    *("_pytest", "pytest", "pluggy", "boto3", "botocore", "s3transfer", "urllib3", "rich", "hypothesis"),
)

_seen: set[str] = set()
_made: set[str] = set()  # by this process: what is in them comes from no one else
_is_watching = False
_tell: Callable[[str], None] | None = None


def watch() -> None:
    """Begin, for the whole process."""
    global _is_watching
    if not _is_watching:
        _is_watching = True
        sys.addaudithook(_look)


def report(tell: Callable[[str], None]) -> None:
    """Let *tell* have the path of every file that was read, and from now on of each that is."""
    global _tell
    _tell = tell
    for path in sorted(_seen):
        tell(path)


def seen_elsewhere(path: str) -> None:
    """Take a file that another process of this session has read for read here."""
    if _is_watching and path not in _seen and path not in _made:
        _seen.add(path)
        if _tell is not None:
            _tell(path)


def rest() -> None:
    """Tell nobody any more."""
    global _tell
    _tell = None


def _look(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open":
        path, _, flags = arguments
        _opened(path, flags)
    elif event == "sqlite3.connect":
        _opened(_of_a_database(arguments[0]), os.O_RDONLY)
    elif event == "os.rename":
        source, target = (_absolute(one) for one in arguments[:2])
        if source in _made and target is not None:
            _made.add(target)


def _opened(file: Any, flags: int) -> None:
    path = _absolute(file)
    if path is None or is_environment(path) or path.startswith(_OURS):
        return
    if flags & (os.O_TRUNC | os.O_EXCL):
        _made.add(path)
        return
    only_written = flags & os.O_ACCMODE == os.O_WRONLY
    if only_written or path in _seen or path in _made or not os.path.isfile(path):  # noqa: PTH113 - no event of its own
        return
    if _is_by_the_user(sys._getframe(2)):  # noqa: SLF001 - who reads is nowhere else to be had
        # Without a lock: code that a signal or a finalizer runs may open a file in the middle of this.
        _seen.add(path)
        tell = _tell
        if tell is not None:
            tell(path)


def _absolute(file: Any) -> str | None:
    try:
        return os.path.abspath(os.fsdecode(file))  # noqa: PTH100 - a Path would resolve links
    except (TypeError, OSError, ValueError):  # a descriptor; a folder that is gone
        return None


def _of_a_database(name: Any) -> Any:
    text = name if isinstance(name, str) else ""
    return text.removeprefix("file:").partition("?")[0] if text.startswith("file:") else name


def _is_by_the_user(frame: FrameType | None) -> bool:
    """The innermost frame that is none of Python's own decides; without one, nobody else can have asked."""
    while frame is not None:
        whose = _whose(frame.f_code.co_filename)
        if whose != "python":
            return whose == "user"
        frame = frame.f_back
    return True


@functools.lru_cache(maxsize=10_000)
def _whose(file: str) -> str:
    if file.startswith("<frozen ") or is_python(file):
        return "python"
    if file.startswith(_OURS):
        return "ours"
    for folder in sorted(environment_folders(), key=len, reverse=True):  # one may lie in another
        if file.startswith(folder + os.sep):
            top = file.removeprefix(folder + os.sep).partition(os.sep)[0].removesuffix(".py")
            return "ours" if top in _READERS else "user"
    return "user"
