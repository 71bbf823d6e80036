"""
The forwarder Lambda: a stream batch -> FIFO messages.

It stops at the first record that it could not place and reports exactly that one; Lambda
delivers the batch again from there (docs/aws.md T7). What was sent behind it arrives twice,
which the consumer's guard makes harmless.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import boto3
from aws_lambda_powertools import Logger
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from ddbverify.names import Fact, KeySchema, canary_key, is_marker
from replicator.handlers import fifo, late
from replicator.handlers.envelope import LARGEST_BODY_BYTES, Message, pack
from replicator.handlers.metrics import emit
from replicator.handlers.records import Change, MalformedRecord, change_from_record, is_by_ttl, is_key_of
from replicator.handlers.state import State, now_text
from replicator.handlers.wire import guarded

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs import SQSClient

    Deployed = tuple["Settings", SQSClient, State, State]

logger = Logger(service="forwarder")

BRIEF: Final = Config(
    connect_timeout=3, read_timeout=3, retries={"mode": "standard", "total_max_attempts": 2}
)
"""A call that capture does not need ends long before the function's own time."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the stack tells the forwarder through its environment."""

    stream_arn: str
    queue_url: str
    schema: KeySchema
    groups: int
    restart: int
    largest_body: int = LARGEST_BODY_BYTES  # what the queue takes

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Raises KeyError when the function was not deployed by our stack."""
        return cls(
            stream_arn=environment["STREAM_ARN"],
            queue_url=environment["QUEUE_URL"],
            schema=json.loads(environment["KEY_SCHEMA"]),
            groups=int(environment["GROUPS"]),
            restart=int(environment["RESTART"]),
        )


@dataclass(frozen=True, slots=True)
class Forwarded:
    """What became of one batch."""

    first_unsent: str | None  # SequenceNumber, as the record spells it; None when all were placed
    sent: int  # changes placed
    messages: int
    canary: Change | None  # the newest canary among the changes placed
    gaps: int = 0  # records that cannot be replicated


def forward(
    records: Sequence[Mapping[str, Any]],
    settings: Settings,
    send: Callable[[Sequence[Message]], Sequence[Message]],
    latch_gap: Callable[[str], None],
) -> Forwarded:
    """
    Place the changes of *records* on the queue.

    Args:
        send: Returns the messages that were not placed, in order.
        latch_gap: Called with a reason for a record that cannot be replicated: it is not sent,
            and the latched gap shuts the gate, so nothing is skipped in silence.
    """
    decoded = [_decode(record, settings, latch_gap) for record in records]
    # Markers prove the ends of streams to whoever reads them; they are nobody's change.
    changes = [None if one is None or is_marker(one.keys, settings.schema) else one for one in decoded]
    messages = pack(
        changes,
        stream_arn=settings.stream_arn,
        schema=settings.schema,
        groups=settings.groups,
        restart=settings.restart,
        largest_body=settings.largest_body,
    )
    unsent = {position for message in send(messages) for position in message.positions}
    placed = [change for at, change in enumerate(changes) if change is not None and at not in unsent]
    marker = canary_key(settings.schema)
    canaries = [change for change in placed if change.keys == marker]
    return Forwarded(
        first_unsent=records[min(unsent)]["dynamodb"]["SequenceNumber"] if unsent else None,
        sent=len(placed),
        messages=len(messages),
        canary=canaries[-1] if canaries else None,
        gaps=decoded.count(None),
    )


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:  # noqa: ARG001  # Lambda's signature
    """Lambda's entry point; returns ``batchItemFailures`` with the first unsent SequenceNumber."""
    outcome = take(event["Records"], _deployment(), os.environ)
    failures = [] if outcome.first_unsent is None else [{"itemIdentifier": outcome.first_unsent}]
    return {"batchItemFailures": failures}


def take(
    records: Sequence[Mapping[str, Any]], deployed: Deployed, environment: Mapping[str, str]
) -> Forwarded:
    """
    All that becomes of one batch, whoever has read it: it is sent on, noted and counted.

    Args:
        records: Of one shard, in its order, as Lambda's events or GetRecords have them.
        deployed: What `deployment` makes.
        environment: Names the migration and the pair, for the metrics.
    """
    settings, sqs, state, watching = deployed
    outcome = forward(
        records,
        settings,
        lambda messages: fifo.send(sqs, settings.queue_url, messages),
        state.latch_gap,
    )
    if outcome.canary is not None:
        state.put_newer(Fact.CANARY_SENT, outcome.canary.sequence_number, at=now_text())
    logger.info(
        "forwarded",
        extra={
            "records": len(records),
            "changes_sent": outcome.sent,
            "messages": outcome.messages,
            "complete": outcome.first_unsent is None,
        },
    )
    behind_flip = watched(records, settings.schema, watching)
    emit(
        "forwarder",
        environment,
        {
            "Forwarded": outcome.sent,
            "Messages": outcome.messages,
            "Unsent": int(outcome.first_unsent is not None),
            "Gaps": outcome.gaps,
            **behind_flip,
        },
    )
    return outcome


def watched(records: Sequence[Mapping[str, Any]], schema: KeySchema, state: State) -> dict[str, int]:
    """
    Note what reaches the stream behind the flip, and count it for the alarm; nothing before.

    Capture does not wait for it: where it cannot be known or noted in seconds, that is counted instead, and
    the audit, which reads the stream itself, finds what was missed.

    Args:
        state: Of a client that is patient for seconds only.
    """
    try:
        if state.get(Fact.MOVED) is None:
            return {}
        changes, unknown = [], 0
        for record in records:
            try:
                change = change_from_record(record)
            except MalformedRecord:
                unknown += 1  # its gap is latched already
                continue
            if is_key_of(change.keys, schema):
                changes.append((change, is_by_ttl(record)))
            else:
                unknown += 1
        found = late.foreign(changes, schema)
        late.note(state, found)
    except (ClientError, BotoCoreError, ResponseParserError) as error:
        logger.warning("not watched", extra={"error": type(error).__name__})
        return {"NotWatched": 1}
    return {"LateWrites": len(found) + unknown}


def _decode(record: Mapping[str, Any], settings: Settings, latch_gap: Callable[[str], None]) -> Change | None:
    if record.get("eventSourceARN", settings.stream_arn) != settings.stream_arn:
        latch_gap("a record of another stream reached the forwarder")
        return None
    try:
        change = change_from_record(record)
    except MalformedRecord as error:
        latch_gap(f"the forwarder met {error}")
        return None
    if not is_key_of(change.keys, settings.schema):
        latch_gap("the forwarder met a record whose key is not the table's")
        return None
    return change


@functools.cache
def _deployment() -> Deployed:
    """What the function works with, made once."""
    return deployment(
        os.environ,
        boto3.client("sqs"),
        guarded(boto3.client("dynamodb")),
        guarded(boto3.client("dynamodb", config=BRIEF)),
    )


def deployment(
    environment: Mapping[str, str], sqs: SQSClient, database: DynamoDBClient, brief: DynamoDBClient
) -> Deployed:
    """
    Settings, clients, and the pair's facts twice, the second time for who is in haste.

    Args:
        environment: As the stack tells it.
        sqs: Of the queue's account and region.
        database: Likewise, of the state table's.
        brief: Likewise, patient for seconds only: see `BRIEF`.
    """
    settings = Settings.from_environment(environment)
    settings = replace(settings, largest_body=fifo.largest_body(sqs, settings.queue_url))
    table, pair = environment["STATE_TABLE"], environment["PAIR"]
    return settings, sqs, State.of_pair(database, table, pair), State.of_pair(brief, table, pair)
