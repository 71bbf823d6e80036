"""
Whether two items mean the same, as the first law of an inverse wants it. Pure, standard library only.

The verifier compares by code of its own (`ddbverify.items.form`): the two must not share a mistake.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from ddbverify.names import TypedItem

OF_AWS: Final = "aws:rep:"
"""Attributes that AWS writes by itself, in legacy global tables (docs/aws.md T22)."""


def other_attributes(one: TypedItem, other: TypedItem) -> list[str]:
    """Names of the attributes in which two items in typed form differ, in alphabetical order."""
    return sorted({*_unlike(one, other)})


def _unlike(one: TypedItem, other: TypedItem) -> Iterator[str]:
    for name in one.keys() | other.keys():
        if name.startswith(OF_AWS):
            continue
        ours, theirs = one.get(name), other.get(name)
        if ours is None or theirs is None or (ours != theirs and _meaning(ours) != _meaning(theirs)):
            yield name


def _meaning(value: Mapping[str, Any]) -> tuple[str, Any]:
    """The type of a value, and its content without spelling: alike exactly where two values are equal."""
    ((kind, content),) = value.items()
    match kind:
        case "N":
            return kind, Decimal(content)
        case "B":
            return kind, _bytes(content)
        case "SS":
            return kind, frozenset(content)
        case "NS":
            return kind, frozenset(map(Decimal, content))
        case "BS":
            return kind, frozenset(map(_bytes, content))
        case "L":
            return kind, [_meaning(element) for element in content]
        case "M":
            return kind, {name: _meaning(element) for name, element in content.items()}
    return kind, content  # S, BOOL, NULL


def _bytes(content: str | bytes) -> bytes:
    return base64.b64decode(content) if isinstance(content, str) else content
