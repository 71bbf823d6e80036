"""A stream record -> a `Change`. Pure; both Lambda events and GetRecords are understood."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from ddbverify.items.values import with_base64
from ddbverify.names import KeySchema, TypedItem

EventName = Literal["INSERT", "MODIFY", "REMOVE"]

NUMBER_DIGITS = 40
"""Sequence numbers have 21 to 40 digits: stored padded, so that text compares like numbers."""

NO_NUMBER = "0" * NUMBER_DIGITS
"""Below every sequence number: what a load writes under."""


class MalformedRecord(ValueError):
    """A record that is not understood. The message names fields, never values."""


@dataclass(frozen=True, slots=True)
class Change:
    """
    One change of one item, in DynamoDB's typed form.

    Args:
        sequence_number: Padded to `NUMBER_DIGITS`; compared only within one key and one stream.
        keys: The source item's key.
        new_image: The item after the change; ``None`` for a removal and for a *fetch*. As the record
            carries it: only keys are looked into here, `envelope.pack` encodes what is bytes.
        created_at: Whole seconds since the epoch, DynamoDB's clock (docs/aws.md T2).
        fetch: The image is not here: read the source's item instead.
    """

    sequence_number: str
    event_name: EventName
    keys: TypedItem
    new_image: TypedItem | None
    created_at: int
    fetch: bool = False


def change_from_record(record: Mapping[str, Any]) -> Change:
    """
    Decode one record, as a Lambda event or GetRecords carries it.

    A stream without new images (``KEYS_ONLY``, ``OLD_IMAGE``) gives changes to *fetch*.

    Raises:
        MalformedRecord: A field is missing or of an unknown kind.
    """
    try:
        event_name, stream = record["eventName"], record["dynamodb"]
        keys, number, created = (
            stream["Keys"],
            stream["SequenceNumber"],
            stream["ApproximateCreationDateTime"],
        )
        image = stream.get("NewImage")
    except (KeyError, TypeError, AttributeError) as error:
        raise MalformedRecord(f"a record without {error}") from None
    if event_name not in ("INSERT", "MODIFY", "REMOVE"):
        raise MalformedRecord("a record with an unknown eventName")
    # `dict`, and not `Mapping`: what JSON and botocore make, and asked for each record a tenth of its cost.
    if not keys or not isinstance(keys, dict):
        raise MalformedRecord("a record without a key")
    if not _is_number(number):
        raise MalformedRecord("a record without a decimal SequenceNumber")
    if image is not None and not isinstance(image, dict):
        raise MalformedRecord("a record whose NewImage is no item")
    has_images = stream.get("StreamViewType") in ("NEW_IMAGE", "NEW_AND_OLD_IMAGES")
    if event_name != "REMOVE" and has_images and image is None:
        raise MalformedRecord(f"an {event_name} record without its NewImage")
    return Change(
        sequence_number=pad(number),
        event_name=event_name,
        keys=_with_base64_text(keys),
        new_image=None if event_name == "REMOVE" or image is None else image,
        created_at=_whole_seconds(created),
        fetch=event_name != "REMOVE" and image is None,
    )


def is_by_ttl(record: Mapping[str, Any]) -> bool:
    """Whether time to live has made this record (docs/aws.md T16); it knows two spellings."""
    user = record.get("userIdentity") or {}
    return isinstance(user, dict) and (
        user.get("PrincipalId", user.get("principalId")) == "dynamodb.amazonaws.com"
    )


def is_key_of(key: TypedItem, schema: KeySchema) -> bool:
    """Whether *key* has the attributes of *schema*, of its types, and no other."""
    if key.keys() != schema.keys():
        return False
    for name, kind in schema.items():
        value = key[name]
        if not isinstance(value, dict) or len(value) != 1:
            return False
        content = value.get(kind)
        if not isinstance(content, str) or not content:
            return False
    return True


def pad(number: str) -> str:
    """A sequence number in the form in which text compares like numbers."""
    return number.rjust(NUMBER_DIGITS, "0")


def _with_base64_text(key: Mapping[str, Any]) -> dict[str, Any]:
    """A key with ``B`` as base64 text: Lambda events carry it so, GetRecords through boto3 has bytes."""
    for value in key.values():
        if isinstance(value, dict) and isinstance(value.get("B"), bytes):
            return with_base64(key)
    return dict(key)


def _is_number(number: Any) -> bool:
    return (
        isinstance(number, str) and number.isascii() and number.isdecimal() and len(number) <= NUMBER_DIGITS
    )


_NUMBER = (int, float)  # made once: it is asked for each record


def _whole_seconds(created: Any) -> int:
    if isinstance(created, _NUMBER) and math.isfinite(created):
        return int(created)
    if isinstance(created, datetime):
        return int(created.timestamp())
    raise MalformedRecord("a record with an ApproximateCreationDateTime that is no time")
