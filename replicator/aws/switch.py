"""The consumer's switch, as the operator has it: on, off, paused."""

from __future__ import annotations

import time
from collections.abc import Callable

from ddbverify.config import Pair
from ddbverify.errors import Refused
from ddbverify.names import RUN, Fact
from ddbverify.tables.aws import translated
from ddbverify.words import number_of
from replicator.aws import workers
from replicator.aws.queue import queue_depth
from replicator.context import live
from replicator.context.console import Step
from replicator.context.context import Context
from replicator.handlers.control import is_paused
from replicator.handlers.state import now_text

CUTOVER = Fact.CUTOVER
"""Fact of the whole migration: how far its cutover is."""


def set_consumer(
    context: Context, pair: Pair, *, on: bool, waiting: Callable[[], None] = lambda: None
) -> None:
    """
    Switch the consumer's mapping, and wait until it is so. On also ends a pause.

    Args:
        waiting: Called before each wait; raises once that takes too long.

    Raises:
        Refused: It is to be on, and the application has been moved, or may have been.
    """
    if on:
        live.need_followed(context)
        # Before it is: from here on changes may have been consumed.
        context.state(pair).put(Fact.CONTROL, state=RUN, at=now_text())
        context.state(pair).put(Fact.CONSUMER, on=True, since_epoch=int(context.server_time()))
    with translated(f"switch the consumer of {pair} {'on' if on else 'off'}"):
        switch_part(context, pair, "consumer", on=on, waiting=waiting)


def on_again(context: Context, pair: Pair) -> bool:
    """
    Switch the consumer on, unless it is paused or is being paused meanwhile: a pause is never ended by this.

    Returns:
        Whether it is on.

    Raises:
        Refused: The application has been moved, or may have been.
    """
    live.need_followed(context)
    state = context.state(pair)
    if not is_paused(state.get(Fact.CONTROL)):
        state.put(Fact.CONSUMER, on=True, since_epoch=int(context.server_time()))
        with translated(f"switch the consumer of {pair} on"):
            switch_part(context, pair, "consumer", on=True)
        # A pause takes no lease. One that is written behind this look switches the mapping off behind it.
        if not is_paused(state.get(Fact.CONTROL)):
            return True
        with translated(f"switch the consumer of {pair} off"):
            switch_part(context, pair, "consumer", on=False)
    context.console.warn(f"{pair} was paused meanwhile, and stays so; `replicator resume` goes on")
    return False


def switch_part(
    context: Context,
    pair: Pair,
    part: workers.Part,
    *,
    on: bool,
    waiting: Callable[[], None] = lambda: None,
) -> None:
    """Switch a pair's forwarder or consumer, as functions or workers have it, and wait until it is so."""
    if workers.is_worker(context, pair, part):
        workers.switch(context, pair, part, on=on, waiting=waiting)
    else:
        switch_mapping(context, context.resources(pair)[f"{part}_mapping"], on=on, waiting=waiting)


def switch_mapping(
    context: Context, mapping: str, *, on: bool, waiting: Callable[[], None] = lambda: None
) -> None:
    """Switch an event source mapping (by its UUID), and wait until it is so. Raises botocore's errors."""
    functions = context.source_client("lambda")
    wanted = "Enabled" if on else "Disabled"
    while functions.get_event_source_mapping(UUID=mapping)["State"] not in ("Enabled", "Disabled"):
        waiting()
        time.sleep(context.pace.poll_seconds)  # it takes no change while one is under way
    # Asked for even where it says so already: what a mapping says right after its stack was
    # made is not always what it does (ministack), and asking twice is harmless.
    functions.update_event_source_mapping(UUID=mapping, Enabled=on)
    while functions.get_event_source_mapping(UUID=mapping)["State"] != wanted:
        waiting()
        time.sleep(context.pace.poll_seconds)


def paused(pair: Pair) -> Refused:
    """The refusal of a command that needs a consumer which is on."""
    return Refused(f"{pair} is paused.", "run `replicator resume` first, and let the queue drain.")


def state_of_consumer(context: Context, pair: Pair) -> str:
    """What its mapping is: ``Enabled``, ``Disabled``, or on its way to another state."""
    return state_of(context, pair, "consumer")


def state_of(context: Context, pair: Pair, part: workers.Part) -> str:
    """What the mapping of a forwarder or consumer is; a worker's is told in the same words."""
    with translated(f"look at the {part} of {pair}"):
        if workers.is_worker(context, pair, part):
            return workers.state_of(context, pair, part)
        mapping = context.resources(pair)[f"{part}_mapping"]
        return context.source_client("lambda").get_event_source_mapping(UUID=mapping)["State"]


def consumer_is_on(context: Context, pair: Pair) -> bool:
    """Whether the consumer takes messages, or has some in hand."""
    off = state_of_consumer(context, pair) == "Disabled"
    return not off or bool(queue_depth(context, pair)["in_flight"])


def stop_consumer(context: Context, pair: Pair, step: Step) -> None:
    """Switch the consumer off, wait until it has nothing in hand, and note since when that is so."""
    set_consumer(context, pair, on=False)
    while in_flight := queue_depth(context, pair)["in_flight"]:
        step.at(f"{number_of(in_flight, 'message')} in flight")
        time.sleep(context.pace.poll_seconds)
    # Noted once: the first moment from which nothing was consumed is the one that counts.
    state = context.state(pair)
    if (state.get(Fact.CONSUMER) or {}).get("on", True):
        counted = state.consumer_work()
        state.put(Fact.CONSUMER, on=False, since_epoch=int(context.server_time()), counted=counted)
