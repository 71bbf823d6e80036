"""
Items as checks see them: read-only, of Python's own values, each decoded once and when it is touched.

Thirty checks share one object, so nothing in it can be changed, containers included: what one check
does cannot be seen by the next, and nothing has to be decoded or copied for each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NoReturn, Self

import msgspec

from ddbverify.items.values import from_typed, to_typed
from ddbverify.names import TypedItem, TypedValue

_VALUES = msgspec.json.Decoder(dict[str, msgspec.Raw])
_VALUE = msgspec.json.Decoder(dict[str, Any])
_SETS: Final = ("SS", "NS", "BS")


class LazyItem(Mapping[str, Any]):
    """
    One item, read-only: Decimal, bytes, set, list, dict, str, bool, ``None``; never a float.

    ``item["name"]`` raises KeyError where there is no such attribute; ``item.get`` and ``in`` work
    as in any mapping. Lists, sets and dicts are read-only, too: copy one to change it.
    """

    __slots__ = ("_decoded", "_raw", "_values")

    def __init__(self, values: Mapping[str, TypedValue] | None, raw: bytes | msgspec.Raw = b"") -> None:
        """Use `of_raw` or `of_typed`."""
        self._values: Mapping[str, Any] | None = values
        self._raw = raw
        self._decoded: dict[str, Any] = {}

    @classmethod
    def of_raw(cls, raw: bytes | msgspec.Raw) -> Self:
        """An item slice of a scan page."""
        return cls(None, raw)

    @classmethod
    def of_typed(cls, item: TypedItem) -> Self:
        """An item in DynamoDB's typed form."""
        return cls(item)

    @classmethod
    def of_python(cls, item: Mapping[str, Any]) -> Self:
        """An item as a user's function has made it; of what is touched, the typed form decides."""
        return cls(_Typed(item))

    def __getitem__(self, name: str) -> Any:
        try:
            return self._decoded[name]
        except KeyError:
            value = self._typed[name]
        typed = _VALUE.decode(value) if isinstance(value, msgspec.Raw) else value
        made = self._decoded[name] = read_only(typed)
        return made

    def get(self, name: str, default: Any = None) -> Any:
        """The attribute, or *default* where there is none."""
        return self[name] if name in self._typed else default

    def __iter__(self) -> Iterator[str]:
        return iter(self._typed)

    def __len__(self) -> int:
        return len(self._typed)

    def __contains__(self, name: object) -> bool:
        return name in self._typed

    def __repr__(self) -> str:
        return f"<item with {', '.join(sorted(self))}>"  # names only: a repr ends up in logs

    @property
    def _typed(self) -> Mapping[str, Any]:
        if self._values is None:
            self._values = _VALUES.decode(self._raw)
        return self._values


class _Typed(Mapping[str, TypedValue]):
    """A Python item in typed form, value by value."""

    __slots__ = ("_item",)

    def __init__(self, item: Mapping[str, Any]) -> None:
        self._item = item

    def __getitem__(self, name: str) -> TypedValue:
        return to_typed(self._item[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._item)

    def __len__(self) -> int:
        return len(self._item)

    def __contains__(self, name: object) -> bool:
        return name in self._item


class ReadOnlyList(list[Any]):
    """A list that refuses to be changed; equal to a plain one, and copied to a plain one."""

    def __reduce_ex__(self, _protocol: object) -> tuple[Any, ...]:
        return list, (list(self),)


class ReadOnlyDict(dict[str, Any]):
    """A dict that refuses to be changed; equal to a plain one, and copied to a plain one."""

    def __reduce_ex__(self, _protocol: object) -> tuple[Any, ...]:
        return dict, (dict(self),)


class ReadOnlySet(set[Any]):
    """A set that refuses to be changed; equal to a plain one, and copied to a plain one."""

    def __reduce_ex__(self, _protocol: object) -> tuple[Any, ...]:
        return set, (set(self),)

    def __repr__(self) -> str:
        return repr(set(self))

    def copy(self) -> set[Any]:
        """A plain set."""
        return set(self)


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise TypeError("what a check sees is read-only: copy it first, as in list(...), set(...) or dict(...)")


for _kind, _names in (
    (ReadOnlyList, "append extend insert remove pop clear sort reverse"),
    (ReadOnlyDict, "pop popitem clear update setdefault __ior__"),
    (
        ReadOnlySet,
        "add remove discard pop clear update intersection_update difference_update "
        "symmetric_difference_update __ior__ __iand__ __isub__ __ixor__",
    ),
):
    for _name in _names.split():
        setattr(_kind, _name, _refuse)
for _kind in (ReadOnlyList, ReadOnlyDict):
    for _name in ("__setitem__", "__delitem__"):
        setattr(_kind, _name, _refuse)
for _name in ("__iadd__", "__imul__"):
    setattr(ReadOnlyList, _name, _refuse)


def read_only(typed: TypedValue) -> Any:
    """
    One typed value as Python's own, containers read-only all the way down.

    Raises:
        ValueNotAllowed: A type descriptor that this version does not know.
    """
    if len(typed) == 1:
        ((kind, content),) = typed.items()
        if kind == "M":
            return ReadOnlyDict({name: read_only(value) for name, value in content.items()})
        if kind == "L":
            return ReadOnlyList([read_only(value) for value in content])
        if kind in _SETS:
            return ReadOnlySet(from_typed(typed))
    return from_typed(typed)
