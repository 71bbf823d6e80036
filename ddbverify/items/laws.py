"""The two laws of an inverse, held against one item. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ddbverify.errors import TransformError
from ddbverify.items.differences import differences
from ddbverify.items.form import Form
from ddbverify.items.inverse import Inverse
from ddbverify.items.paths import parse_path
from ddbverify.items.transform import Transform
from ddbverify.names import TypedItem

FIRST: Final = "transform(inverse(item, before)) == item"
SECOND: Final = "inverse(transform(item), item) == item"

_EXACT: Final = Form(secret=b"")


@dataclass(frozen=True, slots=True)
class BrokenLaw:
    """
    A law that does not hold of an item.

    Args:
        law: `FIRST` or `SECOND`.
        what: What is wrong, in words without values: attributes, or what the function did.
    """

    law: str
    what: str

    def __str__(self) -> str:
        return f"{self.law} does not hold: {self.what}"


def broken_law(transform: Transform, inverse: Inverse, item: TypedItem, made: TypedItem) -> BrokenLaw | None:
    """
    The first law that does not hold of a source item, ``None`` where both do.

    Args:
        item: Of the source.
        made: What the transform makes of it.
    """
    try:
        back = inverse(made, item)
        again = inverse(made, item)
    except TransformError as error:
        return BrokenLaw(SECOND, _told(error))
    if not _EXACT.same(back, again):
        return BrokenLaw(SECOND, "two calls with the same items gave two results")
    if not _EXACT.same(back, item):
        return BrokenLaw(SECOND, f"other {_attributes(item, back)}")
    try:
        anew = transform(inverse(made, None))
    except TransformError as error:
        return BrokenLaw(FIRST, f"without what was before, {_told(error)}")
    if not anew:
        return BrokenLaw(FIRST, "without what was before, the transform drops what the inverse returns")
    if not _EXACT.same(anew[0], made):
        return BrokenLaw(FIRST, f"without what was before, other {_attributes(made, anew[0])}")
    return None


def _told(error: TransformError) -> str:
    """Its message as part of a sentence; it names types and attributes, never values."""
    return error.message[:1].lower() + error.message[1:].rstrip(".")


def _attributes(expected: TypedItem, found: TypedItem) -> str:
    # A path can go through the keys of a map, and those can be data: the attribute's name only.
    paths = (path.rpartition(": ")[0] for path in differences(expected, found, _EXACT))
    names = dict.fromkeys(str(parse_path(path)[0]) for path in paths if path)
    return ", ".join(names) or "attributes"
