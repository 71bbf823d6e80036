"""
The dashboards of a migration: in CloudWatch, each in a stack of its own, and as a document for Grafana.

A dashboard moves nothing. So whatever fails here is told as a warning, and the command goes on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ddbverify.config import Pair
from ddbverify.errors import DdbVerifyError, Refused
from ddbverify.names import stack_name, table_name
from replicator.commands import taken
from replicator.commands.invocation import config_option, execute, json_option
from replicator.commands.together import MOST_STACKS, each
from replicator.commands.wanted import Wanted
from replicator.context import live
from replicator.context.context import Context
from replicator.stack import dashboard, grafana, stacks
from replicator.stack.panels import LONGEST_SHOWN, Watched

if TYPE_CHECKING:
    from replicator.commands.protection import OneStack

_RENDERED = ("grafana", "cloudwatch")


def watched(context: Context) -> list[Watched]:
    """What the stacks of each pair say that they have made; pairs without a queue yet are left out."""
    calls = [(str(pair), partial(_of_pair, context, pair)) for pair in context.config.tables]
    return [one for one in each(context, calls, MOST_STACKS) if one is not None]


def _of_pair(context: Context, pair: Pair) -> Watched | None:
    here, there = context.source_client("cloudformation"), context.target_client("cloudformation")
    name = context.config.name
    captured = stacks.outputs_if_any(here, stack_name(name, "capture", pair.id))
    if "QueueUrl" not in captured:
        return None
    applied = stacks.outputs_if_any(here, stack_name(name, "apply", pair.id))
    beside = stacks.outputs_if_any(there, stack_name(name, "target", pair.id))
    audits = context.config.replicated.scheduled_audit
    audited = stacks.outputs_if_any(here, stack_name(name, "audit", pair.id)) if audits else {}
    told = [made.get("Alarms", "") for made in (captured, applied, audited)]
    alarms = [part for one in told for part in one.split(",") if part]
    return Watched(
        migration=name,
        pair=pair.id,
        shown=_shown(context.config.tables, pair),
        source=table_name(pair.source),
        target=table_name(pair.target),
        forwarder=captured["Forwarder"],
        queue=captured["QueueUrl"].rpartition("/")[2],
        dead_letters=captured["DeadLetterUrl"].rpartition("/")[2],
        consumer=applied.get("Consumer", ""),
        ledger=beside.get("LedgerTable", ""),
        alarms=tuple(alarms),
    )


def _shown(pairs: Sequence[Pair], pair: Pair) -> str:
    """The source's name, where it is short and of no other pair; else the pair's id."""
    name = table_name(pair.source)
    alone = sum(table_name(one.source) == name for one in pairs) == 1
    return name if alone and len(name) <= LONGEST_SHOWN else pair.id


def places(context: Context) -> dashboard.Places:
    """The regions of both sides; the target's is empty where the account is another one."""
    accounts = {identity.split(":")[4] for identity in (context.source_identity, context.target_identity)}
    there = context.target.meta.region_name
    return dashboard.Places(
        source=context.source.meta.region_name, target=there if len(accounts) == 1 else ""
    )


def deploy(context: Context) -> None:
    """
    Bring the dashboards to what the stacks are by now; without functions, or unwanted, there is none.

    Where others deploy the stacks, it is theirs: `replicator synth` writes it, too.
    """
    if taken.is_asked_for(context):
        return
    try:
        if not context.config.replicated.dashboard or context.config.replicated.worker:
            remove(context)
            return
        for one in stacks_wanted(context):
            with context.console.step("dashboard") as step:
                made = stacks.deploy(
                    one.client(context),
                    one.name,
                    one.text,
                    {},
                    migration=context.config.name,
                    tags=context.config.stack.tags,
                    progress=step.at,
                )
                step.result = made["Dashboard"]
    except DdbVerifyError as error:
        context.console.warn(
            f"the dashboard is not what it should be, which stops nothing: {error.message} The next command "
            "that deploys tries again; `[replication] dashboard = false` does without."
        )


def stacks_wanted(context: Context) -> Iterator[Wanted]:
    """The stacks of the dashboards, for what is deployed by now; none without functions, or unwanted."""
    if not context.config.replicated.dashboard or context.config.replicated.worker:
        return
    of = places(context)
    for name, part in zip(_names(context), dashboard.chunks(watched(context)), strict=False):
        yield Wanted(name, "dashboard", "source", {}, dashboard.template(part, of, name))


def stacks_of(context: Context) -> Iterator[OneStack]:
    """The stacks of a direction's dashboards, whether or not they are there."""
    client = context.source_client("cloudformation")
    return ((client, name) for name in _names(context))


def remove(context: Context) -> list[str]:
    """Remove the dashboards of a direction, and say which there were."""
    removed = []
    for client, name in stacks_of(context):
        if not stacks.exists(client, name):
            continue
        with context.console.step(f"remove {name}") as step:
            stacks.delete(client, name, progress=step.at)
        removed.append(name)
    return removed


def _names(context: Context) -> list[str]:
    numbers = range(len(dashboard.chunks(context.config.tables)))
    return [stack_name(context.config.name, "dashboard", str(at + 1) if at else None) for at in numbers]


def show(context: Context, *, rendered: str) -> dict[str, Any]:
    """
    Print the dashboard of the direction that follows.

    Raises:
        Refused: Nothing is deployed yet, or no functions are.
    """
    context.need_begun()
    if context.config.replicated.worker:
        raise Refused(
            "This migration is carried by workers, and its dashboard would show functions.",
            "see `replicator watch`, and the lines that the workers write.",
        )
    following = live.direction(context)
    pairs, of = watched(following), places(following)
    if not pairs:
        raise Refused(
            f"Nothing of {following.config.name} is deployed yet, so there is nothing to watch.",
            "run `replicator up` first.",
        )
    made = grafana.document(pairs, of) if rendered == "grafana" else dashboard.body(pairs, of)
    if not context.console.as_json:
        click.echo(json.dumps(made, indent=2, ensure_ascii=False))
    return {"format": rendered, "dashboard": made}


@click.command(name="dashboard")
@config_option
@json_option
@click.option(
    "--format",
    "rendered",
    type=click.Choice(_RENDERED),
    default="grafana",
    show_default=True,
    help="For which of them the document is.",
)
def command(path: Path, as_json: bool, rendered: str) -> None:
    """
    Print the dashboard as a document for Grafana or CloudWatch.

    CloudWatch has it already, from `up` on. For Grafana: import the document, and choose the data source.
    """
    execute(path, as_json=as_json, run=partial(show, rendered=rendered))
