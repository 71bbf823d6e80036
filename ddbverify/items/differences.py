"""Where two items differ: attribute paths and the kind of difference, never a value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import Any, Final

from ddbverify.items.form import Form, UnknownValue, same_value
from ddbverify.items.paths import AttributePath, show_path
from ddbverify.names import TypedItem

PATHS_SHOWN: Final = 50
LEAVES_LOOKED_INTO: Final = 5_000
"""An item with more values is compared attribute by attribute."""


def differences(expected: TypedItem, found: TypedItem, form: Form) -> tuple[str, ...]:
    """
    The paths at which *found* differs from *expected*, in alphabetical order.

    Returns:
        ``path: KIND`` each, where KIND is ``added`` (in *found* only), ``removed``, ``value``
        or a change of type such as ``N -> S``. At most `PATHS_SHOWN`, then one that counts
        the rest. Never empty if the two differ; attributes under ``ignore`` do not appear.
    """
    one, other = _unlike(expected, found)
    one, other = form.without_ignored(one), form.without_ignored(other)
    if form.ignore:  # what is left of two values may be spelt alike
        one, other = _unlike(one, other)
    try:
        if _leaves(one) + _leaves(other) > LEAVES_LOOKED_INTO:
            lines = _by_attribute(one, other)
        else:
            lines = list(_in_depth(one, other))
    except UnknownValue:
        lines = ["(a type that is not known)"]
    lines = sorted(set(lines)) or ["(somewhere)"]
    if len(lines) > PATHS_SHOWN:
        lines = [*lines[:PATHS_SHOWN], f"(and {len(lines) - PATHS_SHOWN} more)"]
    return tuple(lines)


def _unlike(one: TypedItem, other: TypedItem) -> tuple[TypedItem, TypedItem]:
    """The attributes that are not spelt alike: those that are are equal, and are not looked into."""
    ours = {
        name: value
        for name, value in one.items()
        if (found := other.get(name)) is not value and found != value
    }
    return ours, {name: value for name, value in other.items() if name in ours or name not in one}


def _in_depth(one: Mapping[str, Any], other: Mapping[str, Any], path: AttributePath = ()) -> Iterator[str]:
    for name in one.keys() | other.keys():
        inner = (*path, name)
        if name not in one or name not in other:
            yield f"{show_path(inner)}: {'added' if name in other else 'removed'}"
        elif one[name] != other[name]:
            yield from _of_value(one[name], other[name], inner)


def _of_value(one: Mapping[str, Any], other: Mapping[str, Any], path: AttributePath) -> Iterator[str]:
    kinds = tuple(one), tuple(other)
    if kinds == (("M",), ("M",)):
        yield from _in_depth(one["M"], other["M"], path)
    elif kinds == (("L",), ("L",)):
        # Place by place: DynamoDB's lists have an order.
        for index, (first, second) in enumerate(zip_longest(one["L"], other["L"])):
            inner = (*path, index)
            if first is None or second is None:
                yield f"{show_path(inner)}: {'added' if first is None else 'removed'}"
            elif first != second:
                yield from _of_value(first, second, inner)
    elif not same_value(one, other):
        yield f"{show_path(path)}: {_change(one, other)}"


def _by_attribute(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    lines = []
    for name in one.keys() | other.keys():
        if name not in one or name not in other:
            lines.append(f"{show_path((name,))}: {'added' if name in other else 'removed'}")
        elif not same_value(one[name], other[name]):
            lines.append(f"{show_path((name,))}: {_change(one[name], other[name])}")
    return lines


def _change(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    before, after = next(iter(one)), next(iter(other))
    return "value" if before == after else f"{before} -> {after}"


def _leaves(item: Mapping[str, Any]) -> int:
    count, waiting = 0, [*item.values()]
    while waiting:
        value = waiting.pop()
        for kind, content in value.items():
            count += len(content) if kind in {"SS", "NS", "BS"} else 1
            if kind == "M":
                waiting.extend(content.values())
            elif kind == "L":
                waiting.extend(content)
    return count
