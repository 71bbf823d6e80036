"""
What a dashboard of a migration shows: one list of panels, which CloudWatch and Grafana render. Pure.

A panel is one question of an operator. Each of its lines is a metric that a handler sends
(`replicator.handlers.metrics`) or that AWS has of a resource of the stacks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from ddbverify.names import METRICS

LONGEST_SHOWN: Final = 23  # as long as a pair's id can be
"""Of `Watched.shown`."""

Unit = Literal["seconds", "milliseconds", "count", "units"]
Place = Literal["source", "target"]

MINUTE: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """
    What the stacks made for one pair; empty for what is not there yet.

    Args:
        migration: Name of the migration, or of its direction.
        pair: Id, as the metrics have it.
        shown: What the pair is called in a legend: short, and no other's.
        source: Name of the table that is followed.
        target: Name of the table that follows.
        alarms: ARNs.
    """

    migration: str
    pair: str
    shown: str
    source: str
    target: str
    forwarder: str = ""
    queue: str = ""
    dead_letters: str = ""
    consumer: str = ""
    ledger: str = ""
    alarms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One metric: how it is found, how it is summed up over a minute, and what it is called."""

    namespace: str
    metric: str
    dimensions: Mapping[str, str]
    statistic: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """
    One question, and the lines that answer it.

    Args:
        title: The question's subject; the first word is what operators look for.
        means: In a sentence, for who hovers or reads.
        unit: Of all lines.
        place: Whose region and account have the metrics.
        limits: Values with what they mean: those of the alarms, and what AWS forgets at.
    """

    title: str
    means: str
    unit: Unit
    place: Place = "source"
    limits: Mapping[str, float]
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class _Kind:
    """A panel before it is known which pairs it is of."""

    title: str
    means: str
    unit: Unit
    lines: tuple[Callable[[Watched], Line | None], ...]
    limits: Mapping[str, float]
    place: Place = "source"


def panels(pairs: Sequence[Watched]) -> tuple[Panel, ...]:
    """The panels of these pairs, in the order in which they are looked at; one without a line is left out."""
    made = (
        Panel(
            title=kind.title,
            means=kind.means,
            unit=kind.unit,
            place=kind.place,
            limits=kind.limits,
            lines=tuple(_lines(kind, pairs)),
        )
        for kind in _KINDS
    )
    return tuple(panel for panel in made if panel.lines)


def _lines(kind: _Kind, pairs: Sequence[Watched]) -> Iterator[Line]:
    for line in kind.lines:
        for pair in pairs:
            found = line(pair)
            if found is not None:
                yield found


def _ours(service: str, metric: str, statistic: str, said: str) -> Callable[[Watched], Line | None]:
    """A metric of our handlers; it is there before the first batch, since nobody names it for us."""

    def of(pair: Watched) -> Line:
        dimensions = {"migration": pair.migration, "pair": pair.pair, "service": service}
        return Line(
            namespace=METRICS,
            metric=metric,
            dimensions=dimensions,
            statistic=statistic,
            label=f"{pair.shown} {said}",
        )

    return of


def _aws(
    namespace: str, dimension: str, attribute: str, metric: str, statistic: str, said: str
) -> Callable[[Watched], Line | None]:
    """A metric of AWS of what *attribute* of a pair names."""

    def of(pair: Watched) -> Line | None:
        name = str(getattr(pair, attribute))
        if not name:
            return None
        return Line(
            namespace=namespace,
            metric=metric,
            dimensions={dimension: name},
            statistic=statistic,
            label=f"{pair.shown} {said}",
        )

    return of


def _function(attribute: str, metric: str, statistic: str, said: str) -> Callable[[Watched], Line | None]:
    return _aws("AWS/Lambda", "FunctionName", attribute, metric, statistic, said)


def _queue(attribute: str, metric: str, statistic: str, said: str) -> Callable[[Watched], Line | None]:
    return _aws("AWS/SQS", "QueueName", attribute, metric, statistic, said)


def _table(attribute: str, metric: str, said: str) -> Callable[[Watched], Line | None]:
    return _aws("AWS/DynamoDB", "TableName", attribute, metric, "Sum", said)


