"""The target takes writes of the replicator only: closed by `restore`, opened by the cutover or by `down`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from ddbverify.config import Pair
from ddbverify.errors import AccessError, EngineError, Refused
from ddbverify.names import Fact, table_name
from ddbverify.tables.aws import translated
from ddbverify.words import number_of
from replicator.aws import target_fence, workers
from replicator.aws.switch import CUTOVER
from replicator.aws.target_notes import StateNotes
from replicator.backfill.plan import Plan
from replicator.context import tables
from replicator.context.console import Step
from replicator.context.context import Context

STEP = "target-fence"

_SWITCH_OFF = "or set [cutover] fence_target = false, which leaves the target open to everybody."


def is_wanted(context: Context) -> bool:
    """Whether targets are to be closed: a cutover by policies is planned, and nobody said no."""
    settings = context.config.cutover
    by_policy = not settings.fence.startswith("command:")
    return settings.fence_target and by_policy and settings.pointer is not None


def need_fitting(context: Context) -> None:
    """
    Refuse a cutover whose own fence could not open targets that are closed by policy.

    Raises:
        Refused: The fence is a command by now.
    """
    if not context.config.cutover.fence.startswith("command:"):
        return
    with translated("read what is noted of the targets' fences"):
        closed = sorted(name for name, fact in context.whole.all(Fact.TARGET_FENCE) if not fact.get("opened"))
    if closed:
        raise Refused(
            f"The policy of {', '.join(closed)} keeps writers off, and [cutover] fence is a command, which "
            "cannot open it at a known moment.",
            "run `replicator restore`: with a command for a fence it takes the target's fence out.",
        )


def is_due(context: Context, pair: Pair) -> bool:
    """Whether a target's policy is to be changed, or to be looked at; by now it may be the application's."""
    noted = StateNotes(context.whole).get(table_name(pair.target)) is not None
    return (is_wanted(context) or noted) and not _has_moved(context)


def title(context: Context) -> Callable[[Plan], str]:
    """What the step is called in front of the operator."""
    said = "nobody but the replicator writes to {}" if is_wanted(context) else "{} takes anybody's writes"
    return lambda plan: said.format(plan.pair.target)


def close(context: Context, plan: Plan, step: Step) -> dict[str, Any]:
    """
    Let nobody write to a target but the replicator and this operator; take that back where it is not wanted.

    Raises:
        AccessError: The operator may not change the table's policy.
    """
    target = tables.describe(context.target, plan.pair.target)
    made = target_fence.made(context, (target,))
    if not is_wanted(context):
        made.lift()
        step.result = "its fence is taken out"
        return {}
    made = replace(made, exempt=(*made.exempt, *_writers(context, plan.pair)))
    try:
        if not made.close():
            step.result = "closed already"
    except AccessError as error:
        raise AccessError(error.message, f"{error.hint.rstrip('.')}, {_SWITCH_OFF}") from error
    return {}


def admit(context: Context, pairs: Sequence[Pair], why: str) -> None:
    """
    Let the present operator write to targets that another operator has closed, and wait until AWS lets them.

    Raises:
        EngineError: A policy cannot be changed.
    """
    kept = StateNotes(context.whole)
    foreign = []
    for pair in pairs:
        noted, target = kept.get(table_name(pair.target)), context.target_table(pair)
        if noted is None or noted.opened or target is None:
            continue
        made = target_fence.made(context, (target,))
        if not set(made.exempt) <= set(noted.exempt):
            foreign.append(made)
    if not foreign:
        return
    with context.console.step(f"you may write to {number_of(len(foreign), 'fenced target')}, {why}") as step:
        for made in foreign:
            made.close()
        left = context.pace.fence_spread  # a new policy is not held against every request at once
        while left > 0:
            step.at(f"{left:.0f} s until AWS lets you")
            time.sleep(min(left, context.pace.poll_seconds))
            left -= context.pace.poll_seconds


def lift(context: Context, pair: Pair) -> bool:
    """
    Take the fence out of a target that stays, for good; says whether there was one.

    Raises:
        EngineError: AWS does not take the change.
    """
    target, noted = context.target_table(pair), StateNotes(context.whole).get(table_name(pair.target))
    if target is None or noted is None:
        return False
    target_fence.made(context, (target,)).lift()
    return not noted.opened


def forget(context: Context, name: str) -> None:
    """Forget the fence of a target that is deleted: its policy went with it."""
    StateNotes(context.whole).remove(name)


def _has_moved(context: Context) -> bool:
    """Whether a cutover has the policy in hand, or has flipped: it is not to be closed beside it."""
    cut = context.whole.get(CUTOVER) or {}
    return bool(cut.get("flipped") or cut.get("flipping") or cut.get("fenced"))


def _writers(context: Context, pair: Pair) -> tuple[str, ...]:
    """ARNs of the roles that the consumer writes with."""
    resources = context.resources(pair)
    if workers.is_worker(context, pair, workers.CONSUMER):
        return workers.roles(context, pair)
    if resources.get("writer_role"):
        return (str(resources["writer_role"]),)
    name = resources["consumer"]
    with translated(f"look at the function {name}"):
        role = context.source_client("lambda").get_function_configuration(FunctionName=name).get("Role")
    if not role:
        raise EngineError(
            f"AWS does not say which role the consumer of {pair} has.", "run `replicator restore` again."
        )
    return (role,)
