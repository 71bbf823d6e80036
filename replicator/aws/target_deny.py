"""
The statements in a target's policy that let nobody write but the replicator, and the window in them. Pure.

A cutover opens the target at a known second behind the source's fence, and closes it again before that fence
would end by itself: two statements, since one is held to all of its conditions (docs/aws.md T30).

A table that follows behind a flip is closed by the fence which that flip has put up. It opens likewise: its
statement takes the place of the first of the two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ddbverify.names import FOLLOWER_FENCE_SIDS, TARGET_FENCE_SIDS
from replicator.aws.policies import Policy
from replicator.aws.policy_deny import denial, moment_of, statements, without

Sids = tuple[str, str]
"""Of the statement that denies until the target opens, and of the one that denies again."""

OF_TARGET: Sids = TARGET_FENCE_SIDS
OF_FOLLOWER: Sids = FOLLOWER_FENCE_SIDS


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


def closed(
    policy: Policy | None, arn: str, exempt: Sequence[str], window: Window | None, sids: Sids = OF_TARGET
) -> Policy:
    """
    A policy with the target's fence in it, and with all else that it has.

    Args:
        policy: What the table has, with or without a fence; ``None``: none.
        arn: Of the table.
        exempt: ARNs of the identities that may write at any time.
        window: When everybody may; ``None``: never.
        sids: Of the fence's statements.
    """
    until, again = sids
    kept = unclosed(policy, sids) or {"Version": "2012-10-17", "Statement": []}
    ours = [denial(until, arn, exempt, None, None if window is None else window.opens)]
    if window is not None:
        ours.append(denial(again, arn, exempt, window.closes, None))
    return {**kept, "Statement": [*kept["Statement"], *ours]}


def unclosed(policy: Policy | None, sids: Sids = OF_TARGET) -> Policy | None:
    """A policy without the target's fence; ``None`` where nothing else is in it."""
    return without(policy, sids)


def ours_in(policy: Policy | None, sids: Sids = OF_TARGET) -> list[Mapping[str, Any]]:
    """The statements of the target's fence in a policy."""
    return [one for one in statements(policy) if one.get("Sid") in sids]


def exempt_in(policy: Policy | None, sids: Sids = OF_TARGET) -> tuple[str, ...]:
    """ARNs of the identities that the fence in a policy lets through."""
    found = [one.get("Condition", {}).get("ArnNotLike", {}) for one in ours_in(policy, sids)]
    arns = [arn for one in found for arn in _listed(one.get("aws:PrincipalArn", ()))]
    return tuple(dict.fromkeys(arns))


def is_closed_at(policy: Policy | None, epoch: float, sids: Sids = OF_TARGET) -> bool:
    """Whether the fence in a policy keeps writers off in this second of the epoch."""
    for one in ours_in(policy, sids):
        begins, ends = moment_of(one, "DateGreaterThan"), moment_of(one, "DateLessThan")
        if (begins is None or int(epoch) > begins) and (ends is None or int(epoch) < ends):
            return True
    return False


def window_of(policy: Policy | None, sids: Sids = OF_TARGET) -> Window | None:
    """The window in the fence of a policy; ``None``: there is none."""
    until, again = sids
    opens = [moment_of(one, "DateLessThan") for one in ours_in(policy, sids) if one["Sid"] == until]
    closes = [moment_of(one, "DateGreaterThan") for one in ours_in(policy, sids) if one["Sid"] == again]
    if len(opens) == len(closes) == 1 and opens[0] is not None and closes[0] is not None:
        return Window(opens[0], closes[0])
    return None


def _listed(arns: str | Sequence[str]) -> Sequence[str]:
    """What AWS shows as a text where it is one only."""
    return (arns,) if isinstance(arns, str) else arns
