"""Values that a careless function takes for one another, in the spelling in which DynamoDB stores them."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from decimal import Context, Decimal
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from ddbverify.items.values import to_typed
from ddbverify.names import TypedItem

_DIGITS = Context(prec=38)


def as_stored_number(number: Decimal) -> Decimal:
    """A number in the spelling that DynamoDB gives back."""
    return Decimal(f"{_DIGITS.normalize(number):f}") if number else Decimal(0)


def as_stored(item: TypedItem) -> dict[str, Any]:
    """A typed item with its numbers in the spelling that DynamoDB gives back."""
    return {name: _as_stored(value) for name, value in item.items()}


def _as_stored(value: Mapping[str, Any]) -> dict[str, Any]:
    ((kind, content),) = value.items()
    match kind:
        case "N":
            return {kind: f"{as_stored_number(Decimal(content)):f}"}
        case "NS":
            return {kind: [f"{as_stored_number(Decimal(member)):f}" for member in content]}
        case "L":
            return {kind: [_as_stored(element) for element in content]}
        case "M":
            return {kind: as_stored(content)}
    return {kind: content}


def near(value: Any) -> list[Any]:
    """Other values that a careless function takes for this one."""
    match value:
        case str():
            return [
                *(value + " ", " " + value, value.upper(), value.lower(), value.strip()),
                *(value + "\0", value + "0", "0" + value, value + "#", value + "-", value + "/"),
                unicodedata.normalize("NFC", value),
                unicodedata.normalize("NFD", value),
                *(value + "\u0301", value + "x" * 40, value[:-1], value[1:], value[::-1]),
            ]
        case Decimal():
            _, digits, exponent = value.as_tuple()
            last = Decimal(1).scaleb(max(int(exponent) + len(digits) - 38, -130))
            numbers = [
                *(-value, value + 1, value - 1, value.scaleb(1), value.scaleb(-1), value + Decimal("0.1")),
                *(_DIGITS.add(value, last), Decimal(0), value.to_integral_value()),
            ]
            return [as_stored_number(one) for one in numbers if _is_number(one)]
        case bytes():
            return [value + b"\0", b"\0" + value, value[:-1], value[::-1], value.upper(), value + b"x" * 40]
    return [value]  # NULL and BOOL have no neighbours


def longer(value: Any) -> Any:
    """The same with 64 characters or bytes more; a number stays as it is."""
    match value:
        case str():
            return value + "x" * 64
        case bytes():
            return value + b"x" * 64
    return value


def _is_number(number: Decimal) -> bool:
    try:
        to_typed(number)
    except ValueError:
        return False
    return True


def two_readings(kinds: tuple[str, ...]) -> SearchStrategy[list[tuple[Any, Any]]]:
    """Pairs of key values of which two are one text when joined: (1, 2#3) and (1#2, 3), at three joints."""
    joints = ("#", "", "|", "-", "_", ":", "/", ".", " ") if "N" not in kinds else ("",)

    def both(parts: list[int], chosen: list[str]) -> list[tuple[Any, Any]]:
        one, two, three = map(str, parts)
        return [
            pair
            for joint in chosen
            for pair in (
                (_part(kinds[0], one), _part(kinds[1], two + joint + three)),
                (_part(kinds[0], one + joint + two), _part(kinds[1], three)),
            )
        ]

    parts = st.lists(st.integers(1, 9), min_size=3, max_size=3)
    count = min(3, len(joints))
    chosen = st.lists(st.sampled_from(joints), min_size=count, max_size=count, unique=True)
    return st.builds(both, parts, chosen)


def _part(kind: str, text: str) -> Any:
    return text if kind == "S" else Decimal(text) if kind == "N" else text.encode()
