"""
Which way is cheapest: this one is held against those that AWS has for less than a migration needs. Pure.

Source:
    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/stack-refactoring.html,
    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_HowItWorks.html
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from replicator.aws.prices import PRICES, Prices
from replicator.estimate.moved import GB, Moved

REFACTORING: Final = "stack refactoring"
GLOBAL: Final = "global table"
RESTORE: Final = "restore alone"
REPLICATOR: Final = "backup and stream"


@dataclass(frozen=True, slots=True)
class Way:
    """
    One way to get from source to target.

    Args:
        usd: What it costs, as far as that is known; ``None``: not known, or it is not possible.
        is_possible: Whether it ends with the table that the settings ask for, without losing a write.
        why: Why, or why not, and what is to know of it.
    """

    name: str
    usd: float | None
    is_possible: bool
    why: str

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {"name": self.name, "usd": self.usd, "possible": self.is_possible, "why": self.why}


def ways(moved: Moved, *, days: float, ours_usd: float | None, at: Prices = PRICES) -> list[Way]:
    """
    All ways for a pair, this one last.

    Args:
        days: How long source and target are there side by side.
        ours_usd: What moving it with this tool costs; ``None`` where a part is not known.
    """
    return [
        _refactoring(moved),
        _global(moved, days, at),
        _restore(moved, days, at),
        Way(
            REPLICATOR,
            ours_usd,
            moved.source != moved.target,
            "any name, region, account, key and shape; verified before the application moves"
            if moved.source != moved.target
            else "source and target are one table: `up` refuses",
        ),
    ]


def cheapest(found: Sequence[Way]) -> Way | None:
    """
    The cheapest of the ways that are possible; ``None`` where none is, or a price decides that nobody knows.

    A way that moves nothing needs no price of the others.
    """
    possible = [one for one in found if one.is_possible]
    free = [one for one in possible if one.usd == 0]
    if free:
        return free[0]
    if not possible or (len(possible) > 1 and any(one.usd is None for one in possible)):
        return None
    return min(possible, key=lambda one: one.usd or 0.0)


def _refactoring(moved: Moved) -> Way:
    if moved.source == moved.target:
        why = "the table stays the same table; another logical id or another stack is all that it gets"
        return Way(REFACTORING, 0.0, True, why)
    return Way(
        REFACTORING, None, False, "it moves a table between stacks, and makes none: the target is another"
    )


def _global(moved: Moved, days: float, at: Prices) -> Way:
    if moved.source == moved.target:
        return Way(GLOBAL, None, False, "source and target are one table")
    names = {arn.rpartition("/")[2] for arn in (moved.source, moved.target)}
    lacks = [
        why
        for why, is_so in (
            ("a transform changes the items", moved.transforms),
            ("a replica has the table's own name", len(names) > 1),
            ("a region has one replica", not moved.crosses_regions),
            ("the target is there already", moved.target_exists),
        )
        if is_so
    ]
    if lacks:
        return Way(GLOBAL, None, False, f"not here: {', and '.join(lacks)}")
    writes = moved.writes_per_second
    usd = None
    if writes is not None:
        transferred = (
            moved.gigabytes + 86_400 * days * (moved.changes_per_second or 0.0) * moved.item_bytes / GB
        )
        usd = (
            moved.gigabytes * at.restore_gb
            + transferred * at.transfer_gb
            + 86_400 * days * writes * (1 + moved.indexes) * at.write_units / 1e6
            + moved.gigabytes * at.storage_gb_month * days / 30
        )
    account = " over accounts (both are asked for it)" if moved.crosses_accounts else ""
    why = (
        f"add a replica{account}: AWS operates it, nobody waits behind a fence, and both replicas take "
        "writes; the last one wins"
    )
    return Way(GLOBAL, usd, True, why)


def _restore(moved: Moved, days: float, at: Prices) -> Way:
    """Never a way for a table that is written to; the price shows what the stream is for."""
    if moved.is_loaded or moved.source == moved.target:
        return Way(RESTORE, None, False, "a backup cannot become this target")
    usd = moved.gigabytes * (at.restore_gb + at.storage_gb_month * days / 30)
    usd += moved.gigabytes * at.transfer_gb if moved.crosses_regions else 0.0
    why = "only for a table that nobody writes to meanwhile: what is written later stays behind"
    return Way(RESTORE, usd, False, why)
