"""The queue and the consumer behind it, as the operator sees them."""

from __future__ import annotations

import time

from ddbverify.aws import translated
from ddbverify.config import Pair
from ddbverify.errors import EngineError
from replicator.console import Step
from replicator.context import Context


def set_consumer(context: Context, pair: Pair, *, on: bool) -> None:
    """Switch the consumer's mapping, and wait until it is so."""
    functions = context.source_client("lambda")
    mapping = context.resources(pair)["consumer_mapping"]
    wanted = "Enabled" if on else "Disabled"
    with translated(f"switch the consumer of {pair} {'on' if on else 'off'}"):
        while functions.get_event_source_mapping(UUID=mapping)["State"] not in ("Enabled", "Disabled"):
            time.sleep(context.pace.poll_seconds)  # it takes no change while one is under way
        # Asked for even where it says so already: what a mapping says right after its stack was
        # made is not always what it does (ministack), and asking twice is harmless.
        functions.update_event_source_mapping(UUID=mapping, Enabled=on)
        while functions.get_event_source_mapping(UUID=mapping)["State"] != wanted:
            time.sleep(context.pace.poll_seconds)


def queue_depth(context: Context, pair: Pair) -> dict[str, int]:
    """Messages waiting, in flight and delayed; SQS calls each of them approximate."""
    with translated("look at the queue"):
        answer = context.source_client("sqs").get_queue_attributes(
            QueueUrl=context.resources(pair)["queue_url"],
            AttributeNames=[
                "ApproximateNumberOfMessages",
                "ApproximateNumberOfMessagesNotVisible",
                "ApproximateNumberOfMessagesDelayed",
            ],
        )["Attributes"]
    return {
        "waiting": int(answer["ApproximateNumberOfMessages"]),
        "in_flight": int(answer["ApproximateNumberOfMessagesNotVisible"]),
        "delayed": int(answer["ApproximateNumberOfMessagesDelayed"]),
    }


def await_empty_queue(context: Context, pair: Pair, step: Step, *, deadline: float | None = None) -> None:
    """
    Wait until nothing waits in the queue and nothing is in flight.

    Raises:
        EngineError: *deadline* (`time.monotonic`) has passed.
    """
    while True:
        depth = queue_depth(context, pair)
        if not any(depth.values()):
            return
        if deadline is not None and time.monotonic() > deadline:
            raise EngineError(
                f"The queue of {pair} is not empty: {depth['waiting']} messages wait, "
                f"{depth['in_flight']} are in flight.",
                "look at the consumer's log; raise [cutover] fence_limit if it only needs more time.",
            )
        step.at(f"{depth['waiting']} messages waiting, {depth['in_flight']} in flight")
        time.sleep(context.pace.poll_seconds)
