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


def renamed(item: dict[str, Any]) -> dict[str, Any]:
    """Call ``room`` otherwise, and leave out what the source keeps for itself."""
    made = {name: value for name, value in item.items() if name not in ("room", "kept")}
    return made | ({"place": item["room"]} if "room" in item else {})


def named_back(item: dict[str, Any], before: dict[str, Any] | None) -> dict[str, Any]:
    """The inverse of `renamed`."""
    made = {name: value for name, value in item.items() if name != "place"}
    kept = {"kept": before["kept"]} if before and "kept" in before else {}
    return made | ({"room": item["place"]} if "place" in item else {}) | kept
