"""The history's transforms; copied beside its ``migration.toml``, and bundled from there."""

from __future__ import annotations

from typing import Any


def marked(item: dict[str, Any]) -> dict[str, Any] | None:
    """Keep the key, leave hidden items out, and stumble over poisoned ones."""
    if "poison" in item:
        raise LookupError
    return None if "hidden" in item else {**item, "shape": "marked"}


def moved(item: dict[str, Any]) -> dict[str, Any] | None:
    """Another key for each item, by what it holds: a change of ``room`` moves it."""
    if "poison" in item:
        raise LookupError
    if "hidden" in item:
        return None
    return {**item, "id": f"{item['room']}/{item['id']}", "of": item["id"]}
