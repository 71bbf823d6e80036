"""
The consumer Lambda: FIFO messages -> writes to the target, under the ledger's guard.

Every step is idempotent: a batch that is delivered again, in part or as a whole, late or
twice, ends in the same target. What cannot be applied goes to the quarantine and its
neighbours go on; what may work later goes back to the queue with all that follows it in
its message group.
"""

from __future__ import annotations

import functools
import json
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import TYPE_CHECKING, Any

import boto3
from aws_lambda_powertools import Logger

from ddbverify.items.inverse import Inverse
from ddbverify.items.transform import Transform, bundled_digest, load_function
from ddbverify.items.values import with_base64, with_bytes
from ddbverify.names import Fact, KeySchema, TypedItem, canary_key
from replicator.handlers.applier import Applier, Message
from replicator.handlers.ceiling import WAITING_SHARE, Meter, Unlimited, WriteCeiling
from replicator.handlers.control import is_paused, lag_bound
from replicator.handlers.credentials import assumed_role
from replicator.handlers.envelope import Letter, UnreadableBody, open_body, sqs_units
from replicator.handlers.inverse_ledger import InverseLedger
from replicator.handlers.ledger import Ledger
from replicator.handlers.limit import Allowance, limited
from replicator.handlers.metrics import emit
from replicator.handlers.records import Change, is_key_of
from replicator.handlers.state import State, now_text
from replicator.handlers.wire import JsonTransactions, guarded

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

logger = Logger(service="consumer")


def consume(batch: Sequence[Message], apply: Callable[[Sequence[Message]], set[str]]) -> list[str]:
    """
    Apply *batch* and say which messages SQS has to deliver again.

    Args:
        apply: Applies what it can under the guard and returns the ids of the
            messages that hold a change which may succeed later.

    Returns:
        Ids to hand back to SQS: each such message and all later ones of its
        group, in batch order. Empty when everything was applied.
    """
    failed = apply(batch)
    returned: list[str] = []
    stopped: set[str] = set()
    for message in batch:
        if message.message_id in failed:
            stopped.add(message.group_id)
        if message.group_id in stopped:
            returned.append(message.message_id)
    return returned


@dataclass(frozen=True, slots=True)
class Settings:
    """What the stack tells the consumer through its environment."""

    source_table: str
    stream_arn: str
    restart: int
    boundary: int

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Raises KeyError when the function was not deployed by our stack."""
        return cls(
            source_table=environment["SOURCE_TABLE"],
            stream_arn=environment["STREAM_ARN"],
            restart=int(environment["RESTART"]),
            boundary=int(environment["BOUNDARY"]),
        )


def opened(
    record: Mapping[str, Any], settings: Settings, schema: KeySchema, latch_gap: Callable[[str], None]
) -> Message:
    """
    One SQS record as a `Message`.

    A body that is not ours, or a change without the table's key, latches a gap. A body of a stream
    that a restart has left is dropped and counted.
    """
    letter: Letter | None = None
    retired = 0
    try:
        letter = open_body(record["body"])
    except UnreadableBody as error:
        latch_gap(f"the consumer met {error}")
    if letter is None:
        pass
    elif letter.is_retired(settings.stream_arn, settings.restart):
        retired = len(letter.changes)
        letter = None
    elif not letter.is_ours(settings.stream_arn, settings.restart):
        latch_gap("the consumer met a message of another stream")
        letter = None
    else:
        usable = tuple(change for change in letter.changes if is_key_of(change.keys, schema))
        if len(usable) < len(letter.changes):
            latch_gap("the consumer met a change whose key is not the table's")
            letter = replace(letter, changes=usable)
    return Message(record["messageId"], record["attributes"]["MessageGroupId"], letter, retired)


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Lambda's entry point; returns ``batchItemFailures`` with the messages to deliver again."""
    returned = take(event["Records"], _deployment(), os.environ, seconds_left(context))
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in returned]}


