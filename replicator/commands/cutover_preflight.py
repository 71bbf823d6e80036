"""What a cutover refuses before it touches anything: settings that do not do, pairs that are not ready."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ddbverify.config import Pair
from ddbverify.errors import ConfigurationError, EngineError, Refused
from ddbverify.names import Fact, table_name
from ddbverify.tables.aws import translated
from ddbverify.words import begins_anew
from replicator.aws import fence, pointer
from replicator.aws.pointer import Pointer
from replicator.commands import target_closing
from replicator.context import live, references, tables
from replicator.context.context import Context

LEAST_QUIET_SECONDS = 60.0

LEAST_QUIET_BEHIND_A_POLICY_SECONDS = 10.0
"""That fence has spread before it begins: what is left is the stream's own delay."""


def check(context: Context) -> Pointer:
    """
    What is flipped, once it is clear that it may be.

    Raises:
        ConfigurationError: The settings of ``[cutover]`` do not do, or something that is named by ARN is of
            somebody else.
        Refused: A pair does not follow its source, or has no target any more.
    """
    need_settings(context)
    target_closing.need_fitting(context)
    _need_every_pair(context)
    if context.cycle:
        _need_as_before(context)
    for pair in context.config.tables:
        if context.state(pair).get(Fact.STEP + "following") is None:
            raise Refused(f"{pair} does not follow its source yet.", _opens(context))
        _check_exists(context, pair)
        references.bound_stream(context.resources(pair), context.source_table(pair).arn)
    # By the migration's own pairs: a parameter is called after source or target as the settings name them.
    pairs = zip(context.root.config.tables, context.config.tables, strict=True)
    targets = {named: context.resources(pair)["target_arn"] for named, pair in pairs}
    found = pointer.of(context.root, targets)
    assert found is not None  # noqa: S101  # `need_settings` has looked
    found.check()
    _need_pointer_as_left(context, found)
    return found


def need_settings(context: Context) -> None:
    """
    Refuse settings of ``[cutover]`` that no cutover could keep, whatever the tables are.

    Raises:
        ConfigurationError: With the key to change.
    """
    settings = context.root.config.cutover
    if settings.pointer is None:
        raise ConfigurationError(
            "[cutover] pointer is missing: there is nothing to flip.",
            'name the parameter that your application reads: pointer = "ssm:/shop/orders-table".',
        )
    by_command = settings.fence.startswith("command:")
    least = LEAST_QUIET_SECONDS if by_command else LEAST_QUIET_BEHIND_A_POLICY_SECONDS
    if settings.quiet < least and not context.emulator:
        raise ConfigurationError(
            f"[cutover] quiet of {settings.quiet:.0f} s is too short to prove the fence on AWS.",
            f'use at least "{least:.0f}s".',
        )
    needed = settings.quiet + context.pace.fence_margin
    if settings.fence_limit <= needed and not by_command:
        raise ConfigurationError(
            f"[cutover] fence_limit of {settings.fence_limit:.0f} s leaves no time: the quiet time takes "
            f"{settings.quiet:.0f} s, and the fence has to last {context.pace.fence_margin:.0f} s longer.",
            'give the last verification time as well: the default is "15m".',
        )


def _need_as_before(context: Context) -> None:
    """
    Refuse settings by which the fence of the flip before would not be lifted: both tables would be fenced.

    Raises:
        Refused: The fence is another by now.
    """
    before = context.turned(context.cycle - 1)
    with translated("read how the tables were fenced"):
        # Gone, it was removed behind this one's own flip, once its fence was lifted.
        raised = (before.whole.get(Fact.CUTOVER) or {}).get("fence") if before.begun() else None
    if raised is not None and raised != context.config.cutover.fence:
        raise Refused(
            f"The {live.leading(before.cycle)} was fenced by {raised!r}, and the application goes back "
            "there; [cutover] fence is another now, which does not lift that.",
            "put the setting back as it was.",
        )


