"""
What a source item makes the target hold, and where one key stands. Pure.

Everything that decides about items of one pair is here, so that the scan, the settling and
later a spill to disk cannot judge differently.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from ddbverify.errors import PluginError, TransformError
from ddbverify.items.differences import differences
from ddbverify.items.form import ABSENT, Form, UnknownValue, epoch_seconds
from ddbverify.items.keys import JoinKey, join_key
from ddbverify.items.states import State
from ddbverify.items.transform import Before, Transform
from ddbverify.names import TypedItem, canary_key
from ddbverify.plugins.asking import Implementation
from ddbverify.plugins.rulings import Rulings

# TTL leaves items alone whose time is more than five years past.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/time-to-live-ttl-before-you-start.html
_TTL_REACH_SECONDS: Final = 5 * 365 * 86_400


class Uncomparable(Exception):
    """A key that cannot be compared; the text says why, in words without values."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One item that a source item makes the target hold."""

    key: JoinKey
    item: TypedItem


@dataclass(frozen=True, slots=True)
class Judge:
    """
    The rules of one pair.

    Args:
        transform: What a source item becomes.
        form: How items are compared.
        ttl_attributes: Of either table; an item past its TTL may be on one side only.
        rulings: What plugins say. Asked only about items that are not the same without them.
    """

    transform: Transform
    form: Form
    ttl_attributes: tuple[str, ...] = ()
    rulings: Rulings | None = None
    source_canary: JoinKey = field(init=False)
    target_canary: JoinKey = field(init=False)

    def __post_init__(self) -> None:
        for name, schema in (
            ("source_canary", self.transform.source_keys),
            ("target_canary", self.transform.target_keys),
        ):
            object.__setattr__(self, name, join_key(canary_key(schema), schema))

    def claims(self, source: TypedItem | None, before: Before | None = None) -> list[Claim]:
        """
        The target items that a source item makes, none for no item; *before*: as `Transform` has it.

        Raises:
            Uncomparable: The transform raised or broke its contract, or a value is unknown.
        """
        if source is None:
            return []
        schema = self.transform.target_keys
        try:
            return [Claim(join_key(item, schema), item) for item in self._made(source, before)]
        except ValueError as error:
            raise Uncomparable(_said(error)) from error

    def expected(self, source: TypedItem, before: Before | None = None) -> TypedItem | None:
        """The one target item that a source item makes, where keys go one to one. Otherwise as `claims`."""
        made = self._made(source, before)
        return made[0] if made else None

    def _made(self, source: TypedItem, before: Before | None) -> list[TypedItem]:
        try:
            # One that is not pure could be right by chance.
            return self.transform(source, twice=True, before=before)
        except TransformError as error:
            raise Uncomparable(error.message.rstrip(".")) from error
        except ValueError as error:
            raise Uncomparable(_said(error)) from error

    def state(self, item: TypedItem | None) -> bytes:
        """
        A digest that stands for what a key of the target holds, or should hold.

        Raises:
            Uncomparable: A value of an unknown type, or a plugin that failed.
        """
        if item is None:
            return ABSENT
        with _uncomparable():
            return self.form.digest(self.rulings.normalised(item) if self.rulings else item)

    def verdict(
        self,
        expected: TypedItem | None,
        target: TypedItem | None,
        now_epoch: float,
        made_of: Sequence[TypedItem] = (),
    ) -> State:
        """
        Where a key stands whose both sides are known.

        Args:
            expected: What the target should hold.
            target: What it holds.
            now_epoch: Seconds since the epoch, for items past their TTL.
            made_of: The source items behind *expected*; the TTL attribute may be theirs only.

        Raises:
            Uncomparable: A value of an unknown type, or a plugin that failed.
        """
        if expected is not None and target is not None:
            return State.MATCHED if self._are_equal(expected, target) else State.DIFFERENT
        if self.state(target) == self.state(expected):
            return State.MATCHED
        alone = [item for item in (expected, target, *made_of) if item is not None]
        if any(self._is_past_its_ttl(item, now_epoch) for item in alone):
            return State.EXCLUDED
        return State.EXTRANEOUS if expected is None else State.MISSING

    def states(
        self,
        expected: TypedItem | None,
        target: TypedItem | None,
        now_epoch: float,
        made_of: Sequence[TypedItem] = (),
    ) -> tuple[State, bytes, bytes]:
        """
        Where a key stands, and the states of both sides; arguments and errors as `verdict`.

        Without plugins the two states decide: each is made once.
        """
        if expected is None or target is None or self.rulings:
            ours, theirs = self.state(expected), self.state(target)
            return self.verdict(expected, target, now_epoch, made_of), ours, theirs
        try:
            ours, theirs = self.form.digests(expected, target)
        except UnknownValue as error:
            raise Uncomparable(_said(error)) from error
        return (State.MATCHED if ours == theirs else State.DIFFERENT), ours, theirs

    def paths(self, expected: TypedItem, target: TypedItem) -> tuple[str, ...]:
        """
        Where two items differ, as `items.differences` says it.

        Raises:
            Uncomparable: As `verdict`.
        """
        return differences(*self.remaining(expected, target), self.form)

    def remaining(self, expected: TypedItem, target: TypedItem) -> tuple[TypedItem, TypedItem]:
        """
        Two items as far as they are left to differ: normalised, and without what a plugin accepts.

        Raises:
            Uncomparable: As `verdict`.
        """
        if not self.rulings:
            return expected, target
        with _uncomparable():
            ruling = self.rulings.ruling(expected, target, self.form)
        return ruling.expected, ruling.target

    def credit(self, expected: TypedItem, target: TypedItem) -> tuple[Implementation, ...]:
        """By whose word two items that count as equal do so; nobody's, if they are the same."""
        if not self.rulings or self.form.same(expected, target):
            return ()
        with suppress(PluginError, UnknownValue):  # it answered a moment ago
            return self.rulings.ruling(expected, target, self.form).by
        return self.rulings.normalisers

    def _are_equal(self, expected: TypedItem, target: TypedItem) -> bool:
        with _uncomparable():
            if self.form.same(expected, target):
                return True
            return self.rulings.ruling(expected, target, self.form).equal if self.rulings else False

    def _is_past_its_ttl(self, item: TypedItem, now_epoch: float) -> bool:
        now = Decimal(now_epoch)
        for attribute in self.ttl_attributes:
            expires = epoch_seconds(item, attribute)
            if expires is not None and now - _TTL_REACH_SECONDS <= expires < now:
                return True
        return False


@contextmanager
def _uncomparable() -> Iterator[None]:
    try:
        yield
    except UnknownValue as error:
        raise Uncomparable(_said(error)) from error
    except PluginError as error:
        raise Uncomparable(error.message.rstrip(".")) from error


def _said(error: ValueError) -> str:
    # A ValueError of our own says types only; any other may quote what it was given.
    return str(error) if isinstance(error, UnknownValue) else f"a malformed item ({type(error).__name__})"
