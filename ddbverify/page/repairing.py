"""What a page offers to repair: causes to choose from, of which its script makes a plan. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ddbverify.evidence import plans
from ddbverify.evidence.repairs import CauseOf
from ddbverify.page.origin import Origin

MOST_OFFERED: Final = 100


@dataclass(frozen=True, slots=True)
class RepairView:
    """What ``repair.json`` beside the evidence has."""

    version: int
    digest: str
    keys: int
    causes: tuple[CauseOf, ...]
    more: int


def view_of(origin: Origin) -> RepairView | None:
    """What can be repaired; ``None`` where nothing can, or nobody knows."""
    tail = origin.repair
    if tail is None or not tail.listed:
        return None
    ranked = sorted(tail.causes, key=lambda one: -one.findings)
    return RepairView(
        version=plans.VERSION,
        digest=tail.digest,
        keys=tail.listed,
        causes=tuple(ranked[:MOST_OFFERED]),
        more=max(0, len(ranked) - MOST_OFFERED),
    )
