"""What stands between two items: each place where they differ, and what is there. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from ddbverify.items.form import Form
from ddbverify.items.paths import AttributePath
from ddbverify.names import TypedItem

_EXACT: Final = Form()

Forms = tuple[bytes, bytes]
"""The canonical form of both values, empty where there is none."""


def gap(expected: TypedItem, target: TypedItem) -> Mapping[AttributePath, Forms]:
    """
    The places where two items differ, and the forms of what is there.

    Maps are looked into, and lists of one length.
    """
    return dict(_inside((), expected, target))


def _inside(
    path: AttributePath, one: Mapping[str, Any], other: Mapping[str, Any]
) -> Iterator[tuple[AttributePath, Forms]]:
    for name in one.keys() | other.keys():
        yield from _between((*path, name), one.get(name), other.get(name))


def _between(path: AttributePath, one: Any, other: Any) -> Iterator[tuple[AttributePath, Forms]]:
    forms = _form(one), _form(other)
    if forms[0] == forms[1]:
        return
    if one is not None and other is not None:
        ((kind, ours),), ((theirs_kind, theirs),) = one.items(), other.items()
        if kind == theirs_kind == "M":
            yield from _inside(path, ours, theirs)
            return
        if kind == theirs_kind == "L" and len(ours) == len(theirs):
            for index, (left, right) in enumerate(zip(ours, theirs, strict=True)):
                yield from _between((*path, index), left, right)
            return
    yield path, forms


def _form(value: Any) -> bytes:
    return b"" if value is None else _EXACT.canonical({"": value})
