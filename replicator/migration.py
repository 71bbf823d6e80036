"""
The two phases, step by step. Every step is recorded when it is done: a second run goes on
behind the last one, and a finished phase has nothing to do.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ddbverify.aws import translated
from ddbverify.config import Pair
from ddbverify.errors import AccessError, EngineError, Refused
from ddbverify.names import Fact, stack_name, table_name
from replicator import backfill, canary, tables
from replicator.console import Step
from replicator.context import Context
from replicator.ledger import Ledger
from replicator.lock import Lock
from replicator.preflight import FILLING, Plan, check
from replicator.queue import set_consumer
from replicator.stack import bundle, stacks, storage
from replicator.stack.bundle import Bundle
from replicator.state import State, now_text, text_of

UP_STEPS = ("stream", "capture", "canary", "overlap", "backup")
RESTORE_STEPS = ("target", "backfill", "apply", "consumer", "following")


def up(context: Context) -> dict[str, Any]:
    """
    Phase 1: capture every change of the sources, then back them up.

    Returns:
        For machines: each pair's backup and boundary.
    """
    context.console.line(f"Migration {context.config.name}, phase 1: capture and backup")
    plans = check(context)
    code = bundle.build([plan.pair.transform for plan in plans if plan.pair.transform])
    base = _base(context)
    with _locked(context, "replicator up"):
        storage.upload(context.source_client("s3"), base["BundleBucket"], code)
        for plan in plans:
            _bind(context, plan)
            _phase_one(context, plan, base, code)
    context.console.line("Phase 1 is done. Every change is on its way to the queue. Next: replicator restore")
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
    context.console.line(f"Migration {context.config.name}, phase 2: restore and follow")
    plans = check(context)
    for plan in plans:
        _need_phase_one(context, plan.pair)
        _bind(context, plan)
    code = bundle.build([plan.pair.transform for plan in plans if plan.pair.transform])
    base = _base(context)
    with _locked(context, "replicator restore") as lock:
        storage.upload(context.source_client("s3"), base["BundleBucket"], code)
        for plan in plans:
            _phase_two(context, plan, base, code, lock)
    context.console.line("Phase 2 is done. The target follows the source. Next: ddbverify run")
    return {"phase": 2, "pairs": {str(plan.pair): context.resources(plan.pair) for plan in plans}}


def _phase_one(context: Context, plan: Plan, base: Mapping[str, str], code: Bundle) -> None:
    name = plan.source.name
    run = _Steps(context, plan.pair, "up").run
    run("stream", f"stream of {name} is on", lambda _: _stream(context, plan))
    run("capture", "queue and forwarder", lambda step: _capture(context, plan, base, code, step))
    run("canary", "the forwarder has sent a canary on", lambda step: _canary(context, plan, step))
    run("overlap", "the stream covers the overlap", lambda step: _overlap(context, plan, step))
    run("backup", f"backup of {name}", lambda step: _backup(context, plan, step))


def _phase_two(context: Context, plan: Plan, base: Mapping[str, str], code: Bundle, lock: Lock) -> None:
    run = _Steps(context, plan.pair, "restore").run
    run("target", "ledger beside the target", lambda step: _target(context, plan, step))
    run("backfill", f"{plan.pair.target} is filled", lambda step: _backfill(context, plan, lock, step))
    run("apply", "consumer", lambda step: _apply(context, plan, base, code, step))
    run("consumer", "a canary has come all the way", lambda step: _consumer_on(context, plan, step))
    run("following", "replay has passed the backup", lambda _: _following(context, plan))


@dataclass(frozen=True, slots=True)
class _Steps:
    """Runs each step once, and records it."""

    context: Context
    pair: Pair
    command: str

    def run(self, name: str, title: str, action: Callable[[Step], Mapping[str, Any]]) -> None:
        state = self.context.state(self.pair)
        if state.get(Fact.STEP + name) is not None:
            self.context.console.already(title)
            return
        try:
            with self.context.console.step(title) as step:
                made = action(step)
        except KeyboardInterrupt:
            self.context.console.warn(
                f"interrupted at: {title}. What was made stays; `replicator {self.command}` goes on from "
                "here, `replicator down` removes it."
            )
            raise
        state.put(Fact.STEP + name, at=now_text(), **made)


# --- phase 1 ------------------------------------------------------------------------------


def _base(context: Context) -> dict[str, str]:
    with context.console.step("state table and bucket") as step:
        return stacks.deploy(
            context.source_client("cloudformation"),
            stack_name(context.config.name, "base"),
            stacks.template_body("base"),
            {"StateTableName": context.state_table},
            migration=context.config.name,
            progress=step.at,
        )


def _locked(context: Context, command: str) -> Any:
    return Lock(context.source, context.state_table, command).held(context.console.warn)


def _bind(context: Context, plan: Plan) -> None:
    """
    Bind the pair to its transform: a changed one would make another target from the same source.

    Raises:
        Refused: The transform, or its package, is not the one that the migration began with.
    """
    state = context.state(plan.pair)
    state.put_once("bound", transform=plan.pair.transform or "", digest=plan.digest, rekeys=plan.pair.rekeys)
    bound = state.get("bound") or {}
    now = (plan.pair.transform or "", plan.digest, plan.pair.rekeys)
    if (bound["transform"], bound["digest"], bound["rekeys"]) != now:
        raise Refused(
            f"The transform of {plan.pair} has changed since the migration began.",
            "put it back, or begin anew: replicator down, then replicator up.",
        )


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
    outputs = stacks.deploy(
        context.source_client("cloudformation"),
        stack_name(context.config.name, "capture", plan.pair.id),
        stacks.template_body("capture"),
        {
            "Migration": context.config.name,
            "Pair": plan.pair.id,
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
        },
        migration=context.config.name,
        progress=step.at,
    )
    stacks.check_code(context.source_client("lambda"), outputs["Forwarder"], code.sha256_base64)
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
    since = (context.state(plan.pair).get(Fact.STEP + "stream") or {})["since"]
    began = datetime.fromisoformat(since).replace(tzinfo=UTC).timestamp()
    ready = began + context.config.replicated.overlap + 1
    while (left := ready - context.server_time()) > 0:
        step.at(f"{left:.0f} s to go")
        time.sleep(min(left, 1.0))
    return {"overlap_seconds": int(context.config.replicated.overlap)}


def _backup(context: Context, plan: Plan, step: Step) -> dict[str, Any]:
    state = context.state(plan.pair)
    pace = context.pace.poll_seconds
    step.at("asking for it")
    # A name of its own for every migration: an older migration's backup must never be taken for ours.
    unique = f"replicator-{context.config.name}-{plan.pair.id}-{secrets.token_hex(4)}"
    state.put_once("backup-asked", name=unique, at=now_text())
    name = (state.get("backup-asked") or {})["name"]
    begun = backfill.find_backup(context.source, plan.source, name)
    backup = (
        backfill.await_backup(context.source, begun, poll_seconds=pace)
        if begun
        else backfill.take_backup(context.source, plan.source, name, poll_seconds=pace)
    )
    boundary = backfill.boundary_of(backup, context.config.replicated.overlap)
    state.put(
        Fact.BOUNDARY,
        backup_arn=backup.arn,
        backup_epoch=int(backup.created_epoch),
        boundary_epoch=boundary,
    )
    step.result = f"taken at {text_of(backup.created_epoch)}, replay starts at {text_of(boundary)}"
    return {}


# --- phase 2 ------------------------------------------------------------------------------


def _need_phase_one(context: Context, pair: Pair) -> None:
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


def _backfill(context: Context, plan: Plan, lock: Lock, step: Step) -> dict[str, Any]:
    state, pace = context.state(plan.pair), context.pace
    boundary = state.get(Fact.BOUNDARY) or {}
    target_name = table_name(plan.pair.target)
    state.put_once(FILLING, at=now_text())
    made = state.get("target-made") is not None
    if not plan.needs_staging or (made and (state.get("target-made") or {}).get("how") == "restore"):
        if not made:
            state.put("target-made", how="restore", at=now_text())
        if context.target_table(plan.pair) is not None or backfill.restore(
            context.target, boundary["backup_arn"], target_name, indexes=True
        ):
            tables.wait_until_active(context.target, target_name, poll_seconds=pace.poll_seconds)
            step.result = f"restored in {context.target.meta.region_name}"
            return {"how": "restore"}
        if not context.emulator:
            raise EngineError(
                f"AWS does not find the backup from {context.target.meta.region_name}.",
                "look whether it still exists; without it begin anew: replicator down, replicator up.",
            )
        # An emulator that restores in one region only: by staging and load, like another account.
        state.delete("target-made")
        made = False
    if context.target_table(plan.pair) is None:
        state.put("target-made", how="load", at=now_text())
        tables.create_like(context.target, plan.source, target_name)
    tables.wait_until_active(context.target, target_name, poll_seconds=pace.poll_seconds)
    staging = _staging(context, plan, boundary["backup_arn"], step)
    counts = _load(context, plan, staging, target_name, lock, step)
    tables.delete(context.source, staging, poll_seconds=pace.poll_seconds)
    state.delete("staging")
    aside = f", {counts['quarantined']} in the quarantine" if counts["quarantined"] else ""
    step.result = f"{counts['read']} items read, {counts['written']} written{aside}"
    return {"how": "load", **counts}


def _staging(context: Context, plan: Plan, backup_arn: str, step: Step) -> str:
    """The backup as a table beside the source, to load from; an interrupted run's is used again."""
    state = context.state(plan.pair)
    name = f"replicator-{context.config.name}-{plan.pair.id}-staging"
    if tables.find(context.source, name) is None:
        state.put("staging", table=name, at=now_text())
        step.at("restoring the staging table")
        if not backfill.restore(context.source, backup_arn, name, indexes=False):
            raise EngineError("The backup is gone.", "begin anew: replicator down, then replicator up.")
    tables.wait_until_active(context.source, name, poll_seconds=context.pace.poll_seconds)
    return name


