"""Whether every attribute has the type that it should have."""

from __future__ import annotations

from ddbverify import Pair, check, drift_verdict, require


@check(covers=["type"], by_key=True)
def check_no_attribute_changes_its_type(pair: Pair) -> None:
    """
    No attribute of an item in the target has another type than it should have (a number as text, say).

    Refuted by: one item in which it has. The finding names attribute, types and number of items.
    Silent about: items that are on one side only, and values.
    Cost: none of its own. Items that are equal have equal types, and the shared pass has looked
    at those that differ, so no equal item is decoded for it.
    """
    require(drift_verdict(pair.comparison))
