"""
Lines of an export in Amazon Ion -> items in DynamoDB's typed JSON. The one module that knows amazon.ion.

Its values are made bare, but for those with an annotation, by its parser in C: its own types have a null that
equals nothing, and a set that equals a list. Numbers are exact decimals either way.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec
from amazon.ion import simpleion
from amazon.ion.exceptions import IonException
from amazon.ion.simple_types import IonPyList

from ddbverify.exports.parts import Malformed
from ddbverify.names import TypedItem, TypedValue

_SETS: Final[Mapping[str, tuple[str, type]]] = {
    "$dynamodb_SS": ("SS", str),
    "$dynamodb_NS": ("NS", Decimal),
    "$dynamodb_BS": ("BS", bytes),
}

LONGEST_TEXT: Final = 1 << 20
"""Bytes. By default texts of 16 KB are refused (findings/amazon-ion-long-text.sh); items may hold 400."""

_BARE: Final = simpleion.IonPyValueModel.MAY_BE_BARE | simpleion.IonPyValueModel.STRUCT_AS_STD_DICT

_encode: Final[Callable[[Any], bytes]] = msgspec.json.Encoder().encode


def items_of(text: bytes) -> list[bytes]:
    """
    The items of whole lines, each as the JSON that a scan would have returned.

    Raises:
        Malformed: A line is not of the form that exports have.
    """
    try:
        values = simpleion.loads(
            text, single_value=False, value_model=_BARE, text_buffer_size_limit=LONGEST_TEXT
        )
    except (IonException, ValueError, TypeError, RecursionError) as error:
        raise Malformed(type(error).__name__) from None
    return [_encode(_item(value)) for value in values]


def is_usable() -> bool:
    """Whether amazon.ion has its parser in C here; without it, it makes no bare values."""
    return bool(simpleion.c_ext)


def _item(line: Any) -> TypedItem:
    if type(line) is not dict or len(line) != 1 or type(line.get("Item")) is not dict:
        raise Malformed("a line that is no item")
    return {name: _typed(value) for name, value in line["Item"].items()}


def _typed(value: Any) -> TypedValue:
    make = _MAKE.get(type(value))
    if make is None:  # a typed null, an annotation, or a type that DynamoDB has not
        raise Malformed(f"a value of type {type(value).__name__}")
    return make(value)


def _set(value: Any) -> TypedValue:
    """A list that is not bare: one with an annotation."""
    annotations = [one.text for one in value.ion_annotations]
    kind, member = _SETS.get(annotations[0], ("", object)) if len(annotations) == 1 else ("", object)
    if not kind or not all(type(one) is member for one in value):
        raise Malformed("a list with annotations that are not a set's")
    return {kind: [_MAKE[member](one)[kind[0]] for one in value]}


_MAKE: Final[Mapping[type, Callable[[Any], TypedValue]]] = {
    str: lambda value: {"S": value},
    Decimal: lambda value: {"N": str(value)},
    bool: lambda value: {"BOOL": value},
    type(None): lambda _: {"NULL": True},
    bytes: lambda value: {"B": base64.b64encode(value).decode()},
    list: lambda value: {"L": [_typed(one) for one in value]},
    dict: lambda value: {"M": {name: _typed(one) for name, one in value.items()}},
    IonPyList: _set,
}
