"""
The statements in a target's policy that let nobody write but the replicator, and the window in them. Pure.

A cutover opens the target at a known second behind the source's fence, and closes it again before that fence
would end by itself: two statements, since one is held to all of its conditions (docs/aws.md T30).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ddbverify.names import TARGET_FENCE_SIDS
from replicator.aws.policies import Policy
from replicator.aws.policy_deny import denial, moment_of, statements, without

_UNTIL, _AGAIN = TARGET_FENCE_SIDS


@dataclass(frozen=True, slots=True)
class Window:
    """
    When everybody may write to a target: from the second *opens* to the second *closes*, with both.

    Args:
        opens: Seconds since the epoch.
        closes: Likewise.
    """

    opens: int
    closes: int


def closed(policy: Policy | None, arn: str, exempt: Sequence[str], window: Window | None) -> Policy:
    """
    A policy with the target's fence in it, and with all else that it has.

    Args:
        policy: What the table has, with or without a fence; ``None``: none.
        arn: Of the table.
        exempt: ARNs of the identities that may write at any time.
        window: When everybody may; ``None``: never.
    """
    kept = unclosed(policy) or {"Version": "2012-10-17", "Statement": []}
    ours = [denial(_UNTIL, arn, exempt, None, None if window is None else window.opens)]
    if window is not None:
        ours.append(denial(_AGAIN, arn, exempt, window.closes, None))
    return {**kept, "Statement": [*kept["Statement"], *ours]}


def unclosed(policy: Policy | None) -> Policy | None:
    """A policy without the target's fence; ``None`` where nothing else is in it."""
    return without(policy, TARGET_FENCE_SIDS)


def ours_in(policy: Policy | None) -> list[Mapping[str, Any]]:
    """The statements of the target's fence in a policy."""
    return [one for one in statements(policy) if one.get("Sid") in TARGET_FENCE_SIDS]


def is_closed_at(policy: Policy | None, epoch: float) -> bool:
    """Whether the fence in a policy keeps writers off in this second of the epoch."""
    for one in ours_in(policy):
        begins, ends = moment_of(one, "DateGreaterThan"), moment_of(one, "DateLessThan")
        if (begins is None or int(epoch) > begins) and (ends is None or int(epoch) < ends):
            return True
    return False


def window_of(policy: Policy | None) -> Window | None:
    """The window in the fence of a policy; ``None``: there is none."""
    opens = [moment_of(one, "DateLessThan") for one in ours_in(policy) if one["Sid"] == _UNTIL]
    closes = [moment_of(one, "DateGreaterThan") for one in ours_in(policy) if one["Sid"] == _AGAIN]
    if len(opens) == len(closes) == 1 and opens[0] is not None and closes[0] is not None:
        return Window(opens[0], closes[0])
    return None