def _need_pointer_as_left(context: Context, found: Pointer) -> None:
    """
    Refuse to move an application that somebody has moved by hand: nobody may follow the table that it uses.

    Raises:
        Refused: The pointer holds something else than the flip before has set, or points there already.
    """
    cut = context.whole.get(Fact.CUTOVER) or {}
    if cut.get("flipped") or cut.get("flipping"):
        return  # it is for the pointer to say what became of that flip
    before = context.turned(context.cycle - 1) if context.cycle else None
    left = (before.whole.get(Fact.CUTOVER) or {}).get("pointer") if before and before.begun() else None
    if strays := found.strays(left or {}):
        raise Refused(
            f"{', '.join(strays)} no longer holds what the last flip has set: somebody has changed it, and "
            "the application may use another table than the one that is followed.",
            f"find out who has, set it back to {', '.join((left or {})[name] for name in strays)}, then "
            "`ddbverify run`, then run the command again.",
        )
    if found.is_begun():
        raise Refused(
            f"{found.name} points at {found.value} already, and no flip has set it: the application may "
            "write there.",
            "find out who has changed it, set it back, then `ddbverify run`, then run the command again.",
        )


def _need_every_pair(context: Context) -> None:
    """
    Refuse settings that leave a pair of the migration out: the pointer would move it unverified, or leave it.

    Raises:
        Refused: With the pair.
    """
    root = context.root
    if unnamed := sorted(root.pairs_begun() - {pair.id for pair in root.config.tables}):
        raise Refused(
            f"migration.toml does not name {', '.join(unnamed)} any more: nothing would fence or verify it, "
            "and its application would stay where it is.",
            "write its [[tables]] as they were when the migration began (name or ARN, too).",
        )


def foresee(context: Context, targets: Mapping[Pair, str]) -> None:
    """
    Find out in phase 1 what would stop the cutover behind its fence, hours later.

    Args:
        targets: Pair -> ARN of its target, of every pair.

    Raises:
        ConfigurationError: The pointer cannot hold what it has to.
        Refused: A source's policy has no room for the fence.
    """
    if pointer.of(context, targets) is None:
        return  # no cutover is planned yet
    try:
        fence.of(context).check()
    except EngineError as error:  # who may begin a migration need not be the one who cuts over
        context.console.warn(
            f"whether the sources' policies have room for the fence is not known: {error.message}"
        )


def need_fence_of(before: Mapping[str, Any], setting: str, command: str) -> None:
    """Refuse to lift one fence in the place of the other, which would stay up."""
    raised = before.get("fence", setting)
    if raised != setting:
        raise Refused(
            f"An interrupted {command} fenced the source by {raised!r}; [cutover] fence is another now.",
            f"put the setting back, and run `replicator {command}` again: it lifts the fence first.",
        )


def need_fenced_named(context: Context) -> None:
    """
    Refuse settings that name a fenced source no longer: its fence would stay up, and nobody would know.

    Raises:
        Refused: A fence is noted of a source that no pair has.
    """
    named = {table_name(pair.source) for pair in context.config.tables}
    with translated("read what is noted of fences"):
        fenced = sorted(name for name, _ in context.whole.all(Fact.FENCE) if name not in named)
    if fenced:
        raise Refused(
            f"A {context.flips_with} fenced {', '.join(fenced)}, and migration.toml names no such source any "
            "more: the fence may still keep writers off.",
            f"write its [[tables]] as it was, and run `replicator {context.flips_with}`: it lifts the fence "
            "first.",
        )


def need_pointer_of(before: Mapping[str, Any], pointer: Pointer, command: str) -> None:
    """Refuse to decide an unfinished flip of one pointer by what another says."""
    asked = before.get("pointer", pointer.values)
    if asked != pointer.values:
        raise Refused(
            f"An interrupted {command} was to set {', '.join(asked)}, and may have done so; in the settings "
            "the pointer is another by now, or is to hold something else.",
            "put [cutover] pointer and pointer_form and the [[tables]] back as they were, and run "
            f"`replicator {command}` again: it decides by what the pointer says.",
        )


def _opens(context: Context) -> str:
    """What lets a direction follow; not by a name that `cutback` would take for its own."""
    if context.cycle == 0:
        return "run `replicator restore` first."
    before = context.turned(context.cycle - 1).flips_with
    return f"run the command `{before}` again: it goes on where it stopped."


def _check_exists(context: Context, pair: Pair) -> None:
    if tables.find(context.target, pair.target) is None:
        raise Refused(f"The target of {pair} does not exist any more.", f"{begins_anew(context.cycle)}.")
