"""What the checks of a session share, made read-only: what one does to it, no other sees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, NoReturn, TypeVar, cast

from ddbverify.compare.inspection import Inspected
from ddbverify.items.lazy import ReadOnlyDict, ReadOnlyList, ReadOnlySet

_T = TypeVar("_T")


def sealed(facts: _T) -> _T:
    """
    The same facts; what can be reached from them refuses to be changed, with a TypeError.

    Args:
        facts: A frozen dataclass, or a container, of such and of plain values.
    """
    return cast("_T", _sealed(facts))


def _sealed(value: Any) -> Any:
    match value:
        case Inspected():
            return _Result(value)
        case Counter():
            return _Counts.of(value)
        case Mapping():
            return ReadOnlyDict({name: _sealed(one) for name, one in value.items()})
        case list():
            return ReadOnlyList(map(_sealed, value))
        case set():
            return ReadOnlySet(value)
        case tuple():
            return tuple(map(_sealed, value)) if type(value) is tuple else value
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{one.name: _sealed(getattr(value, one.name)) for one in fields(value)})
    return value


class _Counts(Counter[str]):
    """A counter that refuses to be changed."""

    @classmethod
    def of(cls, counts: Counter[str]) -> _Counts:
        made = cls.__new__(cls)
        dict.update(made, counts)
        return made

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("what a check sees is read-only: copy it first, as in Counter(...)")

    __setitem__ = __delitem__ = pop = popitem = clear = update = subtract = setdefault = _refuse


class _Result(Inspected):
    """What a check on items has learned, written down once."""

    __slots__ = ()

    def __init__(self, result: Inspected) -> None:
        for one in fields(Inspected):
            object.__setattr__(self, one.name, _sealed(getattr(result, one.name)))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise TypeError(f"what a check sees is read-only: `{name}` was not set")
