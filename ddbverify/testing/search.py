"""Items made up for one table, and the search among them for what is broken. What is broken, others say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis.errors import Flaky
from hypothesis.strategies import SearchStrategy

from ddbverify.items.limits import MAX_KEY_BYTES
from ddbverify.names import KeySchema
from ddbverify.testing.invariants import AGAIN, Broken
from ddbverify.testing.strategies import Item, drawn, edges

PER_EDGE: Final = 2
"""How many items are made at each edge: another one differs in what is no edge, and has been searched."""


@dataclass(frozen=True)
class Drawing:
    """What the items of one table are drawn from."""

    schema: KeySchema
    indexes: Mapping[str, KeySchema]
    real: Sequence[Item]
    attributes: Mapping[str, SearchStrategy[Any]]
    largest: int

    def items(self, *, real: bool, largest: int | None = None) -> SearchStrategy[Item]:
        """Made up, or (*real*) near the real ones."""
        size = self.largest if largest is None else largest
        return drawn(self.schema, self.indexes, self.real, self.attributes, size, real=real)

    def edges(self) -> Iterator[SearchStrategy[Item]]:
        """Items at each edge of what the table takes."""
        keys = [
            (name, kind, longest)
            for (name, kind), longest in zip(self.schema.items(), MAX_KEY_BYTES, strict=False)
            if name not in self.attributes  # else the user has said what it can be
        ]
        return edges(keys, self.items(real=False, largest=0), self.largest)


def search(
    strategy: SearchStrategy[Any],
    check: Callable[[Any], None],
    max_examples: int,
    origin: str,
    *,
    shown: bool,
) -> Iterator[Broken]:
    """What Hypothesis finds to be broken, made as small as it can."""
    seen: list[Broken] = []

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
    @given(strategy.map(Unseen))
    def holds(example: Unseen) -> None:
        try:
            check(example.value)
        except Broken as broken:
            seen.append(broken)
            raise

    try:
        holds()
    except Broken as broken:
        yield told(broken, origin, shown=shown)
    except Flaky:
        if not seen:  # not of the transform's doing: a strategy of `attributes`, say
            raise
        what = f"What was wrong with this item once was not the next time ({seen[-1].invariant})."
        yield told(Broken(AGAIN, what, seen[-1].items), origin, shown=shown)


class Unseen:
    """A drawn value that Hypothesis cannot print: it may be real, or 400 KB."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return "..."


def told(broken: Broken, origin: str, *, shown: bool) -> Broken:
    """The same, with where its items come from, and whether they may be shown."""
    return replace(broken, origin=origin, shown=shown)