# What each alarm means and what to do stands in docs/operating.md; tests hold the limits against the alarms.
_KINDS: Final = (
    _Kind(
        "Lag: age of what was applied",
        "Age of the oldest change of a batch when it was dealt with.",
        "seconds",
        (_ours("consumer", "AppliedAgeSeconds", "Maximum", "oldest"),),
        {},
    ),
    _Kind(
        "Lag: forwarder behind the stream",
        "A stream forgets after 24 hours; what it has forgotten is lost.",
        "milliseconds",
        (_function("forwarder", "IteratorAge", "Maximum", "behind"),),
        {"alarm": 3_600_000, "the stream forgets": 86_400_000},
    ),
    _Kind(
        "Backlog: age of the oldest message",
        "A queue keeps 14 days.",
        "seconds",
        (_queue("queue", "ApproximateAgeOfOldestMessage", "Maximum", "waits"),),
        {"alarm": 900},
    ),
    _Kind(
        "Backlog: messages",
        "What waits in the queue, and what a consumer has in hand.",
        "count",
        (
            _queue("queue", "ApproximateNumberOfMessagesVisible", "Maximum", "waiting"),
            _queue("queue", "ApproximateNumberOfMessagesNotVisible", "Maximum", "in hand"),
        ),
        {},
    ),
    _Kind(
        "Changes a minute",
        "Superseded: a later change of the key was there already, which is done and no error.",
        "count",
        (
            _ours("forwarder", "Forwarded", "Sum", "forwarded"),
            _ours("consumer", "Applied", "Sum", "applied"),
            _ours("consumer", "Superseded", "Sum", "superseded"),
        ),
        {},
    ),
    _Kind(
        "Canary: from source to consumer",
        "Canaries fly when a command flies them; between commands there are none.",
        "milliseconds",
        (
            _ours("consumer", "CanaryMilliseconds", "p50", "p50"),
            _ours("consumer", "CanaryMilliseconds", "p99", "p99"),
        ),
        {"alarm": 300_000},
    ),
    _Kind(
        "Quarantine, dead letters, gaps",
        "Anything above 0 keeps the gate shut.",
        "count",
        (
            _ours("consumer", "Quarantined", "Sum", "quarantined"),
            _queue("dead_letters", "ApproximateNumberOfMessagesVisible", "Maximum", "dead letters"),
            _ours("forwarder", "Gaps", "Sum", "gaps of the forwarder"),
            _ours("consumer", "Gaps", "Sum", "gaps of the consumer"),
        ),
        {},
    ),
    _Kind(
        "Behind the flip: writes to the table that was left",
        "Nobody applies them; find the writer.",
        "count",
        (
            _ours("forwarder", "LateWrites", "Sum", "late writes"),
            _ours("forwarder", "NotWatched", "Sum", "not watched"),
        ),
        {},
    ),
    _Kind(
        "Errors and what comes again",
        "Messages that are handed back come again; so does a batch that could not be placed whole.",
        "count",
        (
            _function("forwarder", "Errors", "Sum", "forwarder errors"),
            _function("consumer", "Errors", "Sum", "consumer errors"),
            _function("consumer", "Throttles", "Sum", "consumer throttled"),
            _ours("forwarder", "Unsent", "Sum", "unsent"),
            _ours("consumer", "Returned", "Sum", "handed back"),
        ),
        {},
    ),
    _Kind(
        "Cost: write units of the follower and its ledger",
        "A change of up to 1 KB costs four, each index more. The application's own writes are in it, too.",
        "units",
        (
            _table("target", "ConsumedWriteCapacityUnits", "table"),
            _table("ledger", "ConsumedWriteCapacityUnits", "ledger"),
        ),
        {},
        "target",
    ),
    _Kind(
        "Cost: read units of the table that is followed",
        "With the application's own: verification, a scan, and changes too large for a message.",
        "units",
        (_table("source", "ConsumedReadCapacityUnits", "read"),),
        {},
    ),
    _Kind(
        "Cost: time of the functions",
        "Billed by the time and memory: 512 MB of the forwarder, 1,024 MB of the consumer.",
        "milliseconds",
        (
            _function("forwarder", "Duration", "Sum", "forwarder"),
            _function("consumer", "Duration", "Sum", "consumer"),
        ),
        {},
    ),
    _Kind(
        "Cost: calls and requests",
        "Billed by the number. A FIFO request is billed for each 64 KB.",
        "count",
        (
            _function("forwarder", "Invocations", "Sum", "forwarder calls"),
            _function("consumer", "Invocations", "Sum", "consumer calls"),
            _queue("queue", "NumberOfMessagesSent", "Sum", "messages sent"),
            _queue("queue", "NumberOfEmptyReceives", "Sum", "empty receives"),
        ),
        {},
    ),
    _Kind(
        "Throttled writes of the follower and its ledger",
        "What a throttled table has not taken comes again.",
        "count",
        (
            _table("target", "WriteThrottleEvents", "table"),
            _table("ledger", "WriteThrottleEvents", "ledger"),
        ),
        {},
        "target",
    ),
)
