"""
Changes <-> the body of a FIFO message. Pure.

One message carries the changes of one stream batch that fall in one group, in order.
The body is ASCII JSON, since SQS refuses U+FFFE, U+FFFF and lone surrogates, which a
DynamoDB string may hold (docs/aws.md T11). ``docs/design.md`` describes the format.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from ddbverify.items.transform import key_hash
from ddbverify.names import KeySchema, canary_key
from replicator.handlers.records import Change
from replicator.handlers.wire import json_text

VERSION = 1

FULL_BYTES = 200_000
"""A message is closed once its changes reach this size (before compression)."""

LARGEST_BODY_BYTES = 250_000
"""A single change whose body stays above this is sent as a *fetch*. Every SQS queue takes 256 KiB."""

BILLED_BYTES = 65_536
"""Bytes of payload that SQS bills as one request."""

_HEAD_BYTES = 4_000
"""More than a body has besides its changes."""

_COMPRESS_FROM_BYTES = 2_000
_COMPRESSION = 2
"""Of zlib: 10 % more bytes than with 6, for a third of the time."""
_LETTER = {"INSERT": "I", "MODIFY": "M", "REMOVE": "R"}
_EVENT = {letter: name for name, letter in _LETTER.items()}


class UnreadableBody(ValueError):
    """A body that is not ours, or of a newer version. The message quotes nothing of it."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message to send, and the *positions* in the stream batch of the changes it carries."""

    group_id: str
    deduplication_id: str
    body: str
    positions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Letter:
    """One received message, opened."""

    stream_arn: str
    restart: int
    changes: tuple[Change, ...]

    def is_retired(self, stream_arn: str, restart: int) -> bool:
        """
        Whether it is of a stream that a restart has left: to be dropped, and counted.

        Args:
            stream_arn: The stream that the migration is bound to now.
            restart: The number of the latest restart.
        """
        return self.stream_arn != stream_arn and self.restart < restart

    def is_ours(self, stream_arn: str, restart: int) -> bool:
        """
        Whether its changes count. One that is neither ours nor retired is a gap.

        One of this stream counts whatever restart it was sent under: nobody sends its changes again, and
        what the new backup holds the boundary drops.
        """
        return self.stream_arn == stream_arn and self.restart <= restart


def group_of(hashed_key: str, groups: int) -> int:
    """The message group, 0 to *groups* - 1, of a source key's `key_hash`."""
    return int(hashed_key[:16], 16) % groups


def pack(
    changes: Sequence[Change | None],
    *,
    stream_arn: str,
    schema: KeySchema,
    groups: int,
    restart: int,
    largest_body: int | None = None,
) -> list[Message]:
    """
    Pack the changes of one stream batch into messages, in the order in which to send them.

    Args:
        changes: In stream order; ``None`` marks a position that holds nothing to send.
        schema: The source's key schema.
        restart: Number of the migration's restart; part of the deduplication id, so that a
            restart's messages are never swallowed as duplicates of the run before.
        largest_body: Bytes that the queue takes, where that is less than `LARGEST_BODY_BYTES`.

    Returns:
        Messages of one group follow each other in stream order.
    """
    marker = canary_key(schema)
    largest = min(LARGEST_BODY_BYTES, largest_body or LARGEST_BODY_BYTES)
    full = min(FULL_BYTES, largest - len(_body([], stream_arn, restart)))
    waiting: defaultdict[int, list[_Packed]] = defaultdict(list)
    for position, change in enumerate(changes):
        if change is None:
            continue
        text = _encode_change(change)
        # Compressing is dear: asked only of what does not fit as it is, or nearly so.
        if len(text) > largest - _HEAD_BYTES and len(_body([text], stream_arn, restart)) > largest:
            text = _encode_change(replace(change, new_image=None, fetch=True))
        hashed = key_hash(change.keys, schema)
        packed = _Packed(position, hashed, text, change.sequence_number)
        if change.keys == marker:
            # The canary flies through every group: its arrival in all of them proves each of them.
            for group in range(groups):
                waiting[group].append(packed)
        else:
            waiting[group_of(hashed, groups)].append(packed)
    messages = []
    for group, members in waiting.items():
        batch: list[_Packed] = []
        size = 0
        for packed in members:
            if batch and size + len(packed.text) > full:
                messages.append(_message(batch, stream_arn, group, restart))
                batch, size = [], 0
            batch.append(packed)
            size += len(packed.text) + 1  # and the comma
        messages.append(_message(batch, stream_arn, group, restart))
    return messages


def open_body(body: str) -> Letter:
    """
    The inverse of `pack`, for one message.

    Raises:
        UnreadableBody: Not a body of this version, or damaged.
    """
    try:
        document = json.loads(body)
        if document["v"] != VERSION:
            raise UnreadableBody(f"a body of another version than {VERSION}")  # noqa: TRY301
        if "z" in document:
            document = json.loads(zlib.decompress(base64.b64decode(document["z"], validate=True)))
        changes = tuple(_decode_change(change) for change in document["changes"])
        return Letter(str(document["stream"]), int(document["restart"]), changes)
    except UnreadableBody:
        raise
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
        RecursionError,
        zlib.error,
    ) as error:
        raise UnreadableBody(f"a body that is not ours ({type(error).__name__})") from None


class _Packed(NamedTuple):
    position: int
    hashed_key: str
    text: str
    number: str


def _message(batch: Sequence[_Packed], stream_arn: str, group: int, restart: int) -> Message:
    # The key belongs to the identity: two shards may give one number to two keys.
    first, last = batch[0], batch[-1]
    identity = f"{stream_arn}\0{group}\0{first.hashed_key}\0{first.number}\0{last.number}\0{restart}"
    return Message(
        group_id=f"g{group}",
        deduplication_id=hashlib.sha256(identity.encode()).hexdigest(),
        body=_body([one.text for one in batch], stream_arn, restart),
        positions=tuple(one.position for one in batch),
    )


def _body(texts: Sequence[str], stream_arn: str, restart: int) -> str:
    head = f'"v":{VERSION},"stream":{json.dumps(stream_arn)},"restart":{restart}'
    plain = f'{{{head},"changes":[{",".join(texts)}]}}'
    if len(plain) < _COMPRESS_FROM_BYTES:
        return plain
    packed = base64.b64encode(zlib.compress(plain.encode("ascii"), _COMPRESSION)).decode("ascii")
    squeezed = f'{{"v":{VERSION},"z":"{packed}"}}'
    return min(plain, squeezed, key=len)


def _encode_change(change: Change) -> str:
    fields: dict[str, Any] = {
        "n": change.sequence_number.lstrip("0"),
        "e": _LETTER[change.event_name],
        "k": change.keys,
        "t": change.created_at,
    }
    if change.new_image is not None:
        # Without the key, which the consumer puts in again.
        image = dict(change.new_image)
        for name in change.keys:
            image.pop(name, None)
        fields["i"] = image
    if change.fetch:
        fields["f"] = True
    return json_text(fields)


def _decode_change(fields: Any) -> Change:
    keys, image = dict(fields["k"]), fields.get("i")
    return Change(
        sequence_number=fields["n"].rjust(40, "0"),
        event_name=_EVENT[fields["e"]],  # type: ignore[arg-type]  # the values of _LETTER's keys
        keys=keys,
        new_image=None if image is None else {**keys, **image},
        created_at=int(fields["t"]),
        fetch=bool(fields.get("f", False)),
    )


def sqs_units(payload: int) -> int:
    """Requests that SQS bills for one call with so many bytes of message bodies."""
    return max(1, math.ceil(payload / BILLED_BYTES))
