"""A check of every pair of items, made of a function with plain assertions."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final, Literal, overload

from ddbverify.compare.inspection import ARGUMENTS, ItemCheck, name_of_file
from ddbverify.suite.marks import SETTINGS, CheckSettings, MarkError, settings_of
from ddbverify.suite.pair import Pair
from ddbverify.suite.verdicts import require

_NUMBERS: Final = itertools.count()


@overload
def each_item(function: Callable[..., object], /) -> Callable[[Pair], None]: ...
@overload
def each_item(
    *, only: Literal["different"] | None = None, tables: Iterable[str] = ()
) -> Callable[[Callable[..., object]], Callable[[Pair], None]]: ...
def each_item(
    function: Callable[..., object] | None = None,
    /,
    *,
    only: Literal["different"] | None = None,
    tables: Iterable[str] = (),
) -> Callable[[Pair], None] | Callable[[Callable[..., object]], Callable[[Pair], None]]:
    """
    Make a check of every pair of items, out of a function with plain assertions.

    ::

        @each_item
        def check_total_is_in_cents(source, target):
            assert target["total_cents"] == source["total"] * 100

    It is called with those of ``source``, ``target`` and ``expected`` (what the transform makes
    of the source item) that it names, as read-only mappings of Python's own values, once for
    each key that is on both sides, inside the shared pass: it costs no read. An assertion that
    fails on items which are equal, or have settled, is a finding; any other exception leaves
    the check undecided.

    Args:
        function: The check.
        only: ``"different"``: call it for items only that differ from what is expected, once that
            is settled. It costs nothing for all others, about which its claim holds.

        tables: Names of the source tables that it is about, as in `check`.

    Raises:
        MarkError: The function takes other arguments, or *only* is something else.
    """
    if only not in (None, "different"):
        raise MarkError(f'each_item(only={only!r}): the one thing that it can be is "different"')
    if function is None:
        return lambda function: _bound(item_check(function, only_different=only is not None), tables)
    return _check_of(item_check(function))


def _bound(check: ItemCheck, tables: Iterable[str]) -> Callable[[Pair], None]:
    """What is said below counts on; the tables are those that are said here, if any."""
    made = _check_of(check)
    if tables:
        below: CheckSettings = getattr(made, SETTINGS, settings_of())
        setattr(made, SETTINGS, replace(below, tables=settings_of(tables=tables).tables))
    return made


def item_check(function: Callable[..., object], *, only_different: bool = False) -> ItemCheck:
    """
    Look at the function's arguments.

    Raises:
        MarkError: It has others than `ARGUMENTS`, or none.
    """
    wants = tuple(inspect.signature(function).parameters)
    if not wants or not set(wants) <= set(ARGUMENTS):
        raise MarkError(
            f"{function.__qualname__}({', '.join(wants)}): an @each_item check takes "
            f"{', '.join(ARGUMENTS)}, or some of them; a check of a whole pair takes `pair` and "
            "needs no decorator"
        )
    file = inspect.getfile(function)
    name = f"{name_of_file(file)}::{function.__qualname__}"
    # By the function and not by its name: a factory makes many checks of one qualified name.
    unique = f"{function.__module__}.{function.__qualname__}#{next(_NUMBERS)}"
    return ItemCheck(unique, name, function, wants, file, only_different)


def _check_of(check: ItemCheck) -> Callable[[Pair], None]:
    def check_pair(pair: Pair) -> None:
        require(pair.inspected(check))

    function = check.function
    # Not functools.wraps: pytest would look through it, and ask for fixtures `source` and `target`.
    check_pair.__name__ = function.__name__
    check_pair.__qualname__ = function.__qualname__
    check_pair.__module__ = function.__module__
    check_pair.__doc__ = function.__doc__
    check_pair.ddb_item_check = check  # type: ignore[attr-defined]  # the plugin subscribes it
    if hasattr(function, SETTINGS):  # marked below, not above
        setattr(check_pair, SETTINGS, getattr(function, SETTINGS))
    return check_pair
