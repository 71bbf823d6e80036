"""
The contract of transforms as one test of yours, on generated items. Needs Hypothesis.

::

    from ddbverify.testing import assert_transform

    def test_my_transform():
        assert_transform("film_transforms:by_release", source_keys={"year": "N", "title": "S"},
                         target_keys={"released": "N", "title": "S"})

What is checked, and what each argument is for, stands in ``docs/transforms.md``.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis.errors import Flaky
from hypothesis.strategies import SearchStrategy

from ddbverify.errors import ConfigurationError, TransformError
from ddbverify.items.form import Form
from ddbverify.items.limits import MAX_ITEM_BYTES, item_size, refusals, typed_size
from ddbverify.items.second_process import SecondProcess, locate
from ddbverify.items.transform import Transform, TransformFunction, canonical_key
from ddbverify.items.values import ValueNotAllowed, item_from_typed, item_to_typed
from ddbverify.names import KeySchema, TypedItem
from ddbverify.testing.real_items import RealTable, read_table
from ddbverify.testing.strategies import (
    Item,
    as_stored,
    check_schema,
    checked_items,
    drawn,
    families,
    items,
    numbers,
    texts,
    values,
)
from ddbverify.words import number_of

__all__ = [
    "MAX_ITEM_BYTES",
    "RealTable",
    "assert_transform",
    "item_size",
    "items",
    "numbers",
    "read_table",
    "texts",
    "values",
]

TOTAL: Final = "it raises nothing"
CONTRACT: Final = "it returns what the pair can take"
INPUT: Final = "it leaves its input as it was"
AGAIN: Final = "one item has one result"
ELSEWHERE: Final = "one item has one result in every process"
LEGAL: Final = "DynamoDB takes what it returns"
INVERSE: Final = "the inverse gives the item back"
APART: Final = "no two source keys become one target key"
EXAMINED: Final = "some item has a result"

_EXACT = Form(secret=b"")


def assert_transform(
    transform: str | TransformFunction,
    *,
    source_keys: KeySchema,
    target_keys: KeySchema,
    rekeys: bool = False,
    inverse: Callable[[Any], Any] | None = None,
    indexes: Mapping[str, KeySchema] | None = None,
    target_indexes: Mapping[str, KeySchema] | None = None,
    like: Iterable[Mapping[str, Any]] = (),
    attributes: Mapping[str, SearchStrategy[Any]] | None = None,
    examples: Iterable[Mapping[str, Any]] = (),
    largest: int = 400_000,
    may_change_input: bool = False,
    max_examples: int = 200,
    reveal: bool = False,
) -> None:
    """
    Hold a transform to its contract, on items made up for it and on those given.

    Args:
        transform: ``module:function``, or a function at the top level of a module.
        source_keys: Key schema of the source table: attribute -> ``S``, ``N`` or ``B``, hash key first.
        target_keys: Key schema of the target table, likewise.
        rekeys: As in ``migration.toml``: it may make other keys, and lists.
        inverse: What makes the source item of the result again (of the list, if it is one).
        indexes: Index of the source -> its key schema.
        target_indexes: Index of the target -> its key schema.
        like: Real items of the source, as Python values. Each is tried, and so are items of
            their shape, and some near them. Their values are not shown, see *reveal*.
        attributes: Attribute -> strategy, for those that always are there in some form.
        examples: Items to try first, and to show; where a counter-example is pasted.
        largest: Bytes of the largest item to make up. An item of exactly 400 KB (409,600) is
            too large for any transform that adds a byte, hence the default.
        may_change_input: Let it change the dict that it is given, as the replicator does.
        max_examples: How many items to make up, in each of up to four ways.
        reveal: Show values of counter-examples that were made from *like*.

    Raises:
        AssertionError: An invariant is broken: which, how, and a small item that shows it.
        ConfigurationError: The arguments fit neither each other nor a table.
    """
    __tracebackhide__ = True
    check_schema("source_keys", source_keys)
    check_schema("target_keys", target_keys)
    if not rekeys and [*source_keys.values()] != [*target_keys.values()]:
        raise ConfigurationError(
            "The key types of source_keys and target_keys differ.",
            "set rekeys=True if the transform changes keys, as in migration.toml.",
        )
    for name, index in (target_indexes or {}).items():
        check_schema(f"the key schema of the index {name} of target_indexes", index)
    if max_examples < 1:
        raise ConfigurationError("max_examples is less than 1: nothing would be tried.", "use 1 or more.")
    place, function = locate(transform)
    watched = _Watched(function)
    subject = _Subject(
        Transform(str(place), watched, source_keys, target_keys, rekeys),
        watched,
        inverse,
        tuple((target_indexes or {}).values()),
        may_change_input,
    )
    trial = _Trial(
        subject,
        shown=checked_items("examples", examples, source_keys, indexes or {}),
        real=checked_items("like", like, source_keys, indexes or {}),
        indexes=indexes or {},
        attributes=attributes or {},
        largest=largest,
        max_examples=max_examples,
    )
    with SecondProcess(place, subject.transform) as elsewhere:
        broken = next(trial.failures(elsewhere), None)
    if broken is not None:
        visible = reveal or broken.shown
        raise AssertionError(_in_words(str(place), broken, visible)) from (broken.cause if visible else None)


@dataclass(eq=False)  # exceptions are told by identity
class _Broken(Exception):  # a finding on its way up, never seen by the user
    """An invariant that does not hold."""

    invariant: str
    what: str  # in words, without values
    items: tuple[TypedItem, ...] = ()
    cause: BaseException | None = None
    origin: str = ""  # where the items come from, in words
    shown: bool = True  # no value in them is real


@dataclass
class _Watched:
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
class _Run:
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
class _Subject:
    """A transform, and what it has to hold to."""

    transform: Transform
    watched: _Watched
    inverse: Callable[[Any], Any] | None
    target_indexes: tuple[KeySchema, ...]
    may_change_input: bool

    def run(self, item: TypedItem) -> _Run:
        """Call it once, through the code that replicator and verifier call it by."""
        try:
            results = self.transform(item)
        except TransformError as error:
            raised = self.watched.raised
            if raised is not None:
                what = f"It raised {type(raised).__name__}{_where(raised)}."
                raise _Broken(TOTAL, what, (item,), raised) from None
            raise _Broken(CONTRACT, f"{error.message} {_sentence(error.hint)}", (item,)) from None
        except RecursionError:
            raise _Broken(CONTRACT, "It returned an item that is nested without end.", (item,)) from None
        return _Run(item, self.watched.given, self.watched.result, results)

    def examine(self, item: TypedItem) -> _Run:
        """
        Hold one item to every invariant of one item.

        Raises:
            _Broken: The first that does not hold.
        """
        first = self.run(item)
        again = self.run(item)
        for invariant, guard in _GUARDS.items():
            what = guard(self, first, again)
            if what is not None:
                raise _Broken(invariant, what, (item,))
        return first


def _input_is_kept(subject: _Subject, first: _Run, _: _Run) -> str | None:
    if subject.may_change_input:
        return None
    try:
        kept = _EXACT.same(item_to_typed(first.given), first.item)
    except ValueNotAllowed:
        kept = False
    hint = "copy what you change, or say may_change_input=True: the replicator gives it a dict of its own"
    return None if kept else f"It changed the item that it was given; {hint}."


def _second_result_is_the_first(_: _Subject, first: _Run, again: _Run) -> str | None:
    if first.meaning == again.meaning:
        return None
    return "The second call on the same item gave another result: it depends on more than the item."


def _results_are_legal(subject: _Subject, first: _Run, _: _Run) -> str | None:
    for result in first.results:
        for refusal in refusals(result, subject.transform.target_keys, subject.target_indexes):
            return f"It returned an item that DynamoDB refuses: {refusal}."
    return None


def _inverse_gives_it_back(subject: _Subject, first: _Run, _: _Run) -> str | None:
    if subject.inverse is None or not first.results:
        return None
    made = [item_from_typed(result) for result in first.results]
    try:
        back = subject.inverse(made if isinstance(first.returned, list) else made[0])
    # Whatever it raises, there is no item.
    except Exception as error:  # noqa: BLE001
        return f"The inverse raised {type(error).__name__}{_where(error)}."
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
        if name not in item or name not in typed or not _EXACT.same({"": item[name]}, {"": typed[name]})
    ]
    return f"The inverse of its result has other attributes: {', '.join(lost)}." if lost else None


_GUARDS: Final[dict[str, Callable[[_Subject, _Run, _Run], str | None]]] = {
    INPUT: _input_is_kept,
    AGAIN: _second_result_is_the_first,
    LEGAL: _results_are_legal,
    INVERSE: _inverse_gives_it_back,
}
"""Invariants of one item. Types, keys and numbers of results are `Transform`'s own."""


