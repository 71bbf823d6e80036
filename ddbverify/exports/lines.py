"""
One data file -> its items or changes, a page at a time, and the proof that it was all of them. Pure.

What a thread, a process or a task of some engine needs for it: an open file, and what the manifest says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO, Final, Literal, NamedTuple, TypeVar

import msgspec
from msgspec.json import Decoder

from ddbverify.exports import parts
from ddbverify.exports.manifest import Part
from ddbverify.exports.parts import Malformed

Format = Literal["DYNAMODB_JSON", "ION"]

_Read = TypeVar("_Read")

_NOT_OF_THE_FORM: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, Malformed)


class Change(NamedTuple):
    """The last state of a key in the window of an incremental export. Both as typed JSON."""

    keys: msgspec.Raw
    image: msgspec.Raw | None  # None: it was deleted


class _Line(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """Of a full export."""

    Item: msgspec.Raw


class _Changed(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """Of an incremental export."""

    Keys: msgspec.Raw
    Metadata: msgspec.Raw
    NewImage: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    OldImage: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_LINES: Final = Decoder(_Line)
_CHANGES: Final = Decoder(_Changed)


def items(file: BinaryIO, part: Part, form: Format) -> Iterator[tuple[bytes, list[msgspec.Raw]]]:
    """
    The items of a data file of a full export: pages of JSON, each with the items in it.

    Nothing of the file is believed before its checksum is right, and its end is proven behind the last
    page: whoever stops before it has not read the part.

    Args:
        file: At its beginning, to be read more than once.
        part: What the manifest says of it.
        form: As the manifest has it.

    Raises:
        EngineError: It is not the manifest's, or not whole.
    """
    return _proven(file, part, _items_in_ion if form == "ION" else _items_in_json, lambda page: len(page[1]))


def changes(file: BinaryIO, part: Part, form: Format) -> Iterator[list[Change]]:
    """What a data file of an incremental export says, likewise. Args and raises as `items`."""
    return _proven(file, part, _changes_in_ion if form == "ION" else _changes_in_json, len)


def _proven(
    file: BinaryIO, part: Part, decode: Callable[[bytes], _Read], count: Callable[[_Read], int]
) -> Iterator[_Read]:
    counted = 0
    parts.require_whole(file, part)
    for text in parts.lines(file, part):
        try:
            page = decode(text)
        except _NOT_OF_THE_FORM as error:
            what = f"a line is not of the form that exports have ({type(error).__name__})"
            raise parts.damaged(part, what) from None
        counted += count(page)
        yield page
    parts.require_count(part, counted)


def _items_in_json(text: bytes) -> tuple[bytes, list[msgspec.Raw]]:
    return text, [line.Item for line in _LINES.decode_lines(text)]


def _items_in_ion(text: bytes) -> tuple[bytes, list[msgspec.Raw]]:
    from ddbverify.exports import ion  # comes with an extra

    return ion.items_of(text)


def _changes_in_json(text: bytes) -> list[Change]:
    return [
        Change(line.Keys, None if line.NewImage is msgspec.UNSET else line.NewImage)
        for line in _CHANGES.decode_lines(text)
    ]


def _changes_in_ion(text: bytes) -> list[Change]:
    from ddbverify.exports import ion  # comes with an extra

    return [
        Change(one.Keys.M, None if one.NewImage is msgspec.UNSET else one.NewImage.M)
        for one in ion.changes_of(text)
    ]
