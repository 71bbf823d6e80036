"""Numbers, values and pages in words, for terminals."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def number_of(number: int, noun: str) -> str:
    """``1,234 findings``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def are(number: int) -> str:
    """``is`` or ``are``, behind a `number_of`."""
    return "is" if number == 1 else "are"


def were(number: int) -> str:
    """``was`` or ``were``, behind a `number_of`."""
    return "was" if number == 1 else "were"


def size_in_words(size_bytes: float) -> str:
    """``3.4 MB``, in powers of 1,000."""
    if size_bytes < 1000:
        return f"{size_bytes:.0f} bytes"
    for unit in ("KB", "MB", "GB"):
        size_bytes /= 1000
        if size_bytes < 999.95:
            return f"{size_bytes:.1f} {unit}"
    return f"{size_bytes / 1000:,.1f} TB"


def duration_in_words(seconds: float) -> str:
    """``under 1 s``, ``90 s``, ``12 min``, ``3.5 h``, ``2.1 days``."""
    if seconds < 1:
        return "under 1 s" if seconds > 0 else "0 s"
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "min")):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"


def instant_in_words(epoch: float) -> str:
    """``2026-01-31 23:59:59 UTC``, of seconds since the epoch."""
    return f"{datetime.fromtimestamp(epoch, UTC):%Y-%m-%d %H:%M:%S} UTC"


def begins_anew(cycle: int) -> str:
    """
    What there is to do where changes may be lost.

    Args:
        cycle: Number of the direction that they were to go along: 0 is the migration itself, 1 the way back.
    """
    if cycle == 0:
        return "`replicator restart` begins anew"
    if cycle % 2:
        return "`replicator settle` gives the way back up, and nothing else ends this"
    return "`replicator down` ends the migration, and nothing else ends this: it was cut over before"


def money(dollars: float) -> str:
    """``$12.34``; ``under $0.01`` for what is less."""
    return f"${dollars:,.2f}" if dollars >= 0.01 or dollars == 0 else "under $0.01"


def about(words: str) -> str:
    """``about $12.34``, and ``under $0.01`` as it is."""
    return words if words.startswith("under") else f"about {words}"


def plain(text: str) -> str:
    """Text as it may go to a terminal: in one line, control characters as ``\\x1b``."""
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)


def as_json(value: Any, *, indent: int | None = None) -> str:
    """
    JSON for people: letters of every script as they are.

    Whatever could steer a terminal is escaped, so that it is still JSON.

    Args:
        value: To show.
        indent: Blanks for each level, a line for each value; all in one line by default.
    """
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return "".join(char if char.isprintable() or char == "\n" else json.dumps(char)[1:-1] for char in text)


def docs_folder() -> Path | None:
    """The folder of the documentation: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parent
    folders = (package / "_docs", package.parent / "docs")
    return next((folder for folder in folders if folder.is_dir()), None)


def page(name: str) -> str:
    """Where a page such as ``checks.md`` is, so that whoever reads a message can open it."""
    folder = docs_folder()
    if folder is None:  # in a bundle
        return f"docs/{name}"
    path = folder / name
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def in_toml(text: str) -> str:
    """A text as a list of TOML holds it."""
    return f"'{text}'" if '"' in text and "'" not in text else json.dumps(text, ensure_ascii=False)
