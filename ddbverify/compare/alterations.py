"""The ways in which a negative control alters an item: what checks claim to notice by name. Pure."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from ddbverify.items.form import Form
from ddbverify.names import KeySchema, TypedItem

ADDED: Final = "ddbverify-control"
"""The attribute that is added to an item."""


class ControlKind(StrEnum):
    """How a negative control alters what the target holds. ``KIND:ATTRIBUTE`` means one attribute."""

    MISSING = "missing"  # the item is gone
    EXTRANEOUS = "extraneous"  # an item is there that no source item makes
    ADDED = "added"  # an attribute too many
    REMOVED = "removed"  # an attribute is gone
    VALUE = "value"  # another value of the same type: the last digit, a set member, a byte
    TYPE = "type"  # another type


@dataclass(frozen=True, slots=True)
class Alteration:
    """One way in which an item is not what it should be."""

    kind: ControlKind
    what: str  # in words, without values
    item: TypedItem | None  # ``None``: it is gone
    attribute: str | None = None

    @property
    def names(self) -> frozenset[str]:
        """What ``@check(covers=…)`` calls it."""
        own = {f"{self.kind}:{self.attribute}"} if self.attribute is not None else set()
        return frozenset({str(self.kind), *own})


def alterations(
    item: TypedItem, keys: KeySchema, form: Form, attributes: frozenset[str] = frozenset()
) -> Iterator[Alteration]:
    """
    *item* altered in each way that it allows.

    Attributes of the key, and those that *form* leaves out, stay as they are. Of the others one of
    each type is enough, and each of *attributes*.
    """
    yield Alteration(ControlKind.MISSING, "a missing item", None)
    yield Alteration(ControlKind.ADDED, "an attribute too many", {**item, ADDED: {"BOOL": True}})
    seen: set[str] = set()
    for name in form.without_ignored(item):
        ((kind, content),) = item[name].items()
        if name in keys or (kind in seen and name not in attributes):
            continue
        seen.add(kind)
        others = {one: item[one] for one in item if one != name}
        yield Alteration(ControlKind.REMOVED, f"a missing attribute of type {kind}", others, name)
        altered = _altered(kind, content)
        if altered is not None:
            changed = {**item, name: {kind: altered}}
            yield Alteration(ControlKind.VALUE, f"another value of type {kind}", changed, name)
        if kind in ("S", "N"):
            turned = {**item, name: {"SS": [content]}}
            yield Alteration(ControlKind.TYPE, f"{kind} turned into another type", turned, name)


def _altered(kind: str, content: Any) -> Any:
    match kind, content:
        case "S", str():
            return content + "."
        case "N", str():
            return _next_in_the_last_digit(content)
        case "B", str():
            return _one_byte_more(content)
        case "BOOL", bool():
            return not content
        case "SS", [first, *others]:
            return others or [first + "."]
        case "BS", [first, *others]:
            return others or [_one_byte_more(first)]
        case "NS", [first, *others]:
            return others or [_next_in_the_last_digit(first)]
        case "L", list():
            return [*content, {"NULL": True}]
        case "M", dict():
            return {**content, ADDED: {"BOOL": True}}
    return None


def _one_byte_more(content: str) -> str:
    return base64.b64encode(base64.b64decode(content) + b"\0").decode()


def _next_in_the_last_digit(number: str) -> str:
    digits, mark, exponent = number.upper().partition("E")
    last = digits[-1]
    return f"{digits[:-1]}{int(last) - 1 if last != '0' else 1}{mark}{exponent}"
