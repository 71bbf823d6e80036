"""
Keys that one side has given more than once, where nothing moves: with a key that lacks an attribute, say.

Items pair up with equal ones, so that what is equal on both sides is so whatever the key is, and in whatever
order the items came. Of what is left, one item of each side stands for the key as ever; more cannot be told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence, Set
from typing import Any

from ddbverify.compare.as_read import HELD_TWICE
from ddbverify.compare.coscan import KeyJoin
from ddbverify.compare.entries import Waiting
from ddbverify.compare.judge import Judge
from ddbverify.compare.sides import Role
from ddbverify.compare.suspects import Suspect
from ddbverify.compare.tally import Tally
from ddbverify.items.form import ABSENT
from ddbverify.items.keys import JoinKey, typed_key
from ddbverify.items.states import Difference, State


class StillJoin(KeyJoin):
    """The join of two sides that do not move: every item counts, and none takes the place of another."""

    def __init__(self, *rules: Any) -> None:
        """Arguments as `KeyJoin` has them."""
        super().__init__(*rules)
        self._again: list[tuple[Role, JoinKey, Waiting]] = []  # beside another of their key

    def _gives_way(self, role: Role, key: JoinKey) -> int:
        self._again.append((role, key, self._waiting[role][key]))
        return 0

    def _take_waiting(self) -> Iterator[tuple[Role, JoinKey, Waiting]]:
        yield from super()._take_waiting()
        again, self._again = self._again, []
        yield from again

    def _left(self, now: float, complete: dict[Role, bool], known: Set[JoinKey]) -> Iterator[Suspect]:
        return told_apart(list(super()._left(now, complete, known)), self._judge, self._tally)


def told_apart(suspects: Sequence[Suspect], judge: Judge, tally: Tally) -> Iterator[Suspect]:
    """
    The suspects, one for each key.

    Args:
        suspects: All of their keys, as two sides that do not move were seen.
        judge: The rules of the pair.
        tally: Told of items that have an equal partner after all, and of keys that cannot be compared.
    """
    times = Counter(one.key for one in suspects)
    several: dict[JoinKey, list[Suspect]] = {key: [] for key, count in times.items() if count > 1}
    for one in suspects:
        if one.key in several:
            several[one.key].append(one)
        else:
            yield one
    for key, some in several.items():
        yield from _of_one_key(key, some, judge, tally)


def _of_one_key(key: JoinKey, some: Sequence[Suspect], judge: Judge, tally: Tally) -> Iterator[Suspect]:
    expected = Counter(one.expected for one in some if one.expected not in (None, ABSENT))
    target = Counter(one.target for one in some if one.target not in (None, ABSENT))
    equal = expected & target
    tally.matched(equal.total())
    ours, theirs = (list((side - equal).elements()) for side in (expected, target))
    makes_nothing = sum(one.expected == ABSENT and one.prints[0] is not None for one in some)
    for _ in range(makes_nothing - len(theirs)):
        tally.excluded(dropped=True)
    if len(ours) > 1 or len(theirs) > 1:
        shown = typed_key(key, judge.transform.target_keys)
        difference = Difference(state=State.UNCOMPARABLE, key=shown, reason=HELD_TWICE)
        tally.different(difference, expected=True, found=bool(theirs), segment=some[0].segment)
        return
    if not ours and not theirs:
        return
    for one in some:
        if one.expected in ours and one.target in theirs:  # it knows where they differ
            yield one
            return
    unread = any(one.expected is None for one in some), any(one.target is None for one in some)
    yield Suspect(
        key=key,
        owners={key},
        expected=ours[0] if ours else None if unread[0] else ABSENT,
        target=theirs[0] if theirs else None if unread[1] else ABSENT,
        segment=some[0].segment,
    )
