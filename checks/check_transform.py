"""Whether the target is exactly what the transform makes of the source."""

from __future__ import annotations

from ddbverify import Pair, State, check, only_if, require


@check(covers=["missing", "added", "removed", "value", "type"])
def check_the_target_has_what_the_transform_makes(pair: Pair) -> None:
    """
    What the transform makes of each source item is in the target, attribute by attribute.

    Refuted by: one made item that the target lacks or holds differently.
    Silent about: whether the transform does what its author meant.
    Not applicable: without a transform; check_every_item_is_equal says the same then.
    Cost: none of its own; it reads the shared pass.
    """
    only_if(pair.is_reshaped, "without a transform check_every_item_is_equal says the same")
    require(pair.verdict(State.MISSING, State.DIFFERENT))


@check(covers=["extraneous"])
def check_the_target_has_nothing_that_the_transform_does_not_make(pair: Pair) -> None:
    """
    No item of the target is without a source item that the transform makes it of.

    An item that the transform drops (`None`) must be absent; so must one left under an old key.

    Refuted by: one such item.
    Silent about: items that ought to be there.
    Not applicable: without a transform; check_no_key_is_in_the_target_only says the same then.
    Cost: none of its own; it reads the shared pass.
    """
    only_if(pair.is_reshaped, "without a transform check_no_key_is_in_the_target_only says the same")
    require(pair.verdict(State.EXTRANEOUS))
