"""
Whether the replication into a target can be relied on now. Read-only, and no code of the replicator's.

All it knows of the replicator is what stands in `ddbverify.names`: the facts of the state
table, and through them the queue, the dead letters and the two event source mappings.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from ddbverify import names
from ddbverify.code.digest import transform_digest
from ddbverify.config import Config, Pair
from ddbverify.errors import NotFoundError
from ddbverify.items.values import item_from_typed, with_base64
from ddbverify.names import Fact
from ddbverify.pipeline import carriers, direction, fence, mappings
from ddbverify.pipeline.newest_run import NewestRun
from ddbverify.tables import aws
from ddbverify.words import begins_anew, number_of

if TYPE_CHECKING:
    from mypy_boto3_sqs.literals import QueueAttributeNameType

# FIFO queues look for message groups in their first 120,000 messages only: beyond that, one
# backlogged group starves the others (docs/aws.md T10).
BACKLOG_LIMIT = 120_000

_DEPTH: Final[tuple[QueueAttributeNameType, ...]] = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)

# A canary younger than this may still be under way.
CANARY_GRACE_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineHealth:
    """What was found. Healthy when there are no problems; *exists* is False where there is no pipeline."""

    exists: bool
    problems: tuple[str, ...] = ()
    waiting: int = 0  # messages in the queue: visible, in flight and delayed
    in_flight: int = 0
    dead_letters: int = 0
    quarantined: int = 0
    following_since: float | None = None  # seconds since the epoch
    canary_age_seconds: float | None = None  # since the last one arrived
    mappings: Mapping[str, str] = field(default_factory=dict)  # forwarder, consumer -> state
    stream_enabled_by_us: bool = False  # the source had no stream before
    source_follows: bool = False  # behind a flip that has left a way back
    fence: str | None = None  # that a cutover has put up, in words
    moved: str | None = None  # that the application has left the source, in words; a problem, too
    newest_run: NewestRun | None = None  # of the verifier, as far as commands of the operator have noted it

    @property
    def facts_examined(self) -> int:
        """How many things were looked at; 1 for "there is no pipeline, and none is asked for"."""
        return 11 if self.exists else 1


def health(config: Config, pair: Pair, *, required: bool = False, now: float | None = None) -> PipelineHealth:
    """
    Look at the pipeline of one pair.

    Args:
        config: The whole configuration.
        pair: One of its tables.
        required: A pipeline has to be there even if the file has no ``[replication]``.
        now: Seconds since the epoch; the wall clock by default.

    Raises:
        EngineError: AWS refused a read. That something is not there is a problem, not an error.
    """
    named = config
    config, pair = direction.that_follows(config, pair)
    required = required or named.replication is not None or config is not named
    cycle = direction.number_of(config, named)
    command = "cutback" if cycle % 2 else "cutover"
    facts = _facts(config, pair)
    if facts is None:
        if not required:
            return PipelineHealth(exists=False)
        table = names.state_table(config.name)
        return PipelineHealth(exists=True, problems=(f"its state table {table} does not exist",))
    resources = facts.get(Fact.RESOURCES)
    if resources is None:
        return PipelineHealth(exists=True, problems=("the state table knows no pipeline of this pair",))
    newest_run, unreadable = _newest_run(facts)
    now = datetime.now().timestamp() if now is None else now  # noqa: DTZ005 - an epoch has no zone
    unlike = _unlike(config, pair, facts.get(Fact.BOUND))
    problems = [said for said in (unlike, unreadable) if said is not None]
    queue = _depth(config, pair, resources, "queue_url", problems)
    dead = _depth(config, pair, resources, "dead_letter_url", problems)
    sources = {}
    for part in ("forwarder", "consumer"):
        uuid = resources.get(f"{part}_mapping")
        if not uuid:
            problems.append(f"the state table names no {part}_mapping")
        sources[part] = carriers.look(config, pair, part, facts, now)
    moved = fence.moved(facts)
    problems += [moved] if moved is not None else []
    expected_off = ("consumer",) if moved is not None or fence.keeps_consumer_off(facts, now) else ()
    live = mappings.live_stream(config, pair)
    problems += mappings.problems(resources, sources, live, expected_off=expected_off, cycle=cycle)
    return PipelineHealth(
        exists=True,
        problems=(
            *problems,
            *judged(
                facts,
                waiting=sum(queue),
                dead=sum(dead),
                now=now,
                canary=config.replicated.canary,
                cycle=cycle,
            ),
        ),
        waiting=sum(queue),
        in_flight=queue[1],
        dead_letters=sum(dead),
        quarantined=_quarantined(facts),
        following_since=_epoch(facts.get(Fact.FOLLOWING, {}).get("since")),
        canary_age_seconds=_age(facts.get(Fact.CANARY_ARRIVED), now),
        mappings={part: source.state for part, source in sources.items()},
        stream_enabled_by_us=Fact.STREAM_ENABLED_BY_US in facts,
        source_follows=command == "cutback" and moved is None,
        newest_run=newest_run,
        fence=fence.standing(facts, now, command),
        moved=moved,
    )


def _newest_run(facts: Mapping[str, Mapping[str, Any]]) -> tuple[NewestRun | None, str | None]:
    """The newest run that is noted, and what is wrong with the note."""
    try:
        return NewestRun.of_fact(facts.get(Fact.NEWEST_RUN)), None
    except ValueError as error:
        return None, f"{error} (`replicator audit` notes it anew)"


def other_transform(config: Config, pair: Pair) -> str | None:
    """
    Why the target of a pair is not made with the transform that its settings name, in words.

    Returns:
        ``None`` where it is, and where there is no pipeline.

    Raises:
        EngineError: AWS refused a read.
        ConfigurationError: The transform does not load.
    """
    config, pair = direction.that_follows(config, pair)
    facts = _facts(config, pair)
    return _unlike(config, pair, facts.get(Fact.BOUND)) if facts and Fact.RESOURCES in facts else None


def in_vain(config: Config) -> str | None:
    """
    Why keys that differ would be waited for in vain, in words: nothing follows, or a pair is paused.

    Returns:
        ``None`` where neither is so, and where there is no pipeline.

    Raises:
        EngineError: AWS refused a read.
    """
    config, _ = direction.that_follows(config, config.tables[0])
    for pair in config.tables:
        facts = _facts(config, pair) or {}
        if (moved := fence.moved(facts)) is not None:
            return moved
        if _is_paused(facts, time.time()):
            return (
                f"{pair} is paused: what its target lacks waits in the queue, so a key that differs is "
                "looked at until its ceiling, and the pipeline's check fails (`replicator resume` goes on)"
            )
    return None


def _is_paused(facts: Mapping[str, Mapping[str, Any]], now: float) -> bool:
    control = facts.get(Fact.CONTROL, {"state": names.RUN}).get("state")
    # Behind a flip it is shut by the same fact, for good; before one, for as long as its fence stands.
    shut = control == names.SHUT and fence.keeps_consumer_off(facts, now)
    return control != names.RUN and not shut and fence.moved(facts) is None


def _unlike(config: Config, pair: Pair, bound: Mapping[str, Any] | None) -> str | None:
    if bound is None:
        return "the state table does not say what the target is made with (`replicator restart` ends that)"
    made, wanted = bound.get("transform", ""), pair.transform or ""
    back = "(put it back, or begin anew with `replicator restart`)"
    if made != wanted:
        return f"the target is made with {_named(made)}, and migration.toml names {_named(wanted)} {back}"
    if bound.get("digest", "") != transform_digest(config, pair):
        return f"the code of the transform {wanted} is not the one that the target is made with {back}"
    if bound.get("rekeys", False) != pair.rekeys:
        return f"rekeys in migration.toml is not what the target is made with {back}"
    return None


def _named(transform: str) -> str:
    return f"the transform {transform}" if transform else "no transform"


class Passed:
    """
    Whether the pipeline of a pair has passed a moment: the queue was empty since, or each group is later.

    What waits in the queue may be the very change that a suspect lacks, so no difference is
    persistent before that. An idle table's queue is seen empty; a busy one's never is, but every
    message group of it moves on. Asked often, it looks at most twice a second.
    """

    # A change reaches the queue a moment after the source: stream and forwarder are on the way.
    FORWARDING_SECONDS = 2.0
    LOOK_EVERY_SECONDS = 0.5

    def __init__(
        self, look: Callable[[], tuple[int, float] | None], clock: Callable[[], float] = time.time
    ) -> None:
        """
        Judge by what *look* finds.

        Args:
            look: Messages in the queue, in flight and delayed; and the moment that every message
                group has passed. ``None`` where nothing is to come.
            clock: Seconds since the epoch.
        """
        self._look, self._clock = look, clock
        self._looked_at = self._passed = 0.0
        self._exists = True

    @classmethod
    def of(cls, config: Config, pair: Pair) -> Passed:
        """Look at the queue and at the consumer's progress, of this pair."""
        groups = config.replicated.groups
        # Asked for once, and not before: a run that meets no difference reads nothing of a pipeline.
        following = functools.cache(lambda: direction.that_follows(config, pair))

        def look() -> tuple[int, float] | None:
            turned, one = following()
            facts = _facts(turned, one) or {}
            resources = facts.get(Fact.RESOURCES)
            if resources is None or "consumer_mapping" not in resources:
                return None
            if fence.keeps_consumer_off(facts, time.time()):
                return None  # what waits is for nobody: whatever the target lacks by now it will lack
            return sum(_depth(turned, one, resources, "queue_url", [])), slowest_group(facts, groups)

        return cls(look)

    def __call__(self, moved_at: float) -> bool | None:
        """``None`` where nothing is to come: there is no pipeline, or a cutover has switched it off."""
        now = self._clock()
        if self._exists and now - self._looked_at >= self.LOOK_EVERY_SECONDS:
            found = self._look()
            self._looked_at, self._exists = now, found is not None
            if found is not None:
                waiting, slowest = found
                self._passed = max(self._passed, slowest, 0.0 if waiting else now)
        if not self._exists:
            return None
        return self._passed > moved_at + self.FORWARDING_SECONDS


