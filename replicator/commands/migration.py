"""
The two phases, step by step. Every step is recorded when it is done: a second run goes on
behind the last one, and a finished phase has nothing to do.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ddbverify.config import Pair
from ddbverify.errors import AccessError, Refused
from ddbverify.names import Fact, stack_name
from ddbverify.tables.aws import translated
from replicator.aws import canary
from replicator.aws.switch import CUTOVER, set_consumer, switch_mapping
from replicator.backfill import boundary, filling
from replicator.backfill.plan import Plan
from replicator.backfill.preflight import check
from replicator.context import tables
from replicator.context.console import Step
from replicator.context.context import Context
from replicator.context.lock import Lock
from replicator.handlers.ceiling import WAITING_SHARE, work_in_hand
from replicator.handlers.control import is_paused
from replicator.handlers.state import State, now_text, text_of
from replicator.stack import bundle, stacks, storage
from replicator.stack.bundle import Bundle

UP_STEPS = ("stream", "capture", "canary", "overlap", "backup")
RESTORE_STEPS = ("target", "backfill", "apply", "consumer", "following")


def up(context: Context) -> dict[str, Any]:
    """
    Phase 1: capture every change of the sources, then back them up.

    Returns:
        For machines: each pair's backup and boundary.
    """
    context.console.line(f"Migration {context.config.name}, phase 1: capture and backup")
    if context.begun():
        context.need_no_restart()
    plans = check(context)
    code = bundle.build([plan.pair.transform for plan in plans if plan.pair.transform])
    base = base_stack(context)
    with context.locked("replicator up") as lock:
        storage.upload(context.source_client("s3"), base["BundleBucket"], code)
        for plan in plans:
            bind(context, plan)
            phase_one(context, plan, base, code, lock, "up")
    _end(context, "Phase 1 is done. Every change is on its way to the queue. Next: replicator restore")
    return {
        "phase": 1,
        "pairs": {str(plan.pair): context.state(plan.pair).get(Fact.BOUNDARY) for plan in plans},
    }


def restore(context: Context) -> dict[str, Any]:
    """
    Phase 2: restore the backup as the target, and let the consumer apply what came since.

    Raises:
        Refused: Phase 1 is not complete.
    """
    context.need_begun()
    context.need_no_restart()
    context.console.line(f"Migration {context.config.name}, phase 2: restore and follow")
    plans = check(context)
    for plan in plans:
        _needphase_one(context, plan.pair)
        bind(context, plan)
    code = bundle.build([plan.pair.transform for plan in plans if plan.pair.transform])
    base = base_stack(context)
    with context.locked("replicator restore") as lock:
        storage.upload(context.source_client("s3"), base["BundleBucket"], code)
        for plan in plans:
            phase_two(context, plan, base, code, lock, "restore")
    _end(context, "Phase 2 is done. The target follows the source. Next: ddbverify run")
    return {"phase": 2, "pairs": {str(plan.pair): context.resources(plan.pair) for plan in plans}}


def _end(context: Context, said: str) -> None:
    """What a phase ends with, unless somebody has changed since what it was for."""
    if (context.whole.get(CUTOVER) or {}).get("flipped"):
        context.console.line("This migration was cut over: nothing follows the source any more.")
        return
    context.console.line(said)
    for pair in context.config.tables:
        if is_paused(context.state(pair).get(Fact.CONTROL)):
            context.console.warn(f"{pair} is paused: nothing is applied until `replicator resume`")


def phase_one(
    context: Context, plan: Plan, base: Mapping[str, str], code: Bundle, lock: Lock, command: str
) -> None:
    """Capture one pair's changes, and fix its boundary."""
    name = plan.source.name
    run = Steps(context, plan.pair, command, lock).run
    run("stream", f"stream of {name} is on", lambda _: _stream(context, plan))
    run("capture", "queue and forwarder", lambda step: _capture(context, plan, base, code, step))
    run("canary", "the forwarder has sent a canary on", lambda step: _canary(context, plan, step))
    run("overlap", "the stream covers the overlap", lambda step: _overlap(context, plan, step))
    run("backup", boundary.title(context, plan), lambda step: boundary.fix(context, plan, lock, step))


def phase_two(
    context: Context, plan: Plan, base: Mapping[str, str], code: Bundle, lock: Lock, command: str
) -> None:
    """Fill one pair's target, and let it follow."""
    run = Steps(context, plan.pair, command, lock).run
    run("target", "ledger beside the target", lambda step: _target(context, plan, step))
    run("backfill", f"{plan.pair.target} is filled", lambda step: filling.fill(context, plan, lock, step))
    run("apply", "consumer", lambda step: _apply(context, plan, base, code, step))
    run("consumer", "a canary has come all the way", lambda step: _consumer_on(context, plan, step))
    run("following", "replay has passed the backup", lambda _: _following(context, plan))


