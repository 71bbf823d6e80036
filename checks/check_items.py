"""Whether every item is the same on both sides, attribute by attribute."""

from __future__ import annotations

from ddbverify import Pair, State, check, only_if, require


@check(covers=["missing", "added", "removed", "value", "type"])
def check_every_item_is_equal(pair: Pair) -> None:
    """
    Every item of the source is in the target, with equal attributes.

    Refuted by: one persistent difference (checks.md in the documentation), or one item that the target lacks.
    Silent about: extra items in the target, items written after the scan began.
    Not applicable: with a transform; check_transform looks at every attribute then.
    Cost: none of its own; it reads the shared pass.
    """
    only_if(not pair.is_reshaped, "with a transform check_transform looks at every attribute")
    require(pair.verdict(State.MISSING, State.DIFFERENT))


@check(covers=["missing", "extraneous", "added", "removed", "value", "type"])
def check_sampled_items_are_equal(pair: Pair) -> None:
    """
    No item in a random draw of whole segments is missing, extra or different.

    Refuted by: one such item.
    Silent about: segments that were not drawn.
    Not applicable: with `coverage = "full"`; the other checks look at every item then.
    Cost: none of its own; the draw is the shared pass.
    """
    only_if(pair.is_sampled, "no sample is drawn: the other checks look at every item that is read")
    require(pair.verdict(State.MISSING, State.EXTRANEOUS, State.DIFFERENT, of=pair.sample))
