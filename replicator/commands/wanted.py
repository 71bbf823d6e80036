"""
The stacks that a migration wants: name, side, template and parameters of each.

Whoever deploys them, this says what they have to be.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from ddbverify.config import Pair
from ddbverify.names import stack_name
from replicator.backfill.plan import Plan
from replicator.commands import through
from replicator.context.ceiling import work_in_hand
from replicator.context.context import Context
from replicator.handlers.ceiling import WAITING_SHARE
from replicator.stack import settings, stacks
from replicator.stack.stacks import Template

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

Side = Literal["source", "target"]

_DELIVERIES: Final = 10
_DELIVERIES_UNDER_CEILING: Final = 100
"""What waits for the write ceiling comes again, and is no poison for that."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    One stack.

    Args:
        name: Its own.
        template: Which of ours; `dashboard` has a text of its own.
        side: Whose account and region it belongs to.
        parameters: All that differ from the template's defaults, and more.
        text: The template.
    """

    name: str
    template: Template | Literal["dashboard"]
    side: Side
    parameters: Mapping[str, str]
    text: str = field(repr=False)

    def client(self, context: Context) -> CloudFormationClient:
        """CloudFormation, where the stack belongs."""
        of = context.source_client if self.side == "source" else context.target_client
        return of("cloudformation")


def _wanted(
    context: Context, template: Template, pair: str | None, side: Side, parameters: Mapping[str, str | int]
) -> Wanted:
    return Wanted(
        stack_name(context.config.name, template, pair),
        template,
        side,
        {key: str(value) for key, value in parameters.items()},
        stacks.template_body(template),
    )


def names_of(context: Context, pair: Pair) -> tuple[str, str, str]:
    """What the stacks of a pair are called: `capture`, `target`, `apply`."""
    capture, target, apply = (
        stack_name(context.config.name, part, pair.id) for part in ("capture", "target", "apply")
    )
    return capture, target, apply


def name_of_audit(context: Context, pair: Pair) -> str:
    """What the stack of a pair's auditor is called."""
    return stack_name(context.config.name, "audit", pair.id)


def resources_of(
    context: Context, plan: Plan, captured: Mapping[str, str], beside: Mapping[str, str]
) -> dict[str, str]:
    """What the consumer takes of the outputs of the pair's other stacks."""
    return {
        "queue_arn": captured["QueueArn"],
        "ledger_arn": beside["LedgerTableArn"],
        # Asked of the plan too: an emulator may report an output whose condition does not hold.
        "writer_role": beside.get("WriterRoleArn", "") if writes_by_role(context, plan) else "",
        "reader_role": reader_of(context, plan, beside),
        "dead_letter_url": captured["DeadLetterUrl"],
    }


def is_audited(context: Context) -> bool:
    """Whether a function is to audit; workers audit by themselves."""
    return context.config.replicated.scheduled_audit and not context.config.replicated.worker


def reader_of(context: Context, plan: Plan, beside: Mapping[str, str]) -> str:
    """The role that an auditor reads the ledger with, of the outputs beside it; empty within one account."""
    reads_by_role = is_audited(context) and writes_by_role(context, plan)
    return beside.get("ReaderRoleArn", "") if reads_by_role else ""


def base(context: Context) -> Wanted:
    """State table and bucket."""
    parameters = {"StateTableName": context.state_table, **settings.of_base(context.config)}
    return _wanted(context, "base", None, "source", parameters)


def capture(
    context: Context, plan: Plan, made: Mapping[str, str], code: str, *, stream: str, view: str
) -> Wanted:
    """
    Queue and forwarder of a pair.

    Args:
        made: Outputs of the base stack.
        code: Key of the functions' code in its bucket.
        stream: ARN of the stream that the pair is bound to.
        view: What its records carry.
    """
    config, pace = context.config, context.pace
    timing = stacks.Timing(pace.function_timeout, pace.visibility_timeout)
    ceiling = config.replicated.write_units
    parameters = {
        **settings.of_capture(config, plan.pair),
        "Migration": config.name,
        "Pair": plan.pair.id,
        "Restart": context.restart_number(plan.pair),
        "StreamArn": stream,
        "StreamViewType": view,
        "KeySchema": json.dumps(dict(plan.source.keys)),
        "Groups": config.replicated.groups,
        **_code(made, code),
        "Timeout": pace.function_timeout,
        "VisibilityTimeout": timing.visibility_seconds,
        "BatchingWindow": pace.batching_window,
        "MaxReceiveCount": _DELIVERIES_UNDER_CEILING if ceiling else _DELIVERIES,
        "AlarmTopicArn": config.replicated.alarm_topic or "",
    }
    return _wanted(context, "capture", plan.pair.id, "source", parameters)


