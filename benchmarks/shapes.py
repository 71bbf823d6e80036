"""Functions to measure with: what they cost is not their own work, but that of calling them for each item."""

from __future__ import annotations

from typing import Any


def identity(item: dict[str, Any]) -> dict[str, Any]:
    """The same item."""
    return item


INTERNAL = "internal"
"""An attribute that only the follower has."""


def without_internal(item: dict[str, Any]) -> dict[str, Any]:
    """What leads, of what follows on a way back."""
    return {name: value for name, value in item.items() if name != INTERNAL}


def with_internal(item: dict[str, Any], before: dict[str, Any] | None) -> dict[str, Any]:
    """The inverse: what the follower held of its own stays."""
    return item if before is None or INTERNAL not in before else {**item, INTERNAL: before[INTERNAL]}
