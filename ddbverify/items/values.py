"""
DynamoDB's typed JSON <-> Python's own values, as a user's transform and checks see them.

``N`` is `decimal.Decimal`, ``B`` is `bytes`, sets are `set`, ``NULL`` is ``None``; there are
no floats on either side. Standard library only: the consumer imports this module in Lambda.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from decimal import Context, Decimal, DecimalException, Inexact, Overflow, Subnormal
from typing import Any

from ddbverify.names import TypedItem, TypedValue

# 38 significant digits, 1E-130 to 9.99...E+125; anything else must raise, never lose a digit.
# Not `Rounded`: it would refuse zeros at the end, and DynamoDB writes 1E+125 with 125 of them.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
_NUMBER = Context(prec=38, Emin=-130, Emax=125, rounding=None, traps=[Inexact, Overflow, Subnormal])

_AS_THEY_ARE = frozenset({"S", "N", "BOOL", "NULL", "SS", "NS"})  # of these, both forms are the same


class ValueNotAllowed(ValueError):
    """A Python value that DynamoDB has no type for. The message names types and attributes, never values."""


def item_from_typed(item: TypedItem) -> dict[str, Any]:
    """A typed item as a plain `dict` of Python values; every call builds new objects."""
    return {name: from_typed(value) for name, value in item.items()}


def item_to_typed(item: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """
    The inverse of `item_from_typed`.

    Raises:
        ValueNotAllowed: A float, an empty or mixed set, a key that is no string, a number
            outside DynamoDB's range, or a type it does not have.
    """
    typed = {}
    for name, value in item.items():
        if not isinstance(name, str):
            raise ValueNotAllowed(f"an item with a name of an attribute that is a {type(name).__name__}")
        try:
            typed[name] = _TO_TYPED.get(type(value), _of_another_type)(value)
        # The attribute only: what stands further in are keys of maps, and those can be data.
        except ValueNotAllowed as error:
            raise ValueNotAllowed(f"an item whose attribute {name[:100]!r} holds {error}") from None
    return typed


def from_typed(value: TypedValue) -> Any:
    """
    One typed value as Python's own.

    Raises:
        ValueNotAllowed: A type descriptor that this version does not know.
    """
    if len(value) != 1:
        raise ValueNotAllowed(f"a value with {len(value)} type descriptors instead of one")
    ((kind, content),) = value.items()
    decode = _FROM_TYPED.get(kind)
    if decode is None:
        raise ValueNotAllowed(f"an attribute of the unknown type {kind[:16]!r}")
    return decode(content)


def to_typed(value: Any) -> dict[str, Any]:
    """One Python value in typed form; bytes become base64 text, numbers keep every digit."""
    return _TO_TYPED.get(type(value), _of_another_type)(value)


def _of_another_type(value: Any) -> dict[str, Any]:
    """Of what is one of the types by inheritance, or by its methods."""
    match value:
        case str():
            return {"S": value}
        case int() | Decimal():
            return {"N": _number(value)}
        case bytes() | bytearray():
            return {"B": base64.b64encode(value).decode()}
        case Mapping():
            return {"M": _map_to_typed(value)}
        case list() | tuple():
            return {"L": [to_typed(element) for element in value]}
        case set() | frozenset():
            return _set_to_typed(value)
    hint = " (use Decimal: a float loses digits)" if isinstance(value, float) else ""
    raise ValueNotAllowed(f"a {type(value).__name__}, which has no DynamoDB type{hint}")


def with_bytes(item: TypedItem) -> dict[str, Any]:
    """
    A typed item as boto3's low-level client wants it: ``B`` as bytes instead of base64 text.

    What holds nothing binary is shared with *item*, not copied.
    """
    return {name: _with_bytes(value) for name, value in item.items()}


def with_base64(item: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `with_bytes`: what boto3's low-level client returns, in JSON's form."""
    return {name: _with_base64(value) for name, value in item.items()}


def _with_bytes(value: Any) -> Any:
    ((kind, content),) = value.items()
    if kind in _AS_THEY_ARE:
        return value
    match kind:
        case "B":
            return {kind: base64.b64decode(content)}
        case "BS":
            return {kind: [base64.b64decode(element) for element in content]}
        case "L":
            return {kind: [_with_bytes(element) for element in content]}
        case "M":
            return {kind: with_bytes(content)}
    return {kind: content}


def _with_base64(value: Mapping[str, Any]) -> dict[str, Any]:
    ((kind, content),) = value.items()
    match kind:
        case "B":
            return {kind: base64.b64encode(content).decode()}
        case "BS":
            return {kind: [base64.b64encode(element).decode() for element in content]}
        case "L":
            return {kind: [_with_base64(element) for element in content]}
        case "M":
            return {kind: with_base64(content)}
    return {kind: content}


def _map_to_typed(value: Mapping[Any, Any]) -> dict[str, Any]:
    for name in value:
        if not isinstance(name, str):
            raise ValueNotAllowed(f"a map with a key that is a {type(name).__name__}, not a str")
    return {name: to_typed(element) for name, element in value.items()}


def _number(value: int | Decimal) -> str:
    if isinstance(value, Decimal) and not value.is_finite():
        raise ValueNotAllowed("a Decimal that is not finite, which is no DynamoDB number")
    try:
        exact = _NUMBER.create_decimal(value)
    except DecimalException:
        raise ValueNotAllowed("a number with more than 38 digits, or outside DynamoDB's range") from None
    return str(exact) if exact else "0"


def _set_to_typed(value: set[Any] | frozenset[Any]) -> dict[str, Any]:
    if not value:
        raise ValueNotAllowed("an empty set, which has no DynamoDB type")
    if all(type(element) is str for element in value):
        return {"SS": sorted(value)}
    elements = [to_typed(element) for element in value]
    kinds = {kind for element in elements for kind in element}
    if len(kinds) != 1 or not kinds <= {"S", "N", "B"}:
        raise ValueNotAllowed("a set that does not hold strings only, numbers only or bytes only")
    (kind,) = kinds
    return {kind + "S": sorted(element[kind] for element in elements)}


def _bytes(content: str | bytes) -> bytes:
    return base64.b64decode(content) if isinstance(content, str) else bytes(content)


_FROM_TYPED: Mapping[str, Callable[[Any], Any]] = {
    "S": str,
    "N": Decimal,
    "B": _bytes,
    "BOOL": bool,
    "NULL": lambda _: None,
    "SS": set,
    "NS": lambda content: {Decimal(element) for element in content},
    "BS": lambda content: {_bytes(element) for element in content},
    "L": lambda content: [from_typed(element) for element in content],
    "M": item_from_typed,
}

# A third of the time that asking for one type after the other takes.
_TO_TYPED: Mapping[type, Callable[[Any], dict[str, Any]]] = {
    str: lambda value: {"S": value},
    int: lambda value: {"N": _number(value)},
    Decimal: lambda value: {"N": _number(value)},
    bytes: lambda value: {"B": base64.b64encode(value).decode()},
    bool: lambda value: {"BOOL": value},
    type(None): lambda _: {"NULL": True},
    dict: lambda value: {"M": _map_to_typed(value)},
    list: lambda value: {"L": [to_typed(element) for element in value]},
    set: _set_to_typed,
}
