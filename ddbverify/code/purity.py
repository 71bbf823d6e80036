"""Whether a transform gives one result for one item: called twice here, and once more in a second process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ddbverify.code.bound import Bound, as_seen_from
from ddbverify.code.digest import transform_files
from ddbverify.code.second_process import SecondProcess, locate
from ddbverify.config import Config
from ddbverify.errors import TransformError
from ddbverify.items.form import Form
from ddbverify.items.transform import Transform
from ddbverify.names import TypedItem

_EXACT = Form()


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
        impure = "in a second process, with another PYTHONHASHSEED, time zone and order of items"
    files = transform_files(config, transform.name)
    bound = Bound.of(files.values(), [config.folder], [files])
    return Tried(
        made=tuple(item for one in here if isinstance(one, list) for item in one),
        failures=tuple(one for one in here if isinstance(one, TransformError)),
        impure=impure,
        unbound=as_seen_from(config.folder, bound.others(read)),
    )


def _outcome(transform: Transform, item: TypedItem) -> list[TypedItem] | TransformError:
    try:
        return transform(item)
    except TransformError as error:
        return error


def _meaning(outcome: list[TypedItem] | TransformError | str) -> list[bytes] | None:
    """Of a result what it means; of a failure nothing, however it is worded."""
    return sorted(map(_EXACT.canonical, outcome)) if isinstance(outcome, list) else None
