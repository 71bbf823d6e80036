"""
Whether the operator may do what the commands will: asked of IAM's simulator, which carries nothing out.

The simulator sees the policies of the identity, of its groups, its boundary and its organization. It does not
see policies of resources and of the session (docs/aws.md T35), so an answer of it is no promise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ddbverify.tables.references import Arn
from ddbverify.words import number_of, page
from replicator.doctor.findings import Finding, not_checked, ok, problem
from replicator.doctor.looking import Looked, Unknown, look
from replicator.doctor.policies import Names, Statement, context_of, resources_of

if TYPE_CHECKING:
    from mypy_boto3_iam import IAMClient

Sides = Mapping[str, tuple["IAMClient", str]]
"""``source`` and ``target`` -> a client of IAM, and the ARN of whoever asks there."""

_SHOWN: Final = 6
"""Actions that a finding names; how many there are is told."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What the simulator says of one action on one resource.

    Args:
        decision: ``allowed``, ``implicitDeny`` or ``explicitDeny``; empty: it gave no answer.
        missing: Keys of conditions whose value it would have needed.
        is_by_organization: The account's organization does not allow it.
    """

    action: str
    resource: str
    decision: str
    missing: tuple[str, ...] = ()
    is_by_organization: bool = False

    @property
    def is_allowed(self) -> bool:
        """As far as the simulator sees."""
        return self.decision == "allowed"

    @property
    def is_sure(self) -> bool:
        """Whether a denial is one: by nothing that it was not told, and not by an organization's policy."""
        return self.decision.endswith("Deny") and not self.missing and not self.is_by_organization


def principal(client: IAMClient, identity: str) -> Looked[str]:
    """
    The user or role behind an identity, as the simulator wants it: a session's ARN has no path of its role.

    https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
    """
    found = Arn.parse(identity)
    kind = found.resource.partition("/")[0] if found else ""
    if kind == "user":
        return look("name the identity", lambda: identity)
    if kind != "assumed-role":
        return Unknown(
            f"IAM does not simulate for {identity}",
            "run it as the user or role that will run the commands.",
        )
    role = identity.split("/")[1]
    return look(f"read the role {role}", lambda: client.get_role(RoleName=role)["Role"]["Arn"])


def simulate(client: IAMClient, source: str, statement: Statement, names: Names) -> list[Verdict]:
    """What the simulator says of each action of a statement, on each of its resources; all pages of it."""
    resources = resources_of(statement, names)
    entries: Any = [
        {"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"}
        for key, value in context_of(statement, names).items()
    ]
    pages = client.get_paginator("simulate_principal_policy").paginate(
        PolicySourceArn=source,
        ActionNames=list(statement.actions),
        ResourceArns=list(resources),
        ContextEntries=entries,
    )
    answered: dict[tuple[str, str], Verdict] = {}
    for one in (result for found in pages for result in found["EvaluationResults"]):
        for verdict in _verdicts(one, resources):
            answered[verdict.action.lower(), verdict.resource] = verdict
    return [
        answered.get((action.lower(), resource), Verdict(action, resource, ""))
        for action in statement.actions
        for resource in resources
    ]


def _verdicts(result: Mapping[str, Any], resources: Sequence[str]) -> Iterator[Verdict]:
    """Of an action on all resources; by resource, since the one above all may name none of them."""
    action, organization = result["EvalActionName"], result.get("OrganizationsDecisionDetail") or {}
    parts = result.get("ResourceSpecificResults") or ()
    for part in parts:
        yield Verdict(
            action,
            part["EvalResourceName"],
            part["EvalResourceDecision"],
            tuple(part.get("MissingContextValues") or ()),
            organization.get("AllowedByOrganizations") is False,
        )
    if not parts and len(resources) == 1:
        yield Verdict(
            action,
            resources[0],
            result["EvalDecision"],
            tuple(result.get("MissingContextValues") or ()),
            organization.get("AllowedByOrganizations") is False,
        )


def examine(
    sides: Sides, asked: Iterable[tuple[str, Statement, Names]], with_policy: frozenset[str]
) -> Iterator[Finding]:
    """
    Ask the simulator about every statement, side by side and section by section.

    A side whose identity is not known, or whose first question is refused, has one finding alone.

    Args:
        asked: Whose identity needs a statement, it, and the names that its resources have.
        with_policy: As for `permissions`.
    """
    grouped: dict[str, dict[str, list[tuple[Statement, Names]]]] = {}
    for whose, statement, names in asked:
        grouped.setdefault(whose, {}).setdefault(statement.section, []).append((statement, names))
    for side, (client, identity) in sides.items():
        who = principal(client, identity)
        if isinstance(who, Unknown):
            yield not_checked("permissions", f"all ({side})", who.why, who.hint)
            continue
        source, begun = who.value, False
        for section, all_of in grouped.get(side, {}).items():
            answers: list[Looked[list[Verdict]]] = []
            for statement, names in all_of:
                answers.append(_asked(client, source, statement, names))
                if not begun and isinstance(answers[-1], Unknown):
                    break
                begun = True
            if not begun:
                yield from permissions("all", side, answers, with_policy)
                break
            yield from permissions(section, side, answers, with_policy)


def _asked(client: IAMClient, source: str, statement: Statement, names: Names) -> Looked[list[Verdict]]:
    what = f"simulate the policies of {source} (iam:SimulatePrincipalPolicy)"
    return look(what, lambda: simulate(client, source, statement, names))


def permissions(
    section: str, side: str, asked: Sequence[Looked[list[Verdict]]], with_policy: frozenset[str]
) -> Iterator[Finding]:
    """
    What the answers to all statements of a section come to, on one side. Pure.

    Args:
        section: Heading in docs/permissions.md.
        side: ``source`` or ``target``.
        asked: What each statement was answered.
        with_policy: ARNs of tables that have a policy of their own, which may allow what IAM does not.
    """
    about = f"{section} ({side})"
    refused = next((one for one in asked if isinstance(one, Unknown)), None)
    verdicts = [verdict for one in asked if not isinstance(one, Unknown) for verdict in one.value]
    denied: list[Verdict] = []
    unsure: list[Verdict] = []
    for one in verdicts:
        if one.is_allowed:
            continue
        by_policy = one.decision == "implicitDeny" and one.resource in with_policy
        (denied if one.is_sure and not by_policy else unsure).append(one)
    if denied:
        yield problem(
            "permissions",
            about,
            f"{number_of(len(denied), 'action')} denied: {_listed(denied)}",
            f"allow them; the policies stand in {page('permissions.md')}, «{section.partition(',')[0]}».",
        )
    if refused is not None:
        yield not_checked("permissions", about, refused.why, refused.hint)
    if unsure or not (verdicts or refused):
        why = (
            f"the simulator cannot tell of {number_of(len(unsure), 'action')}: {_listed(unsure)}"
            if unsure
            else "nothing was asked"
        )
        yield not_checked(
            "permissions",
            about,
            why,
            "ask whoever keeps the policies of your organization, of these tables, or their conditions.",
        )
    elif not denied and refused is None:
        yield ok("permissions", about, f"{number_of(len(verdicts), 'action')} allowed, as IAM simulates it")


def _listed(verdicts: Sequence[Verdict]) -> str:
    shown = [f"{one.action} on {_short(one.resource)}" for one in verdicts[:_SHOWN]]
    more = len(verdicts) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")


def _short(resource: str) -> str:
    return "*" if resource == "*" else resource.split(":", 5)[-1]
