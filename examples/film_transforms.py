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
