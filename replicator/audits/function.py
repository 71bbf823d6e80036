"""
The auditor Lambda: an audit of one pair, twice a day, that nobody has to remember.

A schedule calls it every quarter of an hour. It audits if the last complete audit, whoever made it, is half a
day old; it ends before Lambda ends it, and the next call goes on from there: what was not read is incomplete,
never passed. Behind the flip it watches the source. It tells how old the last complete audit is, each time.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import boto3
from aws_lambda_powertools import Logger
from botocore.config import Config

from ddbverify.names import Fact, KeySchema
from replicator.audits import auditing, behind_flip, dead_letters
from replicator.audits.place import SCHEDULE, Place
from replicator.audits.turn import Turn, is_due, turn
from replicator.aws import stream
from replicator.aws.queue_counts import counts
from replicator.context import tables
from replicator.handlers.credentials import assumed_role
from replicator.handlers.metrics import emit
from replicator.handlers.state import State, now_text
from replicator.handlers.wire import guarded

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient
    from mypy_boto3_sqs import SQSClient

logger = Logger(service="auditor")

AGAIN_SECONDS: Final = 900
"""So long nobody else begins: what was found may have arrived by then, and a call has ended by then."""

_LEFT_SECONDS: Final = 60
"""Of a call's time, for one page that is still to be judged, and the place that is to be kept."""

_STANDARD: Final = Config(retries={"mode": "standard", "max_attempts": 6})


@dataclass(frozen=True, slots=True)
class Settings:
    """What the stack tells the auditor through its environment."""

    migration: str
    pair: str
    source: str
    young_seconds: float

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Raises KeyError when the function was not deployed by our stack."""
        return cls(
            migration=environment["MIGRATION"],
            pair=environment["PAIR"],
            source=environment["SOURCE_TABLE"],
            young_seconds=float(environment["YOUNG_SECONDS"]),
        )


@dataclass(frozen=True, slots=True)
class Clients:
    """What the auditor asks AWS with; `ledgers` may be of another region."""

    database: DynamoDBClient
    streams: Callable[[], DynamoDBStreamsClient]
    queues: Callable[[], SQSClient]
    ledgers: Callable[[str | None], DynamoDBClient]


@dataclass(frozen=True, slots=True)
class Found:
    """
    What became of one call.

    Args:
        turn: What it was time for.
        examined: Records read.
        findings: Changes lost, keys written behind the flip, and one for whatever could not be known.
        incomplete: Why not all was read that was to be; empty: all was, or nothing was due.
        age_seconds: Of the last complete audit; 0 where nothing is to be audited.
    """

    turn: Turn
    examined: int = 0
    findings: int = 0
    incomplete: str = ""
    age_seconds: int = 0


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:  # noqa: ARG001  # Lambda's signature
    """Lambda's entry point; what it answers is for whoever calls it by hand."""
    settings = Settings.from_environment(os.environ)
    ends = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - _LEFT_SECONDS
    found = audit(settings, os.environ["STATE_TABLE"], _clients(), lambda: time.monotonic() < ends)
    logger.info(
        "audited",
        extra={
            "turn": found.turn.value,
            "records": found.examined,
            "findings": found.findings,
            "complete": not found.incomplete,
            "age_seconds": found.age_seconds,
        },
    )
    emit(
        "auditor",
        os.environ,
        {"AuditFindings": found.findings, "Audited": found.examined, "AuditAgeSeconds": found.age_seconds},
    )
    return {
        "turn": found.turn.value,
        "examined": found.examined,
        "findings": found.findings,
        "incomplete": found.incomplete or None,
        "age_seconds": found.age_seconds,
    }