def _load(context: Context, plan: Plan, staging: str, target: str, lock: Lock, step: Step) -> dict[str, int]:
    state = context.state(plan.pair)
    ledger = Ledger(
        client=context.target,
        table=context.resources(plan.pair)["ledger_table"],
        target=target,
        target_keys=plan.transform.target_keys,
        contest=state.contest,
    )
    load = backfill.Load(
        staging_client=context.source,
        staging=staging,
        target_client=context.target,
        target=target,
        transform=plan.transform,
        ledger=ledger,
        state=state,
        lock=lock,
        progress=lambda read: step.at(f"{read} items"),
    )
    return load.run()


def _apply(context: Context, plan: Plan, base: Mapping[str, str], code: Bundle, step: Step) -> dict[str, Any]:
    state, resources = context.state(plan.pair), context.resources(plan.pair)
    outputs = stacks.deploy(
        context.source_client("cloudformation"),
        stack_name(context.config.name, "apply", plan.pair.id),
        stacks.template_body("apply"),
        {
            "Migration": context.config.name,
            "Pair": plan.pair.id,
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
            "Enabled": "false",
        },
        migration=context.config.name,
        progress=step.at,
    )
    stacks.check_code(context.source_client("lambda"), outputs["Consumer"], code.sha256_base64)
    _add_resources(state, consumer=outputs["Consumer"], consumer_mapping=outputs["ConsumerMapping"])
    return {}


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