@dataclass(frozen=True, slots=True)
class Steps:
    """
    Runs each step once, and records it.

    Args:
        lock: The lease. Without it no step begins and none is recorded: an operator's machine that slept
            through a restart must not switch the consumer on over somebody else's half-filled target.
    """

    context: Context
    pair: Pair
    command: str
    lock: Lock

    def forget(self, *names: str) -> None:
        """Let steps be taken again."""
        for name in names:
            self.context.state(self.pair).delete(Fact.STEP + name)

    def run(self, name: str, title: str, action: Callable[[Step], Mapping[str, Any]]) -> None:
        state = self.context.state(self.pair)
        if state.get(Fact.STEP + name) is not None:
            self.context.console.already(title)
            return
        self.lock.check()
        try:
            with self.context.console.step(title) as step:
                made = action(step)
                self.lock.check()
        except KeyboardInterrupt:
            self.context.console.warn(
                f"interrupted at: {title}. What was made stays; `replicator {self.command}` goes on from "
                "here, `replicator down` removes it."
            )
            raise
        state.put(Fact.STEP + name, at=now_text(), **made)


# --- phase 1 ------------------------------------------------------------------------------


def base_stack(context: Context) -> dict[str, str]:
    """Outputs of the stack with state table and bucket, which is made if it is not there."""
    with context.console.step("state table and bucket") as step:
        return stacks.deploy(
            context.source_client("cloudformation"),
            stack_name(context.config.name, "base"),
            stacks.template_body("base"),
            {"StateTableName": context.state_table},
            migration=context.config.name,
            progress=step.at,
        )


def bind(context: Context, plan: Plan) -> None:
    """
    Bind the pair to its transform and its backfill: others would make another target from the same source.

    Raises:
        Refused: The transform, its package, or the backfill is not the one that the migration began with.
    """
    state, how = context.state(plan.pair), context.config.replicated.backfill
    transform = {
        "transform": plan.pair.transform or "",
        "digest": plan.digest,
        "rekeys": plan.pair.rekeys,
    }
    state.put_once(Fact.BOUND, **transform, backfill=how)
    bound = state.get(Fact.BOUND) or {}
    hint = "put it back, or begin anew with `replicator restart`."
    if {name: bound[name] for name in transform} != transform:
        raise Refused(f"The transform of {plan.pair} has changed since the migration began.", hint)
    if bound.get("backfill", "backup") != how:
        raise Refused(f"[replication] backfill has changed since the migration of {plan.pair} began.", hint)


def _stream(context: Context, plan: Plan) -> dict[str, Any]:
    state, source = context.state(plan.pair), plan.source
    if source.stream_arn is None:
        # The intent first: if this is killed between the two, `down` still knows whose stream it is.
        state.put(Fact.STREAM_ENABLED_BY_US, at=now_text())
        try:
            with translated(f"turn on the stream of {source.name}"):
                context.source.update_table(
                    TableName=source.name,
                    StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
                )
        except AccessError as error:
            raise AccessError(
                error.message,
                f"allow dynamodb:UpdateTable on {source.name}, or turn its stream on yourself (NEW_IMAGE).",
            ) from error
        source = tables.wait_until_active(context.source, source.name, poll_seconds=context.pace.poll_seconds)
    facts = {"stream_arn": source.stream_arn, "stream_view": source.stream_view}
    _add_resources(state, stream_arn=source.stream_arn)
    return {**facts, "since": source.stream_since}


def _capture(
    context: Context, plan: Plan, base: Mapping[str, str], code: Bundle, step: Step
) -> dict[str, Any]:
    state = context.state(plan.pair)
    stream = state.get(Fact.STEP + "stream") or {}
    pace = context.pace
    timing = stacks.Timing(pace.function_timeout, pace.visibility_timeout)
    resources = context.resources(plan.pair)
    if resources.get("captured_stream") not in (None, stream["stream_arn"]):
        # A restart: what the old stream still holds is not for a forwarder of the new one.
        with translated("switch the forwarder of the old stream off"):
            switch_mapping(context, resources["forwarder_mapping"], on=False)
    outputs = stacks.deploy(
        context.source_client("cloudformation"),
        stack_name(context.config.name, "capture", plan.pair.id),
        stacks.template_body("capture"),
        {
            "Migration": context.config.name,
            "Pair": plan.pair.id,
            "Restart": context.restart_number(plan.pair),
            "StreamArn": stream["stream_arn"],
            "StreamViewType": stream["stream_view"],
            "KeySchema": json.dumps(dict(plan.source.keys)),
            "Groups": context.config.replicated.groups,
            "StateTableArn": base["StateTableArn"],
            "BundleBucket": base["BundleBucket"],
            "BundleKey": code.key,
            "Timeout": pace.function_timeout,
            "VisibilityTimeout": timing.visibility_seconds,
            "BatchingWindow": pace.batching_window,
            # What waits for the write ceiling comes again, and is no poison for that.
            "MaxReceiveCount": 100 if context.config.replicated.write_units else 10,
            "AlarmTopicArn": context.config.replicated.alarm_topic or "",
        },
        migration=context.config.name,
        progress=step.at,
    )
    stacks.check_code(context.source_client("lambda"), outputs["Forwarder"], code.sha256_base64)
    if resources.get("captured_stream") != stream["stream_arn"]:
        # How far back this forwarder can have seen: see `boundary.check_reuse`.
        _add_resources(state, captured_stream=stream["stream_arn"], captured_epoch=int(context.server_time()))
    _add_resources(
        state,
        queue_url=outputs["QueueUrl"],
        queue_arn=outputs["QueueArn"],
        dead_letter_url=outputs["DeadLetterUrl"],
        forwarder=outputs["Forwarder"],
        forwarder_mapping=outputs["ForwarderMapping"],
    )
    return {}


