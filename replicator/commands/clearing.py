"""
What a restart takes away before it begins anew: the consumer, what it could not apply, the target.

The consumer is off from the first of these steps on. What it had consumed by then is in the backup that is
asked for after the last one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from ddbverify.config import Pair
from ddbverify.errors import Refused
from ddbverify.names import Fact, table_name
from ddbverify.tables.answers import handed_back
from ddbverify.tables.aws import error_code, translated
from ddbverify.words import number_of
from replicator.aws import stream, switch
from replicator.backfill import boundary, importing, ownership
from replicator.backfill.ownership import FILLING, MADE, STAGING
from replicator.commands import target_closing
from replicator.commands.restore import RESTORE_STEPS
from replicator.commands.scheduled_audit import STEP as AUDITOR
from replicator.commands.steps import Steps
from replicator.commands.together import Task, Together
from replicator.commands.up import UP_STEPS
from replicator.context import tables
from replicator.context.console import Step
from replicator.context.context import Context
from replicator.context.lock import Lock

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, WriteRequestUnionTypeDef

STEPS = ("restart-stopped", "restart-emptied", "restart-waited", "restart-removed")

_BATCH = 25


def clear(context: Context, pairs: Sequence[Pair], lock: Lock) -> None:
    """Take the pairs back to where they have to be before a backup is asked for; see the module."""
    together = Together(context, "restart", lock)

    def step(name: str, title: str, action: Callable[[Pair, Step], Mapping[str, Any]]) -> None:
        said = [Task(pair, title.format(table_name(pair.target)), partial(action, pair)) for pair in pairs]
        together.step(name, said)

    step("restart-stopped", "the consumer is off", partial(_stop, context))
    step("restart-emptied", "quarantine and dead letters are emptied", partial(_empty, context))
    step("restart-waited", "the overlap has passed", partial(_wait, context))
    step("restart-removed", "{} is removed", partial(_remove, context, lock))


def _stop(context: Context, pair: Pair, step: Step) -> dict[str, Any]:
    state = context.state(pair)
    state.delete(Fact.FOLLOWING)  # first: from here on no evidence opens the gate
    state.delete(Fact.STEP + "following")
    if "consumer_mapping" in context.resources(pair):
        switch.stop_consumer(context, pair, step)
    under_way = state.get(Fact.RESTARTING) or {}
    state.put(Fact.RESTARTING, **{**under_way, "stopped_epoch": int(context.server_time())})
    return {}


def _empty(context: Context, pair: Pair, _: Step) -> dict[str, Any]:
    """
    Forget what the run before could not apply: whatever it was, the new backup will hold it.

    With the consumer off nothing becomes a dead letter any more, so each of them was sent before it
    stopped, and that is older than the overlap when the backup is asked for.
    """
    state = context.state(pair)
    _purge(context, context.resources(pair)["dead_letter_url"])
    for name in list(state.quarantined()):
        state.delete(Fact.QUARANTINE + name)
    for fact in (
        Fact.GAP,
        Fact.COUNTERS,
        Fact.CANARY_SENT,
        Fact.CANARY_ARRIVED,
        Fact.CANARY_GROUPS,
        Fact.CANARY_LAGS,
        stream.PLACES,
    ):
        state.delete(fact)
    if state.get(Fact.CONSUMER) is not None:
        stopped = (state.get(Fact.RESTARTING) or {})["stopped_epoch"]
        state.put(Fact.CONSUMER, on=False, since_epoch=stopped, counted=0)
    return {}


def _purge(context: Context, url: str) -> None:
    with translated("empty the dead letters"):
        while True:
            try:
                context.source_client("sqs").purge_queue(QueueUrl=url)
            except ClientError as error:
                # One a minute, and one that is under way was asked for before the consumer had stopped.
                if not error_code(error).endswith("PurgeQueueInProgress"):
                    raise
                time.sleep(context.pace.poll_seconds)
            else:
                return


def _wait(context: Context, pair: Pair, step: Step) -> dict[str, Any]:
    under_way = context.state(pair).get(Fact.RESTARTING) or {}
    if under_way["backup"]:
        return {}  # nothing at or after its boundary was consumed
    overlap = context.config.replicated.overlap
    boundary.wait_for(context, float(under_way["stopped_epoch"]) + overlap + 1, step)
    return {}


def _remove(context: Context, lock: Lock, pair: Pair, step: Step) -> dict[str, Any]:
    state = context.state(pair)
    if "consumer_mapping" in context.resources(pair) and switch.consumer_is_on(context, pair):
        Steps(context, pair, "restart", lock).forget(*STEPS)
        raise Refused(
            f"The consumer of {pair} was switched on while the restart waited.",
            "find out by whom, then run `replicator restart` again: it stops it and waits anew.",
        )
    lock.check()
    staging = ownership.staging(context, pair)
    if staging:
        step.at(f"removing {staging}")
        tables.delete(context.source, staging, poll_seconds=context.pace.poll_seconds)
    target = tables.find(context.target, pair.target)
    if target is not None and ownership.is_ours(context, pair, MADE, target):
        step.at(f"removing {target.name}")
        tables.delete(context.target, target.name, poll_seconds=context.pace.poll_seconds)
        target_closing.forget(context, target.name)
    elif target is not None and ownership.is_being_filled(context, pair, target):
        removed = _empty_table(context, target.name, lock, step)
        step.result = f"{number_of(removed, 'item')} removed from {target.name}, which was there before"
    for segment, _ in list(state.all(Fact.LOADED)):
        state.delete(Fact.LOADED + segment)
    for fact in (STAGING, MADE, FILLING, importing.FILES, boundary.ASKED, Fact.BOUNDARY, Fact.BOUND):
        state.delete(fact)
    Steps(context, pair, "restart", lock).forget(*UP_STEPS, *RESTORE_STEPS, AUDITOR)
    return {}


def _empty_table(context: Context, name: str, lock: Lock, step: Step) -> int:
    """Delete every item of a table that is not ours to delete; it was empty when the migration began."""
    client, removed = context.target, 0
    keys = list(tables.describe(client, name).keys)
    names = {f"#k{at}": key for at, key in enumerate(keys)}
    with translated(f"empty the table {name}"):
        pages = client.get_paginator("scan").paginate(
            TableName=name,
            ConsistentRead=True,
            ProjectionExpression=", ".join(names),
            ExpressionAttributeNames=names,
        )
        for page in pages:
            for start in range(0, len(page["Items"]), _BATCH):
                some = page["Items"][start : start + _BATCH]
                _delete_batch(client, name, some, lock)
                removed += len(some)
                step.at(f"{number_of(removed, 'item')} of {name} removed")
    return removed


def _delete_batch(
    client: DynamoDBClient, name: str, keys: list[dict[str, AttributeValueTypeDef]], lock: Lock
) -> None:
    request: Mapping[str, Sequence[WriteRequestUnionTypeDef]] = {
        name: [{"DeleteRequest": {"Key": key}} for key in keys]
    }
    pause = 0.05
    while request:  # unprocessed is not an error, and not deleted (docs/aws.md T17)
        lock.check()
        request = handed_back(client.batch_write_item(RequestItems=request), "UnprocessedItems", name)
        if request:
            time.sleep(pause)
            pause = min(pause * 2, 5.0)
