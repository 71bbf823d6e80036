"""
What the shop's tables may differ in while they move.

Each function is a hook of ddbverify (docs/plugins.md), and takes those of the hook's arguments that
it wants. None keeps anything between calls: it is asked twice, and has to answer the same.
"""

from __future__ import annotations

import os
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from ddbverify import Difference, KnownDifference, hookimpl

RATING_MAY_BE_OFF_BY = Decimal("0.05")
REPORT = "shop-report.txt"

# Key of the order -> why it may differ, and until when. Somebody has to look again on that day.
KNOWN = {
    "order-1017": KnownDifference("SHOP-482: was deleted by hand, support decides", date(2099, 3, 31)),
}


@hookimpl
def ddbverify_check_files() -> list[Path]:
    """Every order has an owner, on both sides."""
    return [Path(__file__).with_name("check_owners.py")]


@hookimpl
def ddbverify_normalise_item(item: dict[str, Any]) -> dict[str, Any] | None:
    """Addresses of e-mail count in small letters."""
    email = item.get("email")
    return {**item, "email": email.lower()} if isinstance(email, str) else None


@hookimpl
def ddbverify_compare_values(path: str, expected: object, target: object) -> bool | None:
    """Ratings are rounded by the new service. Of all else there is no opinion."""
    if path != "rating" or not isinstance(expected, Decimal) or not isinstance(target, Decimal):
        return None
    return abs(expected - target) <= RATING_MAY_BE_OFF_BY


@hookimpl
def ddbverify_known_difference(difference: Difference) -> KnownDifference | None:
    """The orders of `KNOWN`, as long as they are missing: anything else about them is news."""
    if difference.state != "missing":
        return None
    return KNOWN.get(difference.key["id"]["S"])


@hookimpl
def ddbverify_report(evidence: dict[str, Any], folder: Path) -> None:
    """A line for the dashboard, beside the run's own files."""
    moved = sum(pair["comparison"]["counts"]["matched"] for pair in evidence["pairs"] if pair["comparison"])
    line = f"{evidence['run_id']} {evidence['verdict']}: {moved} orders are where they belong\n"
    (folder / REPORT).write_text(line, encoding="utf-8")


@hookimpl
def ddbverify_gate_veto() -> str | None:
    """Whoever is on call sets SHOP_FREEZE to the reason."""
    return os.environ.get("SHOP_FREEZE") or None
