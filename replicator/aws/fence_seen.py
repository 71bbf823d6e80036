"""Whether a fence stands, as far as it can be seen from here. Reads only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from ddbverify.errors import EngineError
from ddbverify.names import Fact, table_name
from replicator.aws.policies import LAG_SECONDS, Policies
from replicator.aws.policy_deny import begin_of, end_of, is_fenced
from replicator.context import tables
from replicator.context.context import Context

State = Literal["up", "scheduled", "ended", "none", "unknown"]


@dataclass(frozen=True, slots=True)
class Seen:
    """
    The fence of one source table.

    Args:
        until: When it ends by itself, in seconds since the epoch; ``None``: when it is lifted.
        why: Why it is unknown.
        begins: Of one that is scheduled: behind which second it keeps writers off.
    """

    table: str
    state: State
    until: int | None = None
    why: str = ""
    begins: int | None = None

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "state": self.state,
            "begins": _iso(self.begins),
            "ends": _iso(self.until),
            "unknown": self.why or None,
        }


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
        return _at(name, begin_of(policy), end_of(policy), now)
    if note is not None and now - _epoch(note["at"]) < 2 * LAG_SECONDS:
        # Put a moment ago: a read may not show it yet. Twice the lag, since the note is of another clock.
        begins, until = (int(note[one]) if one in note else None for one in ("begin_epoch", "until_epoch"))
        return _at(name, begins, until, now)
    return Seen(name, "none")


def _at(name: str, begins: int | None, until: int | None, now: float) -> Seen:
    """What a fence between two moments is now."""
    if until is not None and until <= now:
        return Seen(name, "ended", until)
    if begins is not None and begins >= now:  # it denies behind that second
        return Seen(name, "scheduled", until, begins=begins)
    return Seen(name, "up", until)


def _iso(epoch: int | None) -> str | None:
    return None if epoch is None else datetime.fromtimestamp(epoch, UTC).isoformat()


def _epoch(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()
