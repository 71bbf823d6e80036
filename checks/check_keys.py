"""Whether the keys of both tables are the same, in both directions."""

from __future__ import annotations

from ddbverify import Pair, State, check, require


@check(covers=["missing"])
def check_every_source_key_is_in_the_target(pair: Pair) -> None:
    """
    Every key that the source's items make is in the target.

    Refuted by: one key that is missing from the target and stays missing.
    Silent about: attributes, and keys that only the target has.
    Cost: none of its own; it reads the shared pass.
    """
    require(pair.verdict(State.MISSING))


@check(covers=["extraneous"])
def check_no_key_is_in_the_target_only(pair: Pair) -> None:
    """
    Every key of the target is made by an item of the source.

    Refuted by: one key of the target that no source item makes, and that stays.
    Silent about: attributes, and keys that the target lacks.
    Cost: none of its own; it reads the shared pass.
    """
    require(pair.verdict(State.EXTRANEOUS))
