"""What waits in the queue and among the dead letters, as the operator sees it."""

from __future__ import annotations

import time

from ddbverify.config import Pair
from ddbverify.errors import EngineError
from ddbverify.names import Fact
from ddbverify.tables.aws import translated
from ddbverify.words import number_of
from replicator.aws.queue_counts import counts
from replicator.context import clock
from replicator.context.console import Step
from replicator.context.context import Context
from replicator.handlers.control import is_paused


def queue_depth(context: Context, pair: Pair) -> dict[str, int]:
    """Messages waiting, in flight and delayed; SQS calls each of them approximate."""
    with translated("look at the queue"):
        return counts(context.source_client("sqs"), context.resources(pair)["queue_url"])


def dead_letters(context: Context, url: str) -> int:
    """How many messages were delivered too often."""
    with translated("look at the dead letters"):
        return sum(counts(context.source_client("sqs"), url).values())


def await_empty_queue(context: Context, pair: Pair, step: Step, *, deadline: float | None = None) -> None:
    """
    Wait until nothing waits in the queue and nothing is in flight.

    Raises:
        EngineError: *deadline* (`clock.seconds`) has passed, or the pair is paused: it would wait for ever.
    """
    while True:
        depth = queue_depth(context, pair)
        if not any(depth.values()):
            return
        if is_paused(context.state(pair).get(Fact.CONTROL)):
            raise EngineError(
                f"{pair} was paused, with {number_of(depth['waiting'], 'message')} waiting in its queue.",
                "run `replicator resume`, let the queue drain, then run the command again.",
            )
        if deadline is not None and clock.seconds() > deadline:
            raise EngineError(
                f"The queue of {pair} is not empty: {number_of(depth['waiting'], 'message')} waiting, "
                f"{depth['in_flight']} in flight.",
                "look at the consumer's log; raise [cutover] fence_limit if it only needs more time.",
            )
        step.at(f"{number_of(depth['waiting'], 'message')} waiting, {depth['in_flight']} in flight")
        time.sleep(context.pace.poll_seconds)


def await_none_in_flight(context: Context, pair: Pair, step: Step, *, deadline: float) -> None:
    """
    Wait until no consumer, which is off by now, has a message in hand; what waits is taken by nobody.

    Raises:
        EngineError: *deadline* (`clock.seconds`) has passed.
    """
    while in_flight := queue_depth(context, pair)["in_flight"]:
        if clock.seconds() > deadline:
            raise EngineError(
                f"The consumer of {pair} is off, and still has {number_of(in_flight, 'message')} in hand.",
                "look at the consumer's log; raise [cutover] fence_limit if it only needs more time.",
            )
        step.at(f"{number_of(in_flight, 'message')} in flight")
        time.sleep(context.pace.poll_seconds)
