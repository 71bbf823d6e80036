"""What a cutover waits for behind its fence: everything applied, and the consumers off; and on again."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from ddbverify.errors import DdbVerifyError, EngineError
from ddbverify.names import Fact
from ddbverify.tables.aws import translated
from ddbverify.words import begins_anew, number_of
from replicator.aws import queue, switch
from replicator.commands import audit, repair
from replicator.context.console import Step
from replicator.context.context import Context
from replicator.handlers.control import is_paused

InTime = Callable[[str], None]
"""Told what is waited for; raises once that takes too long."""


def approach(context: Context) -> None:
    """
    Audit what was written so far, before the fence: nobody waits for that.

    Raises:
        EngineError: There is a gap.
    """
    with context.console.step("what was written so far is audited") as step:
        step.result = f"{number_of(read_ahead(context), 'record')} examined"


def read_ahead(context: Context, *, to_the_end: bool = False) -> int:
    """
    Audit what there is, so that the audits of `drain` have only the rest to read. It proves nothing.

    Args:
        to_the_end: Also what may be under way.

    Returns:
        How many records were examined.

    Raises:
        EngineError: There is a gap. What is lost, `drain` says: a forwarder may only be behind.
    """
    examined = 0
    for pair in context.config.tables:
        found = audit.run(context, pair, to_the_end=to_the_end)
        examined += found.examined
        if found.gap:
            raise EngineError(found.gap, f"{begins_anew(context.cycle)}.")
    return examined


def drain(context: Context, in_time: InTime, deadline: float, step: Step) -> None:
    """
    Wait until every change is applied: the queue is empty, the quarantine too, and two audits are clean.

    To be called when no write gets through the fence any more: what was read before that is no proof.

    Args:
        deadline: Until when a queue is waited for (`clock.seconds`).

    Raises:
        EngineError: A key stays in the quarantine, a change is lost, there is a gap, or the time is over.
    """
    examined = 0
    for pair in context.config.tables:
        clean = 0
        while clean < 2:
            in_time(f"the pipeline of {pair} is not drained")
            queue.await_empty_queue(context, pair, step, deadline=deadline)
            url = context.resources(pair)["dead_letter_url"]
            if queue.dead_letters(context, url) or context.state(pair).quarantined():
                repaired = repair.run(context, pair)
                if repaired.left:
                    raise EngineError(
                        f"{number_of(len(repaired.left), 'key')} left in quarantine: {repaired.left[0]}",
                        "see `replicator quarantine`, mend the items in the source, then run it again.",
                    )
            found = audit.run(context, pair, to_the_end=True)
            examined += found.examined
            if found.gap:
                raise EngineError(found.gap, f"{begins_anew(context.cycle)}.")
            if found.lost:
                raise EngineError(
                    f"{number_of(len(found.lost), 'change')} of {pair} never applied.",
                    audit.lost_hint(context),
                )
            clean = clean + 1 if found.clean else 0
            if not found.clean:
                time.sleep(context.pace.poll_seconds)
    step.result = f"audit clean twice, {number_of(examined, 'record')} examined"


def consumers_off(context: Context, in_time: InTime, deadline: float, step: Step) -> None:
    """
    Switch the consumers off, and wait until they have nothing in hand: none writes from then on.

    What came too late for them (time to live removes items under a fence, too) waits in the queue for nobody.
    It is not waited for: the last verification is behind this, and sees what it is about.

    Raises:
        EngineError: The time is over.
    """
    for pair in context.config.tables:
        late = partial(in_time, f"the consumer of {pair} is not off")
        switch.set_consumer(context, pair, on=False, waiting=late)
        queue.await_none_in_flight(context, pair, step, deadline=deadline)


def consumers_on(context: Context) -> None:
    """
    Switch the consumers on that are not paused; one that cannot be is told, and hides nothing else.

    One of a pair that is being started anew stays off: its backfill writes without the guard.
    """
    for pair in context.config.tables:
        try:
            with translated(f"switch the consumer of {pair} on"):
                if context.state(pair).get(Fact.RESTARTING) is None:
                    switch.on_again(context, pair)
        except DdbVerifyError as error:
            context.console.warn(
                f"the consumer of {pair} may be off, `replicator resume` switches it on: {error.message}"
            )


def need_consumers_on(context: Context) -> None:
    """
    Switch the consumers on, all that are not paused, and refuse to go on where one is.

    Raises:
        Refused: A pair is paused, or is being paused meanwhile.
    """
    stopped = [
        pair
        for pair in context.config.tables
        if is_paused(context.state(pair).get(Fact.CONTROL)) or not switch.on_again(context, pair)
    ]
    if stopped:
        raise switch.paused(stopped[0])
