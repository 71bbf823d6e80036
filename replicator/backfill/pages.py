"""
Pages of a Scan as they came: items stay the JSON they are, and only the load decodes them.

The reading is the replicator's own. A verifier that shared it would agree with an item that it loses.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from ddbverify.errors import EngineError
from ddbverify.items.values import with_base64
from ddbverify.names import KeySchema, TypedItem
from ddbverify.tables.aws import StrictParser, core_with

if TYPE_CHECKING:
    from botocore.session import Session

_ERRORS_FROM = 301  # the status from which botocore parses an answer as an error
_BODY = "replicator_body"
_CHECKSUM = "x-amz-crc32"
_BYTES_PER_UNIT = 4096  # of a strongly consistent read
_AGAIN = "run the command again; if it comes back, look for a proxy that alters responses."


@dataclass(frozen=True, slots=True)
class Page:
    """What one request returned."""

    items: Sequence[msgspec.Raw]  # each holds on to the whole answer
    last: TypedItem | None  # None: the segment has been read to its end
    units: float  # read units: by DynamoDB's own account, or by the page's size where it does not say


class _Consumed(msgspec.Struct):
    CapacityUnits: float = 0.0


class _Answer(msgspec.Struct):
    Items: list[msgspec.Raw]
    Count: int
    LastEvaluatedKey: dict[str, dict[str, str]] | msgspec.UnsetType = msgspec.UNSET
    ConsumedCapacity: _Consumed | None = None


_ANSWER = msgspec.json.Decoder(_Answer)
_ITEM = msgspec.json.Decoder(dict[str, dict[str, Any]])


def scanning_session() -> Session:
    """A botocore session whose clients do not parse the pages of a Scan; `page_of` does."""
    return core_with(_ScanParser)


def page_of(answer: Mapping[str, Any], *, summed: bool = False) -> Page:
    """
    One answer as a page.

    Args:
        answer: Of a client of `scanning_session`, or of any other: then its items are made JSON again.
        summed: Whether an answer of `scanning_session` has a CRC32: those of DynamoDB always do.

    Raises:
        EngineError: It is no page, is damaged, or its ``Count`` is not the number of its items. Nothing of
            it is quoted.
    """
    body = answer.get(_BODY)
    if body is None:
        body = _encoded(answer)
    elif summed and answer[_CHECKSUM] is None:
        raise EngineError(
            f"A scan page of {len(body)} bytes has no CRC32, and DynamoDB's always have.",
            "look for a proxy that alters responses, then run the same command again: it goes on.",
        )
    elif answer[_CHECKSUM] not in (None, str(zlib.crc32(body))):
        # botocore asks again for such a page, and takes it in the end; here it is one no more.
        raise EngineError(f"A scan page of {len(body)} bytes is damaged (CRC32).", _AGAIN)
    try:
        page = _ANSWER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EngineError(
            f"A scan page of {len(body)} bytes cannot be read ({type(error).__name__}).", _AGAIN
        ) from None
    if page.Count != len(page.Items):
        raise EngineError(f"A scan page says {page.Count} items and holds {len(page.Items)}.", _AGAIN)
    last = None if page.LastEvaluatedKey is msgspec.UNSET else page.LastEvaluatedKey
    if last == {}:
        raise EngineError("A scan page does not say where the next one starts.", _AGAIN)
    said = page.ConsumedCapacity.CapacityUnits if page.ConsumedCapacity else 0.0
    return Page(page.Items, last, said or math.ceil(len(body) / _BYTES_PER_UNIT))


def item_of(raw: msgspec.Raw) -> TypedItem:
    """
    One item of a page in typed form, binary values as base64 text.

    Raises:
        EngineError: It is no item.
    """
    try:
        return _ITEM.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EngineError(f"A scanned item cannot be read ({type(error).__name__}).", _AGAIN) from None


def key_reader(schema: KeySchema) -> Callable[[msgspec.Raw], TypedItem]:
    """
    A function from an item of a page to its key, which steps over all else.

    It raises EngineError for an item without that key.
    """
    # The names of attributes are users' text, so the fields have names of their own.
    fields = [(f"k{at}", dict[str, str]) for at in range(len(schema))]
    names = {field: name for (field, _), name in zip(fields, schema, strict=True)}
    parts = tuple(names.items())
    try:
        decode = msgspec.json.Decoder(msgspec.defstruct("Key", fields, rename=names)).decode
    except ValueError:  # a name that stands escaped in JSON: msgspec cannot step over the others then
        return lambda raw: _key_in(item_of(raw), schema)

    def key_of(raw: msgspec.Raw) -> TypedItem:
        try:
            found = decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _no_key(type(error).__name__) from None
        return {name: getattr(found, field) for field, name in parts}

    return key_of


def _key_in(item: TypedItem, schema: KeySchema) -> TypedItem:
    try:
        return {name: item[name] for name in schema}
    except KeyError as error:
        raise _no_key(type(error).__name__) from None


def _no_key(what: str) -> EngineError:
    return EngineError(f"A scanned item has no key that can be read ({what}).", _AGAIN)


def _encoded(answer: Mapping[str, Any]) -> bytes:
    items = [with_base64(item) for item in answer["Items"]]
    parts: dict[str, Any] = {"Items": items, "Count": answer.get("Count", len(items))}
    if "LastEvaluatedKey" in answer:
        parts["LastEvaluatedKey"] = with_base64(answer["LastEvaluatedKey"])
    if "ConsumedCapacity" in answer:
        parts["ConsumedCapacity"] = answer["ConsumedCapacity"]
    return msgspec.json.encode(parts)


class _ScanParser(StrictParser):
    def parse(self, response: Any, shape: Any) -> Any:
        """As ever, but for a page, which is `page_of`'s to decode."""
        if shape is not None and shape.name == "ScanOutput" and response["status_code"] < _ERRORS_FROM:
            checksum = response["headers"].get(_CHECKSUM)
            return {_BODY: response["body"], _CHECKSUM: checksum, "ResponseMetadata": {}}
        return super().parse(response, shape)