def slowest_group(facts: Mapping[str, Mapping[str, Any]], groups: int) -> float:
    """The moment that every message group has passed, in seconds since the epoch; 0.0 if one is silent."""
    times = [float(at) for name, at in facts.get(Fact.COUNTERS, {}).items() if name.startswith(Fact.PROGRESS)]
    return min(times) if len(times) >= groups else 0.0


def judged(
    facts: Mapping[str, Mapping[str, Any]],
    *,
    waiting: int,
    dead: int,
    now: float,
    canary: bool = True,
    cycle: int = 0,
) -> list[str]:
    """
    Name every problem that the facts show. Pure.

    Args:
        facts: Sort key -> attributes, of the state table.
        waiting: Messages in the queue.
        dead: Messages among the dead letters.
        now: Seconds since the epoch.
        canary: Whether canaries prove the way; audits do where none fly.
        cycle: Number of the direction.
    """
    problems = []
    gap = facts.get(Fact.GAP)
    if gap is not None:
        problems.append(
            f"a gap is latched since {gap.get('at', '?')}: {gap.get('reason', '?')} ({begins_anew(cycle)})"
        )
    if _is_paused(facts, now):
        problems.append("the consumer is paused (`replicator resume` ends that)")
    if waiting > BACKLOG_LIMIT:
        problems.append(f"{waiting} messages wait in the queue, more than {BACKLOG_LIMIT}")
    if dead:
        problems.append(f"{number_of(dead, 'dead letter')} (`replicator repair` takes them up)")
    quarantined = _quarantined(facts)
    if quarantined:
        problems.append(
            f"{number_of(quarantined, 'key')} in the quarantine (`replicator quarantine` lists them, "
            "`replicator repair` frees them)"
        )
    if _epoch(facts.get(Fact.FOLLOWING, {}).get("since")) is None:
        problems.append(
            "the target does not follow yet: replay has not passed the backup time (`replicator restore`)"
        )
    if canary:
        problems += _canary_problems(facts.get(Fact.CANARY_SENT), facts.get(Fact.CANARY_ARRIVED), now)
    return problems


