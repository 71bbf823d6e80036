"""Items that match as they were read: found by their bytes, or through the transform, and shown to checks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from ddbverify.compare.inspection import Inspector
from ddbverify.compare.judge import Judge
from ddbverify.compare.shortcut import Made, Shortcut
from ddbverify.items.keys import JoinKey
from ddbverify.items.lazy import LazyItem
from ddbverify.items.raw import surely_equal
from ddbverify.items.transform import Before

Raw = bytes | msgspec.Raw
KeyOf = Callable[[Raw], JoinKey]


class AtOnce:
    """The quick yes of one pair whose keys go one to one. A no says nothing; the `Judge` decides then."""

    def __init__(self, judge: Judge, inspector: Inspector | None) -> None:
        """Follow the rules of *judge*; show what matches to *inspector*."""
        self._bytes_decide = judge.transform.function is None
        self._shortcut = Shortcut(judge)
        self._inspector = inspector if inspector and inspector.wants_equal else None

    def in_order(self, key_of: KeyOf, sources: Sequence[msgspec.Raw], targets: Sequence[msgspec.Raw]) -> int:
        """How many items match, from the first on. Both are equally long."""
        if self._bytes_decide:
            return self._as_they_are(key_of, sources, targets)
        count = 0
        if self._shortcut.leads_anywhere:
            for source, target in zip(sources, targets, strict=True):
                made = self._shortcut.made(source, target)
                if made is None:
                    break
                count += 1
                if self._inspector is not None:
                    self._show(self._inspector, key_of(source), source, target, made)
        return count

    def match(self, key: JoinKey, source: bytes, target: bytes) -> bool:
        """Whether two items of one key match."""
        if self._bytes_decide:
            if source != target and not surely_equal(source, target):
                return False
            if self._inspector is not None:
                ours, theirs = LazyItem.of_raw(source), LazyItem.of_raw(target)
                self._inspector.pair(lambda: key, ours, theirs, ours)
            return True
        made = None
        if self._shortcut.leads_anywhere and not self._shortcut.has_called(source):
            made = self._shortcut.made(source, target)
        if made is not None and self._inspector is not None:
            self._show(self._inspector, key, source, target, made)
        return made is not None

    def before(self, source: bytes) -> Before | None:
        """What the transform has made of an item that did not match at once; forgotten with that."""
        return self._shortcut.before(source)

    def _as_they_are(
        self, key_of: KeyOf, sources: Sequence[msgspec.Raw], targets: Sequence[msgspec.Raw]
    ) -> int:
        count = len(sources)
        if sources != targets:
            count = 0
            for one, other in zip(sources, targets, strict=True):
                if one != other and not surely_equal(one, other):
                    break
                count += 1
        if self._inspector is not None:
            self._inspector.equal(key_of, sources[:count])
        return count

    def _show(self, inspector: Inspector, key: JoinKey, source: Raw, target: Raw, made: Made) -> None:
        ours, theirs = LazyItem.of_raw(source), LazyItem.of_raw(target)
        inspector.pair(lambda: key, ours, theirs, LazyItem.of_python(made))
