"""
``replicator synth``: the stacks that `up` and `restore` would deploy, as files for a tool of the team's.

It writes nothing to AWS. A stack whose parameters are not known yet is told with what it waits for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import click

from ddbverify.code.digest import transforms_of
from ddbverify.names import Fact, stack_name
from replicator.backfill.plan import Plan
from replicator.backfill.preflight import check
from replicator.commands import dashboard, files_out, scheduled_run, wanted
from replicator.commands.invocation import config_option, execute, json_option
from replicator.commands.wanted import Wanted
from replicator.context import references
from replicator.context.context import Context
from replicator.stack import bundle, stacks
from replicator.synthesis import cdk, cloudformation, sam, terraform
from replicator.synthesis.deployable import Deployable

_FORMS: Final = {
    "cloudformation": cloudformation.files,
    "sam": sam.files,
    "cdk": cdk.files,
    "terraform": terraform.files,
}


@dataclass(frozen=True, slots=True)
class Waiting:
    """
    A stack that cannot be written yet.

    Args:
        name: Its own.
        reason: What is not known of it, and what makes it known.
    """

    name: str
    reason: str


def synth(context: Context, *, rendered: str, out: Path | None) -> dict[str, Any]:
    """
    Write down the stacks that are wanted now.

    Args:
        rendered: `cloudformation`, `sam`, `cdk` or `terraform`.
        out: Folder for the files; printed by default.

    Raises:
        ConfigurationError: As `up`; or the folder holds somebody else's files of these names, or ours for
            another tool.
    """
    found = list(stacks_of(context))
    made = [deployable(context, one) for one in found if isinstance(one, Wanted)]
    files = _FORMS[rendered](made)
    if out is not None:
        files_out.write(out, files, form=rendered)
    elif not context.console.as_json:
        for name, text in files.items():
            click.echo(f"# {name}\n{text}", nl=False)
    waiting = {one.name: one.reason for one in found if isinstance(one, Waiting)}
    for name, reason in waiting.items():
        context.console.warn(f"{name} is not among them: {reason}")
    return {"format": rendered, "stacks": [one.name for one in made], "waiting": waiting, "files": files}


def deployable(context: Context, one: Wanted) -> Deployable:
    """A stack as the forms write it."""
    client = one.client(context)
    return Deployable(
        name=one.name,
        region=client.meta.region_name,
        side=one.side,
        parameters=one.parameters,
        tags={**context.config.stack.tags, stacks.TAG: context.config.name},
        text=one.text,
    )


def stacks_of(context: Context) -> Iterator[Wanted | Waiting]:
    """The stacks of a migration in the order in which they are deployed."""
    first = wanted.base(context)
    yield first
    plans = check(context)
    verified = scheduled_run.project(context)
    base = stacks.outputs_if_any(first.client(context), first.name) if context.begun() else {}
    if not base:
        reason = f"deploy {first.name} first, whose names it takes, then run this again."
        for plan in plans:
            capture, target, apply = wanted.names_of(context, plan.pair)
            names = (capture, target) if context.config.replicated.worker else (capture, target, apply)
            if wanted.is_audited(context):
                names = (*names, wanted.name_of_audit(context, plan.pair))
            yield from (Waiting(name, reason) for name in names)
        if verified is not None:
            yield Waiting(stack_name(context.config.name, scheduled_run.TEMPLATE), reason)
        return
    if verified is not None:
        yield scheduled_run.stack_wanted(context, verified, base) or Waiting(
            stack_name(context.config.name, scheduled_run.TEMPLATE),
            "it reads tables that are not there yet: fill them (`replicator restore`), then run this again.",
        )
    if context.config.replicated.worker:
        for plan in plans:
            yield from (wanted.queue(context, plan), wanted.target(context, plan))
        return
    code = bundle.build(transforms_of(context.config)).key
    for plan in plans:
        yield _capture(context, plan, base, code)
        yield wanted.target(context, plan)
        yield _apply(context, plan, base, code)
        if wanted.is_audited(context):
            yield _audit(context, plan, base, code)
    yield from dashboard.stacks_wanted(context)


def _stream(context: Context, plan: Plan) -> tuple[str, str] | None:
    """The stream that the pair is bound to, or will be, and what its records carry, if there is one."""
    recorded = context.state(plan.pair).get(Fact.STEP + "stream")
    if recorded is not None:
        return references.bound_stream(recorded, plan.source.arn), str(recorded["stream_view"])
    source = plan.source
    return (source.stream_arn, source.stream_view) if source.stream_arn and source.stream_view else None


def _capture(context: Context, plan: Plan, base: dict[str, str], code: str) -> Wanted | Waiting:
    stream = _stream(context, plan)
    if stream is None:
        name = wanted.names_of(context, plan.pair)[0]
        return Waiting(
            name,
            f"the stream of {plan.source.name} is off. Turn it on (`replicator up --deployed` does), "
            "then run this again.",
        )
    return wanted.capture(context, plan, base, code, stream=stream[0], view=stream[1])


def _apply(context: Context, plan: Plan, base: dict[str, str], code: str) -> Wanted | Waiting:
    capture, target, apply = wanted.names_of(context, plan.pair)
    stream, boundary = _stream(context, plan), context.state(plan.pair).get(Fact.BOUNDARY)
    captured = stacks.outputs_if_any(context.source_client("cloudformation"), capture)
    beside = stacks.outputs_if_any(context.target_client("cloudformation"), target)
    if stream is None or boundary is None or not captured or not beside:
        return Waiting(
            apply,
            f"it takes the queue of {capture}, the ledger of {target}, and where the replay starts. Deploy "
            "these two, run `replicator up --deployed` to its end, then run this again.",
        )
    return wanted.apply(
        context,
        plan,
        base,
        code,
        resources=wanted.resources_of(context, plan, captured, beside),
        stream=stream[0],
        boundary=int(boundary["boundary_epoch"]),
    )


def _audit(context: Context, plan: Plan, base: dict[str, str], code: str) -> Wanted | Waiting:
    capture, target, _ = wanted.names_of(context, plan.pair)
    stream = _stream(context, plan)
    captured = stacks.outputs_if_any(context.source_client("cloudformation"), capture)
    beside = stacks.outputs_if_any(context.target_client("cloudformation"), target)
    if stream is None or not captured or not beside:
        return Waiting(
            wanted.name_of_audit(context, plan.pair),
            f"it takes the queue of {capture} and the ledger of {target}. Deploy these two, then run this "
            "again.",
        )
    resources = wanted.resources_of(context, plan, captured, beside)
    return wanted.audit(context, plan, base, code, resources=resources, stream=stream[0])


@click.command(name="synth")
@config_option
@json_option
@click.option(
    "--format",
    "rendered",
    type=click.Choice(tuple(_FORMS)),
    default="cloudformation",
    show_default=True,
    help="For which tool the files are.",
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for the files.")
def command(path: Path, as_json: bool, rendered: str, out: Path | None) -> None:
    """
    Write the stacks that `up` and `restore` deploy, for a tool of yours.

    Nothing is changed. What others have deployed is taken by `up --deployed` and `restore --deployed`.
    """
    execute(path, as_json=as_json, run=partial(synth, rendered=rendered, out=out))
