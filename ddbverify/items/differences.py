"""Where two items differ: attribute paths and the kind of difference, never a value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ddbverify.items.form import Form, UnknownValue
from ddbverify.items.paths import AttributePath, show_path
from ddbverify.names import TypedItem

PATHS_SHOWN: Final = 50
LEAVES_LOOKED_INTO: Final = 5_000
"""An item with more values is compared attribute by attribute: deepdiff would take seconds."""

_KINDS: Final = {
    "dictionary_item_added": "added",
    "dictionary_item_removed": "removed",
    "iterable_item_added": "added",
    "iterable_item_removed": "removed",
}

_EXACT: Final = Form()  # what may be left out has been left out before


def differences(expected: TypedItem, found: TypedItem, form: Form) -> tuple[str, ...]:
    """
    The paths at which *found* differs from *expected*, in alphabetical order.

    Returns:
        ``path: KIND`` each, where KIND is ``added`` (in *found* only), ``removed``, ``value``
        or a change of type such as ``N -> S``. At most `PATHS_SHOWN`, then one that counts
        the rest. Never empty if the two differ; attributes under ``ignore`` do not appear.
    """
    one, other = form.without_ignored(expected), form.without_ignored(found)
    try:
        if _leaves(one) + _leaves(other) > LEAVES_LOOKED_INTO:
            lines = _by_attribute(one, other)
        else:
            lines = _in_depth(one, other)
    except UnknownValue:
        lines = ["(a type that is not known)"]
    lines = sorted(set(lines)) or ["(somewhere)"]
    if len(lines) > PATHS_SHOWN:
        lines = [*lines[:PATHS_SHOWN], f"(and {len(lines) - PATHS_SHOWN} more)"]
    return tuple(lines)


def _in_depth(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    from deepdiff import DeepDiff  # a fifth of a second, which only what differs has to wait for

    diff = DeepDiff(
        {name: _outline(value) for name, value in one.items()},
        {name: _outline(value) for name, value in other.items()},
        view="tree",
        zip_ordered_iterables=True,  # lists place by place: linear, and DynamoDB's lists have an order
        threshold_to_diff_deeper=0,  # always name the attribute itself, however little two maps share
        ignore_private_variables=False,  # an attribute may be called __x
    )
    lines = []
    for report, nodes in diff.items():
        for node in nodes:
            path = tuple(node.path(output_format="list"))
            kind = _KINDS.get(report) or _change(_at(one, path), _at(other, path))
            lines.append(f"{show_path(path)}: {kind}")
    return lines


def _outline(value: Mapping[str, Any]) -> Any:
    """Maps and lists as they are; any other value as one text that stands for type and content."""
    if len(value) == 1:
        ((kind, content),) = value.items()
        if kind == "M":
            return {name: _outline(element) for name, element in content.items()}
        if kind == "L":
            return [_outline(element) for element in content]
    return _EXACT.canonical({"": value}).hex()


def _by_attribute(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    lines = []
    for name in one.keys() | other.keys():
        if name not in one or name not in other:
            lines.append(f"{show_path((name,))}: {'added' if name in other else 'removed'}")
        elif not _EXACT.same({"": one[name]}, {"": other[name]}):
            lines.append(f"{show_path((name,))}: {_change(one[name], other[name])}")
    return lines


def _change(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    before, after = next(iter(one)), next(iter(other))
    return "value" if before == after else f"{before} -> {after}"


def _at(item: Mapping[str, Any], path: AttributePath) -> Mapping[str, Any]:
    """The typed value at a path that deepdiff has found in both items."""
    value: Mapping[str, Any] = {"M": item}
    for step in path:
        value = value["M" if isinstance(step, str) else "L"][step]
    return value


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
