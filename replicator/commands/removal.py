"""What a migration, or one of its directions, has made of stacks, and their removal in the right order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ddbverify.config import Pair
from ddbverify.errors import Refused
from ddbverify.names import stack_name
from replicator.commands import dashboard, scheduled_audit, scheduled_run, taken
from replicator.context.context import Context
from replicator.stack import stacks, storage

if TYPE_CHECKING:
    from replicator.commands.protection import OneStack


def stacks_of(context: Context, pair: Pair) -> Iterator[OneStack]:
    """The stacks of a pair in the order in which they can be removed."""
    name = context.config.name
    yield from scheduled_audit.stacks_of(context, pair)
    yield context.source_client("cloudformation"), stack_name(name, "apply", pair.id)
    yield context.source_client("cloudformation"), stack_name(name, "capture", pair.id)
    yield context.target_client("cloudformation"), stack_name(name, "target", pair.id)


def whole_migrations(context: Context) -> Iterator[OneStack]:
    """The stacks that no pair has one of, but for the base stack, whether or not they are there."""
    yield from scheduled_run.stacks_of(context)
    yield from dashboard.stacks_of(context)


def need_gone(context: Context) -> None:
    """
    Refuse to remove a migration while stacks of it are there that others have deployed.

    The functions would go on, on tables that are gone. The base stack goes last: it knows what was made.

    Raises:
        Refused: With the stacks, in the order in which they are to be removed.
    """
    ours = [one for pair in context.config.tables for one in stacks_of(context, pair)]
    there = [name for client, name in [*whole_migrations(context), *ours] if stacks.exists(client, name)]
    if there:
        raise Refused(
            f"Others have deployed the stacks of {context.config.name}: {', '.join(there)}.",
            "remove them with the tool that deployed them, but not the base stack; then `replicator down`.",
        )


def of_pair(context: Context, pair: Pair) -> list[str]:
    """Remove a pair's stacks, and say which there were."""
    removed: list[str] = []
    if taken.is_asked_for(context):
        return removed  # they are gone by now: see `need_gone`
    for client, stack in stacks_of(context, pair):
        with context.console.step(f"remove {stack}") as step:
            if stacks.delete(client, stack, progress=step.at):
                removed.append(stack)
            else:
                step.result = "was not there"
    return removed


def base(context: Context, name: str) -> bool:
    """Remove the stack with state table and bucket, and say whether there was one."""
    client = context.source_client("cloudformation")
    with context.console.step(f"remove {name}") as step:
        if not stacks.exists(client, name):
            step.result = "was not there"
            return False
        bucket = stacks.outputs(client, name).get("BundleBucket")
        if bucket:
            storage.empty(context.source_client("s3"), bucket)
        if taken.is_asked_for(context):
            step.result = "is for whoever deployed it; its bucket is empty"
            return False
        return stacks.delete(client, name, progress=step.at)


def exists(context: Context) -> bool:
    """Whether anything of a direction is there: its base stack is made first, and goes last."""
    return stacks.exists(context.source_client("cloudformation"), stack_name(context.config.name, "base"))


def direction(context: Context) -> list[str]:
    """Remove all of a direction that is not the migration itself; what is gone already is skipped."""
    if context.cycle == 0:
        raise AssertionError("the migration itself is for `down`")
    removed = dashboard.remove(context)
    removed += [name for pair in context.config.tables for name in of_pair(context, pair)]
    name = stack_name(context.config.name, "base")
    return [*removed, name] if base(context, name) else removed
