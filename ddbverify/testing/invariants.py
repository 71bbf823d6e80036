"""What every transform has to hold to, item by item and between items. No strategy, no search."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ddbverify.code.second_process import SecondProcess
from ddbverify.errors import TransformError
from ddbverify.items.form import Form
from ddbverify.items.limits import refusals, typed_size
from ddbverify.items.transform import Transform, TransformFunction, canonical_key
from ddbverify.items.values import ValueNotAllowed, item_from_typed, item_to_typed
from ddbverify.names import KeySchema, TypedItem
from ddbverify.testing.strategies import Item

TOTAL: Final = "it raises nothing"
CONTRACT: Final = "it returns what the pair can take"
INPUT: Final = "it leaves its input as it was"
AGAIN: Final = "one item has one result"
ELSEWHERE: Final = "one item has one result in every process"
LEGAL: Final = "DynamoDB takes what it returns"
INVERSE: Final = "the inverse gives the item back"
APART: Final = "no two source keys become one target key"
EXAMINED: Final = "some item has a result"
EXACT = Form(secret=b"")


@dataclass(eq=False)  # exceptions are told by identity
class Broken(Exception):  # a finding on its way up, never seen by the user
    """An invariant that does not hold."""

    invariant: str
    what: str  # in words, without values
    items: tuple[TypedItem, ...] = ()
    cause: BaseException | None = None
    origin: str = ""  # where the items come from, in words
    shown: bool = True  # no value in them is real
    of: str = "an invariant of transforms"
    argument: str = "examples"  # what they are pasted as; `changes`: a target item, and what was before


@dataclass
class Watched:
    """The user's function, and what came of its last call."""

    function: TransformFunction
    given: Any = None
    result: Any = None
    raised: BaseException | None = None

    def __call__(self, item: Item) -> Any:
        self.given, self.result, self.raised = item, None, None
        try:
            self.result = self.function(item)
        except KeyboardInterrupt:
            raise
        # SystemExit, too, is an answer that no item may get.
        except BaseException as error:
            self.raised = error
            raise RuntimeError from error
        return self.result


@dataclass(frozen=True)
class Run:
    """One call of the transform."""

    item: TypedItem  # what it was made from
    given: Any  # the dict that it got, afterwards
    returned: Any
    results: list[TypedItem]

    @property
    def meaning(self) -> list[bytes]:
        """Equal when two runs put the same items into the target."""
        return _meaning(self.results)


@dataclass(frozen=True)
class Subject:
    """A transform, and what it has to hold to."""

    transform: Transform
    watched: Watched
    inverse: Callable[[Any], Any] | None
    target_indexes: tuple[KeySchema, ...]
    may_change_input: bool

    def run(self, item: TypedItem) -> Run:
        """Call it once, through the code that replicator and verifier call it by."""
        try:
            results = self.transform(item)
        except TransformError as error:
            raised = self.watched.raised
            if raised is not None:
                what = f"It raised {type(raised).__name__}{where(raised)}."
                raise Broken(TOTAL, what, (item,), raised) from None
            raise Broken(CONTRACT, f"{error.message} {sentence(error.hint)}", (item,)) from None
        return Run(item, self.watched.given, self.watched.result, results)

    def examine(self, item: TypedItem) -> Run:
        """
        Hold one item to every invariant of one item.

        Raises:
            Broken: The first that does not hold.
        """
        first = self.run(item)
        again = self.run(item)
        for invariant, guard in _GUARDS.items():
            what = guard(self, first, again)
            if what is not None:
                raise Broken(invariant, what, (item,))
        return first


def _input_is_kept(subject: Subject, first: Run, _: Run) -> str | None:
    if subject.may_change_input:
        return None
    try:
        kept = EXACT.same(item_to_typed(first.given), first.item)
    except ValueNotAllowed:
        kept = False
    hint = "copy what you change, or say may_change_input=True: the replicator gives it a dict of its own"
    return None if kept else f"It changed the item that it was given; {hint}."


def _second_result_is_the_first(_: Subject, first: Run, again: Run) -> str | None:
    if first.meaning == again.meaning:
        return None
    return "The second call on the same item gave another result: it depends on more than the item."


def _results_are_legal(subject: Subject, first: Run, _: Run) -> str | None:
    for result in first.results:
        for refusal in refusals(result, subject.transform.target_keys, subject.target_indexes):
            return f"It returned an item that DynamoDB refuses: {refusal}."
    return None


def _inverse_gives_it_back(subject: Subject, first: Run, _: Run) -> str | None:
    if subject.inverse is None or not first.results:
        return None
    made = [item_from_typed(result) for result in first.results]
    try:
        back = subject.inverse(made if isinstance(first.returned, list) else made[0])
    # Whatever it raises, there is no item.
    except Exception as error:  # noqa: BLE001
        return f"The inverse raised {type(error).__name__}{where(error)}."
    if not isinstance(back, Mapping):
        return f"The inverse returned a {type(back).__name__}."
    try:
        typed = item_to_typed(back)
    except ValueNotAllowed as error:
        return f"The inverse returned {error}."
    item = first.item
    lost = [
        name
        for name in sorted({*item, *typed})
        if name not in item or name not in typed or not EXACT.same({"": item[name]}, {"": typed[name]})
    ]
    return f"The inverse of its result has other attributes: {', '.join(lost)}." if lost else None


_GUARDS: Final[dict[str, Callable[[Subject, Run, Run], str | None]]] = {
    INPUT: _input_is_kept,
    AGAIN: _second_result_is_the_first,
    LEGAL: _results_are_legal,
    INVERSE: _inverse_gives_it_back,
}
"""Invariants of one item. Types, keys and numbers of results are `Transform`'s own."""


def compared(run: Run, process: SecondProcess) -> Broken | None:
    """Whether another process gives the same result for the same item; what is broken if not."""
    there = process.results(run.item)
    if isinstance(there, str):
        return Broken(ELSEWHERE, f"In a second process it {there}.", (run.item,))
    if _meaning(there) == run.meaning:
        return None
    what = (
        "In a second process (another PYTHONHASHSEED and time zone, other items before it) its result "
        "is another: it depends on more than the item."
    )
    return Broken(ELSEWHERE, what, (run.item,))


def collisions(transform: Transform, runs: Iterable[tuple[Run, bool]]) -> Iterator[Broken]:
    """Two items of different source keys whose results share a target key; the smallest two first."""
    owners: dict[str, tuple[str, TypedItem, bool]] = {}
    found: list[Broken] = []
    for run, shown in runs:
        own = canonical_key(run.item, transform.source_keys)
        for result in run.results:
            target = canonical_key(transform.target_key(result), transform.target_keys)
            other, item, other_shown = owners.setdefault(target, (own, run.item, shown))
            if other != own:
                what = "Two items with different keys became one key of the target: one would be lost."
                both_shown = shown and other_shown
                origin = "made up" if both_shown else "like=, or made near it"
                found.append(Broken(APART, what, (item, run.item), origin=origin, shown=both_shown))
    yield from sorted(found, key=lambda one: (not one.shown, sum(map(typed_size, one.items))))


def _meaning(results: Iterable[TypedItem]) -> list[bytes]:
    return sorted(map(EXACT.canonical, results))


def where(error: BaseException) -> str:
    """In which file and line of the user's it was raised, as the end of a sentence."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename != __file__]
    return f" in {own[-1].filename}, line {own[-1].lineno}" if own else ""


def sentence(hint: str) -> str:
    """*hint* as a sentence of its own begins."""
    return hint[:1].upper() + hint[1:]
