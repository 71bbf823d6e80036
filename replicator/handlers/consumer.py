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
from typing import Any, Protocol

import boto3
from aws_lambda_powertools import Logger

from ddbverify.errors import TransformError
from ddbverify.items.transform import Transform, key_hash, load_function, package_digest
from ddbverify.items.values import with_base64, with_bytes
from ddbverify.names import Fact, KeySchema, TypedItem, canary_key
from replicator.handlers.ceiling import WAITING_SHARE, Meter, Unlimited, WriteCeiling
from replicator.handlers.control import is_paused, lag_bound
from replicator.handlers.credentials import assumed_role
from replicator.handlers.envelope import Letter, UnreadableBody, open_body, sqs_units
from replicator.handlers.ledger import Applied, Ledger, Write, loaded
from replicator.handlers.limit import Allowance, limited
from replicator.handlers.metrics import emit
from replicator.handlers.records import NO_NUMBER, Change, is_key_of
from replicator.handlers.state import Quarantined, State, now_text
from replicator.handlers.wire import JsonTransactions

logger = Logger(service="consumer")


@dataclass(frozen=True, slots=True)
class Message:
    """
    One message as SQS delivered it.

    Args:
        letter: ``None`` where there is nothing to apply in it.
        retired: Changes that it held of a stream which a restart has left.
    """

    message_id: str
    group_id: str
    letter: Letter | None
    retired: int = 0


class Guard(Protocol):
    """What the consumer needs of a `Ledger`."""

    def apply(self, writes: Sequence[Write]) -> dict[str, Applied]: ...
    def numbers(self, source_hashes: Sequence[str]) -> dict[str, str]: ...


class Notebook(Protocol):
    """What the consumer needs of a `State`."""

    def quarantine(self, key_hash: str, key: TypedItem, number: str, reason: str) -> None: ...
    def quarantined(self) -> Mapping[str, Quarantined]: ...
    def release(self, key_hash: str, number: str) -> None: ...


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


