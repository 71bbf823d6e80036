"""Transforms for the films of the DynamoDB developer guide (``year`` N, ``title`` S, ``info`` M)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any


def by_release(film: dict[str, Any]) -> dict[str, Any] | None:
    """Rename the hash key, turn the rating into whole tenths, and leave short films out."""
    info = dict(film.get("info") or {})
    if "Short" in info.get("genres", []) or info.get("running_time_secs", Decimal(9999)) < 3600:
        return None
    if "rating" in info:
        info["rating_tenths"] = str(int(info.pop("rating") * 10))
    others = {name: value for name, value in film.items() if name not in ("year", "info")}
    return {"released": film["year"], **others, "info": info}


def by_id(film: dict[str, Any]) -> dict[str, Any]:
    """One string key of year and title. ``demo_name``, where a film has one, stands for its title."""
    others = {name: value for name, value in film.items() if name not in ("year", "title")}
    return {"id": f"{film['year']}#{film.get('demo_name', film['title'])}", "name": film["title"], **others}


def from_release(film: dict[str, Any], before: dict[str, Any] | None) -> dict[str, Any]:
    """The inverse of `by_release`: what that leaves out (the rating's other digits) is as it was before."""
    old = (before or {}).get("info") or {}
    info = dict(film["info"])
    tenths = info.pop("rating_tenths", None)
    if tenths is not None:
        kept = "rating" in old and str(int(old["rating"] * 10)) == tenths
        info["rating"] = old["rating"] if kept else Decimal(tenths) / 10
    others = {name: value for name, value in film.items() if name not in ("released", "info")}
    made = {"year": film["released"], **others, "info": info}
    if not info and before is not None and not old:  # `by_release` makes an empty one where there is none
        del made["info"]
        made |= {name: value for name, value in before.items() if name == "info"}
    return made
