"""
Lines of an export in Amazon Ion -> items and changes in DynamoDB's typed JSON. It alone knows amazon.ion.

What exports have is read by `ion_text`. A page with anything else goes to amazon.ion, which decides.
Its values are made bare, but for those with an annotation, by its parser in C: its own types have a null that
equals nothing, and a set that equals a list. Numbers are exact decimals either way.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final, Generic, TypeVar

import msgspec
from amazon.ion import simpleion
from amazon.ion.exceptions import IonException
from amazon.ion.simple_types import IonPyList
from msgspec.json import Decoder

from ddbverify.exports import ion_text
from ddbverify.exports.parts import Malformed
from ddbverify.names import TypedValue

_T = TypeVar("_T")

_SETS: Final[Mapping[str, tuple[str, type]]] = {
    "$dynamodb_SS": ("SS", str),
    "$dynamodb_NS": ("NS", Decimal),
    "$dynamodb_BS": ("BS", bytes),
}

LONGEST_TEXT: Final = 1 << 20
"""Bytes. By default texts of 16 KB are refused (findings/amazon-ion-long-text.sh); items may hold 400."""

PIECE_BYTES: Final = 1 << 16
"""Are taken apart at once, about: what these become on the way fits into a processor's cache."""

_BARE: Final = simpleion.IonPyValueModel.MAY_BE_BARE | simpleion.IonPyValueModel.STRUCT_AS_STD_DICT

_encode: Final[Callable[[Any], bytes]] = msgspec.json.Encoder().encode


class _Map(msgspec.Struct, Generic[_T], forbid_unknown_fields=True, gc=False):
    M: _T


class _Line(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """Of a full export."""

    Item: _Map[msgspec.Raw]


class Changed(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """What an incremental export says of a key; each image a map."""

    Keys: _Map[msgspec.Raw]
    Metadata: msgspec.Raw
    NewImage: _Map[msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET
    OldImage: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Recorded(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """Of an incremental export."""

    Record: _Map[Changed]


_ITEMS: Final = Decoder(_Map[_Line])
_CHANGES: Final = Decoder(_Map[_Recorded])


def items_of(text: bytes) -> tuple[bytes, list[msgspec.Raw]]:
    """
    The items of whole lines, each as the JSON that a scan would have returned; before them, all of that JSON.

    Raises:
        Malformed: A line is not of the form that exports have.
    """
    whole, lines = _read(text, _ITEMS)
    return whole, [line.M.Item.M for line in lines]


def changes_of(text: bytes) -> list[Changed]:
    """
    What whole lines of an incremental export say. Raises as `items_of` does.

    That it stands in a ``Record`` is what AWS's documentation has.
    """
    return [line.M.Record.M for line in _read(text, _CHANGES)[1]]


def is_usable() -> bool:
    """Whether amazon.ion has its parser in C here; without it, it makes no bare values."""
    return bool(simpleion.c_ext)


def _read(text: bytes, decoder: Decoder[_T]) -> tuple[bytes, list[_T]]:
    try:
        whole = b"".join(map(ion_text.as_json, _in_pieces(text)))
        lines = decoder.decode_lines(whole)
        if len(lines) == whole.count(b"\n"):  # else one goes on behind its end, perhaps with a version in it
            return whole, lines
    except (ion_text.Outside, msgspec.DecodeError, RecursionError):
        pass  # amazon.ion has the last word
    whole = _by_amazon(text)
    try:
        return whole, decoder.decode_lines(whole)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Malformed(type(error).__name__) from None


def _in_pieces(text: bytes) -> Iterator[bytes]:
    """Some whole lines at a time."""
    begin = 0
    while begin < len(text):
        end = text.find(b"\n", begin + PIECE_BYTES) + 1 or len(text)
        yield text[begin:end]
        begin = end


def _by_amazon(text: bytes) -> bytes:
    """As `ion_text.as_json`, for all of Ion. Raises Malformed."""
    try:
        values = simpleion.loads(
            text, single_value=False, value_model=_BARE, text_buffer_size_limit=LONGEST_TEXT
        )
        return b"".join(_encode(_typed(_without_metadata(value))) + b"\n" for value in values)
    except (IonException, ValueError, TypeError, RecursionError) as error:
        raise Malformed(type(error).__name__) from None


def _without_metadata(line: Any) -> Any:
    """A line of an incremental export without the time of its write, which nobody reads: it may be an int."""
    record = line.get("Record") if type(line) is dict else None
    if type(record) is not dict or type(record.get("Metadata")) is not dict:
        return line
    return line | {"Record": record | {"Metadata": {}}}


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
