"""
One item as the bytes that a page holds: decoded, as Python's own values, and compared with some. Pure.

Everything in here that says "equal" is a quick yes: it is never said of two items whose canonical forms
differ (`ddbverify.items.form`), nor of what is not understood. A no only means that the canonical form
has to decide.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from decimal import Decimal, DecimalException
from typing import Any, Final

import msgspec

from ddbverify.items.form import UnknownValue
from ddbverify.names import TypedItem

_UNSET: Final = msgspec.UNSET
_MOST_DIGITS: Final = 38  # of a DynamoDB number
_PLAIN_NUMBER = re.compile(r"-?\d+(?:\.\d+)?", re.ASCII)


class Value(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """One typed value. Structs decode twice as fast as dictionaries, and ``true`` is not ``1`` in them."""

    S: str | msgspec.UnsetType = _UNSET
    N: str | msgspec.UnsetType = _UNSET
    B: str | msgspec.UnsetType = _UNSET
    BOOL: bool | msgspec.UnsetType = _UNSET
    NULL: bool | msgspec.UnsetType = _UNSET
    M: dict[str, Value] | msgspec.UnsetType = _UNSET
    L: list[Value] | msgspec.UnsetType = _UNSET
    SS: list[str] | msgspec.UnsetType = _UNSET
    NS: list[str] | msgspec.UnsetType = _UNSET
    BS: list[str] | msgspec.UnsetType = _UNSET


Values = Mapping[str, Value]
"""An item, or the content of a map."""

_ITEM = msgspec.json.Decoder(dict[str, Value])
_TYPED_ITEM = msgspec.json.Decoder(dict[str, dict[str, Any]])
_TYPED_VALUE = msgspec.json.Decoder(dict[str, Any])
_ATTRIBUTES = msgspec.json.Decoder(dict[str, msgspec.Raw])  # each as its bytes: what is spelt alike is equal

_REFUSED: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)  # by the decoders


class NotUnderstood(Exception):
    """Bytes that are no item as DynamoDB writes them; they say nothing about equality."""


def decode_item(raw: bytes | msgspec.Raw) -> TypedItem:
    """
    One item slice as a typed item.

    Raises:
        UnknownValue: It is no JSON object that Python can hold (a lone surrogate, say).
    """
    try:
        item: TypedItem = _TYPED_ITEM.decode(raw)
    except _REFUSED as error:
        raise _undecoded(error) from None
    return item


def decode_both(one: bytes | msgspec.Raw, other: bytes | msgspec.Raw) -> tuple[TypedItem, TypedItem]:
    """
    Two item slices as typed items that share the very objects of attributes which both spell alike.

    So whoever compares them, or brings them into form, has to look at the others only.

    Raises:
        UnknownValue: As `decode_item`.
    """
    ours = decode_item(one)
    try:
        spelt, attributes = _ATTRIBUTES.decode(one), _ATTRIBUTES.decode(other)
        theirs = {
            name: ours[name] if spelt.get(name) == attribute else _TYPED_VALUE.decode(attribute)
            for name, attribute in attributes.items()
        }
    except _REFUSED as error:
        raise _undecoded(error) from None
    return ours, theirs


def _undecoded(error: Exception) -> UnknownValue:
    return UnknownValue(f"an item that cannot be decoded ({type(error).__name__})")


def surely_equal(one: bytes | msgspec.Raw, other: bytes | msgspec.Raw) -> bool:
    """
    Whether two item slices are equal up to the order of names: a quick yes.

    Tables write one item always as long: of another length, it is hardly worth to be decoded here.
    """
    if len(bytes(one)) != len(bytes(other)):
        return False
    try:
        # Each attribute, also what both spell alike: of an unknown type nothing is sure.
        return bool(_ITEM.decode(one) == _ITEM.decode(other))
    except _REFUSED:
        return False


def values_of(raw: bytes | msgspec.Raw) -> Values:
    """
    One item slice, its types checked.

    Raises:
        NotUnderstood: It holds what this version does not know.
    """
    try:
        values: Values = _ITEM.decode(raw)
    except _REFUSED as error:
        raise NotUnderstood(type(error).__name__) from None
    return values


def values_of_both(one: bytes | msgspec.Raw, other: bytes | msgspec.Raw) -> tuple[Values, Values]:
    """Two item slices, as `values_of`; one object for both where no byte differs."""
    values = values_of(one)
    return values, values if bytes(one) == bytes(other) else values_of(other)


def in_python(values: Values) -> dict[str, Any]:
    """
    An item as a user's transform gets it (`items.values.item_from_typed`); every call builds new objects.

    Raises:
        NotUnderstood: A value without exactly one type, or content that its type cannot have.
    """
    try:
        return _map(values)
    except (binascii.Error, ValueError, DecimalException, RecursionError) as error:
        raise NotUnderstood(type(error).__name__) from None


def surely_holds(values: Values, made: object, left_out: frozenset[str] = frozenset()) -> bool:
    """
    Whether an item holds exactly what *made* says, type by type: a quick yes.

    Args:
        values: An item of a table.
        made: What a user's code made. A yes says, too, that DynamoDB can hold it.
        left_out: Attributes that may differ, or be on one side only.
    """
    if type(made) is not dict:
        return False
    if left_out:
        if not all(_is_plain(made[name]) for name in left_out & made.keys()):
            return False  # DynamoDB may have no type for it
        made = {name: value for name, value in made.items() if name not in left_out}
        values = {name: value for name, value in values.items() if name not in left_out}
    try:
        return _holds_map(values, made)
    except (binascii.Error, ValueError, DecimalException, RecursionError):
        return False


def _map(values: Values) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, value in values.items():
        # Most values are texts and numbers: no call for these.
        if (text := value.S) is not _UNSET:
            if value != Value(text):
                raise NotUnderstood
            made[name] = text
        elif (text := value.N) is not _UNSET:
            if value != Value(_UNSET, text):
                raise NotUnderstood
            made[name] = Decimal(text)
        else:
            made[name] = _python(value)
    return made


def _python(value: Value) -> Any:
    """One value; that it has one type only is seen by its being equal to one that has no other."""
    made: Any
    if (text := value.N) is not _UNSET:
        alone, made = Value(_UNSET, text), Decimal(text)
    elif (text := value.S) is not _UNSET:
        alone, made = Value(text), text
    elif (members := value.M) is not _UNSET:
        alone, made = Value(M=members), _map(members)
    elif (elements := value.L) is not _UNSET:
        alone, made = Value(L=elements), [_python(element) for element in elements]
    elif (flag := value.BOOL) is not _UNSET:
        alone, made = (_TRUE if flag else _FALSE), flag
    elif (texts := value.SS) is not _UNSET:
        alone, made = Value(SS=texts), set(texts)
    elif (text := value.B) is not _UNSET:
        alone, made = Value(B=text), _bytes(text)
    elif (texts := value.NS) is not _UNSET:
        alone, made = Value(NS=texts), set(map(Decimal, texts))
    elif (texts := value.BS) is not _UNSET:
        alone, made = Value(BS=texts), set(map(_bytes, texts))
    else:
        alone, made = _NULL, None
    if value != alone:
        raise NotUnderstood
    return made


def _holds_map(values: Values, made: Mapping[str, Any]) -> bool:
    if len(values) != len(made):
        return False
    for name, content in made.items():
        value = values.get(name)
        kind = type(content)
        if kind is str:
            if value != Value(content):
                return False
        elif value is None or not _holds(value, content):
            return False
    return True


def _holds(value: Value, made: Any) -> bool:
    kind = type(made)
    if kind is Decimal or kind is int:
        return _holds_number(value, made)
    if kind is str:
        return value == Value(made)
    if kind is dict:
        members = value.M
        return members is not _UNSET and value == Value(M=members) and _holds_map(members, made)
    if kind is list:
        elements = value.L
        if elements is _UNSET or value != Value(L=elements) or len(elements) != len(made):
            return False
        return all(map(_holds, elements, made))
    if kind is bool:
        return value == (_TRUE if made else _FALSE)
    if made is None:
        return value == _NULL
    if kind is bytes:
        text = value.B
        return text is not _UNSET and value == Value(B=text) and _bytes(text) == made
    return kind is set and bool(made) and _holds_set(value, made)


def _holds_set(value: Value, made: set[Any]) -> bool:
    kinds = set(map(type, made))
    if kinds == {str}:
        return value.SS is not _UNSET and value == Value(SS=value.SS) and set(value.SS) == made
    if kinds == {bytes}:
        return value.BS is not _UNSET and value == Value(BS=value.BS) and set(map(_bytes, value.BS)) == made
    if not kinds <= {Decimal, int} or value.NS is _UNSET or value != Value(NS=value.NS):
        return False
    return all(map(_is_plain_number, value.NS)) and set(map(Decimal, value.NS)) == made


def _holds_number(value: Value, made: Decimal | int) -> bool:
    """Whether it is a number that a table spells without an exponent: then DynamoDB has room for it."""
    text = str(made)
    if value == Value(_UNSET, text):
        if text.isdigit():  # most numbers
            return len(text) <= _MOST_DIGITS
        is_finite = isinstance(made, int) or made.is_finite()
        return is_finite and len(text) <= _MOST_DIGITS and "E" not in text
    spelt = value.N
    if spelt is _UNSET or value != Value(_UNSET, spelt) or not _is_plain_number(spelt):
        return False
    return Decimal(spelt) == made


def _is_plain_number(text: str) -> bool:
    if len(text) > _MOST_DIGITS:
        return False
    return (text.isdigit() and text.isascii()) or _PLAIN_NUMBER.fullmatch(text) is not None


def _is_plain(made: Any) -> bool:
    """Whether DynamoDB surely has a type for it."""
    if type(made) in (Decimal, int):
        return _is_plain_number(str(made))
    return type(made) in (str, bytes, bool, type(None))


def _bytes(text: str) -> bytes:
    return binascii.a2b_base64(text, strict_mode=True)


_TRUE: Final = Value(BOOL=True)
_FALSE: Final = Value(BOOL=False)
_NULL: Final = Value(NULL=True)
