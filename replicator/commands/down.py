"""Removes exactly what the migration made; never the source, never a target that was flipped to."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from ddbverify.config import Pair
from ddbverify.errors import EngineError, Refused
from ddbverify.names import Fact, stack_name, table_name
from replicator.aws import stream_switch
from replicator.aws.switch import CUTOVER
from replicator.backfill import ownership
from replicator.backfill.boundary import BACKUPS
from replicator.backfill.ownership import MADE
from replicator.commands import ended, invocation, marking, protection, target_closing
from replicator.commands.together import MOST_STACKS, each
from replicator.context import tables
from replicator.context.context import Context
from replicator.handlers.state import State, now_text
from replicator.stack import stacks, storage

if TYPE_CHECKING:
    from replicator.commands.protection import OneStack, OneTable


def down(context: Context) -> dict[str, Any]:
    """
    Tear the migration down; every part that is gone already is skipped.

    The backup is kept: it costs money and is yours, so its name is told. A target that this
    migration made is deleted, unless it was flipped to.

    Raises:
        Refused: A fence is up, the settings do not name all pairs of the migration, or something that has
            to go is protected against deletion; nothing was touched.
    """
    base = stack_name(context.config.name, "base")
    cloudformation = context.source_client("cloudformation")
    if not context.begun():
        # Killed on its way to the state table, or on its way out: the stack may be all that is left.
        removed = _remove_base(context, base) if stacks.exists(cloudformation, base) else False
        context.console.line("Nothing else is left to remove." if removed else "Nothing to remove.")
        return {"removed": [base] if removed else []}
    with context.locked("replicator down") as lock:
        cut = context.whole.get(CUTOVER) or {}
        flipped = bool(cut.get("flipped"))
        if (cut.get("fenced") or cut.get("flipping")) and not flipped:
            raise Refused(
                "An unfinished cutover has left its fence up: the application cannot write.",
                "run `replicator cutover`: it lifts the fence first, whatever the gate says. Then `down`.",
            )
        _need_every_pair(context)
        protection.need_unprotected(
            "down", _tables(context, keep_targets=flipped), [*_stacks(context), (cloudformation, base)]
        )
        # Read now: the state table goes last, and the note is for when it is gone.
        targets = {str(pair): context.resources(pair).get("target_arn", "") for pair in context.config.tables}
        remove = partial(_remove_pair, context, flipped=flipped)
        calls = [(str(pair), partial(remove, pair)) for pair in context.config.tables]
        found = each(context, calls, MOST_STACKS)
        lock.check()
        context.lease = None  # it goes with the state table, and CloudFormation needs longer than it lasts
        moved = (cut.get("steps") or {}).get("flip") if flipped else None
        try:
            ended.note(context.config, at=now_text(), flipped_at=moved, pairs=targets)
        except EngineError as error:  # no reason to leave half a migration standing
            context.console.warn(f"`replicator status` will not know of this end: {error.message}")
        _remove_base(context, base)
    context.console.line("Everything that the migration made is removed.")
    return {"removed": [*(name for names in found for name in names), base]}


def _need_every_pair(context: Context) -> None:
    """
    Refuse where something would be left behind: with the state table goes the memory of what was made.

    A pair's names are made from its spelling in the settings: an ARN in place of a name is another pair.
    """
    unknown = context.pairs_begun() - {pair.id for pair in context.config.tables}
    if unknown:
        raise Refused(
            f"Migration {context.config.name} has pairs that migration.toml does not name: "
            f"{', '.join(sorted(unknown))}.",
            "write their [[tables]] as they were when `replicator up` ran (name or ARN, too), then `down`.",
        )


def _tables(context: Context, *, keep_targets: bool) -> Iterator[OneTable]:
    yield context.source, context.state_table
    for pair in context.config.tables:
        yield from protection.deleted_with(context, pair, keep_target=keep_targets)


def _stacks(context: Context) -> Iterator[OneStack]:
    for pair in context.config.tables:
        yield from _stacks_of(context, pair)


def _stacks_of(context: Context, pair: Pair) -> Iterator[OneStack]:
    """The stacks of a pair in the order in which they can be removed."""
    name = context.config.name
    yield context.source_client("cloudformation"), stack_name(name, "apply", pair.id)
    yield context.source_client("cloudformation"), stack_name(name, "capture", pair.id)
    yield context.target_client("cloudformation"), stack_name(name, "target", pair.id)


def _remove_pair(context: Context, pair: Pair, *, flipped: bool) -> list[str]:
    state = context.state(pair)
    marking.tidy(context, pair)  # the source stays, and may be the application's still
    removed = []
    for client, stack in _stacks_of(context, pair):
        with context.console.step(f"remove {stack}") as step:
            if stacks.delete(client, stack, progress=step.at):
                removed.append(stack)
            else:
                step.result = "was not there"
    staging = ownership.staging(context, pair)
    if staging:
        with context.console.step(f"remove the staging table {staging}"):
            tables.delete(context.source, staging, poll_seconds=context.pace.poll_seconds)
            removed.append(staging)
    target = tables.find(context.target, pair.target)
    if target is None:
        pass
    elif flipped:
        target_closing.lift(context, pair)  # nothing, unless a policy was opened whose answer was lost
        context.console.line(f"  · {target.name} stays: the application uses it; so does its stream")
    elif ownership.is_ours(context, pair, MADE, target):
        with context.console.step(f"remove the target {target.name}, which was not flipped to"):
            tables.delete(context.target, target.name, poll_seconds=context.pace.poll_seconds)
            removed.append(target.name)
    else:
        if target_closing.lift(context, pair):  # with the state table goes the memory of it
            context.console.line(f"  · {target.name} takes anybody's writes again: its fence is taken out")
        context.console.line(f"  · {target.name} stays: nothing proves that this migration made it")
    if state.get(Fact.STREAM_ENABLED_BY_US):
        with context.console.step(f"turn off the stream of {table_name(pair.source)}"):
            stream_switch.turn_off(context, pair.source)
    for arn in _backups(state):
        context.console.line(f"  · the backup stays until you delete it: {arn}")
    return removed


def _backups(state: State) -> list[str]:
    """Backups that the pair has taken, those before a restart included."""
    taken = {fact["arn"] for _, fact in state.all(BACKUPS)}
    last = (state.get(Fact.BOUNDARY) or {}).get("backup_arn")
    return sorted(taken | ({last} if last else set()))


def _remove_base(context: Context, base: str) -> bool:
    client = context.source_client("cloudformation")
    with context.console.step(f"remove {base}") as step:
        if not stacks.exists(client, base):
            step.result = "was not there"
            return False
        bucket = stacks.outputs(client, base).get("BundleBucket")
        if bucket:
            storage.empty(context.source_client("s3"), bucket)
        return stacks.delete(client, base, progress=step.at)


command = invocation.command("down", down, "Remove exactly what the migration made, never the source.")
