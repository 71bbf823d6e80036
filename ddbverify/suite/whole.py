"""A check that reads the comparison as a whole needs the whole tables. Pure."""

from __future__ import annotations

from ddbverify.compare.comparison import Comparison
from ddbverify.errors import Inconclusive


def require_whole(comparison: Comparison) -> None:
    """
    Make sure that a comparison is of all keys.

    Raises:
        Inconclusive: Only keys that were written since an earlier pass were looked at.
    """
    if comparison.of_changes:
        raise Inconclusive(
            "Not decided: the check reads the whole comparison, and only changes were looked at.",
            "mark it @check(by_key=True) if its claim holds of all keys where it holds of each, or run "
            "without --since.",
        )
