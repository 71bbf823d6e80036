"""Whether a fence stands, as far as it can be seen from here. Reads only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from ddbverify.errors import EngineError
from ddbverify.names import Fact, table_name
from replicator.aws.policies import LAG_SECONDS, Policies
from replicator.aws.policy_fence import end_of, is_fenced
from replicator.context import tables
from replicator.context.context import Context

State = Literal["up", "ended", "none", "unknown"]


@dataclass(frozen=True, slots=True)
class Seen:
    """
    The fence of one source table.

    Args:
        until: When it ends by itself, in seconds since the epoch; ``None``: when it is lifted.
        why: Why it is unknown.
    """

    table: str
    state: State
    until: int | None = None
    why: str = ""

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        ends = None if self.until is None else datetime.fromtimestamp(self.until, UTC).isoformat()
        return {"state": self.state, "ends": ends, "unknown": self.why or None}


def look(context: Context, cut: Mapping[str, Any]) -> list[Seen]:
    """
    The fence of each source table, of those too that only a note still names.

    Args:
        cut: What is recorded of the cutover. Of a fence by the operator's command nothing else is known.
    """
    notes = dict(context.whole.all(Fact.FENCE))  # of policies, also where the setting is another by now
    # A pair that was taken out of the settings keeps its fence.
    names = dict.fromkeys([*(table_name(pair.source) for pair in context.config.tables), *notes])
    if context.config.cutover.fence.startswith("command:") and not notes:
        up = any(cut.get(step) for step in ("fenced", "flipping", "flipped"))
        return [Seen(name, "up" if up else "none") for name in names]
    return [_of_policy(context, name, notes.get(name)) for name in names]


def _of_policy(context: Context, name: str, note: Mapping[str, Any] | None) -> Seen:
    try:
        source = tables.find(context.source, name)
        if source is None:
            return Seen(name, "none")  # it went, and its policy with it
        policy, _ = Policies(context.source).read(source.arn)
    except EngineError as error:
        return Seen(name, "unknown", why=error.message)
    now = context.server_time()
    if is_fenced(policy):
        until = end_of(policy)
        return Seen(name, "ended" if until is not None and until <= now else "up", until)
    if note is not None and now - _epoch(note["at"]) < 2 * LAG_SECONDS:
        # Put a moment ago: a read may not show it yet. Twice the lag, since the note is of another clock.
        return Seen(name, "up", int(note["until_epoch"]) if "until_epoch" in note else None)
    return Seen(name, "none")


def _epoch(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()
