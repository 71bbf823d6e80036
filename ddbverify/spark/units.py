"""How the data files of both sides are numbered, so that a number says all that a task has to know. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ddbverify.compare.sides import Role
from ddbverify.exports.export import Export


@dataclass(frozen=True, slots=True)
class Units:
    """
    The source's data files come first. Of each side those of the full export come first, then those of the
    incremental ones in their order: what a later one says of a key stands.

    Args:
        full: How many the full exports have, of the source and the target.
        changes: How many the incremental exports on top of them have, likewise.
    """

    full: tuple[int, int]
    changes: tuple[int, int]

    @classmethod
    def of(cls, exports: Mapping[Role, Export]) -> Units:
        """Those of both sides."""
        source, target = (exports[role] for role in Role)
        return cls(
            (len(source.full.parts), len(target.full.parts)),
            (_on_top(source), _on_top(target)),
        )

    @property
    def sources(self) -> int:
        """How many are of the source: those below this number."""
        return self.full[0] + self.changes[0]

    @property
    def total(self) -> int:
        """How many there are."""
        return sum(self.full) + sum(self.changes)

    def side(self, unit: int) -> int:
        """0: it is of the source; 1: of the target."""
        return int(unit >= self.sources)

    def place(self, unit: int) -> tuple[Role, int]:
        """Whose it is, and which of that side."""
        side = self.side(unit)
        return tuple(Role)[side], unit - side * self.sources

    def is_change(self, unit: int) -> bool:
        """Whether it is of an incremental export."""
        side = self.side(unit)
        return unit - side * self.sources >= self.full[side]

    @property
    def changed(self) -> list[int]:
        """Those of incremental exports."""
        return [unit for unit in range(self.total) if self.is_change(unit)]


def _on_top(export: Export) -> int:
    return sum(len(one.manifest.parts) for one in export.changes)
