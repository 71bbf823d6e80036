"""What an audit of a pair works with, whoever makes it: an operator's command, a worker, a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ddbverify.names import KeySchema
from ddbverify.tables.references import require_stream_of
from ddbverify.tables.translation import translated
from replicator.aws import stream
from replicator.context.tables import TableFacts
from replicator.handlers.state import State

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodbstreams import DynamoDBStreamsClient

COMMAND: Final = "command"
WORKER: Final = "worker"
SCHEDULE: Final = "schedule"
"""Who audits: ``by`` of the fact `stream.PLACES`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """
    One pair, as an audit sees it.

    Args:
        state: Its facts.
        resources: The fact that names its stream, queue and ledger.
        source: Describes the source as it is now.
        streams: Makes the client of the source's stream, when it is needed.
        ledgers: Likewise, of DynamoDB beside the target.
        now: DynamoDB's clock, seconds since the epoch.
        young_seconds: A change that is not applied and younger than this is under way, not lost.
        waiting: Whether messages wait in the queue, or are in flight.
        file_letters: Puts the changes in the dead letters, if there are any, into the quarantine.
        by: `COMMAND`, `WORKER` or `SCHEDULE`.
        in_time: Asked before each request of the stream; once it is not, the audit ends where it is, and the
            next one goes on from there.
    """

    state: State
    resources: Mapping[str, Any]
    source: Callable[[], TableFacts]
    streams: Callable[[], DynamoDBStreamsClient]
    ledgers: Callable[[], DynamoDBClient]
    now: Callable[[], float]
    young_seconds: float
    waiting: Callable[[], bool]
    file_letters: Callable[[KeySchema], None]
    by: str = COMMAND
    in_time: Callable[[], bool] = field(default=stream.for_ever)

    def bound_stream(self, source: TableFacts) -> str:
        """
        ARN of the stream that the pair is bound to.

        Raises:
            ConfigurationError: It is the stream of another table.
        """
        named = str(self.resources["stream_arn"])
        require_stream_of(named, source.arn, place="the stream that the state table names, of")
        return named

    def until(self, before: Mapping[str, Any], moment: float) -> float:
        """
        Up to which moment to read.

        One that goes on aims where the one before it did, or the first shards of a busy stream would take all
        of its time again, and the last ones would never be read.

        Args:
            before: The fact that the last audit has left.
            moment: What it is for one that begins.
        """
        if self.by == SCHEDULE and before.get("incomplete") and "until_epoch" in before:
            return min(moment, float(before["until_epoch"]))
        return moment

    def keep(self, before: Mapping[str, Any] | None, **found: Any) -> bool:
        """
        Keep what an audit has found, and how far it was.

        An operator's audit is the newest word. One that nobody watches gives way to whoever has audited
        meanwhile: it does not take a finding back that it has not seen.

        Args:
            before: The fact as it was when the audit began.

        Returns:
            Whether it was kept.
        """
        with translated("note what the audit has found"):
            if self.by != SCHEDULE:
                self.state.put(stream.PLACES, by=self.by, **found)
                return True
            return self.state.put_over(stream.PLACES, before, by=self.by, **found)
