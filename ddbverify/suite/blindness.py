"""
Whether a check would have noticed what it claims to notice (``@check(covers=...)``).

It is run again on copies of a few real pairs of items: unaltered, where it has to pass, and altered
in memory in one way at a time, where it must not. Nothing is read or written for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from ddbverify.compare.alterations import ControlKind
from ddbverify.compare.comparison import Comparison
from ddbverify.items.states import State
from ddbverify.suite.pair import Pair, shared_pass
from ddbverify.suite.verdicts import Outcome, learning

_ANY_DIFFERENCE: Final = frozenset(
    str(kind) for kind in (ControlKind.ADDED, ControlKind.REMOVED, ControlKind.VALUE, ControlKind.TYPE)
)
"""Who notices each of these in any attribute looks at every way in which an item can be different."""


def claims_of(covers: Iterable[str]) -> tuple[str, ...]:
    """
    What a check claims of the states that a pass counts, given the controls that it covers.

    Returns:
        ``missing``, ``extraneous``, ``different``, sorted; ``different`` stands for ``value``, ``type``,
        ``added`` and ``removed`` together. One of these alone, or with an attribute (``value:price``),
        stands as it is.
    """
    names = set(covers)
    if names >= _ANY_DIFFERENCE:
        names = names - _ANY_DIFFERENCE | {str(State.DIFFERENT)}
    return tuple(sorted(names))


def covered_attributes(covers: Iterable[str]) -> set[str]:
    """The attributes that ``KIND:ATTRIBUTE`` names mean."""
    return {attribute for _, mark, attribute in (name.partition(":") for name in covers) if mark}


def unnoticed_by(check: Callable[[Pair], object], covers: Iterable[str], pair: Pair) -> str:
    """
    Say what a check claims to notice and has not, in words without values; empty as it should be.

    A control that no item at hand allows (another type, where items have nothing but a key) says
    nothing about the check, unless *covers* names the attribute: then the claim is not proven.

    Args:
        check: It has passed on *pair*.
        covers: As marked; one alteration of each name has to be noticed.
        pair: Its shared pass has been made.
    """
    controls = shared_pass(pair).controls
    if not controls:
        return "there was no pair of items to alter"
    if not _passes(check, pair, controls.unaltered()):
        return "it does not even pass on unaltered copies of a few items"
    left, possible = set(covers), set[str]()
    for altered in controls.altered():
        possible |= altered.names
        if left & altered.names and not _passes(check, pair, altered.comparison):
            left -= altered.names
    blind = sorted(left & possible)
    absent = sorted(name for name in left - possible if ":" in name)
    return "; ".join(
        [
            *([f"altered on purpose, it did not notice: {', '.join(blind)}"] if blind else []),
            *([f"no item at hand could be altered for: {', '.join(absent)}"] if absent else []),
        ]
    )


def _passes(check: Callable[[Pair], object], pair: Pair, comparison: Comparison) -> bool:
    """Whether the check lets these copies pass, its tolerance left aside."""
    with learning() as verdicts:
        try:
            check(pair.seeing(comparison))
        # The user's code: whatever it raises is no pass. Ctrl-C is not its doing.
        except (Exception, SystemExit):  # noqa: BLE001
            return False
    return all(verdict.outcome is Outcome.PASSED for verdict in verdicts)
