"""
Attributes whose type in the target is not the expected one, from what the shared pass has found.

Equality is typed, so two equal items have equal types at every place: drift can come from items
that differ only, and those have been looked at already. Pure.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from ddbverify.compare.comparison import Comparison
from ddbverify.items.paths import parse_path, show_path
from ddbverify.items.states import State
from ddbverify.suite.verdicts import Finding, Verdict, comparison_verdict
from ddbverify.words import number_of

_ARROW: Final = " -> "


def drift_verdict(comparison: Comparison) -> Verdict:
    """
    The verdict of "no attribute has another type than it should have".

    One finding for each attribute and change of type, the most frequent first, such as
    "price: S where N is expected, in 12 items". Below an attribute stand the keys of maps, which
    can be data: those are told as "within" it.
    """
    changes: Counter[tuple[str, str]] = Counter()
    untold = 0
    different = comparison.only(State.DIFFERENT)
    for item in different:
        changes.update({_change(path) for path in item.paths if _ARROW in path.rpartition(": ")[2]})
        untold += any(": " not in path for path in item.paths)  # more paths, or an unknown type
    findings = tuple(
        Finding(f"{where}: {what}, in {number_of(count, 'item')}")
        for (where, what), count in sorted(changes.items(), key=lambda one: (-one[1], one[0]))
    )
    about_all = comparison_verdict(comparison)
    unlisted = comparison.counts.get(State.DIFFERENT, 0) - len(different)
    left_out = [
        *([f"{number_of(untold, 'item')} differ in more places than were noted"] if untold else []),
        *([f"of {number_of(unlisted, 'different item')} only the number is known"] if unlisted else []),
    ]
    return Verdict(
        examined=about_all.examined,
        findings=findings,
        unexamined=(*about_all.unexamined, *left_out),
        churning=about_all.churning,
        empty=about_all.empty,
        may_be_empty=about_all.may_be_empty,
    )


def _change(path: str) -> tuple[str, str]:
    name, _, kind = path.rpartition(": ")
    expected, _, found = kind.partition(_ARROW)
    steps = parse_path(name)
    where = show_path(steps[:1])
    return (where if len(steps) == 1 else f"within {where}"), f"{found} where {expected} is expected"
