"""
Keys of KMS that tables are encrypted with: whether the functions' roles may use them. Pure.

DynamoDB asks KMS for the caller (docs/aws.md T34), and the roles of the stacks have no permissions of KMS. So
the key's own policy has to let them, through DynamoDB; a policy that leaves it to IAM does not.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from ddbverify.words import page
from replicator.doctor.findings import Finding, not_checked, ok, problem
from replicator.doctor.looking import Looked, judged

_USE: Final = "kms:Decrypt"
"""What DynamoDB asks for in the name of whoever reads or writes items; for all else it has grants."""


@dataclass(frozen=True, slots=True)
class Key:
    """
    A key that a table names.

    Args:
        arn: The key's.
        manager: ``AWS`` or ``CUSTOMER``.
        state: ``Enabled``, or what keeps it from being used.
        policy: Its own; empty of a key of AWS's.
    """

    arn: str
    manager: str
    state: str
    policy: Mapping[str, Any]


OURS: Final = "role/replicator-*"
"""What ARNs of the stacks' roles end in where ``[stack]`` says nothing else."""


class Answer(Enum):
    """What a policy says of our roles."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


def encryption(
    table: str, role: str, found: Looked[Key | None], *, region: str, ours: str = OURS
) -> Iterator[Finding]:
    """
    Whether the functions may use the key of a table.

    Args:
        table: Its name.
        role: ``source`` or ``target``.
        found: The key; ``None``: AWS's own, which asks nobody.
        region: Of the table.
        ours: What an ARN of a role of the stacks ends in, with a star.
    """

    def judge(key: Key | None) -> Iterator[Finding]:
        if key is None:
            yield ok("key", table, f"the {role} is encrypted with a key that AWS owns")
        elif key.state != "Enabled":
            yield problem(
                "key",
                table,
                f"the key of the {role} is {key.state}: its items can be neither read nor written",
                f"enable the key, or cancel its deletion: {key.arn}.",
            )
        elif key.manager == "AWS":
            yield ok("key", table, f"the {role} is encrypted with the account's key of AWS for DynamoDB")
        else:
            yield from _of_customer(table, role, key, region, ours)

    yield from judged("key", table, found, judge)


def _of_customer(table: str, role: str, key: Key, region: str, ours: str) -> Iterator[Finding]:
    account = key.arn.split(":")[4]
    answer = lets_roles(key.policy, account, region, ours)
    hint = (
        f"let the roles {ours.removeprefix('role/')} of account {account} use it through DynamoDB "
        f"(kms:ViaService dynamodb.{region}.amazonaws.com): {page('permissions.md')}, «What the stacks make»."
    )
    whose = f"the {role} is encrypted with a key of yours, and its policy"
    if answer is Answer.YES:
        yield ok("key", table, f"{whose} lets the functions use it through DynamoDB")
    elif answer is Answer.NO:
        yield problem("key", table, f"{whose} does not let the functions' roles use it", hint)
    else:
        yield not_checked(
            "key", table, f"{whose} has a condition or a Deny that is not understood here", hint
        )


def lets_roles(policy: Mapping[str, Any], account: str, region: str, ours: str = OURS) -> Answer:
    """
    Whether a key's policy lets the roles of the stacks use it through DynamoDB, whatever IAM says.

    Only what is understood counts: a condition that is not makes the answer unknown, and so does a Deny.
    """
    unsure = allowed = False
    for one in _listed(policy.get("Statement")):
        if "NotPrincipal" in one or "NotAction" in one:
            unsure = True
            continue
        if not _names(one.get("Action"), _USE):
            continue
        to_us = _to_our_roles(one, account, region, ours)
        if one.get("Effect") == "Deny":
            unsure = unsure or to_us is not Answer.NO
        elif to_us is Answer.YES:
            allowed = True
        elif to_us is Answer.UNKNOWN:
            unsure = True
    if unsure:
        return Answer.UNKNOWN
    return Answer.YES if allowed else Answer.NO


def _to_our_roles(statement: Mapping[str, Any], account: str, region: str, ours: str) -> Answer:
    """Whether a statement is about roles that do not exist yet: only by ``*``, never by an account's root."""
    principal = statement.get("Principal")
    named = principal.get("AWS") if isinstance(principal, Mapping) else principal
    everybody = "*" in _listed(named)
    if not everybody:
        return Answer.NO  # a role is named by its ARN when it is there; the root leaves it to IAM
    answers = [
        _holds(operator, name, _listed(values), account, region, ours)
        for operator, block in (statement.get("Condition") or {}).items()
        for name, values in block.items()
    ]
    if Answer.NO in answers:
        return Answer.NO
    return Answer.UNKNOWN if Answer.UNKNOWN in answers else Answer.YES


def _holds(operator: str, name: str, values: Sequence[str], account: str, region: str, roles: str) -> Answer:
    """Whether a condition holds of a request of DynamoDB's for one of our roles."""
    ours = {
        "kms:viaservice": f"dynamodb.{region}.amazonaws.com",
        "kms:calleraccount": account,
        "aws:principalaccount": account,
    }.get(name.lower())
    if ours is not None and operator in ("StringEquals", "StringLike"):
        matches = any(fnmatch.fnmatchcase(ours, value) for value in values)
        return Answer.YES if matches else Answer.NO
    if name.lower() == "aws:principalarn" and operator in ("ArnLike", "StringLike", "ArnEquals"):
        # CloudFormation makes the name's end, and a pattern for it has a star there.
        patterns = (value.rpartition(":")[2] for value in values)
        role = roles.replace("*", "x")
        matches = any(fnmatch.fnmatchcase(role, one.replace("role/*/", "role/")) for one in patterns)
        return Answer.YES if matches else Answer.UNKNOWN
    return Answer.UNKNOWN


def _names(actions: object, action: str) -> bool:
    return any(fnmatch.fnmatchcase(action.lower(), str(one).lower()) for one in _listed(actions))


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]