@dataclass(slots=True)
class Applier:
    """
    Applies the changes of one batch; made anew for each, its counts are the batch's.

    Args:
        transform: Holds both key schemas.
        boundary: Seconds since the epoch; earlier changes are in the backup already.
        fetch: The source's item of a key, strongly consistent, or ``None``.
    """

    transform: Transform
    guard: Guard
    notebook: Notebook
    boundary: int
    fetch: Callable[[TypedItem], TypedItem | None]
    counts: Counter[str] = field(default_factory=Counter)
    canaries: list[Change] = field(default_factory=list)
    written: dict[str, str] = field(default_factory=dict)  # key hash -> number
    superseded: dict[str, str] = field(default_factory=dict)  # likewise: the entry has it, or a higher one
    behind: set[str] = field(default_factory=set)  # keys with a change behind the boundary
    aside: int = 0  # changes that were put into the quarantine

    def __call__(self, batch: Sequence[Message]) -> set[str]:
        """Apply every change of *batch*; the ids of the messages that have to come again."""
        newest, holders = self._last_change_of_each_key(batch)
        dropped = self._before_the_boundary(newest)
        writes, aside = [], []
        for hashed, change in newest.items():
            if hashed in dropped:
                self.counts["dropped"] += 1
                continue
            write = self._write(hashed, change)
            if isinstance(write, str):
                aside.append((hashed, change, write))
            else:
                writes.append(write)
        outcomes = self.guard.apply(writes) if writes else {}
        refused = [
            (hashed, newest[hashed], "refused by DynamoDB")
            for hashed, outcome in outcomes.items()
            if outcome is Applied.REFUSED
        ]
        self._put_aside([*aside, *refused])
        self.written = {
            hashed: newest[hashed].sequence_number
            for hashed, outcome in outcomes.items()
            if outcome is Applied.WRITTEN
        }
        self.superseded = {
            hashed: newest[hashed].sequence_number
            for hashed, outcome in outcomes.items()
            if outcome is Applied.SUPERSEDED
        }
        names = {Applied.WRITTEN: "applied", Applied.SUPERSEDED: "superseded"}
        self.counts.update(names[outcome] for outcome in outcomes.values() if outcome in names)
        schema = self.transform.source_keys  # a canary that was not applied has not arrived
        self.canaries = [one for one in self.canaries if outcomes[key_hash(one.keys, schema)] in names]
        self.aside += sum(outcome is Applied.CONTESTED for outcome in outcomes.values())  # by the guard
        later = [hashed for hashed, outcome in outcomes.items() if outcome is Applied.LATER]
        return {message_id for hashed in later for message_id in holders[hashed]}

    def _last_change_of_each_key(
        self, batch: Sequence[Message]
    ) -> tuple[dict[str, Change], dict[str, set[str]]]:
        newest: dict[str, Change] = {}
        holders: dict[str, set[str]] = {}
        changes = 0
        for message in batch:
            for change in message.letter.changes if message.letter else ():
                changes += 1
                hashed = key_hash(change.keys, self.transform.source_keys)
                holders.setdefault(hashed, set()).add(message.message_id)
                if change.created_at >= self.boundary:
                    self.behind.add(hashed)
                last = newest.get(hashed)
                if last is None or last.sequence_number < change.sequence_number:
                    newest[hashed] = change
        self.counts["superseded"] += changes - len(newest)
        return newest, holders

    def _before_the_boundary(self, newest: Mapping[str, Change]) -> set[str]:
        """
        Keys of whose changes the backup holds all that are in the batch.

        All, since times may go back by a second or two where numbers grow: a change behind the
        boundary has to leave its entry. Dropped only where no change of the key was applied yet:
        a key whose entry has a number has left the backup's state, and its order is the guard's
        to judge.
        """
        early = newest.keys() - self.behind
        if not early:
            return set()
        numbers = self.guard.numbers(sorted(early))
        marker = canary_key(self.transform.source_keys)
        return {
            hashed
            for hashed in early
            if loaded(numbers.get(hashed, NO_NUMBER)) and newest[hashed].keys != marker
        }

    def _write(self, hashed: str, change: Change) -> Write | str:
        """The write that a change asks for, or why it can never be applied."""
        target_key = None if self.transform.rekeys else self.transform.target_key_of(change.keys)
        if change.keys == canary_key(self.transform.source_keys):
            # Recorded as arrived; and in case the backup caught it, it is deleted from the target.
            self.canaries.append(change)
            return Write(hashed, change.keys, change.sequence_number, (), target_key)
        image = self.fetch(change.keys) if change.fetch else change.new_image
        try:
            results = self.transform(image) if image is not None else []
        except TransformError as error:
            return error.message
        return Write(hashed, change.keys, change.sequence_number, results, target_key)

    def _put_aside(self, changes: Sequence[tuple[str, Change, str]]) -> None:
        """Quarantine what can never be applied, unless a later change of the key was."""
        if not changes:
            return
        numbers = self.guard.numbers([hashed for hashed, _, _ in changes])
        for hashed, change, reason in changes:
            if numbers.get(hashed, "") >= change.sequence_number:
                self.counts["superseded"] += 1
                continue
            self.notebook.quarantine(hashed, change.keys, change.sequence_number, reason)
            self.aside += 1

    def clear_quarantine(self) -> None:
        """
        Release the keys that this batch has written, or has found written by a later change.

        Found: by a consumer that died before it released them, and whose messages come again. Not needed
        where nothing was ever put aside.
        """
        for hashed, entry in self.notebook.quarantined().items():
            if hashed in self.written:
                self.notebook.release(hashed, self.written[hashed])
            # Above it: a contested change leaves its number in the entry, too, and its items are not written.
            elif self.superseded.get(hashed, "") > entry.number:
                self.notebook.release(hashed, entry.number)


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
    begun = monotonic()
    deployed = _deployment()
    records = event["Records"]
    # Asked each time, strongly consistent: who pauses may rely on it from then on. No answer, no work.
    if is_paused(deployed.state.get(Fact.CONTROL)):
        logger.info("paused", extra={"messages": len(records)})
        return {"batchItemFailures": [{"itemIdentifier": record["messageId"]} for record in records]}
    deployed.meter.until(monotonic() + seconds_left(context) * WAITING_SHARE)
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
    emit("consumer", os.environ, {**found, "Gaps": len(gaps)})
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in returned]}


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
        state.put(
            Fact.CANARY_ARRIVED,
            number=change.sequence_number,
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
class _Deployment:
    settings: Settings
    transform: Transform
    ledger: Ledger
    state: State
    source: Any
    meter: Meter = field(default_factory=lambda: Meter(Unlimited()))
    allowance: Allowance = field(default_factory=Allowance)

    def fetch(self, key: TypedItem) -> TypedItem | None:
        answer = self.source.get_item(
            TableName=self.settings.source_table, Key=with_bytes(key), ConsistentRead=True
        )
        return with_base64(answer["Item"]) if "Item" in answer else None


@functools.cache
def _deployment() -> _Deployment:
    """Clients, settings and the transform, made once per execution environment."""
    environment = os.environ
    source = boto3.client("dynamodb")
    state = State.of_pair(source, environment["STATE_TABLE"], environment["PAIR"])
    target_keys: KeySchema = json.loads(environment["TARGET_KEYS"])
    allowance = Allowance()
    transform = bundled_transform(
        environment.get("TRANSFORM", ""),
        environment.get("TRANSFORM_DIGEST", ""),
        source_keys=json.loads(environment["SOURCE_KEYS"]),
        target_keys=target_keys,
        rekeys=environment.get("REKEYS") == "true",
        allowance=allowance,
    )
    target = JsonTransactions(
        assumed_role(environment.get("WRITER_ROLE", "")).client(
            "dynamodb", region_name=environment["TARGET_REGION"]
        )
    )
    units_per_second = int(environment.get("WRITE_UNITS", "0"))
    meter = Meter(WriteCeiling(units_per_second, state) if units_per_second else Unlimited())
    ledger = Ledger(
        client=target,
        table=environment["LEDGER_TABLE"],
        target=environment["TARGET_TABLE"],
        target_keys=target_keys,
        contest=state.contest,
        ceiling=meter,
    )
    settings = Settings.from_environment(environment)
    return _Deployment(settings, transform, ledger, state, source, meter, allowance)


def bundled_transform(
    name: str,
    digest: str,
    *,
    source_keys: KeySchema,
    target_keys: KeySchema,
    rekeys: bool,
    allowance: Allowance,
) -> Transform:
    """
    The transform of the bundle, refused if it is not the one that the migration was started with.

    Raises:
        RuntimeError: The package's digest is another one; every message stays in the queue.
        ConfigurationError: It does not load.
    """
    if not name:
        return Transform("", None, source_keys, target_keys, rekeys=False)
    if package_digest(name) != digest:
        raise RuntimeError(
            f"the bundle's transform {name} is not the one that this migration was started with"
        )
    function = limited(load_function(name), allowance)
    return Transform(name, function, source_keys, target_keys, rekeys)