def audit(settings: Settings, table: str, clients: Clients, in_time: Callable[[], bool]) -> Found:
    """
    Do what is due, and say how it stands with the pair. Raises botocore's errors, and ours.

    Args:
        table: Name of the state table.
        in_time: Whether there is time for another page.
    """
    state = State.of_pair(clients.database, table, settings.pair)
    whole = State.whole(clients.database, table)
    its = turn(
        settings.migration,
        following=state.get(Fact.FOLLOWING),
        restarting=state.get(Fact.RESTARTING),
        moved=state.get(Fact.MOVED),
        cutover=whole.get(Fact.CUTOVER),
        live=whole.get(Fact.LIVE),
    )
    if its is Turn.NOT_ITS_OWN:
        return Found(its)
    examined, findings, incomplete = 0, 0, ""
    now = _now(state)
    if its is not Turn.BESIDE_A_CUTOVER and is_due(_audited(state), now):
        due = state.get(Fact.AUDIT_DUE)
        if due is not None and int(due["at_epoch"]) > now:
            incomplete = "another one is at it, or has just been"
        elif not state.put_over(Fact.AUDIT_DUE, due, at_epoch=int(now) + AGAIN_SECONDS):
            incomplete = "another one has just begun"
        else:
            place = _place(settings, state, clients, in_time)
            examined, findings, incomplete = _made(its, place, settings)
            if not findings:
                state.put(Fact.AUDIT_DUE, at_epoch=int(now))  # the next call goes on, if anything is left
    return Found(its, examined, findings, incomplete, max(0, int(_now(state)) - _audited(state)))


def _made(its: Turn, place: Place, settings: Settings) -> tuple[int, int, str]:
    """Records examined, findings, and why it is incomplete, of an audit or a look behind the flip."""
    if its is Turn.WATCH:
        # The cutover may have been killed right behind the flip: so the forwarder is told here, too.
        place.state.put_once(Fact.MOVED, at=now_text())
        watched = behind_flip.look(place, settings.pair)
        return watched.examined, len(watched.found) + bool(watched.unread), watched.incomplete
    found = auditing.run(place)
    incomplete = found.incomplete
    if not incomplete and found.young:
        incomplete = "changes are under way"
    return found.examined, len(found.lost) + bool(found.gap), incomplete


def _audited(state: State) -> int:
    """Up to which moment all is audited."""
    kept = state.get(stream.PLACES)
    if kept is None:
        return int((state.get(Fact.BOUNDARY) or {}).get("boundary_epoch", 0))
    return int(kept.get("audited_epoch", 0))


def _now(state: State) -> float:
    """DynamoDB's clock; this host's where its answers do not say."""
    told = state.server_date()
    return time.time() if told is None else told


def _place(settings: Settings, state: State, clients: Clients, in_time: Callable[[], bool]) -> Place:
    resources = state.get(Fact.RESOURCES) or {}
    restart = int((state.get(Fact.RESTART) or {}).get("number", 0))

    def waiting() -> bool:
        return any(counts(clients.queues(), resources["queue_url"]).values())

    def file_letters(schema: KeySchema) -> None:
        sqs, url = clients.queues(), resources["dead_letter_url"]
        if any(counts(sqs, url).values()):
            dead_letters.file(
                sqs, url, state, stream_arn=resources["stream_arn"], restart=restart, schema=schema
            )

    return Place(
        state=state,
        resources=resources,
        source=lambda: tables.describe(clients.database, settings.source),
        streams=clients.streams,
        ledgers=lambda: clients.ledgers(resources.get("target_region")),
        now=lambda: _now(state),
        young_seconds=settings.young_seconds,
        waiting=waiting,
        file_letters=file_letters,
        by=SCHEDULE,
        in_time=in_time,
    )


@functools.cache
def _clients() -> Clients:
    """What the function works with, made once."""
    own = boto3.Session()

    @functools.cache
    def ledgers(region: str | None) -> DynamoDBClient:
        reader = assumed_role(os.environ.get("READER_ROLE", ""), ambient=own)
        return guarded(reader.client("dynamodb", region_name=region, config=_STANDARD))

    return Clients(
        guarded(own.client("dynamodb", config=_STANDARD)),
        functools.cache(lambda: own.client("dynamodbstreams", config=_STANDARD)),
        functools.cache(lambda: own.client("sqs", config=_STANDARD)),
        ledgers,
    )
