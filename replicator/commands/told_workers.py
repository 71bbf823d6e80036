"""What `up` and `restore` make where workers carry the migration: a queue, facts in place of functions."""

from __future__ import annotations

import json
from typing import Any

from ddbverify.names import WORKER, table_name
from replicator.aws import switch, workers
from replicator.backfill.plan import Plan
from replicator.commands import taken, through, wanted
from replicator.commands.phases import add_resources, place
from replicator.context.ceiling import work_in_hand
from replicator.context.console import Step
from replicator.context.context import Context
from replicator.handlers.ceiling import WAITING_SHARE

_MOST_MESSAGES = 10


def capture(context: Context, plan: Plan, bound: str, step: Step) -> dict[str, Any]:
    """
    Make the pair's queue, and let workers forward.

    Args:
        bound: ARN of the stream that the pair is bound to.
    """
    state, resources = context.state(plan.pair), context.resources(plan.pair)
    if resources.get("captured_stream") not in (None, bound):
        # A restart: what the old stream still holds is not for a forwarder of the new one.
        switch.switch_part(context, plan.pair, "forwarder", on=False)
    outputs = place(context, wanted.queue(context, plan), step)
    if resources.get("captured_stream") != bound:
        # How far back this forwarder can have seen: see `boundary.check_reuse`.
        add_resources(state, captured_stream=bound, captured_epoch=int(context.server_time()))
    add_resources(
        state,
        knows_markers=True,
        by_others=taken.is_asked_for(context),
        queue_url=outputs["QueueUrl"],
        queue_arn=outputs["QueueArn"],
        dead_letter_url=outputs["DeadLetterUrl"],
        forwarder_mapping=WORKER,
    )
    workers.tell(
        state,
        workers.FORWARDER,
        {
            **_of_pair(context, plan, bound),
            "KEY_SCHEMA": json.dumps(dict(plan.source.keys)),
            "QUEUE_URL": outputs["QueueUrl"],
            "GROUPS": context.config.replicated.groups,
            "SINCE": int(context.resources(plan.pair)["captured_epoch"]),
        },
    )
    switch.switch_part(context, plan.pair, "forwarder", on=True)
    step.result = "start `replicator worker`, if none runs: the next step waits for it"
    return {}


def apply(context: Context, plan: Plan, boundary: int) -> dict[str, Any]:
    """Tell workers how the pair's changes are applied; the consumer is off."""
    state, resources, pace = context.state(plan.pair), context.resources(plan.pair), context.pace
    functions = through.parameters(plan)
    units, most, batch = (
        context.config.replicated.write_units,
        context.config.stack.concurrency,
        _MOST_MESSAGES,
    )
    if units is not None:
        hands, batch = work_in_hand(units, WAITING_SHARE * pace.function_timeout)
        most = min(most, hands)
    # Off first: what is told is for the consumer that is switched on next.
    add_resources(state, consumer_mapping=WORKER)
    switch.switch_part(context, plan.pair, "consumer", on=False)
    workers.tell(
        state,
        workers.CONSUMER,
        {
            **_of_pair(context, plan, resources["stream_arn"]),
            "BOUNDARY": boundary,
            "SOURCE_KEYS": json.dumps(dict(plan.source.keys)),
            "TARGET_TABLE": table_name(plan.target_arn),
            "TARGET_KEYS": json.dumps(dict(plan.transform.target_keys)),
            "LEDGER_TABLE": resources["ledger_table"],
            "TRANSFORM": functions["Transform"],
            "TRANSFORM_DIGEST": functions["TransformDigest"],
            "INVERSE": functions.get("Inverse", ""),
            "INVERSE_DIGEST": functions.get("InverseDigest", ""),
            "REKEYS": "true" if plan.pair.rekeys else "false",
            "WRITE_UNITS": units or 0,
            "QUEUE_URL": resources["queue_url"],
            "BATCH": batch,
            "HANDS": most,
            "TIMEOUT": pace.function_timeout,
            "VISIBILITY": pace.visibility_timeout,
        },
    )
    return {}


def _of_pair(context: Context, plan: Plan, bound: str) -> dict[str, str | int]:
    return {
        "MIGRATION": context.config.name,
        "PAIR": plan.pair.id,
        "RESTART": context.restart_number(plan.pair),
        "STATE_TABLE": context.state_table,
        "SOURCE_TABLE": plan.source.name,
        "STREAM_ARN": bound,
    }
