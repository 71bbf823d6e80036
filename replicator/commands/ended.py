"""What is known of a migration whose state table is gone: a note that `down` leaves on this machine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ddbverify.config import Config
from ddbverify.errors import EngineError


def note(config: Config, *, at: str, flipped_at: str | None, pairs: Mapping[str, str]) -> None:
    """
    Keep when the migration ended, and how.

    Args:
        at: When `down` removed it.
        flipped_at: When the application was moved; ``None`` if it never was.
        pairs: Pair -> the ARN of its target, empty where there was none yet.

    Raises:
        EngineError: The note cannot be written.
    """
    path = _path(config)
    content = {"name": config.name, "at": at, "flipped_at": flipped_at, "pairs": dict(pairs)}
    try:
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise EngineError(
            f"The note of the migration's end cannot be written: {error.strerror} ({path}).",
            "make room or the folder writable, then run the command again.",
        ) from error


def noted(config: Config) -> dict[str, Any] | None:
    """The note of *config*'s migration; ``None`` where there is none here, or none that can be read."""
    try:
        content = json.loads(_path(config).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    ours = isinstance(content, dict) and content.get("name") == config.name
    return content if ours and {"at", "flipped_at", "pairs"} <= content.keys() else None


def _path(config: Config) -> Path:
    return config.folder / ".ddbverify" / "ended.json"