@dataclass
class _Trial:
    """Everything that one transform is tried on."""

    subject: _Subject
    shown: Sequence[Item]
    real: Sequence[Item]
    indexes: Mapping[str, KeySchema]
    attributes: Mapping[str, SearchStrategy[Any]]
    largest: int
    max_examples: int
    tried: list[tuple[_Run, bool]] = field(default_factory=list)  # and whether it may be shown

    def failures(self, elsewhere: SecondProcess) -> Iterator[_Broken]:
        """Each invariant that is found broken, the cheapest to look at first."""
        for number, item in enumerate(self.shown):
            yield from self._given(item, f"examples[{number}]", shown=True)
        yield from self._search(self._made(real=False), "made up", shown=True)
        for number, item in enumerate(self.real):
            yield from self._given(item, f"like[{number}]", shown=False)
        if self.real:
            yield from self._search(self._made(real=True), "made near the items of like=", shown=False)
        if self.subject.transform.rekeys:
            for real in (False, True) if self.real else (False,):
                yield from self._crowd(real)
            yield from _collisions(self.subject.transform, self.tried)
        yield from self._examined()
        yield from self._elsewhere(elsewhere)

    def _made(self, *, real: bool, largest: int | None = None) -> SearchStrategy[Item]:
        size = self.largest if largest is None else largest
        schema = self.subject.transform.source_keys
        return drawn(schema, self.indexes, self.real, self.attributes, size, real=real)

    def _given(self, item: Item, origin: str, *, shown: bool) -> Iterator[_Broken]:
        try:
            self.tried.append((self.subject.examine(item_to_typed(item)), shown))
        except _Broken as broken:
            yield _from(broken, origin, shown=shown)

    def _search(self, strategy: SearchStrategy[Item], origin: str, *, shown: bool) -> Iterator[_Broken]:
        def check(item: Item) -> None:
            self.tried.append((self.subject.examine(as_stored(item_to_typed(item))), shown))

        yield from _search(strategy, check, self.max_examples, origin, shown=shown)

    def _crowd(self, real: bool) -> Iterator[_Broken]:
        """Items with keys that are easily taken for each other."""

        def check(family: list[Item]) -> None:
            runs = [(self.subject.run(as_stored(item_to_typed(item))), not real) for item in family]
            self.tried += runs
            for broken in _collisions(self.subject.transform, runs):
                raise broken

        strategy = families(self.subject.transform.source_keys, self._made(real=real, largest=0))
        origin = "made near the items of like=" if real else "made up"
        yield from _search(strategy, check, self.max_examples, origin, shown=not real)

    def _examined(self) -> Iterator[_Broken]:
        if not any(run.results for run, _ in self.tried):
            what = f"{number_of(len(self.tried), 'item')} tried, and each became None: nothing was examined."
            hint = "Give it items that stay, as examples= or like=."
            yield _Broken(EXAMINED, f"{what} {hint}", origin="no item")

    def _elsewhere(self, process: SecondProcess) -> Iterator[_Broken]:
        """The same items in another process, in the opposite order."""
        found: list[_Broken] = []
        once = {_EXACT.digest(run.item): (run, shown) for run, shown in reversed(self.tried)}
        for run, shown in once.values():
            broken = _compared(run, process)
            if broken is not None:
                found.append(_from(broken, "made up" if shown else "like= or made near it", shown=shown))
        if not found:
            return

        def check(item: Item) -> None:
            broken = _compared(self.subject.run(as_stored(item_to_typed(item))), process)
            if broken is not None:
                raise broken

        # If Hypothesis meets it again, it makes it smaller; a result that depends on what came
        # before may not come again.
        yield from _search(self._made(real=False), check, self.max_examples, "made up", shown=True)
        yield min(found, key=lambda one: (not one.shown, typed_size(one.items[0])))


