"""Whether a transform or an inverse gives one result for one item: called twice, and in a second process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ddbverify.code.bound import Bound, as_seen_from
from ddbverify.code.digest import transform_files
from ddbverify.code.second_process import SecondProcess, locate
from ddbverify.config import Config
from ddbverify.errors import TransformError
from ddbverify.items.form import Form
from ddbverify.items.inverse import Inverse
from ddbverify.items.laws import BrokenLaw, broken_law
from ddbverify.items.transform import Transform
from ddbverify.names import TypedItem

_EXACT = Form()
_ELSEWHERE = "in a second process, with another PYTHONHASHSEED, time zone and order of items"


@dataclass(frozen=True, slots=True)
class Tried:
    """
    What came of a transform on some items.

    Args:
        made: The items that the sample becomes in the target.
        failures: One for each item on which it failed.
        impure: How it gave two results for one item, in words; empty if it did not.
        unbound: Files that it read and that its digest is not over, as ``transform_files`` has them.
    """

    made: tuple[TypedItem, ...]
    failures: tuple[TransformError, ...]
    impure: str
    unbound: tuple[str, ...]


def tried(config: Config, transform: Transform, items: Sequence[TypedItem]) -> Tried:
    """
    Try a transform on real items; nothing of them is kept.

    Raises:
        ConfigurationError: It does not load in a second process.
    """
    here = [_outcome(transform, item) for item in items]
    again = [_outcome(transform, item) for item in items]
    place, _ = locate(transform.name)
    with SecondProcess(place, transform) as elsewhere:
        # In another order: what an item before left behind shows, too.
        there = [_meaning(elsewhere.results(item)) for item in reversed(items)][::-1]
        read = set(elsewhere.reads)
    impure = ""
    if [_meaning(one) for one in here] != [_meaning(one) for one in again]:
        impure = "when it was called twice"
    elif [_meaning(one) for one in here] != there:
        impure = _ELSEWHERE
    return Tried(
        made=tuple(item for one in here if isinstance(one, list) for item in one),
        failures=tuple(one for one in here if isinstance(one, TransformError)),
        impure=impure,
        unbound=_unbound(config, transform.name, read),
    )


@dataclass(frozen=True, slots=True)
class TriedInverse:
    """
    What came of an inverse on some items.

    Args:
        examined: How many of them the transform keeps; of the others nothing can be said.
        broken: The first law that does not hold of one of them.
        impure: As of `Tried`.
        unbound: Likewise.
    """

    examined: int
    broken: BrokenLaw | None
    impure: str
    unbound: tuple[str, ...]


def tried_inverse(
    config: Config, transform: Transform, inverse: Inverse, items: Sequence[TypedItem]
) -> TriedInverse:
    """
    Hold an inverse to its laws on real items; nothing of them is kept.

    Raises:
        ConfigurationError: It does not load in a second process.
    """
    made = [
        (results[0], item)
        for item in items
        if isinstance(results := _outcome(transform, item), list) and results
    ]
    found = (broken_law(transform, inverse, item, result) for result, item in made)
    broken = next((one for one in found if one is not None), None)
    place, _ = locate(inverse.name, "inverse")
    with SecondProcess(place, inverse) as elsewhere:
        there = [elsewhere.restored(*one) for one in reversed(made)][::-1]
        read = set(elsewhere.reads)
    impure = ""
    if broken is None and any(
        isinstance(one, str) or not _EXACT.same(one, inverse(*call))
        for one, call in zip(there, made, strict=True)
    ):
        impure = _ELSEWHERE
    return TriedInverse(len(made), broken, impure, _unbound(config, inverse.name, read))


def _unbound(config: Config, name: str, read: set[str]) -> tuple[str, ...]:
    files = transform_files(config, name)
    bound = Bound.of(files.values(), [config.folder], [files])
    return as_seen_from(config.folder, bound.others(read))


def _outcome(transform: Transform, item: TypedItem) -> list[TypedItem] | TransformError:
    try:
        return transform(item)
    except TransformError as error:
        return error


def _meaning(outcome: list[TypedItem] | TransformError | str) -> list[bytes] | None:
    """Of a result what it means; of a failure nothing, however it is worded."""
    return sorted(map(_EXACT.canonical, outcome)) if isinstance(outcome, list) else None