def _canary_problems(
    sent: Mapping[str, Any] | None, arrived: Mapping[str, Any] | None, now: float
) -> list[str]:
    if sent is None:
        return ["no canary was sent, so nothing proves the path"]
    if arrived is None:
        return ["the canary was sent and has not arrived"]
    under_way = str(arrived.get("number", "")) < str(sent.get("number", "~"))  # both padded to 40 digits
    age = _age(sent, now)
    if under_way and (age is None or age > CANARY_GRACE_SECONDS):
        return ["the last canary was sent more than a minute ago and has not arrived"]
    return []


def _quarantined(facts: Mapping[str, Mapping[str, Any]]) -> int:
    return sum(name.startswith(Fact.QUARANTINE) for name in facts)


def _age(fact: Mapping[str, Any] | None, now: float) -> float | None:
    at = _epoch(fact.get("at")) if fact else None
    return None if at is None else now - at


def _epoch(text: Any) -> float | None:
    """Seconds of an ISO 8601 time; ``None`` for none, and for what is no time: the caller then says so."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo else None


def _facts(config: Config, pair: Pair) -> dict[str, dict[str, Any]] | None:
    """Every fact of the pair by sort key; ``None`` when there is no state table."""
    client = aws.client(config.source, "dynamodb", region=names.region_of(pair.source))
    table = names.state_table(config.name)
    facts: dict[str, dict[str, Any]] = {}
    try:
        for owner in (names.MIGRATION, names.pair_pk(pair.id)):  # a pair's own facts win
            with aws.translated(f"read the state table {table}"):
                pages = client.get_paginator("query").paginate(
                    TableName=table,
                    ConsistentRead=True,
                    KeyConditionExpression="pk = :pk",
                    ExpressionAttributeValues={":pk": {"S": owner}},
                )
                items = [item for page in pages for item in page["Items"]]
            decoded = (item_from_typed(with_base64(item)) for item in items)
            facts |= {item["sk"]: item for item in decoded}
    except NotFoundError:
        return None
    return facts


def _depth(
    config: Config, pair: Pair, resources: Mapping[str, Any], name: str, problems: list[str]
) -> tuple[int, int, int]:
    """Messages visible, in flight and delayed."""
    url = resources.get(name)
    if not url:
        problems.append(f"the state table names no {name}")
        return (0, 0, 0)
    client = aws.client(config.source, "sqs", region=names.region_of(pair.source))
    try:
        with aws.translated(f"read the attributes of the queue {url.rpartition('/')[2]}"):
            answer = client.get_queue_attributes(QueueUrl=url, AttributeNames=list(_DEPTH))["Attributes"]
    except NotFoundError:
        problems.append(f"the queue {url.rpartition('/')[2]} does not exist")
        return (0, 0, 0)
    visible, in_flight, delayed = (int(answer[attribute]) for attribute in _DEPTH)
    return (visible, in_flight, delayed)