def _compared(run: _Run, process: SecondProcess) -> _Broken | None:
    there = process.results(run.item)
    if isinstance(there, str):
        return _Broken(ELSEWHERE, f"In a second process it {there}.", (run.item,))
    if _meaning(there) == run.meaning:
        return None
    what = (
        "In a second process (another PYTHONHASHSEED and time zone, other items before it) its result "
        "is another: it depends on more than the item."
    )
    return _Broken(ELSEWHERE, what, (run.item,))


def _collisions(transform: Transform, runs: Iterable[tuple[_Run, bool]]) -> Iterator[_Broken]:
    """Two items of different source keys whose results share a target key; the smallest two first."""
    owners: dict[str, tuple[str, TypedItem, bool]] = {}
    found: list[_Broken] = []
    for run, shown in runs:
        own = canonical_key(run.item, transform.source_keys)
        for result in run.results:
            target = canonical_key(transform.target_key(result), transform.target_keys)
            other, item, other_shown = owners.setdefault(target, (own, run.item, shown))
            if other != own:
                what = "Two items with different keys became one key of the target: one would be lost."
                both_shown = shown and other_shown
                origin = "made up" if both_shown else "like=, or made near it"
                found.append(_Broken(APART, what, (item, run.item), origin=origin, shown=both_shown))
    yield from sorted(found, key=lambda one: (not one.shown, sum(map(typed_size, one.items))))


