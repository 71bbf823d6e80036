"""
What plugins say about the items and differences of one pair: asked safely, checked, and told apart.

Nothing here decides by itself. `Judge` asks about items that differ, `Tally` about differences that
have settled; a plugin that fails leaves the key uncomparable, or the difference a difference.
"""

from __future__ import annotations

import copy
import functools
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final, TypeVar

from ddbverify.errors import PluginError
from ddbverify.items.form import Form
from ddbverify.items.paths import AttributePath, show_path
from ddbverify.items.states import Difference, State
from ddbverify.items.transform import canonical_key
from ddbverify.items.values import ValueNotAllowed, from_typed, item_from_typed, item_to_typed
from ddbverify.names import KeySchema, TypedItem, TypedValue
from ddbverify.plugins.asking import Implementation
from ddbverify.plugins.gap import gap
from ddbverify.plugins.hookspecs import KnownDifference
from ddbverify.plugins.loading import BUILT_IN, Plugins, one_line

ACCEPTABLE: Final = (State.MISSING, State.EXTRANEOUS, State.DIFFERENT)
"""What may be known: a counter-example. What could not be decided cannot be accepted."""

_EXACT: Final = Form()

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Ruling:
    """Whether two items that differ are to count as equal, and by whose word."""

    equal: bool
    by: tuple[Implementation, ...]  # who had a part in it
    expected: TypedItem  # both, as far as they are left to differ
    target: TypedItem


@dataclass(frozen=True, slots=True)
class Acceptance:
    """A plugin knows a difference, and has until a day to say so."""

    plugin: str
    reason: str
    expires: date
    is_over: bool


