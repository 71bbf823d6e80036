"""
A pair is started anew: from a new backup, into a new ledger, behind a new boundary.

What clears a gap, and what a changed transform needs. The consumer is off from the first step to
the last but one; forwarder and queue go on all the time, so no change is missed. Each step is
recorded: a run after one that was killed goes on behind it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ddbverify.code.digest import transforms_of
from ddbverify.config import Pair
from ddbverify.errors import ConfigurationError, Refused
from ddbverify.names import SOURCE, Fact, table_name
from ddbverify.tables.references import require_named
from replicator.aws.switch import CUTOVER
from replicator.backfill import boundary
from replicator.backfill.plan import Plan
from replicator.backfill.preflight import check
from replicator.commands import clearing, cutover_preflight, protection, taken, target_closing
from replicator.commands.invocation import config_option, execute, json_option
from replicator.commands.phases import base_stack, bind, changed_since, deployed
from replicator.commands.restore import phase_two
from replicator.commands.steps import Steps
from replicator.commands.up import phase_one
from replicator.context import live
from replicator.context.context import Context
from replicator.context.lock import Lock
from replicator.handlers.state import now_text
from replicator.stack import bundle

if TYPE_CHECKING:
    pass

NEW = "new"

_BACKUP_ARN = re.compile(r"arn:[a-z-]+:dynamodb:[a-z0-9-]+:\d{12}:table/[A-Za-z0-9_.-]{3,255}/backup/[\w-]+")


def restart(
    context: Context,
    *,
    backup: str | None = None,
    sources: Sequence[str] = (),
    offer: Callable[[str], bool] | None = None,
) -> dict[str, Any]:
    """
    Start pairs anew, or go on with a restart that was interrupted.

    Args:
        backup: `NEW`, or the ARN of an older backup; ``None`` for what an interrupted restart was
            begun with, else a new one.
        sources: Sources of the pairs to restart; empty for all.
        offer: Asked, where a change reaches other pairs, whether they are to be restarted as well; ``None``
            where there is nobody to ask.

    Raises:
        Refused: The application has moved already, the older backup will not do, or a table that has to go is
            protected against deletion; nothing was touched.
    """
    context.need_begun()
    taken.remember(context)
    chosen = _chosen(context, sources, backup)
    with context.locked("replicator restart") as lock:
        _need_no_cutover(context)
        chosen += _reached(context, check(context), chosen, offer)
        for pair in chosen:
            _may_begin(context, pair, backup)
        protection.need_unprotected(
            "restart",
            [place for pair in chosen for place in protection.deleted_with(context, pair, keep_target=False)],
        )
        target_closing.admit(context, chosen, "to empty and to fill")
        for pair in chosen:
            _begin(context, pair, backup, lock)
        clearing.clear(context, chosen, lock)
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


def _chosen(context: Context, sources: Sequence[str], backup: str | None) -> list[Pair]:
    pairs = [] if sources else list(context.config.tables)
    for source in sources:
        found = [pair for pair in context.config.tables if table_name(pair.source) == table_name(source)]
        if not found:
            raise ConfigurationError(
                f"--table {source}: no pair of this migration has that source.",
                "name a `source` of migration.toml.",
            )
        if source.startswith("arn:"):
            require_named(source, context.source_table(found[0]).arn, place="--table")
        pairs += [pair for pair in found if pair not in pairs]
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


def _reached(
    context: Context, plans: Sequence[Plan], chosen: Sequence[Pair], offer: Callable[[str], bool] | None
) -> list[Pair]:
    """The other pairs that a change reaches, where the operator wants them restarted, too."""
    others = {
        plan.pair: changed
        for plan in plans
        if plan.pair not in chosen and (changed := changed_since(context, plan))
    }
    if not others:
        return []
    for pair, changed in others.items():
        context.console.warn(
            f"{changed} has changed for {pair}, too: until it is restarted it goes on as it was begun, and "
            "cannot be restored, repaired or cut over"
        )
    if offer is not None and offer("Restart them, too?"):
        return list(others)
    options = " ".join(f"--table {table_name(pair.source)}" for pair in others)
    context.console.warn(f"they are left alone; to restart them: replicator restart {options}")
    return []


def _need_no_cutover(context: Context) -> None:
    cut = context.whole.get(CUTOVER) or {}
    if live.read(context) != live.Live(SOURCE, 0):
        raise Refused(
            "The application has moved to the target, or may have: a restart would remove its table.",
            "see `replicator status`; `replicator cutover` again decides an unfinished one.",
        )
    if cut.get("fenced"):
        raise Refused(
            "An unfinished cutover has left its fence up: the application cannot write.",
            "run `replicator cutover`: it lifts the fence first, whatever the gate says. Then `restart`.",
        )
    cutover_preflight.need_fenced_named(context)


def _may_begin(context: Context, pair: Pair, backup: str | None) -> None:
    """Everything that speaks against it, before anything is touched."""
    state = context.state(pair)
    under_way = state.get(Fact.RESTARTING)
    if under_way is not None:
        _need_same_origin(context, pair, under_way["backup"])
        if backup is not None and under_way["backup"] != _older(context, pair, backup):
            raise Refused(
                f"A restart of {pair} with another --backup is under way.",
                "leave --backup out: it goes on as it was begun.",
            )
    elif state.get(Fact.STEP + "capture") is None:
        raise Refused(f"{pair} is not captured yet: there is nothing to restart.", "run `replicator up`.")
    elif backup not in (None, NEW):
        boundary.check_reuse(context, pair, str(backup))
    elif context.config.replicated.backfill == "export":
        boundary.need_export(context, pair)


def _older(context: Context, pair: Pair, backup: str | None) -> str:
    """What a restart is filled from, if that is older than the restart; an export that is named is."""
    return boundary.named_export(context, pair) if backup is None or backup == NEW else backup


def _need_same_origin(context: Context, pair: Pair, begun_with: str) -> None:
    """
    Refuse to go on from something else than a restart was begun with.

    One that was begun with an older origin has not waited for what its consumer had in hand.
    """
    how = context.config.replicated.backfill
    fits = (
        not begun_with.startswith("s3://")
        if how == "backup"
        else begun_with == boundary.named_export(context, pair)
    )
    if not fits:
        raise Refused(
            f"A restart of {pair} is under way, which was begun to fill it from "
            f"{begun_with or 'what is new'}, and the settings say otherwise.",
            "put [replication] backfill and [[tables]] export back as they were: it goes on.",
        )


def _begin(context: Context, pair: Pair, backup: str | None, lock: Lock) -> None:
    state = context.state(pair)
    if state.get(Fact.RESTARTING) is None:
        Steps(context, pair, "restart", lock).forget(*clearing.STEPS)  # of the restart before
        number = context.restart_number(pair) + 1
        state.put(Fact.RESTARTING, number=number, backup=_older(context, pair, backup), at=now_text())
    context.console.line(f"Restart {context.restart_number(pair)} of {pair}")


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
@click.option(
    "--table",
    "sources",
    metavar="SOURCE",
    multiple=True,
    help="Restart the pairs of this source only; may be repeated.",
)
def command(path: Path, as_json: bool, backup: str | None, sources: tuple[str, ...]) -> None:
    """
    Start pairs anew: new backup, new ledger, new boundary.

    Clears a gap, and lets a changed transform in. Interrupted or killed: run it again, it goes on.
    """
    offer = click.confirm if sys.stdin.isatty() and not as_json else None
    run = partial(restart, backup=backup, sources=sources, offer=offer)
    execute(path, as_json=as_json, run=run)
