"""
The statement in a table's policy that denies every write to it, from one moment to another. Pure.

Both moments are conditions on ``aws:CurrentTime``, which AWS holds against each request (docs/aws.md T30).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from ddbverify.names import FENCE_SID
from replicator.aws.policies import Policy

OF_SOURCE: Final = (FENCE_SID,)
"""Sids of the fence of a source. That of a target has others: `replicator.aws.target_deny`."""

# Every action that changes an item. https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html
_WRITES: Final = [
    "dynamodb:BatchWriteItem",
    "dynamodb:DeleteItem",
    "dynamodb:PartiQLDelete",
    "dynamodb:PartiQLInsert",
    "dynamodb:PartiQLUpdate",
    "dynamodb:PutItem",
    "dynamodb:UpdateItem",
]

_EMPTY: Final[Policy] = {"Version": "2012-10-17", "Statement": []}

_NOW: Final = "aws:CurrentTime"


def fenced(
    policy: Policy | None, arn: str, exempt: Sequence[str], begins: int | None, until: int | None
) -> Policy:
    """
    A policy with the fence in it, and with all else that it has.

    Args:
        policy: What the table has, with or without a fence; ``None``: none.
        arn: Of the table.
        exempt: ARNs of the identities that may still write.
        begins: It denies behind this second of the epoch; ``None``: at once.
        until: It denies before this second; ``None``: for good.
    """
    kept = without(policy) or _EMPTY
    return {**kept, "Statement": [*kept["Statement"], denial(FENCE_SID, arn, exempt, begins, until)]}


def denial(
    sid: str, arn: str, exempt: Sequence[str], begins: int | None, until: int | None
) -> dict[str, Any]:
    """A statement that denies every write between two moments; arguments as those of `fenced`."""
    # All conditions have to hold, so that it denies nothing before the one moment and behind the other.
    condition: dict[str, Any] = {"ArnNotLike": {"aws:PrincipalArn": list(exempt)}}
    if begins is not None:
        condition["DateGreaterThan"] = {_NOW: _iso(begins)}
    if until is not None:
        condition["DateLessThan"] = {_NOW: _iso(until)}
    return {
        "Sid": sid,
        "Effect": "Deny",
        "Principal": "*",
        "Action": _WRITES,
        "Resource": arn,
        "Condition": condition,
    }


def without(policy: Policy | None, sids: Sequence[str] = OF_SOURCE) -> Policy | None:
    """A policy without the fence; ``None`` where nothing else is in it."""
    others = [one for one in statements(policy) if one.get("Sid") not in sids]
    return {**policy, "Statement": others} if policy is not None and others else None


def is_fenced(policy: Policy | None) -> bool:
    """Whether a policy has the fence's statement in it, whether or not that has begun, or has ended."""
    return any(one.get("Sid") == FENCE_SID for one in statements(policy))


def begin_of(policy: Policy | None) -> int | None:
    """Behind which second of the epoch the fence in a policy denies; ``None``: it denies already."""
    known = _moments(policy, "DateGreaterThan")
    return min(known) if known else None


def end_of(policy: Policy | None) -> int | None:
    """When the fence in a policy ends, in seconds since the epoch; ``None``: when it is lifted."""
    known = _moments(policy, "DateLessThan")
    return max(known) if known else None


def what_changed(policy: Policy | None, put: Policy, sids: Sequence[str] = OF_SOURCE) -> str:
    """What somebody else has made of the policy that was *put*, in words."""
    ours, theirs = ([one for one in statements(side) if one.get("Sid") in sids] for side in (put, policy))
    if not theirs:
        return "the fence's statement is gone from it" if policy is not None else "it is gone, fence and all"
    if theirs != ours:
        return "the fence's statement is another one now"
    names = [{str(one.get("Sid", "one without a Sid")) for one in statements(side)} for side in (put, policy)]
    said = [
        f"{', '.join(sorted(some))} {how}"
        for some, how in ((names[1] - names[0], "came"), (names[0] - names[1], "went"))
        if some
    ]
    return f"the fence's statement still stands; of the others: {'; '.join(said) or 'one or more changed'}"


def moment_of(statement: Mapping[str, Any], operator: str) -> int | None:
    """The second of the epoch that a statement holds the time of a request against; ``None``: none."""
    moment = statement.get("Condition", {}).get(operator, {}).get(_NOW)
    return int(datetime.fromisoformat(moment).timestamp()) if moment else None


def _moments(policy: Policy | None, operator: str) -> list[int]:
    """The moment of each fence in a policy; none where one of them has no such moment."""
    found = [moment_of(one, operator) for one in statements(policy) if one.get("Sid") == FENCE_SID]
    known = [moment for moment in found if moment is not None]
    return known if len(known) == len(found) else []


def statements(policy: Policy | None) -> Sequence[dict[str, Any]]:
    """All statements of a policy."""
    return policy["Statement"] if policy is not None else ()


def _iso(epoch: int) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