def queue(context: Context, plan: Plan) -> Wanted:
    """The queue alone, in place of `capture`, where workers carry a pair."""
    config, pace = context.config, context.pace
    timing = stacks.Timing(pace.function_timeout, pace.visibility_timeout)
    parameters = {
        "Migration": config.name,
        "Pair": plan.pair.id,
        "VisibilityTimeout": timing.visibility_seconds,
        "MaxReceiveCount": _DELIVERIES_UNDER_CEILING if config.replicated.write_units else _DELIVERIES,
        "AlarmTopicArn": config.replicated.alarm_topic or "",
        "QueueKeyArn": config.stack.queue_key or "",
    }
    return Wanted(
        stack_name(config.name, "capture", plan.pair.id),
        "queue",
        "source",
        {key: str(value) for key, value in parameters.items()},
        stacks.template_body("queue"),
    )


def writes_by_role(context: Context, plan: Plan) -> bool:
    """Whether the consumer becomes a role of the target's account; a worker has credentials of its own."""
    return plan.crosses_accounts and not context.config.replicated.worker


def target(context: Context, plan: Plan) -> Wanted:
    """The ledger of a pair, beside its target."""
    parameters = {
        **settings.of_target(context.config, plan.pair),
        "Migration": context.config.name,
        "Pair": plan.pair.id,
        "Restart": context.restart_number(plan.pair),
        "TargetTableArn": plan.target_arn,
        "SourceAccount": plan.source.account if writes_by_role(context, plan) else "",
        "Audited": "true" if is_audited(context) else "false",
    }
    return _wanted(context, "target", plan.pair.id, "target", parameters)


def apply(
    context: Context,
    plan: Plan,
    made: Mapping[str, str],
    code: str,
    *,
    resources: Mapping[str, Any],
    stream: str,
    boundary: int,
) -> Wanted:
    """
    The consumer of a pair, which is off.

    Args:
        made: Outputs of the base stack.
        code: Key of the functions' code in its bucket.
        resources: What is known of the pair's other stacks: queue, ledger, writer's role.
        stream: ARN of the stream that the pair is bound to.
        boundary: Second of the epoch at which the replay starts.
    """
    config = context.config
    parameters = {
        **settings.of_apply(config, plan.pair),
        "Migration": config.name,
        "Pair": plan.pair.id,
        "Restart": context.restart_number(plan.pair),
        "StreamArn": stream,
        "Boundary": boundary,
        "QueueArn": resources["queue_arn"],
        "SourceTableArn": plan.source.arn,
        "SourceKeys": json.dumps(dict(plan.source.keys)),
        "TargetTableArn": plan.target_arn,
        "TargetKeys": json.dumps(dict(plan.transform.target_keys)),
        "LedgerTableArn": resources["ledger_arn"],
        "WriterRoleArn": resources.get("writer_role", ""),
        **through.parameters(plan),
        "Rekeys": "true" if plan.pair.rekeys else "false",
        **_code(made, code),
        "Timeout": context.pace.function_timeout,
        "AlarmTopicArn": config.replicated.alarm_topic or "",
        "Enabled": "false",
        **_under_ceiling(context),
    }
    return _wanted(context, "apply", plan.pair.id, "source", parameters)


def audit(
    context: Context,
    plan: Plan,
    made: Mapping[str, str],
    code: str,
    *,
    resources: Mapping[str, Any],
    stream: str,
) -> Wanted:
    """
    The auditor of a pair, and the schedule that calls it.

    Args:
        made: Outputs of the base stack.
        code: Key of the functions' code in its bucket.
        resources: What is known of the pair's other stacks: queue, dead letters, ledger, reader's role.
        stream: ARN of the stream that the pair is bound to.
    """
    config = context.config
    parameters = {
        **settings.of_audit(config, plan.pair),
        "Migration": config.name,
        "Pair": plan.pair.id,
        "StreamArn": stream,
        "QueueArn": resources["queue_arn"],
        "DeadLetterUrl": resources["dead_letter_url"],
        "SourceTableArn": plan.source.arn,
        "LedgerTableArn": resources["ledger_arn"],
        "ReaderRoleArn": resources.get("reader_role", ""),
        **_code(made, code),
        "YoungSeconds": int(context.pace.young_seconds),
        "AlarmTopicArn": config.replicated.alarm_topic or "",
    }
    return _wanted(context, "audit", plan.pair.id, "source", parameters)


def _code(made: Mapping[str, str], key: str) -> Mapping[str, str]:
    return {
        "StateTableArn": made["StateTableArn"],
        "BundleBucket": made["BundleBucket"],
        "BundleKey": key,
    }


def _under_ceiling(context: Context) -> dict[str, int]:
    """Parameters of a consumer that has a write ceiling; none where there is none."""
    units = context.config.replicated.write_units
    if units is None:
        return {}
    consumers, messages = work_in_hand(units, WAITING_SHARE * context.pace.function_timeout)
    most = min(consumers, context.config.stack.concurrency)
    return {"WriteUnits": units, "MaximumConcurrency": most, "BatchSize": messages}
