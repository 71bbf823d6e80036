"""
A pair is started anew: from a new backup, into a new ledger, behind a new boundary.

What clears a gap, and what a changed transform needs. The consumer is off from the first step to
the last but one; forwarder and queue go on all the time, so no change is missed. Each step is
recorded: a run after one that was killed goes on behind it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from botocore.exceptions import ClientError

from ddbverify.code.digest import transforms_of
from ddbverify.config import Pair
from ddbverify.errors import ConfigurationError, Refused
from ddbverify.names import Fact, table_name
from ddbverify.tables.aws import error_code, translated
from ddbverify.tables.references import require_named
from ddbverify.words import number_of
from replicator.aws import switch
from replicator.aws.switch import CUTOVER
from replicator.backfill import boundary, ownership
from replicator.backfill.ownership import FILLING, MADE, STAGING
from replicator.backfill.plan import Plan
from replicator.backfill.preflight import check
from replicator.commands import audit, protection
from replicator.commands.invocation import config_option, execute, json_option
from replicator.commands.phases import base_stack, bind, deployed
from replicator.commands.restore import RESTORE_STEPS, phase_two
from replicator.commands.steps import Steps
from replicator.commands.together import Task, Together
from replicator.commands.up import UP_STEPS, phase_one
from replicator.context import tables
from replicator.context.console import Step
from replicator.context.context import Context
from replicator.context.lock import Lock
from replicator.handlers.state import now_text
from replicator.stack import bundle

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, WriteRequestUnionTypeDef

NEW = "new"
STEPS = ("restart-stopped", "restart-emptied", "restart-waited", "restart-removed")

_BATCH = 25
_BACKUP_ARN = re.compile(r"arn:[a-z-]+:dynamodb:[a-z0-9-]+:\d{12}:table/[A-Za-z0-9_.-]{3,255}/backup/[\w-]+")


def restart(context: Context, *, backup: str | None = None, table: str | None = None) -> dict[str, Any]:
    """
    Start pairs anew, or go on with a restart that was interrupted.

    Args:
        backup: `NEW`, or the ARN of an older backup; ``None`` for what an interrupted restart was
            begun with, else a new one.
        table: Source of the one pair to restart; ``None`` for all.

    Raises:
        Refused: The application has moved already, the older backup will not do, or a table that has to go is
            protected against deletion; nothing was touched.
    """
    context.need_begun()
    chosen = _chosen(context, table, backup)
    with context.locked("replicator restart") as lock:
        _need_no_cutover(context)
        check(context)
        for pair in chosen:
            _may_begin(context, pair, backup)
        protection.need_unprotected(
            "restart",
            [place for pair in chosen for place in protection.deleted_with(context, pair, keep_target=False)],
        )
        for pair in chosen:
            _begin(context, pair, backup, lock)
        _clear(context, chosen, lock)
        # Anew, since the targets are gone now. Only those that are restarted are touched.
        plans = [plan for plan in check(context) if plan.pair in chosen]
        _again(context, plans, lock)
    context.console.line("The restart is done. The target follows the source. Next: ddbverify run")
    return {
        "pairs": {
            str(pair): {
                "restart": context.restart_number(pair),
                **(context.state(pair).get(Fact.BOUNDARY) or {}),
            }
            for pair in chosen
        }
    }


def _chosen(context: Context, table: str | None, backup: str | None) -> list[Pair]:
    pairs = [
        pair
        for pair in context.config.tables
        if table is None or table_name(table) == table_name(pair.source)
    ]
    if table is not None and table.startswith("arn:"):
        for pair in pairs:
            require_named(table, context.source_table(pair).arn, place="--table")
    if not pairs:
        raise ConfigurationError(
            f"--table {table}: no pair of this migration has that source.",
            "name a `source` of toml.",
        )
    if backup not in (None, NEW) and len(pairs) > 1:
        raise ConfigurationError(
            "--backup with an ARN is of one table, and this migration has several.",
            "name the pair's source with --table.",
        )
    how = context.config.replicated.backfill
    if backup not in (None, NEW) and how != "backup":
        raise ConfigurationError(
            f'--backup with an ARN does not fit [replication] backfill = "{how}".',
            'set backfill = "backup", or leave --backup out.',
        )
    return pairs


def _need_no_cutover(context: Context) -> None:
    cut = context.whole.get(CUTOVER) or {}
    if cut.get("flipped") or cut.get("flipping"):
        raise Refused(
            "The application has moved to the target, or may have: a restart would remove its table.",
            "see `replicator status`; `replicator cutover` again decides an unfinished one.",
        )
    if cut.get("fenced"):
        raise Refused(
            "An unfinished cutover has left its fence up: the application cannot write.",
            "run `replicator cutover`: it lifts the fence first, whatever the gate says. Then `restart`.",
        )


def _may_begin(context: Context, pair: Pair, backup: str | None) -> None:
    """Everything that speaks against it, before anything is touched."""
    state = context.state(pair)
    under_way = state.get(Fact.RESTARTING)
    if under_way is not None:
        if backup is not None and under_way["backup"] != ("" if backup == NEW else backup):
            raise Refused(
                f"A restart of {pair} with another --backup is under way.",
                "leave --backup out: it goes on as it was begun.",
            )
    elif state.get(Fact.STEP + "capture") is None:
        raise Refused(f"{pair} is not captured yet: there is nothing to restart.", "run `replicator up`.")
    elif backup not in (None, NEW):
        boundary.check_reuse(context, pair, str(backup))


def _begin(context: Context, pair: Pair, backup: str | None, lock: Lock) -> None:
    state = context.state(pair)
    if state.get(Fact.RESTARTING) is None:
        Steps(context, pair, "restart", lock).forget(*STEPS)  # of the restart before
        number = context.restart_number(pair) + 1
        arn = "" if backup in (None, NEW) else backup
        state.put(Fact.RESTARTING, number=number, backup=arn, at=now_text())
    context.console.line(f"Restart {context.restart_number(pair)} of {pair}")


def _clear(context: Context, pairs: Sequence[Pair], lock: Lock) -> None:
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
        audit.PLACES,
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
    elif target is not None and ownership.is_being_filled(context, pair, target):
        removed = _empty_table(context, target.name, lock, step)
        step.result = f"{number_of(removed, 'item')} removed from {target.name}, which was there before"
    for segment, _ in list(state.all(Fact.LOADED)):
        state.delete(Fact.LOADED + segment)
    for fact in (STAGING, MADE, FILLING, boundary.ASKED, Fact.BOUNDARY, Fact.BOUND):
        state.delete(fact)
    Steps(context, pair, "restart", lock).forget(*UP_STEPS, *RESTORE_STEPS)
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
        request = client.batch_write_item(RequestItems=request).get("UnprocessedItems")
        if request:
            time.sleep(pause)
            pause = min(pause * 2, 5.0)


def _again(context: Context, plans: list[Plan], lock: Lock) -> None:
    code = bundle.build(transforms_of(context.config))
    deployment = deployed(context, "restart", lock, base_stack(context), code)
    for plan in plans:
        bind(context, plan)
    phase_one(deployment, plans)
    phase_two(deployment, plans)
    for plan in plans:
        state = context.state(plan.pair)
        state.put(Fact.RESTART, number=context.restart_number(plan.pair))
        state.delete(Fact.RESTARTING)


def _named_backup(_: click.Context, option: click.Parameter, value: str | None) -> str | None:
    if value in (None, NEW) or _BACKUP_ARN.fullmatch(str(value)):
        return value
    raise click.BadParameter(
        f"{value!r} is neither `new` nor the ARN of a backup (arn:aws:dynamodb:REGION:ACCOUNT:"
        "table/NAME/backup/ID; `aws dynamodb list-backups` names them).",
        param=option,
    )


@click.command(name="restart")
@config_option
@json_option
@click.option(
    "--backup", metavar="new|ARN", callback=_named_backup, help="What to start from; by default a new backup."
)
@click.option("--table", metavar="SOURCE", help="Restart the pair of this source only.")
def command(path: Path, as_json: bool, backup: str | None, table: str | None) -> None:
    """
    Start pairs anew: new backup, new ledger, new boundary.

    Clears a gap, and lets a changed transform in. Interrupted or killed: run it again, it goes on.
    """
    execute(path, as_json=as_json, run=lambda context: restart(context, backup=backup, table=table))
