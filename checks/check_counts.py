"""Whether the target holds as many items as it should."""

from __future__ import annotations

from ddbverify import Finding, Pair, State, check, comparison_verdict, require


@check(covers=["missing", "extraneous"], by_key=True)
def check_item_counts_agree(pair: Pair) -> None:
    """
    The target holds as many items as the source's items make (through the transform, if any).

    Refuted by: another number of items, counted by the settled scan, never by `ItemCount`.
    Silent about: which items; five lost and five ghost items count as equal (see check_keys).
    Cost: none of its own; it reads the shared pass.
    """
    counts = pair.comparison.counts
    on_both_sides = counts.get(State.MATCHED, 0) + counts.get(State.DIFFERENT, 0)
    expected = on_both_sides + counts.get(State.MISSING, 0)
    found = on_both_sides + counts.get(State.EXTRANEOUS, 0)
    differ = Finding(f"the target should hold {expected} items and holds {found}")
    require(comparison_verdict(pair.comparison, findings=(differ,) if found != expected else ()))
