"""Whether the source would become again what it was, were the target written and replicated back."""

from __future__ import annotations

from ddbverify import Pair, inverse_verdict, only_if, require


def check_the_inverse_holds(pair: Pair) -> None:
    """
    Both laws hold: `transform(inverse(item, before)) == item`, and `inverse(transform(item), item) == item`.

    Looked at are up to 1,000 items of the source, of random segments, drawn anew in each run.

    Refuted by: one of them of which a law does not hold, or on which the inverse raises.
    Silent about: all other items; items of the target that the transform never makes.
    Not applicable: without `inverse`.
    Cost: up to 50 pages of the source.
    """
    only_if(pair.settings.inverse is not None, "the pair has no inverse")
    require(inverse_verdict(pair))