class Rulings:
    """The normalisers, comparers and known differences of one pair. Threads share it."""

    def __init__(
        self,
        plugins: Plugins,
        table_name: str,
        target_keys: KeySchema,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """
        Ask *plugins* about one pair.

        Args:
            plugins: Of this session.
            table_name: Source table, without account or region.
            target_keys: Key schema of the target.
            clock: Seconds since the epoch: what is known expires.
        """
        self.normalisers = tuple(plugins.implementations("ddbverify_normalise_item"))
        self.comparers = tuple(plugins.implementations("ddbverify_compare_values"))
        self.filters = tuple(plugins.implementations("ddbverify_known_difference"))
        self._lags = tuple(plugins.implementations("ddbverify_pipeline_passed"))
        self._ask, self._table_name, self._keys, self._clock = plugins.ask, table_name, target_keys, clock
        self._failures: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._last = threading.local()  # what is ruled is soon asked again: who has said so, what is left

    def __bool__(self) -> bool:
        return bool(self.normalisers or self.comparers or self.filters)

    @property
    def plugins(self) -> tuple[str, ...]:
        """Who has a say, by name."""
        return tuple(sorted({one.plugin for one in (*self.normalisers, *self.comparers, *self.filters)}))

    @property
    def failures(self) -> Iterator[str]:
        """What went wrong with plugins, in words."""
        for message, times in self._failures.items():
            yield f"{message.rstrip('.')} ({times} times)"

    def normalised(self, item: TypedItem) -> TypedItem:
        """
        The form in which an item of the target, or one expected there, is compared.

        Raises:
            PluginError: A normaliser failed, or answered what makes no sense.
            UnknownValue: A value of an unknown type.
        """
        return self._normalise(item)[-1]

    def ruling(self, expected: TypedItem, target: TypedItem, form: Form) -> Ruling:
        """
        Say whether the two are equal once plugins have been asked.

        Args:
            expected: What the target should hold.
            target: What it holds.
            form: What is left out of the comparison is not asked about.

        Raises:
            PluginError: As `normalised`.
            UnknownValue: Likewise.
        """
        before: tuple[TypedItem, TypedItem, Ruling] | None = getattr(self._last, "ruling", None)
        if before is None or before[0] is not expected or before[1] is not target:
            before = expected, target, self._rule(expected, target, form)
            self._last.ruling = before
        return before[2]

    def _rule(self, expected: TypedItem, target: TypedItem, form: Form) -> Ruling:
        ours, theirs = self._normalise(expected), self._normalise(target)
        by = dict.fromkeys(self._with_a_part(ours, theirs, form))
        left, found = ours[-1], theirs[-1]
        if self.comparers and not form.same(left, found):
            left, found = form.without_ignored(left), form.without_ignored(found)
            found = self._reconciled((), left, found, by)
        return Ruling(form.same(left, found), tuple(by), left, found)

    def _with_a_part(
        self, ours: list[TypedItem], theirs: list[TypedItem], form: Form
    ) -> Iterator[Implementation]:
        """
        The normalisers that changed anything in which two items differed.

        One that changes both sides alike, where they were equal before, has no part in the outcome.
        """
        if not self.normalisers:
            return
        gaps = [
            gap(form.without_ignored(one), form.without_ignored(other))
            for one, other in zip(ours, theirs, strict=True)
        ]
        for implementation, (before, after) in zip(self.normalisers, itertools.pairwise(gaps), strict=True):
            if before != after:
                yield implementation

    def known(self, difference: Difference) -> Acceptance | None:
        """
        Who accepts a difference; one whose day is over only if nobody else does.

        A plugin that fails accepts nothing; `failures` says so.
        """
        over = None
        if difference.state not in ACCEPTABLE:
            return None
        for implementation in self.filters:
            shown = copy.deepcopy(difference)

            def job(implementation: Implementation = implementation, shown: Difference = shown) -> object:
                return implementation(table_name=self._table_name, difference=shown)

            try:
                answer = self._ask(implementation, job)
                accepted = None if answer is None else self._acceptance(implementation, answer)
            except PluginError as error:
                self._failed(error)
                continue
            if accepted is None:
                continue
            if not accepted.is_over:
                return accepted
            over = over or accepted
        return over

    def pipeline_passed(self, moved_at: float) -> bool | None:
        """Whether the pipeline has passed a moment; the first that knows wins, one that fails says no."""
        for implementation in self._lags:
            try:
                answer = self._has_passed(implementation, moved_at)
            except PluginError as error:
                self._failed(error)
                return False
            if answer is not None:
                return answer
        return None

    def _has_passed(self, implementation: Implementation, moved_at: float) -> bool | None:
        def job() -> bool | None:
            answer = implementation(table_name=self._table_name, moved_at=moved_at)
            return _yes_or_no(implementation, answer)

        # Errors of our own implementation are AWS's, and tell of themselves.
        return job() if implementation.plugin == BUILT_IN else self._ask(implementation, job)

    def _acceptance(self, implementation: Implementation, answer: object) -> Acceptance:
        if type(answer) is not KnownDifference:
            raise implementation.refused(
                f"returned a {type(answer).__name__}, expected a KnownDifference or None,"
            )
        if type(answer.expires) is not date:  # a datetime is a date, too, of nobody knows which zone
            raise implementation.refused(
                f"gave a {type(answer.expires).__name__} as `expires`, expected a datetime.date,"
            )
        today = datetime.fromtimestamp(self._clock(), UTC).date()
        return Acceptance(
            plugin=implementation.plugin,
            reason=one_line(implementation, answer.reason),
            expires=answer.expires,
            is_over=answer.expires < today,
        )

    def _normalise(self, item: TypedItem) -> list[TypedItem]:
        """The item as it is, and as each of the normalisers has left it."""
        states = [item]
        for implementation in self.normalisers:
            made = self._asked_twice(
                implementation,
                [{"item": item_from_typed(states[-1])} for _ in range(2)],
                functools.partial(self._as_item, implementation, states[-1]),
            )
            states.append(states[-1] if made is None or _EXACT.same(made, states[-1]) else made)
        return states

    def _as_item(self, implementation: Implementation, before: TypedItem, made: object) -> TypedItem | None:
        if made is None:
            return None
        if not isinstance(made, Mapping):
            raise implementation.refused(f"returned a {type(made).__name__}, expected an item or None,")
        try:
            typed = item_to_typed(made)
            kept = canonical_key(typed, self._keys) == canonical_key(before, self._keys)
        except ValueNotAllowed as error:
            raise implementation.refused(f"returned {error},") from None
        # A key attribute that is gone, or of another type: whatever it makes of it, it is not kept.
        except (KeyError, TypeError, ArithmeticError):
            kept = False
        if not kept:
            raise implementation.refused("changed the item's key")
        return typed

    def _reconciled(
        self,
        path: AttributePath,
        expected: Mapping[str, TypedValue],
        target: Mapping[str, TypedValue],
        by: dict[Implementation, None],
    ) -> dict[str, Any]:
        """The target's attributes, each that is accepted as the expected one."""
        return {
            name: self._value((*path, name), expected[name], value, by) if name in expected else value
            for name, value in target.items()
        }

    def _value(
        self, path: AttributePath, expected: TypedValue, target: TypedValue, by: dict[Implementation, None]
    ) -> TypedValue:
        if _EXACT.same({"": expected}, {"": target}):
            return target
        opinion = self._opinion(path, expected, target, by)
        if opinion is not None:
            return expected if opinion else target
        ((kind, ours),) = expected.items()
        ((other, theirs),) = target.items()
        if kind == other == "M":
            return {"M": self._reconciled(path, ours, theirs, by)}
        if kind == other == "L" and len(ours) == len(theirs):
            pairs = enumerate(zip(ours, theirs, strict=True))
            return {"L": [self._value((*path, index), one, two, by) for index, (one, two) in pairs]}
        return target

    def _opinion(
        self, path: AttributePath, expected: TypedValue, target: TypedValue, by: dict[Implementation, None]
    ) -> bool | None:
        """Equal if somebody says so, and nobody that they are not."""
        shown = show_path(path)
        said: dict[Implementation, bool] = {}
        for implementation in self.comparers:
            values = [
                {"path": shown, "expected": from_typed(expected), "target": from_typed(target)}
                for _ in range(2)
            ]
            answer = self._asked_twice(implementation, values, functools.partial(_yes_or_no, implementation))
            if answer is not None:
                said[implementation] = answer
        if said and all(said.values()):
            by.update(dict.fromkeys(said))
            return True
        return False if said else None

    def _asked_twice(
        self, implementation: Implementation, offered: list[dict[str, Any]], read: Callable[[object], _T]
    ) -> _T:
        """
        An answer that comes twice, each time to copies of its own: else it could be right by chance.

        It is read where a plugin may fail, too: what it returned may be of a class of its own.
        """

        def job() -> list[_T]:
            return [read(implementation(table_name=self._table_name, **one)) for one in offered]

        try:
            first, second = self._ask(implementation, job)
            if first != second:
                raise implementation.refused("gave two answers to one question")
        except PluginError as error:
            self._failed(error)
            raise
        return first

    def _failed(self, error: PluginError) -> None:
        with self._lock:
            self._failures[error.message] += 1


def _yes_or_no(implementation: Implementation, answer: object) -> bool | None:
    if answer is not None and not isinstance(answer, bool):
        raise implementation.refused(f"returned a {type(answer).__name__}, expected True, False or None,")
    return answer