def take(
    records: Sequence[Mapping[str, Any]],
    deployed: Deployment,
    environment: Mapping[str, str],
    seconds: float,
) -> list[str]:
    """
    All that becomes of one batch, whoever has received it: it is applied, noted and counted.

    Args:
        records: Messages as Lambda's events have them: ``messageId``, ``body``, ``attributes``.
        environment: Names the migration and the pair, for the metrics.
        seconds: That this may take.

    Returns:
        Ids of the messages that SQS has to deliver again.
    """
    begun = monotonic()
    # Asked each time, strongly consistent: who pauses may rely on it from then on. No answer, no work.
    if is_paused(deployed.state.get(Fact.CONTROL)):
        logger.info("paused", extra={"messages": len(records)})
        return [record["messageId"] for record in records]
    deployed.meter.until(monotonic() + seconds * WAITING_SHARE)
    deployed.allowance.begin()
    schema = deployed.transform.source_keys
    gaps: list[str] = []

    def latch_gap(reason: str) -> None:
        gaps.append(reason)
        deployed.state.latch_gap(reason)

    batch = [opened(record, deployed.settings, schema, latch_gap) for record in records]
    applier = Applier(
        transform=deployed.transform,
        guard=deployed.ledger,
        notebook=deployed.state,
        boundary=deployed.settings.boundary,
        fetch=deployed.fetch,
    )
    returned = consume(batch, applier)
    applier.counts["retired"] += sum(message.retired for message in batch)
    _note_canaries(deployed.state, applier.canaries)
    counts = applier.counts
    if len(returned) < len(batch):  # a call that got nowhere writes nothing more: its tables may be down
        counts = counts | _costs(records, deployed.meter.units, monotonic() - begun)
    put_aside_before = deployed.state.add(counts, progress_of(batch, returned))
    if put_aside_before:
        applier.clear_quarantine()
    deployed.state.note_groups(canary_groups(batch, returned, schema))
    logger.info("consumed", extra={"messages": len(batch), "returned": len(returned), **applier.counts})
    found = measurements(batch, returned, applier, time.time())
    emit("consumer", environment, {**found, "Gaps": len(gaps)})
    return returned


def seconds_left(context: Any) -> float:
    """Of this call, as Lambda says; 30 where nobody says (a test)."""
    left = getattr(context, "get_remaining_time_in_millis", None)
    return left() / 1000 if left else 30.0


def measurements(
    batch: Sequence[Message], returned: Sequence[str], applier: Applier, now: float
) -> dict[str, float]:
    """The metrics of one batch, its gaps apart; *now* in seconds since the epoch."""
    found: dict[str, float] = {
        "Applied": applier.counts["applied"],
        "Superseded": applier.counts["superseded"],
        "Quarantined": applier.aside,
        "Returned": len(returned),
    }
    made_at = [change.created_at for _, change in _dealt_with(batch, returned)]
    if made_at:  # the oldest: the lag of whoever has waited longest is the one to know
        found["AppliedAgeSeconds"] = max(0.0, now - min(made_at))
    if applier.canaries:
        found["CanaryMilliseconds"] = max(_lag_ms(change, now) for change in applier.canaries)
    return found


def _note_canaries(state: State, canaries: Sequence[Change]) -> None:
    now = time.time()
    for change in canaries:
        state.put_newer(
            Fact.CANARY_ARRIVED,
            change.sequence_number,
            at=now_text(),
            lag_ms=_lag_ms(change, now),
        )
    state.count(Fact.CANARY_LAGS, Counter(lag_bound(_lag_ms(change, now) / 1000) for change in canaries))


def _lag_ms(change: Change, now: float) -> int:
    """Since the second in which the change was made: up to a second too much."""
    return int(max(0.0, now - change.created_at) * 1000)


def _costs(records: Sequence[Mapping[str, Any]], write_units: float, seconds: float) -> Counter[str]:
    """What this call cost, for `replicator status`."""
    return Counter(
        {
            Fact.COST + "calls": 1,
            Fact.COST + "queue_units": sqs_units(sum(len(record["body"]) for record in records)),
            Fact.COST + "write_units": math.ceil(write_units),
            Fact.COST + "busy_ms": math.ceil(seconds * 1000),
        }
    )


def _dealt_with(batch: Sequence[Message], returned: Sequence[str]) -> Iterator[tuple[str, Change]]:
    """The changes that do not come again, each with its message group."""
    for message in batch:
        if message.letter is not None and message.message_id not in returned:
            for change in message.letter.changes:
                yield message.group_id, change


def progress_of(batch: Sequence[Message], returned: Sequence[str]) -> dict[str, int]:
    """Message group -> time of the newest change that was dealt with in this batch."""
    return {group: change.created_at for group, change in _dealt_with(batch, returned)}


def canary_groups(batch: Sequence[Message], returned: Sequence[str], schema: KeySchema) -> dict[str, str]:
    """Message group -> number of the newest canary that came through it in this batch."""
    marker = canary_key(schema)
    return {
        group: change.sequence_number
        for group, change in _dealt_with(batch, returned)
        if change.keys == marker
    }


@dataclass(frozen=True, slots=True)
class Deployment:
    """What a consumer works with, made once."""

    settings: Settings
    transform: Transform
    ledger: Ledger | InverseLedger
    state: State
    source: DynamoDBClient
    meter: Meter = field(default_factory=lambda: Meter(Unlimited()))
    allowance: Allowance = field(default_factory=Allowance)

    def fetch(self, key: TypedItem) -> TypedItem | None:
        """The source's item of a key, strongly consistent."""
        answer = self.source.get_item(
            TableName=self.settings.source_table, Key=with_bytes(key), ConsistentRead=True
        )
        return with_base64(answer["Item"]) if "Item" in answer else None


