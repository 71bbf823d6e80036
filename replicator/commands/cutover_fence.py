"""The fence of a cutover goes up: scheduled where it can be, and watched until it begins."""

from __future__ import annotations

import time
from dataclasses import dataclass

from replicator.aws.fence import Fence
from replicator.aws.fence import close_left_open as close_opened
from replicator.context import clock
from replicator.context.console import Step
from replicator.context.context import Context


@dataclass(frozen=True, slots=True)
class Raised:
    """
    A fence that is put, and keeps writers off from a moment on.

    Args:
        since: That moment, in seconds since the epoch, the server's clock.
        scheduled: Whether it may still lie ahead.
        deadline: By when the flip has to be done, on `clock.seconds`.
    """

    since: float
    scheduled: bool
    deadline: float


def put(context: Context, fence: Fence) -> Raised:
    """
    Put the fence up, or ahead of its beginning, so that it has spread by then.

    ``[cutover] fence_limit`` counts from its beginning: until then the application writes.
    """
    limit = context.config.cutover.fence_limit
    began = clock.seconds()  # before the server is asked: the fence's own end is not to come sooner
    now = context.server_time()
    if fence.lead_seconds:
        since = now + fence.lead_seconds
        fence.raise_(since, since + limit)
        return Raised(since, scheduled=True, deadline=began + fence.lead_seconds + limit)
    fence.raise_(None, now + limit)
    return Raised(context.server_time(), scheduled=False, deadline=began + limit)


def close_left_open(context: Context, fence: Fence) -> None:
    """Close the targets that an attempt before could not close again, so that no two tables are open."""
    if names := close_opened(fence):
        context.console.warn(
            f"{', '.join(names)} was left open by an attempt that was rolled back: it is closed"
        )


def await_beginning(context: Context, fence: Fence, since: float, step: Step) -> None:
    """
    Wait until the fence keeps writers off, and see to it that it still stands as it was put.

    Raises:
        EngineError: Somebody else has changed a table's policy meanwhile.
    """
    while (left := since - context.server_time()) >= 0:  # it denies behind that second
        fence.need_standing()
        step.at(f"{left:.0f} s until nobody writes")
        time.sleep(min(context.pace.poll_seconds, max(left, 0.1)))
