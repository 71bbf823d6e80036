"""
How fast a table may be read, and which share of its capacity that takes. Pure.

Whoever else reads a table shares its capacity: of a table that has a limit, a comparison takes half unless
``read_units`` says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ddbverify.tables.table import Table

DEFAULT_SHARE: Final = 0.5


@dataclass(frozen=True, slots=True)
class ReadRate:
    """The ceiling under which a table is read, beside what the table gives."""

    ceiling: float | None  # read units per second; None: as fast as the table answers
    capacity: float | None  # read units per second; None: on demand, without a maximum of its own
    is_provisioned: bool

    @classmethod
    def of(cls, table: Table, ceiling: int | None) -> ReadRate:
        """
        The rate of one table.

        Args:
            table: As described a moment ago; autoscaling may change its capacity later.
            ceiling: ``read_units`` of the settings; ``None`` where nobody has set it.
        """
        is_provisioned = table.billing_mode != "PAY_PER_REQUEST"
        if is_provisioned:
            limit = (table.raw.get("ProvisionedThroughput") or {}).get("ReadCapacityUnits") or 0
        else:
            limit = (table.raw.get("OnDemandThroughput") or {}).get("MaxReadRequestUnits") or 0
        capacity = float(limit) if limit > 0 else None  # -1: a maximum that was taken away
        if ceiling is None and capacity is not None:
            return cls(capacity * DEFAULT_SHARE, capacity, is_provisioned)
        return cls(ceiling, capacity, is_provisioned)

    @property
    def share(self) -> float | None:
        """Fraction of the capacity that reads take, at most 1; ``None`` where there is no limit."""
        if self.capacity is None:
            return None
        return 1.0 if self.ceiling is None else min(1.0, self.ceiling / self.capacity)


def shares_in_words(source: Table, target: Table, ceiling: int | None, *, setting: str) -> Iterator[str]:
    """
    Say what reading two tables is about to take from their other users: a line for each that has a limit.

    Args:
        source: As described a moment ago.
        target: Likewise.
        ceiling: ``read_units`` of the settings.
        setting: What the setting is called where the user can change it.
    """
    for role, table in (("source", source), ("target", target)):
        rate = ReadRate.of(table, ceiling)
        if rate.capacity is None:
            continue
        kind = "is provisioned with" if rate.is_provisioned else "is limited to"
        units = min(rate.capacity, rate.ceiling or rate.capacity)
        change = f"; {setting} changes that" if ceiling is None else f", as {setting} allows"
        yield (
            f"The {role} {table.name} {kind} {rate.capacity:,.0f} read units per second. This takes up to "
            f"{units:,g} of them ({rate.share:.0%}){change}."
        )
