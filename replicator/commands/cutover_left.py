"""What an interrupted cutover has left: its fence, lifted before anything else can be refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ddbverify.errors import DdbVerifyError, EngineError
from replicator.aws import fence, switch
from replicator.aws.fence import Fence
from replicator.commands import closing, cutover_drain, cutover_preflight
from replicator.context.context import Context
from replicator.handlers.state import now_text


def lift_first(context: Context) -> None:
    """
    Lift the fence of a cutover that was killed before it asked for the flip; nothing happens without one.

    Before the settings are looked at: the application cannot write meanwhile, whatever they say. Behind the
    question for the flip it is for the pointer to say whether the fence may go.
    """
    if not _may_go(context):
        return
    with context.locked("replicator cutover"):
        if _may_go(context):  # another operator may have lifted it while the lease was waited for
            cutover_preflight.need_fenced_named(context)
            lift(context, context.whole.get(switch.CUTOVER) or {})
            cutover_drain.consumers_on(context)  # what is refused next must not keep them off


def _may_go(context: Context) -> bool:
    cut = context.whole.get(switch.CUTOVER) or {}
    return bool(cut.get("fenced")) and not cut.get("flipping") and not cut.get("flipped")


def lift(context: Context, before: Mapping[str, Any]) -> Fence:
    """
    Lift the fence that a run before has left; whatever fails, its consumers are not left off.

    Args:
        before: What is recorded of that run.
    """
    context.console.warn("an earlier cutover was interrupted: its fence is lifted first")
    closing.not_moved(context)  # the pointer was not flipped, or not even asked for
    try:
        cutover_preflight.need_fence_of(before, context.config.cutover.fence)
        with lifting("An earlier cutover was interrupted"):
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
    except DdbVerifyError as error:
        cut = context.whole.get(switch.CUTOVER) or {}
        if cut.get("flipped") or not (cut.get("fenced") or cut.get("flipping")):
            raise
        raise type(error)(
            f"{error.message} The fence of an interrupted cutover stays up: nobody can write to the source.",
            f"{error.hint} Then run `replicator cutover` again: it decides by the pointer whether the fence "
            "is lifted first. `replicator status` says whether and when it ends by itself.",
        ) from error


@contextmanager
def lifting(why: str) -> Iterator[None]:
    """Say it in these words where a fence cannot be lifted: it is what the operator has to know first."""
    try:
        yield
    except (DdbVerifyError, KeyboardInterrupt) as error:
        raise EngineError(
            f"{why}, and its fence could not be lifted: {reason_of(error)}",
            "the application cannot write: run `replicator cutover` again now, which lifts it first, or lift "
            "it by hand; `replicator status` says whether and when it ends by itself.",
        ) from error


def reason_of(error: BaseException) -> str:
    """Why a cutover was rolled back, for people. A bug is known by its type: its text may hold values."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    return error.message if isinstance(error, DdbVerifyError) else type(error).__name__
