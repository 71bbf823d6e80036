"""What every inverse has to hold to, call by call. No strategy, no search."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from ddbverify.code.second_process import SecondProcess
from ddbverify.errors import TransformError
from ddbverify.items.differences import differences
from ddbverify.items.inverse import Inverse
from ddbverify.items.laws import FIRST, SECOND
from ddbverify.items.limits import refusals
from ddbverify.items.values import ValueNotAllowed, item_to_typed
from ddbverify.names import KeySchema, TypedItem
from ddbverify.testing.invariants import EXACT, Broken, Run, Subject, sentence, where

TOTAL: Final = "it raises nothing"
RETURNS: Final = "it returns an item of the source, under the same key"
INPUT: Final = "it leaves its input as it was"
AGAIN: Final = "one call has one result"
ELSEWHERE: Final = "one call has one result in every process"
LEGAL: Final = "DynamoDB takes what it returns"
EXAMINED: Final = "some item is examined"

_PATHS_SHOWN: Final = 10


@dataclass
class WatchedInverse:
    """The user's function, and what came of its last call."""

    function: Callable[..., Any]
    given: tuple[Any, ...] = ()
    raised: BaseException | None = None

    def __call__(self, *given: Any) -> Any:
        self.given, self.raised = given, None
        try:
            return self.function(*given)
        except KeyboardInterrupt:
            raise
        # SystemExit, too, is an answer that no item may get.
        except BaseException as error:
            self.raised = error
            raise RuntimeError from error


@dataclass(frozen=True)
class Call:
    """One call of the inverse, and what came of it."""

    item: TypedItem  # the target's
    before: TypedItem | None
    result: TypedItem

    @property
    def items(self) -> tuple[TypedItem, ...]:
        """As a counter-example has them."""
        return given(self.item, self.before)


@dataclass(frozen=True)
class Laws:
    """A transform and its inverse, and what the two have to hold to."""

    subject: Subject  # whose contract `assert_transform` looks into; here it only has to give results
    inverse: Inverse
    watched: WatchedInverse
    source_indexes: tuple[KeySchema, ...]
    may_change_input: bool

    def made(self, item: TypedItem) -> TypedItem | None:
        """The target item of a source item, ``None`` where it has none. Raises Broken, of the transform."""
        run: Run = self.subject.run(item)
        return run.results[0] if run.results else None

    def examine_item(self, item: TypedItem) -> list[Call]:
        """
        Hold a source item to the laws; nothing is asked of one that the transform drops.

        Raises:
            Broken: The first that does not hold.
        """
        made = self.made(item)
        if made is None:
            return []
        try:
            call = self._examined(made, item)
        except Broken as broken:
            raise _as_item(broken, item) from broken.cause
        self._given_back(item, call.result)
        return [call, self.examine_change(made, None)]

    def examine_change(self, item: TypedItem, before: TypedItem | None) -> Call:
        """
        Hold what the application writes to the laws, where the source holds *before*.

        Raises:
            Broken: The first that does not hold.
        """
        call = self._examined(item, before)
        self._reached(call)
        return call

    def call(self, item: TypedItem, before: TypedItem | None) -> TypedItem:
        """Call the inverse once, through the code that everybody calls it by."""
        try:
            return self.inverse(item, before)
        except TransformError as error:
            raised = self.watched.raised
            if raised is not None:
                what = f"It raised {type(raised).__name__}{where(raised)}."
                raise _broken(TOTAL, what, given(item, before), raised) from None
            raise _broken(RETURNS, f"{error.message} {sentence(error.hint)}", given(item, before)) from None

    def _examined(self, item: TypedItem, before: TypedItem | None) -> Call:
        call = Call(item, before, self.call(item, before))
        if not self.may_change_input and not all(map(_is_kept, self.watched.given, (item, before))):
            hint = "copy what you change, or say may_change_input=True: the replicator gives it its own dicts"
            raise _broken(INPUT, f"It changed what it was given; {hint}.", call.items)
        if not EXACT.same(self.call(item, before), call.result):
            what = "The second call with the same items gave another result: it depends on more than them."
            raise _broken(AGAIN, what, call.items)
        for refusal in refusals(call.result, self.inverse.source_keys, self.source_indexes):
            raise _broken(LEGAL, f"It returned an item that DynamoDB refuses: {refusal}.", call.items)
        return call

    def _given_back(self, item: TypedItem, result: TypedItem) -> None:
        if EXACT.same(result, item):
            return
        hint = "write it as inverse(item, before), and take from before what the transform leaves out"
        if self.inverse.takes_before:
            hint = "take from before what the transform leaves out"
        what = (
            f"inverse(transform(item), item) differs from item in {_paths(item, result)}. {sentence(hint)}."
        )
        raise _broken(SECOND, what, (item,), argument="examples")

    def _reached(self, call: Call) -> None:
        try:
            made = self.made(call.result)
        except Broken as broken:
            what = f"The transform of what it returned: {broken.what}"
            raise _broken(FIRST, what, call.items, broken.cause) from None
        if made is None:
            what = "The transform drops what it returned: no target item is made of it."
        elif EXACT.same(made, call.item):
            return
        else:
            what = f"transform(inverse(item, before)) differs from item in {_paths(call.item, made)}."
        raise _broken(FIRST, what, call.items)


def elsewhere(call: Call, process: SecondProcess) -> Broken | None:
    """Whether another process gives the same result for the same call; what is broken if not."""
    there = process.restored(call.item, call.before)
    if isinstance(there, str):
        return _broken(ELSEWHERE, f"In a second process it {there}.", call.items)
    if EXACT.same(there, call.result):
        return None
    what = (
        "In a second process (another PYTHONHASHSEED and time zone, other items before it) its result "
        "is another: it depends on more than the two items."
    )
    return _broken(ELSEWHERE, what, call.items)


def nothing_examined(tried: str) -> Iterator[Broken]:
    """Where the transform has dropped all that was tried."""
    what = f"{tried} tried, and the transform dropped each: nothing was examined."
    hint = "Give it items that stay, as examples= or like=."
    yield replace(_broken(EXAMINED, f"{what} {hint}", ()), origin="no item")


def given(item: TypedItem, before: TypedItem | None) -> tuple[TypedItem, ...]:
    """The items of one call, as a counter-example has them."""
    return (item,) if before is None else (item, before)


def _broken(
    law: str,
    what: str,
    items: tuple[TypedItem, ...],
    cause: BaseException | None = None,
    argument: str = "changes",
) -> Broken:
    return Broken(law, what, items, cause, of="a law of inverses", argument=argument)


def _as_item(broken: Broken, item: TypedItem) -> Broken:
    return replace(broken, items=(item,), argument="examples")


def _is_kept(now: Any, then: TypedItem | None) -> bool:
    if now is None or then is None:
        return now is None and then is None
    try:
        return EXACT.same(item_to_typed(now), then)
    except (ValueNotAllowed, AttributeError):
        return False


def _paths(expected: TypedItem, found: TypedItem) -> str:
    paths = differences(expected, found, EXACT)
    more = len(paths) - _PATHS_SHOWN
    return "; ".join(paths[:_PATHS_SHOWN]) + (f"; and {more} more" if more > 0 else "")
