"""What a key is whose sides do not move, by what was read of them: the last word, without a look."""

from __future__ import annotations

from ddbverify.compare.inspection import Inspector
from ddbverify.compare.judge import Judge, Uncomparable
from ddbverify.compare.tally import Tally
from ddbverify.items.form import UnknownValue
from ddbverify.items.keys import JoinKey, typed_key
from ddbverify.items.lazy import LazyItem
from ddbverify.items.raw import decode_item
from ddbverify.items.states import Difference, State
from ddbverify.names import TypedItem

_UNREAD = "what could hold it was not read to its end"

HELD_TWICE = "one side holds this key more than once"


class AsRead:
    """Decides keys of one re-keyed pair, and tells what became of them."""

    def __init__(self, judge: Judge, tally: Tally, inspector: Inspector | None) -> None:
        """Decide under the rules of *judge*; tell *tally*, and show pairs to *inspector*."""
        self._judge, self._tally, self._inspector = judge, tally, inspector

    def contested(self, key: JoinKey, *, found: bool) -> None:
        """Several source items claim *key*."""
        reason = "several source items claim this target key"
        self._tell(key, State.UNCOMPARABLE, reason=reason, expected=True, found=found)

    def held_twice(self, key: JoinKey, *, expected: bool) -> None:
        """The target holds *key* more than once."""
        self._tell(key, State.UNCOMPARABLE, reason=HELD_TWICE, expected=expected, found=True)

    def decide(
        self,
        key: JoinKey,
        made: bytes | None,
        source: bytes | None,
        raw: bytes | None,
        now: float,
        *,
        is_known: bool,
    ) -> None:
        """
        Decide about a key that did not match.

        Args:
            key: Of the target.
            made: What a source item makes it hold; ``None``: nothing does.
            source: That item.
            raw: What it holds; ``None``: nothing was met.
            now: The moment at which both sides were as they were read.
            is_known: Whether it is known what the target holds.
        """
        if not is_known:
            self._tell(key, State.UNDECIDED, reason=_UNREAD, expected=made is not None, found=False)
            return
        expected, target = _decoded(made), _decoded(raw)
        made_of = [] if source is None else [decode_item(source)]
        found = target is not None
        try:
            state = self._judge.verdict(expected, target, now, made_of)
            paths: tuple[str, ...] = ()
            if state is State.DIFFERENT and expected is not None and target is not None:
                paths = self._judge.paths(expected, target)
        except (Uncomparable, UnknownValue) as error:
            self._tell(key, State.UNCOMPARABLE, reason=str(error), expected=True, found=found)
            return
        if state is State.EXCLUDED:
            self._tally.excluded()
            return
        different = state is State.DIFFERENT
        if state is State.MATCHED and expected is not None and target is not None:
            self._tally.matched(1)
            different = self._tally.by_word_of(self._judge.credit(expected, target))
        else:
            self._tell(key, state, paths=paths, expected=expected is not None, found=found)
        if self._inspector and expected is not None and target is not None:
            shown = map(LazyItem.of_typed, (made_of[0], target, expected))
            self._inspector.pair(lambda: key, *shown, different=different)

    def _tell(
        self,
        key: JoinKey,
        state: State,
        *,
        expected: bool,
        found: bool,
        paths: tuple[str, ...] = (),
        reason: str = "",
    ) -> None:
        shown = typed_key(key, self._judge.transform.target_keys)
        difference = Difference(state=state, key=shown, paths=paths, reason=reason)
        self._tally.different(difference, expected=expected, found=found)


def _decoded(raw: bytes | None) -> TypedItem | None:
    return None if raw is None else decode_item(raw)
