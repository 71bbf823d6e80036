"""The two tables of a pair, by what they are to it."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """Which table of the pair."""

    SOURCE = "source"
    TARGET = "target"

    @property
    def other(self) -> Role:
        """The other table."""
        return Role.TARGET if self is Role.SOURCE else Role.SOURCE
