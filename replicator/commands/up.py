"""Phase 1, step by step: the stream, queue and forwarder, a canary, the overlap, the backup."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from ddbverify.code.digest import transforms_of
from ddbverify.names import Fact
from ddbverify.tables.aws import translated
from replicator.aws import stream_switch
from replicator.aws.switch import switch_mapping
from replicator.backfill import boundary
from replicator.backfill.plan import Plan
from replicator.backfill.preflight import check
from replicator.commands import (
    cutover_preflight,
    dashboard,
    invocation,
    passage,
    taken,
    told_workers,
    wanted,
    way_back_possible,
)
from replicator.commands.phases import Deployment, add_resources, base_stack, bind, deployed, end, place
from replicator.commands.together import MOST_STACKS
from replicator.context import references
from replicator.context.console import Step
from replicator.context.context import Context
from replicator.handlers.state import now_text
from replicator.stack import bundle

UP_STEPS = ("stream", "capture", "canary", "overlap", "backup")


def up(context: Context) -> dict[str, Any]:
    """
    Phase 1: capture every change of the sources, then back them up.

    Returns:
        For machines: each pair's backup and boundary.
    """
    context.console.line(f"Migration {context.config.name}, phase 1: capture and backup")
    if context.begun():
        context.need_no_restart()
        taken.remember(context)
    _say_whose(context)
    plans = check(context)
    cutover_preflight.foresee(context, {plan.pair: plan.target_arn for plan in plans})
    if context.config.cutover.pointer is not None:
        context.console.line(f"  · {way_back_possible.foretold(context)}")
    for warning in passage.warnings(context, plans):
        context.console.warn(warning)
    code = bundle.build(transforms_of(context.config))
    base = base_stack(context)
    with context.locked("replicator up") as lock:
        context.need_no_restart()  # one may have begun while the lease was waited for
        deployment = deployed(context, "up", lock, base, code)
        for plan in plans:
            bind(context, plan)
        phase_one(deployment, plans)
    end(context, "Phase 1 is done. Every change is on its way to the queue. Next: replicator restore")
    return {
        "phase": 1,
        "pairs": {str(plan.pair): context.state(plan.pair).get(Fact.BOUNDARY) for plan in plans},
    }


def _say_whose(context: Context) -> None:
    if taken.is_asked_for(context) and not context.config.stack.deployed:
        context.console.warn(
            "the stacks are taken as others have deployed them: write `deployed = true` under [stack] of "
            "migration.toml, so that every command does, and none plans a way back"
        )


def phase_one(deployment: Deployment, plans: Sequence[Plan]) -> None:
    """
    Capture the changes of the pairs, and fix their boundaries.

    All streams first: the overlap that each has to cover runs from then on, so it is waited for once.
    """
    context, lock, step = deployment.context, deployment.lock, deployment.step
    step("stream", plans, lambda plan: f"stream of {plan.source.name} is on", partial(stream, context))
    step("capture", plans, "queue and forwarder", partial(capture, deployment), at_once=MOST_STACKS)
    dashboard.deploy(context)
    step("canary", plans, passage.sent_title(context), partial(canary, context))
    step("overlap", plans, "the stream covers the overlap", partial(_overlap, context))
    backup = partial(boundary.title, context)
    step("backup", plans, backup, lambda plan, at: boundary.fix(context, plan, lock, at))


def stream(context: Context, plan: Plan, _: Step) -> dict[str, Any]:
    """Turn the stream of the pair's source on, if it is not."""
    state, source = context.state(plan.pair), plan.source
    if source.stream_arn is None:
        # The intent first: if this is killed between the two, `down` still knows whose stream it is.
        state.put(Fact.STREAM_ENABLED_BY_US, at=now_text())
        source = stream_switch.turn_on(context, context.source, source.name)
    facts = {"stream_arn": source.stream_arn, "stream_view": source.stream_view}
    add_resources(state, stream_arn=source.stream_arn)
    return {**facts, "since": source.stream_since}


def capture(deployment: Deployment, plan: Plan, step: Step) -> dict[str, Any]:
    """Deploy the pair's queue and forwarder."""
    context = deployment.context
    state = context.state(plan.pair)
    recorded = state.get(Fact.STEP + "stream") or {}
    bound = references.bound_stream(recorded, plan.source.arn)
    if context.config.replicated.worker:
        return told_workers.capture(context, plan, bound, step)
    resources = context.resources(plan.pair)
    if resources.get("captured_stream") not in (None, bound):
        # A restart: what the old stream still holds is not for a forwarder of the new one.
        with translated("switch the forwarder of the old stream off"):
            switch_mapping(context, resources["forwarder_mapping"], on=False)
    of_pair = wanted.capture(
        context, plan, deployment.base, deployment.code.key, stream=bound, view=recorded["stream_view"]
    )
    outputs = place(context, of_pair, step)
    taken.check_function(context, of_pair, outputs, "Forwarder", deployment.code.sha256_base64)
    if resources.get("captured_stream") != bound:
        # How far back this forwarder can have seen: see `boundary.check_reuse`.
        add_resources(state, captured_stream=bound, captured_epoch=int(context.server_time()))
    add_resources(
        state,
        knows_markers=True,  # this build's forwarder does
        by_others=taken.is_asked_for(context),
        queue_url=outputs["QueueUrl"],
        queue_arn=outputs["QueueArn"],
        dead_letter_url=outputs["DeadLetterUrl"],
        forwarder=outputs["Forwarder"],
        forwarder_mapping=outputs["ForwarderMapping"],
    )
    return {}


def canary(context: Context, plan: Plan, step: Step) -> dict[str, Any]:
    """Wait until the pair's forwarder sends changes on."""
    passage.await_sent(context, plan, step)
    return {}


def _overlap(context: Context, plan: Plan, step: Step) -> dict[str, Any]:
    """The stream has to have been on for the whole overlap before the backup is asked for."""
    boundary.wait_for(context, boundary.ready_epoch(context, plan.pair), step)
    return {"overlap_seconds": int(context.config.replicated.overlap)}


command = invocation.deploying("up", up, "Phase 1: capture every change of the source, then back it up.")
