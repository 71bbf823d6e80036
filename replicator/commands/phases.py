"""What both phases share: the base stack, a pair's binding, the names of its resources, the last words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ddbverify.errors import Refused
from ddbverify.names import Fact
from replicator.aws.switch import CUTOVER
from replicator.backfill.boundary import named_export
from replicator.backfill.plan import Plan
from replicator.commands import deployed_as, taken, through, wanted
from replicator.commands.together import MOST_WAITING, Task, Together
from replicator.commands.wanted import Wanted
from replicator.context.console import Step
from replicator.context.context import Context
from replicator.context.lock import Lock
from replicator.handlers.control import is_paused
from replicator.handlers.state import State
from replicator.stack import stacks, storage
from replicator.stack.bundle import Bundle

_BACKFILL = "[replication] backfill"
_EXPORT = "[[tables]] export"


@dataclass(frozen=True, slots=True)
class Deployment:
    """
    What the steps of a phase work with.

    Args:
        base: Outputs of the base stack.
        code: What every function runs.
    """

    context: Context
    lock: Lock
    command: str
    base: Mapping[str, str]
    code: Bundle

    def step(
        self,
        name: str,
        plans: Sequence[Plan],
        title: str | Callable[[Plan], str],
        action: Callable[[Plan, Step], Mapping[str, Any]],
        *,
        at_once: int = MOST_WAITING,
    ) -> None:
        """Take a step of all pairs at once: see `Together.step`."""
        tasks = [
            Task(plan.pair, title if isinstance(title, str) else title(plan), partial(action, plan))
            for plan in plans
        ]
        Together(self.context, self.command, self.lock).step(name, tasks, at_once=at_once)


def deployed(context: Context, command: str, lock: Lock, base: Mapping[str, str], code: Bundle) -> Deployment:
    """What steps work with, once the code lies where functions find it."""
    if not context.config.replicated.worker:
        storage.upload(context.source_client("s3"), base["BundleBucket"], code)
    return Deployment(context, lock, command, base, code)


def base_stack(context: Context) -> dict[str, str]:
    """Outputs of the stack with state table and bucket, which is made if it is not there."""
    with context.console.step("state table and bucket") as step:
        return place(context, wanted.base(context), step)


def place(context: Context, stack: Wanted, step: Step) -> dict[str, str]:
    """Bring a stack to what is wanted, or see that others have; and say its outputs."""
    if taken.is_asked_for(context):
        return taken.take(context, stack, step)
    return stacks.deploy(
        stack.client(context),
        stack.name,
        stack.text,
        stack.parameters,
        migration=context.config.name,
        tags=context.config.stack.tags,
        progress=step.at,
    )


def bind(context: Context, plan: Plan) -> None:
    """
    Bind the pair to its transform and its backfill: others would make another target from the same source.

    Raises:
        Refused: The transform, its package, or the backfill is not the one that the migration began with;
            or it was begun with functions, and is to have workers, or the other way round.
    """
    deployed_as.need_as_deployed(context, plan.pair)
    state, how = context.state(plan.pair), context.config.replicated.backfill
    state.put_once(Fact.BOUND, **_transform(plan), backfill=how, export=named_export(context, plan.pair))
    if changed := changed_since(context, plan):
        raise Refused(
            f"{changed} has changed since the migration of {plan.pair} began.",
            "put it back, or begin anew with `replicator restart`.",
        )


def changed_since(context: Context, plan: Plan) -> str:
    """What of the pair's binding is no longer what the pair was begun with, in words; empty if nothing is."""
    bound = context.state(plan.pair).get(Fact.BOUND)
    if bound is None:
        return ""
    if any(bound.get(name) != value for name, value in _transform(plan).items()):
        return "The transform"
    if bound.get("backfill", "backup") != context.config.replicated.backfill:
        return _BACKFILL
    return "" if bound.get("export", "") == named_export(context, plan.pair) else _EXPORT


def _transform(plan: Plan) -> dict[str, Any]:
    bound = {"transform": plan.pair.transform or "", "digest": plan.digest, "rekeys": plan.pair.rekeys}
    # Named where there is none, too: an inverse that is gone from the settings is another one.
    return {**bound, "through": through.parameters(plan) if plan.through else None}


def add_resources(state: State, **names: Any) -> None:
    """Note what a pair's stacks made (`Context.resources`), beside what is noted already."""
    state.put(Fact.RESOURCES, **{**(state.get(Fact.RESOURCES) or {}), **names})


def end(context: Context, said: str) -> None:
    """What a phase ends with, unless somebody has changed since what it was for."""
    if (context.whole.get(CUTOVER) or {}).get("flipped"):
        context.console.line("This migration was cut over: see `replicator status`.")
        return
    context.console.line(said)
    for pair in context.config.tables:
        if is_paused(context.state(pair).get(Fact.CONTROL)):
            context.console.warn(f"{pair} is paused: nothing is applied until `replicator resume`")
