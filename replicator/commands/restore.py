"""Phase 2, step by step: the ledger, the backfill, the consumer, and a canary all the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from ddbverify.code.digest import transforms_of
from ddbverify.config import Pair
from ddbverify.errors import AccessError, Refused
from ddbverify.names import Fact, table_name
from replicator.aws import stream_switch
from replicator.aws.switch import set_consumer
from replicator.backfill import filling
from replicator.backfill.plan import Plan
from replicator.backfill.preflight import check
from replicator.commands import (
    dashboard,
    invocation,
    passage,
    scheduled_audit,
    scheduled_run,
    taken,
    target_closing,
    told_workers,
    wanted,
)
from replicator.commands.phases import Deployment, add_resources, base_stack, bind, deployed, end, place
from replicator.commands.steps import Steps
from replicator.commands.together import MOST_RESTORES, MOST_STACKS
from replicator.context import references, tables
from replicator.context.console import Step
from replicator.context.context import Context
from replicator.handlers.state import text_of
from replicator.stack import bundle

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.literals import StreamViewTypeType

RESTORE_STEPS = ("target", "backfill", "target-stream", "apply", "consumer", "following")


def restore(context: Context) -> dict[str, Any]:
    """
    Phase 2: restore the backup as the target, and let the consumer apply what came since.

    Raises:
        Refused: Phase 1 is not complete.
    """
    context.need_begun()
    context.need_no_restart()
    taken.remember(context)
    context.console.line(f"Migration {context.config.name}, phase 2: restore and follow")
    plans = check(context)
    for plan in plans:
        _need_phase_one(context, plan.pair)
    code = bundle.build(transforms_of(context.config))
    verified = scheduled_run.project(context)
    base = base_stack(context)
    with context.locked("replicator restore") as lock:
        context.need_no_restart()  # one may have begun while the lease was waited for
        for plan in plans:
            bind(context, plan)
        phase_two(deployed(context, "restore", lock, base, code), plans)
        scheduled_run.deploy(context, verified, base)
    end(context, "Phase 2 is done. The target follows the source. Next: ddbverify run")
    return {"phase": 2, "pairs": {str(plan.pair): context.resources(plan.pair) for plan in plans}}


def phase_two(deployment: Deployment, plans: Sequence[Plan]) -> None:
    """Fill the pairs' targets, and let them follow."""
    context, lock, step = deployment.context, deployment.lock, deployment.step

    def fill(plan: Plan, at: Step) -> Mapping[str, Any]:
        return filling.fill(context, plan, lock, at)

    step("target", plans, "ledger beside the target", partial(target, context), at_once=MOST_STACKS)
    step("backfill", plans, lambda plan: f"{plan.pair.target} is filled", fill, at_once=MOST_RESTORES)
    # Behind the load, whose writes nobody has to read; before the first change that is applied.
    step("target-stream", plans, _stream_title(context), partial(_target_stream, context))
    step("apply", plans, "consumer", partial(apply, deployment), at_once=MOST_STACKS)
    scheduled_audit.deploy(deployment, plans)
    dashboard.deploy(context)
    closing = [plan for plan in plans if target_closing.is_due(context, plan.pair)]
    for plan in closing:  # each time: another operator is let in, and what others made of it is put right
        Steps(context, plan.pair, deployment.command, lock).forget(target_closing.STEP)
    step(target_closing.STEP, closing, target_closing.title(context), partial(target_closing.close, context))
    step("consumer", plans, passage.arrived_title(context), partial(consumer_on, context))
    step("following", plans, "replay has passed the backup", partial(following, context))


def _need_phase_one(context: Context, pair: Pair) -> None:
    if context.state(pair).get(Fact.STEP + "backup") is None:
        raise Refused(
            f"Phase 1 of {pair} is not complete: there is no backup yet.", "run `replicator up` first."
        )


def target(context: Context, plan: Plan, step: Step) -> dict[str, Any]:
    """Deploy the pair's ledger, beside its target."""
    outputs = place(context, wanted.target(context, plan), step)
    add_resources(
        context.state(plan.pair),
        ledger_table=outputs["LedgerTable"],
        ledger_arn=outputs["LedgerTableArn"],
        # Asked of the plan too: an emulator may report an output whose condition does not hold.
        writer_role=outputs.get("WriterRoleArn", "") if wanted.writes_by_role(context, plan) else "",
        reader_role=wanted.reader_of(context, plan, outputs),
        target_region=context.target.meta.region_name,
        target_arn=plan.target_arn,
    )
    return {}


def _stream_title(context: Context) -> Callable[[Plan], str]:
    def title(plan: Plan) -> str:
        name = plan.pair.target
        return f"stream of {name} is on" if _needs_stream(context, plan) else f"{name} needs no stream"

    return title


def _needs_stream(context: Context, plan: Plan) -> bool:
    """Whether a verification will look at what has changed: it reads the streams of both tables."""
    flipped = (context.whole.get(Fact.CUTOVER) or {}).get("flipped")  # then it is the application's table
    return context.config.verification.last == "changes" and not plan.pair.rekeys and not flipped


def _target_stream(context: Context, plan: Plan, step: Step) -> dict[str, Any]:
    """Turn the target's stream on, as the source has it, so that no setting differs."""
    if not _needs_stream(context, plan):
        return {}
    name = table_name(plan.pair.target)
    table = tables.describe(context.target, name)
    if table.stream_arn is None:
        try:
            view = cast("StreamViewTypeType", plan.source.stream_view or "NEW_IMAGE")
            table = stream_switch.turn_on(context, context.target, name, view)
        except AccessError as error:
            step.result = f"it is off, so each verification reads the whole tables: {error.message}"
            return {}
    return {"stream_arn": table.stream_arn, "stream_view": table.stream_view}


def apply(deployment: Deployment, plan: Plan, step: Step, *, boundary: int | None = None) -> dict[str, Any]:
    """
    Deploy the pair's consumer, which is off.

    Args:
        boundary: In place of the noted one, which is not known yet; it has to be deployed before it is on.
    """
    context = deployment.context
    state, resources = context.state(plan.pair), context.resources(plan.pair)
    bound = references.bound_stream(resources, plan.source.arn)
    if boundary is None:
        boundary = int((state.get(Fact.BOUNDARY) or {})["boundary_epoch"])
    if context.config.replicated.worker:
        return told_workers.apply(context, plan, boundary)
    of_pair = wanted.apply(
        context,
        plan,
        deployment.base,
        deployment.code.key,
        resources=resources,
        stream=bound,
        boundary=boundary,
    )
    outputs = place(context, of_pair, step)
    taken.check_function(context, of_pair, outputs, "Consumer", deployment.code.sha256_base64)
    add_resources(
        state,
        consumer=outputs["Consumer"],
        consumer_mapping=outputs["ConsumerMapping"],
        consumer_role=outputs["ConsumerRoleArn"],
    )
    return {}


def consumer_on(context: Context, plan: Plan, step: Step) -> dict[str, Any]:
    """Switch the pair's consumer on, and wait until what was written up to now is applied."""
    set_consumer(context, plan.pair, on=True)
    passage.await_arrived(context, plan, step)
    counters = context.state(plan.pair).counters()
    step.result = ", ".join(f"{number} {name}" for name, number in counters.items() if number)
    return {}


def following(context: Context, plan: Plan, _: Step) -> dict[str, Any]:
    """What was written after the backup has come all the way: replay has passed the backup."""
    context.state(plan.pair).put(Fact.FOLLOWING, since=text_of(context.server_time()))
    return {}


command = invocation.deploying(
    "restore", restore, "Phase 2: restore the backup as the target and let it follow."
)
