"""
Whether a transform makes what the target holds, found out without the typed form of either item.

Only a quick yes. Whatever is not the same at once goes to the `Judge`, which calls the function again,
wants the result that it had here, holds it to the contract, asks plugins, and says what is wrong.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

import msgspec

from ddbverify.compare.judge import Judge
from ddbverify.items import raw as raws
from ddbverify.items.keys import JoinKey
from ddbverify.items.raw import NotUnderstood, Values
from ddbverify.items.transform import Before

CALLED_TWICE: Final = 1 / 16
"""
Share of the items that match at once whose function is called a second time, drawn at random.

The target's item was made by a call of its own, so that it matches is a second result already: see
docs/design.md.
"""

CALLS_KEPT: Final = 1_000
"""
More than threads have in hand, since the judge sees an item right after the call. Of a re-keyed pair it sees
a page at once: where more of its items do not match, some are forgotten, and the judge calls for these twice.
"""

_KINDS: Final = {"S": str, "N": Decimal, "B": bytes}

Made = dict[str, Any]
"""One item as a user's function has made it."""


class Shortcut:
    """The transform of one pair, on the bytes of pages. Threads share it."""

    def __init__(self, judge: Judge) -> None:
        """Follow the rules of *judge*."""
        transform, paths = judge.transform, judge.form.ignore
        self._function = transform.function
        self._calls: dict[bytes, Before] = {}  # by the source's item: of those that the judge is to see
        # Which key attribute becomes which; where the transform makes up keys, none does.
        self._keys = (
            None
            if transform.rekeys
            else tuple(zip(transform.source_keys, transform.target_keys, strict=True))
        )
        self._kinds = tuple((name, _KINDS[kind]) for name, kind in transform.target_keys.items())
        self._left_out = frozenset(path[0] for path in paths if isinstance(path[0], str))
        # A path into an attribute needs the canonical form; and a key has to be right, left out or not.
        is_simple = all(len(path) == 1 for path in paths) and self._left_out.isdisjoint(transform.target_keys)
        self.leads_anywhere = self._function is not None and is_simple

    def made(self, source: bytes | msgspec.Raw, target: bytes | msgspec.Raw) -> Made | None:
        """
        What the function makes of *source*, if *target* holds just that, under the same key.

        Returns:
            The function's result. ``None`` says nothing, not even that the two differ.
        """
        try:
            values, held = raws.values_of_both(source, target)
            if not self._are_partners(values, held):
                return None
            made: Made = self._called(source, values)
            if self._is_held(made, held):
                if not self._is_called_again():
                    return made
                # Compared with the target again: what one call has returned, the next can have changed.
                made = self._called(source, values)
                if self._is_held(made, held):
                    return made
        except NotUnderstood:
            return None
        self._keep(source, Before.of(made))
        return None

    def all_made(
        self, source: bytes | msgspec.Raw, target_of: Callable[[JoinKey], bytes | None]
    ) -> dict[JoinKey, Made] | None:
        """
        Every item that the function makes of *source*, if the target holds each of them.

        Args:
            source: An item of the source.
            target_of: What the target holds under a key; ``None`` for nothing.

        Returns:
            The results by their keys; ``None``, as `made`.
        """
        try:
            values, spelt = raws.values_of(source), bytes(source)
            made = self._called(source, values)
            placed = self._placed(made, values, spelt, target_of)
            if placed is not None:
                if not self._is_called_again():
                    return placed
                made = self._called(source, values)
                again = self._placed(made, values, spelt, target_of)
                if again is not None and again.keys() == placed.keys():
                    return placed
        except NotUnderstood:
            return None
        self._keep(source, Before.of(made))
        return None

    def has_called(self, source: bytes) -> bool:
        """Whether `before` has an answer."""
        return source in self._calls

    def before(self, source: bytes | msgspec.Raw) -> Before | None:
        """What the function made of *source* when the target did not hold it; forgotten with that."""
        return self._calls.pop(bytes(source), None) if self._calls else None

    def _keep(self, source: bytes | msgspec.Raw, before: Before | None) -> None:
        if len(self._calls) >= CALLS_KEPT:
            self._calls.clear()
        if before is not None:
            self._calls[bytes(source)] = before

    def _is_called_again(self) -> bool:
        return random.random() < CALLED_TWICE  # noqa: S311 - nobody gains from foreseeing it

    def _called(self, source: bytes | msgspec.Raw, values: Values) -> Any:
        if self._function is None:
            raise NotUnderstood
        python = raws.in_python(values)
        try:
            return self._function(python)
        # The user's code may raise anything, and call `sys.exit`. The judge calls it again, and says what
        # it raised.
        except (Exception, SystemExit, GeneratorExit) as error:
            self._keep(source, Before(None))
            raise NotUnderstood from error

    def _are_partners(self, source: Values, target: Values) -> bool:
        """Whether the target's item has the key that the source's makes; not asked where keys are made up."""
        return self._keys is not None and all(
            old in source and source[old] == target.get(new) for old, new in self._keys
        )

    def _is_held(self, made: Any, target: Values | None) -> bool:
        try:
            return target is not None and raws.surely_holds(target, made, self._left_out)
        except NotUnderstood:
            return False

    def _placed(
        self, made: Any, values: Values, spelt: bytes, target_of: Callable[[JoinKey], bytes | None]
    ) -> dict[JoinKey, Made] | None:
        placed: dict[JoinKey, Made] = {}
        for one in made if type(made) is list else [made]:
            key = self._key_of(one)
            if key is None or key in placed:
                return None
            target = target_of(key)
            if target is None:
                return None
            if not self._is_held(one, values if target == spelt else _values_of(target)):
                return None
            placed[key] = one
        return placed or None

    def _key_of(self, made: Any) -> JoinKey | None:
        if type(made) is not dict:
            return None
        key: list[Any] = []
        for name, kind in self._kinds:
            value = made.get(name)
            if type(value) is not kind:  # by exact type: True and 1 would be found under the key 1
                return None
            key.append(value)
        return tuple(key)


def _values_of(raw: bytes) -> Values | None:
    try:
        return raws.values_of(raw)
    except NotUnderstood:
        return None
