"""A transform that leaves things out, and its inverse: what the machine with flips is searched with."""

from __future__ import annotations

from typing import Any

DIES = "dies"
"""The attribute of time to live; item and transformed item have it alike."""

HIDDEN = "hidden"
"""How a value begins that the transform leaves out."""


def narrower(item: dict[str, Any]) -> dict[str, Any] | None:
    """Of a source's item the target's: without `kept`, under another name, and of hidden ones none."""
    if item["v"].startswith(HIDDEN):
        return None
    return {"id": item["id"], "value": item["v"], **_dies(item)}


def wider(item: dict[str, Any], before: dict[str, Any] | None) -> dict[str, Any]:
    """Of a target's item the source's, with what the source has kept."""
    kept = {"kept": before["kept"]} if before and "kept" in before else {}
    return {"id": item["id"], "v": item["value"], **_dies(item), **kept}


def _dies(item: dict[str, Any]) -> dict[str, Any]:
    return {DIES: item[DIES]} if DIES in item else {}
