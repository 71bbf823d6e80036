"""Removes exactly what the migration made; never the source, never a target that was flipped to."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from ddbverify.config import Pair
from ddbverify.errors import EngineError, Refused
from ddbverify.names import BETWEEN, TARGET, Fact, stack_name, table_name
from replicator.aws import stream_switch
from replicator.aws.switch import CUTOVER
from replicator.backfill import importing, ownership
from replicator.backfill.boundary import BACKUPS, EXPORTS
from replicator.backfill.ownership import MADE
from replicator.commands import (
    dashboard,
    ended,
    invocation,
    left_fenced,
    marking,
    protection,
    removal,
    scheduled_run,
    taken,
    target_closing,
)
from replicator.commands.together import MOST_STACKS, each
from replicator.commands.way_back import OPENED
from replicator.context import live, tables
from replicator.context.context import Context
from replicator.handlers.state import State, now_text
from replicator.stack import stacks

if TYPE_CHECKING:
    from replicator.commands.protection import OneStack, OneTable


def down(context: Context) -> dict[str, Any]:
    """
    Tear the migration down; every part that is gone already is skipped.

    The backup is kept: it costs money and is yours, so its name is told. A target that this
    migration made is deleted, unless it was flipped to.

    Raises:
        Refused: A flip is undecided, a fence is up, a way back is open, the settings do not name all pairs of
            the migration, or something that has to go is protected; nothing was touched.
    """
    base = stack_name(context.config.name, "base")
    cloudformation = context.source_client("cloudformation")
    if not context.begun():
        # Killed on its way to the state table, or on its way out: the stack may be all that is left.
        removed = removal.base(context, base) if stacks.exists(cloudformation, base) else False
        context.console.line("Nothing else is left to remove." if removed else "Nothing to remove.")
        return {"removed": [base] if removed else []}
    taken.remember(context)
    if theirs := taken.is_asked_for(context):
        removal.need_gone(context)
    with context.locked("replicator down") as lock:
        cut = context.whole.get(CUTOVER) or {}
        live_table = _need_decided(context)
        flipped = bool(cut.get("flipped"))  # to the target, if only for a while: it is not ours to delete
        directions = _directions(context)
        _need_every_pair(context)
        made = [] if theirs else [one for of in (context, *directions) for one in _stacks(of)]
        protection.need_unprotected("down", _tables(context, keep_targets=flipped), made)
        # Read now: the state table goes last, and the note is for when it is gone.
        targets = {str(pair): context.resources(pair).get("target_arn", "") for pair in context.config.tables}
        remove = partial(_remove_pair, context, flipped=flipped, is_live=live_table == TARGET)
        calls = [(str(pair), partial(remove, pair)) for pair in context.config.tables]
        turned = [name for one in directions for name in removal.direction(one)]
        turned += [] if theirs else scheduled_run.remove(context)  # first: it reads what goes
        turned += dashboard.remove(context)
        found = each(context, calls, MOST_STACKS)
        lock.check()
        context.lease = None  # it goes with the state table, and CloudFormation needs longer than it lasts
        moved = (cut.get("steps") or {}).get("flip") if live_table == TARGET else None
        try:
            ended.note(context.config, at=now_text(), flipped_at=moved, pairs=targets)
        except EngineError as error:  # no reason to leave half a migration standing
            context.console.warn(f"`replicator status` will not know of this end: {error.message}")
        removal.base(context, base)
        for text in left_fenced.told(context) if flipped else ():
            context.console.line(f"  · {text}")
    context.console.line(
        f"What is left is {base}, with the state table: remove it with the tool that deployed it."
        if theirs
        else "Everything that the migration made is removed."
    )
    return {"removed": [*turned, *(name for names in found for name in names), *([] if theirs else [base])]}


def _need_decided(context: Context) -> str:
    """
    The table that is live, where that is known, and nothing follows it that would be lost.

    Raises:
        Refused: A flip is undecided, a fence is up, or a way back is open.
    """
    found = live.read(context)
    command = "cutback" if found.cycle % 2 else "cutover"
    if found.table == BETWEEN:
        raise Refused(
            f"A {command} was interrupted at its flip: the application may use either table.",
            f"run `replicator {command}`: it decides by what the pointer says. Then `down`.",
        )
    turned = context.turned(found.cycle)
    # A `down` that was killed may have removed the direction's facts already.
    cut = (turned.whole.get(CUTOVER) or {}) if turned.begun() else {}
    if (cut.get("fenced") or cut.get("flipping")) and not cut.get("flipped"):
        raise Refused(
            f"An unfinished {command} has left its fence up: the application cannot write.",
            f"run `replicator {command}`: it lifts the fence first, whatever the gate says. Then `down`.",
        )
    if found.cycle % 2:
        raise Refused(
            "The way back is open: the source follows the target.",
            "give it up with `replicator settle`, or go back with `replicator cutback`. Then `down`.",
        )
    # Of the last flip: behind it, the table that the application went back to is opened.
    is_left_open = found.cycle > 0 and found.table == live.leading(found.cycle)
    last = context.turned(found.cycle - 1) if is_left_open else turned
    if last.cycle and last.begun() and last.whole.get(OPENED) is None:
        raise Refused(
            f"The {found.table} may still be fenced, and the application was moved there: it cannot write.",
            f"run `replicator {last.flips_with}`: it lifts that fence. Then `down`.",
        )
    return found.table


def _directions(context: Context) -> list[Context]:
    """
    Those of which anything is left, beside the migration itself.

    The next one may be armed, and, where a way back was given up, the one behind that.
    """
    numbers = range(1, live.read(context).cycle + 3)
    return [turned for turned in map(context.turned, numbers) if removal.exists(turned)]


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
    yield from removal.whole_migrations(context)
    for pair in context.config.tables:
        yield from removal.stacks_of(context, pair)
    yield context.source_client("cloudformation"), stack_name(context.config.name, "base")


def _remove_pair(context: Context, pair: Pair, *, flipped: bool, is_live: bool) -> list[str]:
    state = context.state(pair)
    marking.tidy(context, pair)  # the source stays, and may be the application's still
    removed = removal.of_pair(context, pair)
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
        used = (
            "the application uses it; so does its stream"
            if is_live
            else "the application has used it; it stays fenced"
        )
        context.console.line(f"  · {target.name} stays: {used}")
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
    for _, fact in state.all(EXPORTS):
        context.console.line(f"  · the export stays until you delete it: {fact['export']}")
    for _, fact in state.all(importing.IMPORTS):
        context.console.line(f"  · files of the import stay until you delete them: {fact['files']}")
    return removed


def _backups(state: State) -> list[str]:
    """Backups that the pair has taken, those before a restart included."""
    taken = {fact["arn"] for _, fact in state.all(BACKUPS)}
    last = (state.get(Fact.BOUNDARY) or {}).get("backup_arn")
    return sorted(taken | ({last} if last else set()))


command = invocation.command("down", down, "Remove exactly what the migration made, never the source.")
