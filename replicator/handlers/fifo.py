"""Sending to the FIFO queue without ever inverting two messages of one group."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from replicator.handlers.envelope import Message
from replicator.handlers.refusals import in_short

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

BATCH_MESSAGES = 10
BATCH_BYTES = 1_000_000
"""SQS takes 1 MiB per call, attributes included (docs/aws.md T10)."""

SMALLEST_BODY_BYTES = 32_768
"""Holds every fetch: a key has at most 3 KB, and JSON makes six characters of some bytes."""

ATTEMPTS = 4

_log = logging.getLogger(__name__)


class QueueTooSmall(Exception):
    """The queue takes only messages that are too small for the changes of any table."""


def send(
    client: SQSClient,
    queue_url: str,
    messages: Sequence[Message],
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> list[Message]:
    """
    Send *messages*, at most one of each group in a call, so that a half-failed call inverts nothing.

    Args:
        client: A boto3 SQS client, or anything with its ``send_message_batch``.

    Returns:
        The messages that were not placed, in order: empty when all were. Of each group they
        are its last ones; nothing is sent behind a message that failed.
    """
    waiting: dict[str, deque[Message]] = {}
    for message in messages:
        waiting.setdefault(message.group_id, deque()).append(message)
    failures = 0
    while waiting:
        batch = _next_batch(waiting)
        placed = _send_batch(client, queue_url, batch)
        for message in batch:
            if message.deduplication_id in placed:
                waiting[message.group_id].popleft()
                if not waiting[message.group_id]:
                    del waiting[message.group_id]
        if len(placed) < len(batch):
            failures += 1
            if failures == ATTEMPTS:
                break
            sleep(0.05 * 2**failures)
    left = {message.deduplication_id for group in waiting.values() for message in group}
    return [message for message in messages if message.deduplication_id in left]


def _next_batch(waiting: dict[str, deque[Message]]) -> list[Message]:
    batch: list[Message] = []
    size = 0
    for group in waiting.values():
        message = group[0]
        if batch and size + len(message.body) > BATCH_BYTES:
            continue
        batch.append(message)
        size += len(message.body)
        if len(batch) == BATCH_MESSAGES:
            break
    return batch


def _send_batch(client: SQSClient, queue_url: str, batch: Sequence[Message]) -> set[str]:
    """The deduplication ids that SQS has confirmed. What it did not confirm counts as not placed."""
    try:
        answer = client.send_message_batch(
            QueueUrl=queue_url,
            Entries=[
                {
                    "Id": str(number),
                    "MessageBody": message.body,
                    "MessageGroupId": message.group_id,
                    "MessageDeduplicationId": message.deduplication_id,
                }
                for number, message in enumerate(batch)
            ],
        )
    except ClientError as error:
        # The caller tries again, and reports what stays unsent; why, only this line says.
        _log.warning("send refused: %s", in_short(error))
        return set()
    except BotoCoreError as error:
        _log.warning("send unanswered: %s", type(error).__name__)
        return set()
    for entry in answer.get("Failed", ()):
        _log.warning("message refused: %s", entry.get("Code", ""))
    return {batch[int(entry["Id"])].deduplication_id for entry in answer.get("Successful", ())}


def largest_body(client: SQSClient, queue_url: str) -> int:
    """
    Bytes that a message of this queue may have, by the queue's own ``MaximumMessageSize``.

    Raises:
        QueueTooSmall: It could not even hold the key of a change that has to be fetched.
    """
    answer = client.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["MaximumMessageSize"])
    most = int(answer["Attributes"]["MaximumMessageSize"])
    if most < SMALLEST_BODY_BYTES:
        raise QueueTooSmall(
            f"The queue takes messages of {most} bytes only, so nothing is sent: set its MaximumMessageSize "
            f"to {SMALLEST_BODY_BYTES} or more."
        )
    return most
