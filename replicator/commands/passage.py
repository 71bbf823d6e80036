"""
The proof that changes come all the way: by a canary, or by audits where none may fly.

A canary takes seconds and is an item that the application's own triggers see (`replicator.aws.readers`). An
audit reads the stream itself and finds every change up to a moment in the ledger; it says nothing before
phase 2, so that phase 1 has to do with a mapping that is on.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from ddbverify.errors import EngineError
from ddbverify.words import begins_anew
from replicator.aws import canary, readers, stream, switch
from replicator.backfill.plan import Plan
from replicator.commands import audit, taken, wanted
from replicator.context import clock
from replicator.context.console import Step
from replicator.context.context import Context
from replicator.stack import stacks


def warnings(context: Context, plans: Sequence[Plan]) -> Iterator[str]:
    """What the operator has to know of the other readers of the sources' streams, before a canary flies."""
    ours = [_forwarder(context, plan) for plan in plans] if context.begun() else []
    sources = [plan.source for plan in plans]
    for source in {one.arn: one for one in sources}.values():
        forwarders = sum(one.arn == source.arn for one in sources)
        yield from readers.warnings(context, source, ours, forwarders)


def _forwarder(context: Context, plan: Plan) -> str:
    """The mapping of the pair's own forwarder, which others may have deployed before we have noted it."""
    noted = str(context.resources(plan.pair).get("forwarder_mapping", ""))
    if noted or not taken.is_asked_for(context):
        return noted
    capture = wanted.names_of(context, plan.pair)[0]
    made = stacks.outputs_if_any(context.source_client("cloudformation"), capture)
    return made.get("ForwarderMapping", "")


def sent_title(context: Context) -> str:
    """What the step of phase 1 has shown once it is done."""
    flies = context.config.replicated.canary
    return "the forwarder has sent a canary on" if flies else "the forwarder is on (no canary)"


def arrived_title(context: Context) -> str:
    """What the step of phase 2 has shown once it is done."""
    flies = context.config.replicated.canary
    return "a canary has come all the way" if flies else "an audit finds every change applied (no canary)"


def await_sent(context: Context, plan: Plan, step: Step) -> None:
    """
    Wait until the forwarder sends changes on.

    Raises:
        EngineError: It did not in half an hour.
    """
    if context.config.replicated.canary:
        canary.await_sent(context, plan.source, context.state(plan.pair), step)
        return
    deadline = clock.seconds() + canary.PATIENCE_SECONDS
    while True:
        state = switch.state_of(context, plan.pair, "forwarder")
        if state == "Enabled":
            return
        step.at(f"its mapping is {state}")
        _wait(context, deadline, f"The forwarder of {plan.pair} is not on: its mapping is {state}.")


def await_arrived(context: Context, plan: Plan, step: Step) -> None:
    """
    Wait until what was written up to now is applied.

    Raises:
        EngineError: It was not in half an hour, or a gap was found.
    """
    if context.config.replicated.canary:
        canary.await_arrived(context, plan.source, context.state(plan.pair), step)
        return
    began, deadline = context.server_time(), clock.seconds() + canary.PATIENCE_SECONDS
    while True:
        found = audit.run(context, plan.pair)
        if found.gap:
            raise EngineError(found.gap, f"{begins_anew(context.cycle)}.")
        place = context.state(plan.pair).get(stream.PLACES) or {}
        if found.clean and int(place["audited_epoch"]) > began:
            return
        # Lost, too: as long as the forwarder is behind the stream, nothing tells the two apart.
        behind = found.young + len(found.lost)
        step.at(f"{behind} changes to go" if behind else "waiting for the newest changes to be old enough")
        _wait(context, deadline, f"Changes of {plan.pair} are not applied: {behind} of them.")


def _wait(context: Context, deadline: float, why: str) -> None:
    if clock.seconds() > deadline:
        raise EngineError(
            f"{why} That is so after {canary.PATIENCE_SECONDS / 60:.0f} minutes.",
            "look at the logs and mappings of forwarder and consumer, then run the command again.",
        )
    time.sleep(context.pace.poll_seconds)