def _search(
    strategy: SearchStrategy[Any],
    check: Callable[[Any], None],
    max_examples: int,
    origin: str,
    *,
    shown: bool,
) -> Iterator[_Broken]:
    """What Hypothesis finds to be broken, made as small as it can."""
    seen: list[_Broken] = []

    # No database: it would keep what was made of real items, and know no transform from another.
    @settings(
        max_examples=max_examples,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        verbosity=Verbosity.quiet,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy.map(_Unseen))
    def holds(example: _Unseen) -> None:
        try:
            check(example.value)
        except _Broken as broken:
            seen.append(broken)
            raise

    try:
        holds()
    except _Broken as broken:
        yield _from(broken, origin, shown=shown)
    except Flaky:
        if not seen:  # not of the transform's doing: a strategy of `attributes`, say
            raise
        what = f"What was wrong with this item once was not the next time ({seen[-1].invariant})."
        yield _from(_Broken(AGAIN, what, seen[-1].items), origin, shown=shown)


class _Unseen:
    """A drawn value that Hypothesis cannot print: it may be real, or 400 KB."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return "..."


def _from(broken: _Broken, origin: str, *, shown: bool) -> _Broken:
    return _Broken(broken.invariant, broken.what, broken.items, broken.cause, origin, shown)


# --- in words ---------------------------------------------------------------------------------


def _in_words(name: str, broken: _Broken, visible: bool) -> str:
    lines = [f"{name} breaks an invariant of transforms: {broken.invariant}.", f"  {broken.what}"]
    if not broken.items:
        return "\n".join(lines)
    if not visible:
        lines += [f"  Counter-example ({broken.origin}), attributes and types only:"]
        for item in broken.items:
            lines += ["    " + ", ".join(f"{name} ({'/'.join(value)})" for name, value in item.items())]
        lines += ["  Values are not shown, since they may be real ones; reveal=True shows them."]
        return "\n".join(lines)
    lines += [f"  Counter-example ({broken.origin}), to be pasted into the test:", ""]
    lines += ["from decimal import Decimal", "", "examples = ["]
    lines += [f"    {_literal(item_from_typed(item))}," for item in broken.items]
    return "\n".join([*lines, "]"])


_RUN_OF_ONE = re.compile(r"(.)\1{99,}", re.DOTALL)


def _literal(value: Any) -> str:
    """A Python expression for a value; what was filled up is written as a product."""
    match value:
        case dict():
            return "{" + ", ".join(f"{name!r}: {_literal(one)}" for name, one in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_literal, value)) + "]"
        case set():
            return "{" + ", ".join(sorted(map(_literal, value))) + "}"
        case str():
            return _short(value)
        case bytes():
            text = value.decode("latin-1")
            return _short(text, lambda part: repr(part.encode("latin-1")))
        case Decimal():
            return f"Decimal('{value}')"
    return repr(value)


def _short(text: str, shown: Callable[[str], str] = repr) -> str:
    parts, end = [], 0
    for found in _RUN_OF_ONE.finditer(text):
        if found.start() > end:
            parts.append(shown(text[end : found.start()]))
        parts.append(f"{shown(found[1])} * {len(found[0])}")
        end = found.end()
    if end < len(text) or not text:
        parts.append(shown(text[end:]))
    return " + ".join(parts)


def _meaning(results: Iterable[TypedItem]) -> list[bytes]:
    return sorted(map(_EXACT.canonical, results))


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename != __file__]
    return f" in {own[-1].filename}, line {own[-1].lineno}" if own else ""


def _sentence(hint: str) -> str:
    return hint[:1].upper() + hint[1:]
