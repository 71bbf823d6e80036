"""
A flip that failed or was interrupted: what of it is taken back, and what is said where nothing may be.

The fence first, since the application waits for it; whatever is not taken back is named, with what to run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ddbverify.errors import DdbVerifyError, EngineError, Refused
from ddbverify.tables.aws import translated
from replicator.aws import switch
from replicator.aws.fence import Fence
from replicator.aws.pointer import Pointer
from replicator.commands import closing, cutover_drain, way_back
from replicator.commands.cutover_left import lifting
from replicator.commands.notices import Notices
from replicator.commands.way_back import Ahead
from replicator.context.context import Context
from replicator.handlers.state import now_text


def need_not_moved(context: Context, pointer: Pointer, reason: str) -> None:
    """
    Refuse to take anything back where the application may have moved.

    Args:
        reason: Why it is to be taken back.

    Raises:
        EngineError: It may have, or that cannot be made sure of.
    """
    with lifting(f"The {context.flips_with} failed ({reason})", context.flips_with):
        not_begun = pointer.is_surely_not_begun()
    if not not_begun:
        raise EngineError(
            "The flip was asked for, and it is not known whether it happened; the fence stays up.",
            f"look at {pointer.name}; `replicator {context.flips_with}`, run again, decides by what it says.",
        )


def undo(
    context: Context,
    fence: Fence,
    reason: str,
    *,
    steps: dict[str, str],
    told: Notices,
    ahead: Ahead | None,
) -> None:
    """
    Lift the fence, and say so; what fails after that is told, and hides neither it nor *reason*.

    Args:
        steps: Of the attempt; that the fence is lifted is noted there.
        ahead: What was armed.

    Raises:
        EngineError: The fence could not be lifted.
        Refused: It is, and the rest was interrupted.
    """
    warn, command = context.console.warn, context.flips_with
    try:
        with lifting(f"The {command} failed ({reason})", command):
            fence.lift()
    except EngineError as error:
        warn(error.message)  # at once: what follows takes its time
        closing.not_moved(context)
        # It may end by itself, and then changes have to be applied again.
        cutover_drain.consumers_on(context)
        raise
    warn("the fence is lifted: the application goes on with the source")
    try:
        steps["lifted"] = now_text()
        told.tell("lifted", cycle=context.cycle)
        try:  # at once: whoever finds it recorded as up would lift it again, or refuse to go on
            with translated("record that the fence is lifted"):
                context.whole.put(switch.CUTOVER, steps=steps)
        except DdbVerifyError as error:
            warn(f"`replicator status` calls it up until the next attempt: {error.message}")
        closing.not_moved(context)
        cutover_drain.consumers_on(context)
        way_back.tell_armed(context, ahead)
    except KeyboardInterrupt as error:
        raise Refused(
            f"The {command} failed ({reason}), and rolling it back was interrupted. Its fence is lifted; its "
            "consumers may be off, and then nothing is applied.",
            f"run `replicator {command}` again: it switches them on first, and starts over, with the gate.",
        ) from error


@contextmanager
def behind_the_flip(context: Context, steps: Mapping[str, str]) -> Iterator[None]:
    """
    Whoever interrupts what comes behind a flip is told that the application has moved.

    Args:
        steps: Of the attempt, as far as it is.

    Raises:
        Refused: It was interrupted there.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        if "flip" not in steps:
            raise
        raise Refused(
            f"The {context.flips_with} was interrupted behind its flip: the application has moved, and what "
            "comes behind that may not be done.",
            f"run `replicator {context.flips_with}` again now: it goes on from there.",
        ) from error