@functools.cache
def _deployment() -> Deployment:
    """Clients, settings and the transform, made once per execution environment."""
    environment = os.environ
    ambient = boto3.Session()
    writer = assumed_role(environment.get("WRITER_ROLE", ""), ambient=ambient)
    target = writer.client("dynamodb", region_name=environment["TARGET_REGION"])
    return deployment(environment, guarded(ambient.client("dynamodb")), guarded(target))


def deployment(
    environment: Mapping[str, str],
    source: DynamoDBClient,
    target: DynamoDBClient,
    digest_of: Callable[[str], str] | None = None,
) -> Deployment:
    """
    Settings, clients and the transform.

    Args:
        environment: As the stack tells it.
        source: Of the source's and the state table's account and region.
        target: Of the target's and the ledger's.
        digest_of: Of the files of a function, as they are here; by default in the bundle.

    Raises:
        RuntimeError: As `bundled_transform`.
    """
    digest_of = digest_of or bundled_digest
    state = State.of_pair(source, environment["STATE_TABLE"], environment["PAIR"])
    target_keys: KeySchema = json.loads(environment["TARGET_KEYS"])
    allowance = Allowance()
    source_keys: KeySchema = json.loads(environment["SOURCE_KEYS"])
    inverse = bundled_inverse(
        environment.get("INVERSE", ""),
        environment.get("INVERSE_DIGEST", ""),
        source_keys=target_keys,
        target_keys=source_keys,
        allowance=allowance,
        digest_of=digest_of,
    )
    # Through an inverse the function makes what leads here of what follows.
    transform = bundled_transform(
        environment.get("TRANSFORM", ""),
        environment.get("TRANSFORM_DIGEST", ""),
        source_keys=source_keys if inverse is None else target_keys,
        target_keys=target_keys if inverse is None else source_keys,
        rekeys=environment.get("REKEYS") == "true",
        allowance=allowance,
        digest_of=digest_of,
    )
    units_per_second = int(environment.get("WRITE_UNITS", "0"))
    meter = Meter(WriteCeiling(units_per_second, state) if units_per_second else Unlimited())
    ledger = Ledger(
        client=JsonTransactions(target),
        table=environment["LEDGER_TABLE"],
        target=environment["TARGET_TABLE"],
        target_keys=target_keys,
        contest=state.contest,
        ceiling=meter,
    )
    settings = Settings.from_environment(environment)
    if inverse is None:
        return Deployment(settings, transform, ledger, state, source, meter, allowance)
    as_it_is = Transform("", None, source_keys, target_keys)  # the guard takes what leads, and makes the rest
    guard = InverseLedger(ledger, transform, inverse)
    return Deployment(settings, as_it_is, guard, state, source, meter, allowance)


def bundled_transform(
    name: str,
    digest: str,
    *,
    source_keys: KeySchema,
    target_keys: KeySchema,
    rekeys: bool,
    allowance: Allowance,
    digest_of: Callable[[str], str] = bundled_digest,
) -> Transform:
    """
    The transform of the bundle, refused if it is not the one that the migration was started with.

    Raises:
        RuntimeError: The digest of its files is another one; every message stays in the queue.
        OSError: They are not all there; likewise.
        ConfigurationError: It does not load.
    """
    if not name:
        return Transform("", None, source_keys, target_keys, rekeys=False)
    function = _bundled("transform", name, digest, allowance, digest_of)
    return Transform(name, function, source_keys, target_keys, rekeys)


def bundled_inverse(
    name: str,
    digest: str,
    *,
    source_keys: KeySchema,
    target_keys: KeySchema,
    allowance: Allowance,
    digest_of: Callable[[str], str] = bundled_digest,
) -> Inverse | None:
    """
    The inverse of the bundle, as `bundled_transform`; ``None`` where none is named.

    Args:
        source_keys: Of what it makes items of: the follower.
        target_keys: Of what it is given.
    """
    if not name:
        return None
    function = _bundled("inverse", name, digest, allowance, digest_of)
    return Inverse.of(name, function, source_keys, target_keys)


def _bundled(
    what: str, name: str, digest: str, allowance: Allowance, digest_of: Callable[[str], str]
) -> Callable[..., Any]:
    if digest_of(name) != digest:
        raise RuntimeError(f"the bundle's {what} {name} is not the one that this migration was started with")
    return limited(load_function(name, what), allowance)
