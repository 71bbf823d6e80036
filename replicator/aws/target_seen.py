"""Whether a target takes anybody's writes, as far as it can be seen from here. Reads only."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from ddbverify.errors import EngineError
from ddbverify.names import Fact, table_name
from replicator.aws.policies import LAG_SECONDS, Policies
from replicator.aws.target_deny import OF_FOLLOWER, OF_TARGET, Sids, is_closed_at, ours_in, window_of
from replicator.aws.target_notes import Asked, asked_of
from replicator.context import tables
from replicator.context.context import Context

State = Literal["closed", "open", "changed", "none", "unknown"]


@dataclass(frozen=True, slots=True)
class SeenTarget:
    """
    The fence of one target table.

    Args:
        state: ``closed`` to all but the replicator; ``open`` to everybody, by a cutover; ``changed``:
            somebody else has taken our statements out of the policy; ``none``: it was never closed.
        opens: Of one that is closed: when a cutover opens it, in seconds since the epoch.
        closes: Of one that is open: when it closes by itself, likewise; ``None``: it does not.
        why: Why it is unknown.
    """

    table: str
    state: State
    opens: int | None = None
    closes: int | None = None
    why: str = ""

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "state": self.state,
            "opens": _iso(self.opens),
            "closes": _iso(self.closes),
            "unknown": self.why or None,
        }


def look(context: Context) -> list[SeenTarget]:
    """The fence of each target table that exists."""
    noted = {name: asked_of(fact) for name, fact in context.whole.all(Fact.TARGET_FENCE)}
    names = [table_name(pair.target) for pair in context.config.tables]
    return [found for name in names if (found := _of(context, name, noted.get(name))) is not None]


def _of(context: Context, name: str, asked: Asked | None) -> SeenTarget | None:
    try:
        target = tables.find(context.target, name)
        if target is None:
            return None
        if asked is None:
            return SeenTarget(name, "none")
        policy, _ = Policies(context.target).read(target.arn)
    except EngineError as error:
        return SeenTarget(name, "unknown", why=error.message)
    sids = OF_FOLLOWER if context.cycle else OF_TARGET
    return seen(name, policy, asked, context.server_time(), time.time(), sids)


def seen(
    name: str,
    policy: Mapping[str, Any] | None,
    asked: Asked,
    now: float,
    here: float,
    sids: Sids = OF_TARGET,
) -> SeenTarget:
    """
    What a policy that was read says of a target.

    Args:
        now: Seconds since the epoch, the server's clock.
        here: Likewise, the clock by which *asked* is dated.
        sids: Of the fence's statements.
    """
    if not ours_in(policy, sids):
        if asked.opened:
            return SeenTarget(name, "open")
        # Asked for a moment ago: a read may not show it yet. Twice the lag, since that is of another clock.
        late = here - asked.at_epoch < 2 * LAG_SECONDS
        return (
            SeenTarget(name, "unknown", why="its policy was changed a moment ago")
            if late
            else (SeenTarget(name, "changed"))
        )
    window = window_of(policy, sids)
    if is_closed_at(policy, now, sids):
        return SeenTarget(name, "closed", opens=window.opens if window and now < window.opens else None)
    return SeenTarget(name, "open", closes=None if window is None else window.closes)


def _iso(epoch: int | None) -> str | None:
    return None if epoch is None else datetime.fromtimestamp(epoch, UTC).isoformat()
