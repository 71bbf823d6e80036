"""
The laws of an inverse as one test of yours, on generated items. Needs Hypothesis.

::

    from ddbverify.testing import assert_inverse

    def test_my_inverse():
        assert_inverse("film_transforms:by_release", "film_transforms:as_it_was",
                       source_keys={"year": "N", "title": "S"},
                       target_keys={"released": "N", "title": "S"})

What is checked, and what each argument is for, stands in ``docs/transforms.md``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from ddbverify.code.second_process import SecondProcess, locate
from ddbverify.errors import ConfigurationError
from ddbverify.items.inverse import Inverse, InverseFunction, takes_before
from ddbverify.items.limits import typed_size
from ddbverify.items.transform import Transform, TransformFunction, canonical_key
from ddbverify.items.values import item_to_typed
from ddbverify.names import KeySchema, TypedItem
from ddbverify.testing.counterexamples import in_words
from ddbverify.testing.invariants import EXACT, Broken, Subject, Watched
from ddbverify.testing.laws import Call, Laws, WatchedInverse, elsewhere, nothing_examined
from ddbverify.testing.neighbours import as_stored
from ddbverify.testing.search import PER_EDGE, Drawing, search, told
from ddbverify.testing.strategies import Item, check_schema, checked_items
from ddbverify.words import number_of

_MADE_NEAR = "made near the items of like="


def assert_inverse(
    transform: str | TransformFunction,
    inverse: str | InverseFunction,
    *,
    source_keys: KeySchema,
    target_keys: KeySchema,
    indexes: Mapping[str, KeySchema] | None = None,
    target_indexes: Mapping[str, KeySchema] | None = None,
    like: Iterable[Mapping[str, Any]] = (),
    target_like: Iterable[Mapping[str, Any]] = (),
    attributes: Mapping[str, SearchStrategy[Any]] | None = None,
    target_attributes: Mapping[str, SearchStrategy[Any]] | None = None,
    examples: Iterable[Mapping[str, Any]] = (),
    changes: Iterable[tuple[Mapping[str, Any], Mapping[str, Any] | None]] = (),
    largest: int = 400_000,
    may_change_input: bool = False,
    max_examples: int = 200,
    reveal: bool = False,
) -> None:
    """
    Hold an inverse to its two laws, on items made up for it and on those given.

    The pair keeps its keys: there is no inverse of a transform with ``rekeys = true``.

    Args:
        transform: ``module:function``, or a function at the top level of a module.
        inverse: Likewise; ``inverse(item)`` or ``inverse(item, before)``.
        source_keys: Key schema of the source table: attribute -> ``S``, ``N`` or ``B``, hash key first.
        target_keys: Key schema of the target table, likewise.
        indexes: Index of the source -> its key schema.
        target_indexes: Index of the target -> its key schema.
        like: Real items of the source, as Python values. Each is tried, and so are items of
            their shape, and some near them. Their values are not shown, see *reveal*.
        target_like: Real items of the target, likewise.
        attributes: Attribute of the source -> strategy, for those that always are there in some form.
        target_attributes: Attribute of the target, likewise: what the application may write there.
        examples: Source items to try first, and to show; where a counter-example is pasted.
        changes: Likewise, a target item each, and what the source holds under its key (or ``None``).
        largest: Bytes of the largest item to make up.
        may_change_input: Let it change the dicts that it is given, as the replicator does.
        max_examples: How many items to make up, in each of up to six ways.
        reveal: Show values of counter-examples that were made from *like* and *target_like*.

    Raises:
        AssertionError: A law is broken: which, where two items differ, and a small item that shows it.
        ConfigurationError: The arguments fit neither each other nor a table.
    """
    __tracebackhide__ = True
    for argument, schema in (("source_keys", source_keys), ("target_keys", target_keys)):
        check_schema(argument, schema)
    if [*source_keys.values()] != [*target_keys.values()]:
        raise ConfigurationError(
            "The key types of source_keys and target_keys differ.",
            "test a transform that keeps its keys: one with rekeys = true has no inverse.",
        )
    for name, index in (target_indexes or {}).items():
        check_schema(f"the key schema of the index {name} of target_indexes", index)
    if max_examples < 1:
        raise ConfigurationError("max_examples is less than 1: nothing would be tried.", "use 1 or more.")
    forward, function = locate(transform)
    back, inverse_function = locate(inverse, "inverse")
    watched, watched_back = Watched(function), WatchedInverse(inverse_function)
    laws = Laws(
        Subject(Transform(str(forward), watched, source_keys, target_keys), watched, None, (), True),
        Inverse(str(back), watched_back, source_keys, target_keys, takes_before(str(back), inverse_function)),
        watched_back,
        tuple((indexes or {}).values()),
        may_change_input,
    )
    real = checked_items("like", like, source_keys, indexes or {})
    real_targets = checked_items("target_like", target_like, target_keys, target_indexes or {})
    trial = _Trial(
        laws,
        checked_items("examples", examples, source_keys, indexes or {}),
        [*_checked_changes(changes, laws, indexes or {}, target_indexes or {})],
        Drawing(source_keys, indexes or {}, real, attributes or {}, largest),
        Drawing(target_keys, target_indexes or {}, real_targets, target_attributes or {}, largest),
        max_examples,
    )
    with SecondProcess(back, laws.inverse) as process:
        broken = next(trial.failures(process), None)
    if broken is not None:
        visible = reveal or broken.shown
        breaks = back if broken.of == "a law of inverses" else forward
        raise AssertionError(in_words(str(breaks), broken, visible)) from (broken.cause if visible else None)


@dataclass
class _Trial:
    """Everything that one inverse is tried on."""

    laws: Laws
    examples: Sequence[Item]
    changes: Sequence[tuple[Item, Item | None]]
    source: Drawing
    target: Drawing
    max_examples: int
    tried: list[tuple[Call, bool]] = field(default_factory=list)  # and whether it may be shown
    looked_at: int = 0

    def failures(self, process: SecondProcess) -> Iterator[Broken]:
        """Each law that is found broken, the cheapest to look at first."""
        for number, item in enumerate(self.examples):
            yield from self._given(item, None, f"examples[{number}]", shown=True)
        for number, (item, before) in enumerate(self.changes):
            with_before = None if before is None else _typed(before)
            yield from self._change(_typed(item), with_before, f"changes[{number}]", shown=True)
        yield from self._search(real=False)
        for edge in self.source.edges():
            yield from search(edge, self._examine(shown=True), PER_EDGE, "made up", shown=True)
        for number, item in enumerate(self.source.real):
            following = self.source.real[(number + 1) % len(self.source.real)]
            yield from self._given(item, following, f"like[{number}]", shown=False)
        if self.source.real:
            yield from self._search(real=True)
        yield from self._written_by_the_application()
        if not self.tried:
            yield from nothing_examined(number_of(self.looked_at, "item"))
        yield from self._elsewhere(process)

    def _search(self, *, real: bool) -> Iterator[Broken]:
        """Source items, then what one becomes where the source holds another one under its key."""
        origin, shown = _MADE_NEAR if real else "made up", not real
        yield from search(
            self.source.items(real=real), self._examine(shown=shown), self.max_examples, origin, shown=shown
        )
        # The second one is small: two of the largest size would not fit into one item.
        two = st.tuples(self.source.items(real=real), self.source.items(real=real, largest=0))

        def check(drawn: tuple[Item, Item]) -> None:
            self._examine_two(*map(_stored, drawn), shown=shown)

        if self.laws.inverse.takes_before:
            yield from search(two, check, self.max_examples, origin, shown=shown)

    def _written_by_the_application(self) -> Iterator[Broken]:
        """Target items that need not be what the transform makes, where the user has said what they are."""
        for number, item in enumerate(self.target.real):
            yield from self._change(_typed(item), None, f"target_like[{number}]", shown=False)
        if not self.target.real and not self.target.attributes:
            return
        for real in (False, True) if self.target.real else (False,):
            shown = not real
            two = st.tuples(self.target.items(real=real), self.source.items(real=False, largest=0))

            def check(drawn: tuple[Item, Item], shown: bool = shown) -> None:
                item, before = map(_stored, drawn)
                self._note(self.laws.examine_change(item, None), shown)
                before |= self.laws.inverse.source_key_of(item)
                if self.laws.made(before) is not None:
                    self._note(self.laws.examine_change(item, before), shown)

            origin = "made near the items of target_like=" if real else "made up"
            yield from search(two, check, self.max_examples, origin, shown=shown)

    def _given(self, item: Item, following: Item | None, origin: str, *, shown: bool) -> Iterator[Broken]:
        try:
            self._examine(shown=shown)(item)
            if following is not None:
                self._examine_two(_typed(item), _typed(following), shown=shown)
        except Broken as broken:
            yield told(broken, origin, shown=shown)

    def _change(
        self, item: TypedItem, before: TypedItem | None, origin: str, *, shown: bool
    ) -> Iterator[Broken]:
        try:
            self._note(self.laws.examine_change(item, before), shown)
        except Broken as broken:
            yield told(broken, origin, shown=shown)

    def _examine(self, *, shown: bool) -> Any:
        def check(item: Item) -> None:
            self.looked_at += 1
            for call in self.laws.examine_item(_stored(item)):
                self._note(call, shown)

        return check

    def _examine_two(self, item: TypedItem, other: TypedItem, *, shown: bool) -> None:
        made = self.laws.made(item)
        before = {**other, **{name: item[name] for name in self.source.schema}}
        if made is not None and self.laws.made(before) is not None:
            self._note(self.laws.examine_change(made, before), shown)

    def _note(self, call: Call, shown: bool) -> None:
        self.tried.append((call, shown))

    def _elsewhere(self, process: SecondProcess) -> Iterator[Broken]:
        """The same calls in another process, in the opposite order."""
        found: list[Broken] = []
        once = {tuple(map(EXACT.digest, call.items)): (call, shown) for call, shown in reversed(self.tried)}
        for call, shown in once.values():
            broken = elsewhere(call, process)
            if broken is not None:
                found.append(told(broken, "made up" if shown else "like= or made near it", shown=shown))
        if not found:
            return

        def check(item: Item) -> None:
            for call in self.laws.examine_item(_stored(item)):
                broken = elsewhere(call, process)
                if broken is not None:
                    raise broken

        # If Hypothesis meets it again, it makes it smaller; a result that depends on what came
        # before may not come again.
        yield from search(self.source.items(real=False), check, self.max_examples, "made up", shown=True)
        yield min(found, key=lambda one: (not one.shown, sum(map(typed_size, one.items))))


def _checked_changes(
    changes: Iterable[tuple[Mapping[str, Any], Mapping[str, Any] | None]],
    laws: Laws,
    indexes: Mapping[str, KeySchema],
    target_indexes: Mapping[str, KeySchema],
) -> Iterator[tuple[Item, Item | None]]:
    inverse = laws.inverse
    for number, (item, before) in enumerate(changes):
        place = f"changes[{number}]"
        (target,) = checked_items(place, [item], inverse.target_keys, target_indexes)
        if before is None:
            yield target, None
            continue
        (source,) = checked_items(place, [before], inverse.source_keys, indexes)
        key = inverse.source_key_of(item_to_typed(target))
        keys = (canonical_key(one, inverse.source_keys) for one in (key, item_to_typed(source)))
        if len({*keys}) > 1:
            raise ConfigurationError(
                f"{place}: its two items have different keys.",
                "give what the source holds under the key of the target item, or None.",
            )
        yield target, source


def _typed(item: Item) -> TypedItem:
    return item_to_typed(item)


def _stored(item: Item) -> dict[str, Any]:
    return as_stored(item_to_typed(item))
