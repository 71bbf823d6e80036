"""
What the flips before have left: which direction is next, and the fence of one that was interrupted.

That fence is lifted before anything else can be refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ddbverify.errors import DdbVerifyError, EngineError, Refused
from ddbverify.tables.aws import translated
from replicator.aws import fence, switch
from replicator.aws.fence import Fence
from replicator.commands import closing, cutover_drain, cutover_preflight
from replicator.commands.notices import reason_of
from replicator.context import live
from replicator.context.context import Context
from replicator.context.lock import Lock
from replicator.handlers.state import now_text


def over(context: Context) -> Context:
    """
    The direction in which the target follows, or followed until its flip.

    Raises:
        Refused: A cutback was interrupted.
    """
    found = live.read(context)
    if found.cycle % 2 == 0:
        return context.turned(found.cycle)
    if not closing.is_under_way(context.turned(found.cycle)):
        return context.turned(found.cycle - 1)  # flipped already; the way back is open
    raise Refused(
        "A cutback was interrupted: its fence may stand, and the application may not be able to write.",
        "run `replicator cutback`: it lifts that fence first, or decides by what the pointer says.",
    )


def lift_first(context: Context) -> bool:
    """
    Lift the fence of a cutover that was killed before it asked for the flip; nothing happens without one.

    Before the settings are looked at: the application cannot write meanwhile, whatever they say. Behind the
    question for the flip it is for the pointer to say whether the fence may go.

    Returns:
        Whether one was lifted.
    """
    if not _may_go(context):
        return False
    with context.locked(f"replicator {context.flips_with}"):
        if not _may_go(context):  # another operator may have lifted it while the lease was waited for
            return False
        cutover_preflight.need_fenced_named(context)
        lift(context, context.whole.get(switch.CUTOVER) or {})
        cutover_drain.consumers_on(context)  # what is refused next must not keep them off
    return True


def _may_go(context: Context) -> bool:
    cut = context.whole.get(switch.CUTOVER) or {}
    return bool(cut.get("fenced")) and not cut.get("flipping") and not cut.get("flipped")


def lift(context: Context, before: Mapping[str, Any]) -> Fence:
    """
    Lift the fence that a run before has left; whatever fails, its consumers are not left off.

    Args:
        before: What is recorded of that run.
    """
    context.console.warn(f"an earlier {context.flips_with} was interrupted: its fence is lifted first")
    closing.not_moved(context)  # the pointer was not flipped, or not even asked for
    try:
        cutover_preflight.need_fence_of(before, context.config.cutover.fence, context.flips_with)
        with lifting(f"An earlier {context.flips_with} was interrupted", context.flips_with):
            fence.of(context, to_lift=True).lift()
    except DdbVerifyError:  # it may end by itself, and then changes have to be applied again
        cutover_drain.consumers_on(context)
        raise
    context.whole.put(switch.CUTOVER, steps={"lifted": now_text()})
    return fence.of(context)


@contextmanager
def named(context: Context) -> Iterator[None]:
    """Whatever is refused while a fence stands says so: the application cannot write meanwhile."""
    try:
        yield
    except (DdbVerifyError, KeyboardInterrupt) as error:
        cut = context.whole.get(switch.CUTOVER) or {}
        if cut.get("flipped") or not (cut.get("fenced") or cut.get("flipping")):
            raise
        if isinstance(error, KeyboardInterrupt):
            error = Refused("Interrupted.", "look at `replicator status`.")
        raise type(error)(
            f"{error.message} The fence of an interrupted {context.flips_with} stays up: nobody can write to "
            "the source.",
            f"{error.hint} Then run `replicator {context.flips_with}` again: it decides by the pointer "
            "whether the fence is lifted first. `replicator status` says whether and when it ends by itself.",
        ) from error


@contextmanager
def lifting(why: str, command: str) -> Iterator[None]:
    """Say it in these words where a fence cannot be lifted: it is what the operator has to know first."""
    try:
        yield
    except (DdbVerifyError, KeyboardInterrupt) as error:
        raise EngineError(
            f"{why}, and its fence could not be lifted: {reason_of(error)}",
            f"the application cannot write: run `replicator {command}` again now, which lifts it first, or "
            "lift it by hand; `replicator status` says whether and when it ends by itself.",
        ) from error


def need_ours(context: Context, lock: Lock, reason: str) -> None:
    """
    Make sure that this is still the cutover under way, before anything of it is taken back.

    Args:
        lock: That it was begun with.
        reason: Why it is to be taken back.

    Raises:
        Refused: This machine slept, or had no network, until another operator took over: it may have
            moved the application by now, and lifting its fence would let both tables take writes.
        EngineError: It cannot be made sure of.
    """
    if lock.lasts():
        return
    began, command = lock.token, context.flips_with
    with lifting(f"The {command} failed ({reason})", command), translated("take the migration's lease again"):
        ours = lock.regain() and (context.whole.get(switch.CUTOVER) or {}).get("token") == began
    if not ours:
        raise Refused(
            f"This {command} stood still until its lease ended, and another operator has taken "
            "over; it left fence and pointer as they are.",
            "see `replicator status`: if it says that the fence is up, run "
            f"`replicator {command}` again: it is lifted first.",
        )
