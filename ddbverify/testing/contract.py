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

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis.strategies import SearchStrategy

from ddbverify.code.second_process import SecondProcess, locate
from ddbverify.errors import ConfigurationError
from ddbverify.items.limits import typed_size
from ddbverify.items.transform import Transform, TransformFunction
from ddbverify.items.values import item_to_typed
from ddbverify.names import KeySchema
from ddbverify.testing.counterexamples import in_words
from ddbverify.testing.invariants import (
    EXACT,
    EXAMINED,
    Broken,
    Run,
    Subject,
    Watched,
    collisions,
    compared,
)
from ddbverify.testing.neighbours import as_stored
from ddbverify.testing.search import PER_EDGE, Drawing, search, told
from ddbverify.testing.strategies import Item, check_schema, checked_items, families
from ddbverify.words import number_of


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
    watched = Watched(function)
    subject = Subject(
        Transform(str(place), watched, source_keys, target_keys, rekeys),
        watched,
        inverse,
        tuple((target_indexes or {}).values()),
        may_change_input,
    )
    real = checked_items("like", like, source_keys, indexes or {})
    trial = _Trial(
        subject,
        shown=checked_items("examples", examples, source_keys, indexes or {}),
        source=Drawing(source_keys, indexes or {}, real, attributes or {}, largest),
        max_examples=max_examples,
    )
    with SecondProcess(place, subject.transform) as elsewhere:
        broken = next(trial.failures(elsewhere), None)
    if broken is not None:
        visible = reveal or broken.shown
        raise AssertionError(in_words(str(place), broken, visible)) from (broken.cause if visible else None)


@dataclass
class _Trial:
    """Everything that one transform is tried on."""

    subject: Subject
    shown: Sequence[Item]
    source: Drawing
    max_examples: int
    tried: list[tuple[Run, bool]] = field(default_factory=list)  # and whether it may be shown

    def failures(self, elsewhere: SecondProcess) -> Iterator[Broken]:
        """Each invariant that is found broken, the cheapest to look at first."""
        for number, item in enumerate(self.shown):
            yield from self._given(item, f"examples[{number}]", shown=True)
        if self.subject.transform.rekeys:  # a pasted counter-example is what is answered, no other one
            for broken in collisions(self.subject.transform, self.tried):
                yield told(broken, "examples", shown=True)
        yield from self._search(self.source.items(real=False), "made up", shown=True)
        for edge in self.source.edges():
            yield from self._search(edge, "made up", shown=True, max_examples=PER_EDGE)
        for number, item in enumerate(self.source.real):
            yield from self._given(item, f"like[{number}]", shown=False)
        if self.source.real:
            yield from self._search(self.source.items(real=True), "made near the items of like=", shown=False)
        if self.subject.transform.rekeys:
            for real in (False, True) if self.source.real else (False,):
                yield from self._crowd(real)
            yield from collisions(self.subject.transform, self.tried)
        yield from self._examined()
        yield from self._elsewhere(elsewhere)

    def _given(self, item: Item, origin: str, *, shown: bool) -> Iterator[Broken]:
        try:
            self.tried.append((self.subject.examine(item_to_typed(item)), shown))
        except Broken as broken:
            yield told(broken, origin, shown=shown)

    def _search(
        self, strategy: SearchStrategy[Item], origin: str, *, shown: bool, max_examples: int | None = None
    ) -> Iterator[Broken]:
        def check(item: Item) -> None:
            self.tried.append((self.subject.examine(as_stored(item_to_typed(item))), shown))

        yield from search(strategy, check, max_examples or self.max_examples, origin, shown=shown)

    def _crowd(self, real: bool) -> Iterator[Broken]:
        """Items with keys that are easily taken for each other."""

        def check(family: list[Item]) -> None:
            runs = [(self.subject.run(as_stored(item_to_typed(item))), not real) for item in family]
            self.tried += runs
            for broken in collisions(self.subject.transform, runs):
                raise broken

        strategy = families(self.subject.transform.source_keys, self.source.items(real=real, largest=0))
        origin = "made near the items of like=" if real else "made up"
        yield from search(strategy, check, self.max_examples, origin, shown=not real)

    def _examined(self) -> Iterator[Broken]:
        if not any(run.results for run, _ in self.tried):
            what = f"{number_of(len(self.tried), 'item')} tried, and each became None: nothing was examined."
            hint = "Give it items that stay, as examples= or like=."
            yield Broken(EXAMINED, f"{what} {hint}", origin="no item")

    def _elsewhere(self, process: SecondProcess) -> Iterator[Broken]:
        """The same items in another process, in the opposite order."""
        found: list[Broken] = []
        once = {EXACT.digest(run.item): (run, shown) for run, shown in reversed(self.tried)}
        for run, shown in once.values():
            broken = compared(run, process)
            if broken is not None:
                found.append(told(broken, "made up" if shown else "like= or made near it", shown=shown))
        if not found:
            return

        def check(item: Item) -> None:
            broken = compared(self.subject.run(as_stored(item_to_typed(item))), process)
            if broken is not None:
                raise broken

        # If Hypothesis meets it again, it makes it smaller; a result that depends on what came
        # before may not come again.
        yield from search(self.source.items(real=False), check, self.max_examples, "made up", shown=True)
        yield min(found, key=lambda one: (not one.shown, typed_size(one.items[0])))