def _canary(context: Context, plan: Plan, step: Step) -> dict[str, Any]:
    canary.await_sent(context, plan.source, context.state(plan.pair), step)
    return {}


def _overlap(context: Context, plan: Plan, step: Step) -> dict[str, Any]:
    """The stream has to have been on for the whole overlap before the backup is asked for."""
    boundary.wait_for(context, boundary.ready_epoch(context, plan.pair), step)
    return {"overlap_seconds": int(context.config.replicated.overlap)}


# --- phase 2 ------------------------------------------------------------------------------


def _needphase_one(context: Context, pair: Pair) -> None:
    if context.state(pair).get(Fact.STEP + "backup") is None:
        raise Refused(
            f"Phase 1 of {pair} is not complete: there is no backup yet.", "run `replicator up` first."
        )


def _target(context: Context, plan: Plan, step: Step) -> dict[str, Any]:
    outputs = stacks.deploy(
        context.target_client("cloudformation"),
        stack_name(context.config.name, "target", plan.pair.id),
        stacks.template_body("target"),
        {
            "Migration": context.config.name,
            "Pair": plan.pair.id,
            "Restart": context.restart_number(plan.pair),
            "TargetTableArn": plan.target_arn,
            "SourceAccount": plan.source.account if plan.crosses_accounts else "",
        },
        migration=context.config.name,
        progress=step.at,
    )
    _add_resources(
        context.state(plan.pair),
        ledger_table=outputs["LedgerTable"],
        ledger_arn=outputs["LedgerTableArn"],
        # Asked of the plan too: an emulator may report an output whose condition does not hold.
        writer_role=outputs.get("WriterRoleArn", "") if plan.crosses_accounts else "",
        target_region=context.target.meta.region_name,
        target_arn=plan.target_arn,
    )
    return {}


def _apply(context: Context, plan: Plan, base: Mapping[str, str], code: Bundle, step: Step) -> dict[str, Any]:
    state, resources = context.state(plan.pair), context.resources(plan.pair)
    outputs = stacks.deploy(
        context.source_client("cloudformation"),
        stack_name(context.config.name, "apply", plan.pair.id),
        stacks.template_body("apply"),
        {
            "Migration": context.config.name,
            "Pair": plan.pair.id,
            "Restart": context.restart_number(plan.pair),
            "StreamArn": resources["stream_arn"],
            "Boundary": int((state.get(Fact.BOUNDARY) or {})["boundary_epoch"]),
            "QueueArn": resources["queue_arn"],
            "SourceTableArn": plan.source.arn,
            "SourceKeys": json.dumps(dict(plan.source.keys)),
            "TargetTableArn": plan.target_arn,
            "TargetKeys": json.dumps(dict(plan.transform.target_keys)),
            "LedgerTableArn": resources["ledger_arn"],
            "WriterRoleArn": resources.get("writer_role", ""),
            "Transform": plan.pair.transform or "",
            "TransformDigest": plan.digest,
            "Rekeys": "true" if plan.pair.rekeys else "false",
            "StateTableArn": base["StateTableArn"],
            "BundleBucket": base["BundleBucket"],
            "BundleKey": code.key,
            "Timeout": context.pace.function_timeout,
            "AlarmTopicArn": context.config.replicated.alarm_topic or "",
            "Enabled": "false",
            **_under_ceiling(context),
        },
        migration=context.config.name,
        progress=step.at,
    )
    stacks.check_code(context.source_client("lambda"), outputs["Consumer"], code.sha256_base64)
    _add_resources(state, consumer=outputs["Consumer"], consumer_mapping=outputs["ConsumerMapping"])
    return {}


def _under_ceiling(context: Context) -> dict[str, int]:
    """Parameters of a consumer that has a write ceiling; none where there is none."""
    units = context.config.replicated.write_units
    if units is None:
        return {}
    consumers, messages = work_in_hand(units, WAITING_SHARE * context.pace.function_timeout)
    return {"WriteUnits": units, "MaximumConcurrency": consumers, "BatchSize": messages}


def _consumer_on(context: Context, plan: Plan, step: Step) -> dict[str, Any]:
    set_consumer(context, plan.pair, on=True)
    canary.await_arrived(context, plan.source, context.state(plan.pair), step)
    counters = context.state(plan.pair).counters()
    step.result = ", ".join(f"{number} {name}" for name, number in counters.items() if number)
    return {}


def _following(context: Context, plan: Plan) -> dict[str, Any]:
    """A canary written after the backup came through every group: replay has passed the backup."""
    context.state(plan.pair).put(Fact.FOLLOWING, since=text_of(context.server_time()))
    return {}


def _add_resources(state: State, **names: Any) -> None:
    state.put(Fact.RESOURCES, **{**(state.get(Fact.RESOURCES) or {}), **names})
