"""The audit that nobody has to remember, where functions carry the migration: a schedule calls one more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ddbverify.config import Pair
from ddbverify.names import stack_name
from replicator.backfill.plan import Plan
from replicator.commands import taken, wanted
from replicator.commands.phases import Deployment, place
from replicator.commands.steps import Steps
from replicator.commands.together import MOST_STACKS
from replicator.context import references
from replicator.context.console import Step
from replicator.context.context import Context
from replicator.stack import stacks

if TYPE_CHECKING:
    from replicator.commands.protection import OneStack

STEP = "auditor"


def deploy(deployment: Deployment, plans: Sequence[Plan]) -> None:
    """Deploy the auditor of each pair, beside its consumer; or remove it where it is not wanted any more."""
    context = deployment.context
    if wanted.is_audited(context):
        deployment.step(STEP, plans, "auditor", partial(_deploy, deployment), at_once=MOST_STACKS)
        return
    for plan in plans:
        for client, name in () if taken.is_asked_for(context) else stacks_of(context, plan.pair):
            with context.console.step(f"remove {name}: [replication] scheduled_audit is off") as step:
                stacks.delete(client, name, progress=step.at)
            Steps(context, plan.pair, deployment.command, deployment.lock).forget(STEP)


def stacks_of(context: Context, pair: Pair) -> Iterator[OneStack]:
    """The stack of a pair's auditor, if it is there; it may have been wanted once."""
    client, name = context.source_client("cloudformation"), stack_name(context.config.name, "audit", pair.id)
    if not context.config.replicated.worker and stacks.exists(client, name):
        yield client, name


def _deploy(deployment: Deployment, plan: Plan, step: Step) -> dict[str, Any]:
    context = deployment.context
    resources = context.resources(plan.pair)
    of_pair = wanted.audit(
        context,
        plan,
        deployment.base,
        deployment.code.key,
        resources=resources,
        stream=references.bound_stream(resources, plan.source.arn),
    )
    outputs = place(context, of_pair, step)
    taken.check_auditor(context, of_pair, outputs, deployment.code.sha256_base64)
    return {}
