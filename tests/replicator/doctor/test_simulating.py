"""Asking IAM's simulator, with its manners: pages, resources of their own, conditions and organizations."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from replicator.doctor.findings import State
from replicator.doctor.looking import Known, Unknown
from replicator.doctor.policies import Statement
from replicator.doctor.simulating import Verdict, examine, permissions, principal, simulate
from tests.replicator.doctor.test_policies import NAMES
from tests.replicator.fakes import refusal

ROLE = "arn:aws:iam::777788889999:role/team/operator"
SESSION = "arn:aws:sts::777788889999:assumed-role/operator/me"
TABLE = "arn:aws:dynamodb:us-east-1:777788889999:table/films"
STATEMENT = Statement(
    "Phase 1",
    "Sid",
    "source",
    ("dynamodb:PutItem", "dynamodb:Scan"),
    ("arn:aws:dynamodb:eu-west-1:111122223333:table/orders",),
)
NONE: frozenset[str] = frozenset()


class Simulator:
    """
    As much of IAM as is asked: what is not `denied` is allowed.

    Args:
        denied: Action -> decision.
        missing: Keys of conditions that it was not given.
        organization: What the organization says, where there is one.
        page: Results on a page.
        error: Raised by every simulation, or from the n-th on.
        silent: Actions that it does not answer for.
    """

    def __init__(self, *, denied=(), missing=(), organization=None, page=1, error=None, after=0, silent=()):
        self.denied, self.missing, self.organization = dict(denied), list(missing), organization
        self.page, self.error, self.after, self.silent = page, error, after, silent
        self.requests = []

    def get_role(self, *, RoleName):  # noqa: N803
        if RoleName != "operator":
            raise refusal("NoSuchEntity")
        return {"Role": {"Arn": ROLE}}

    def get_paginator(self, name):
        assert name == "simulate_principal_policy"
        return SimpleNamespace(paginate=self.paginate)

    def paginate(self, **request):
        self.requests.append(request)
        if self.error is not None and len(self.requests) > self.after:
            raise self.error
        results = [self.result(one, request) for one in request["ActionNames"] if one not in self.silent]
        return [
            {"EvaluationResults": results[at : at + self.page]} for at in range(0, len(results), self.page)
        ]

    def result(self, action, request):
        decision = self.denied.get(action, "allowed")
        parts = [
            {
                "EvalResourceName": arn,
                "EvalResourceDecision": decision,
                "MissingContextValues": self.missing if decision != "allowed" else [],
            }
            for arn in request["ResourceArns"]
        ]
        made = {
            "EvalActionName": action,
            # Not the resource that was asked about, which the parts name.
            "EvalResourceName": "arn:${Partition}:dynamodb:${Region}:${Account}:table/${TableName}",
            "EvalDecision": decision,
        }
        if request["ResourceArns"] == ["*"]:
            made |= {"EvalResourceName": "*", "MissingContextValues": self.missing}
        else:
            made["ResourceSpecificResults"] = parts
        if self.organization is not None and decision != "allowed":
            made["OrganizationsDecisionDetail"] = {"AllowedByOrganizations": self.organization}
        return made


def told(simulator, *statements, identity=SESSION, with_policy=NONE):
    asked = [("source", one, NAMES) for one in statements or (STATEMENT,)]
    return list(examine({"source": (simulator, identity)}, asked, with_policy))


def test_a_session_is_asked_about_as_its_role_with_its_path():
    simulator = Simulator()
    (found,) = told(simulator)

    assert (found.check, found.about, found.state) == ("permissions", "Phase 1 (source)", State.OK)
    assert "2 actions allowed, as IAM simulates it" in found.what
    (request,) = simulator.requests
    assert request["PolicySourceArn"] == ROLE
    assert request["ResourceArns"] == [TABLE]
    assert {one["ContextKeyName"] for one in request["ContextEntries"]} == {"aws:RequestedRegion"}


@pytest.mark.parametrize(
    ("identity", "known"),
    [
        ("arn:aws:iam::777788889999:user/team/me", "arn:aws:iam::777788889999:user/team/me"),
        (SESSION, ROLE),
        ("arn:aws:sts::777788889999:assumed-role/another/me", None),
        ("arn:aws:iam::777788889999:root", None),
        ("arn:aws:sts::777788889999:federated-user/me", None),
    ],
)
def test_only_a_user_or_a_role_can_be_simulated(identity, known):
    found = principal(Simulator(), identity)
    assert found == Known(known) if known else isinstance(found, Unknown)


def test_whoever_cannot_be_simulated_is_not_called_permitted():
    (found,) = told(Simulator(), identity="arn:aws:iam::777788889999:root")
    assert found.state is State.NOT_CHECKED


def test_answers_are_read_over_all_pages_and_by_resource():
    found = simulate(Simulator(denied={"dynamodb:Scan": "implicitDeny"}, page=1), ROLE, STATEMENT, NAMES)

    assert [(one.action, one.resource, one.decision) for one in found] == [
        ("dynamodb:PutItem", TABLE, "allowed"),
        ("dynamodb:Scan", TABLE, "implicitDeny"),
    ]


def test_a_star_has_its_answer_above_all_resources():
    statement = Statement("Phase 1", "Sid", "source", ("dynamodb:ListBackups",), ("*",))

    assert told(Simulator(), statement)[0].state is State.OK
    denied = Simulator(denied={"dynamodb:ListBackups": "implicitDeny"})
    assert told(denied, statement)[0].state is State.PROBLEM


@pytest.mark.parametrize("decision", ["implicitDeny", "explicitDeny"])
def test_what_is_denied_is_named_with_where_it_stands(decision):
    (found,) = told(Simulator(denied={"dynamodb:Scan": decision}))

    assert found.state is State.PROBLEM
    assert "1 action denied: dynamodb:Scan on table/films" in found.what
    assert "permissions.md" in found.hint


@pytest.mark.parametrize(
    "simulator",
    [
        Simulator(denied={"dynamodb:Scan": "implicitDeny"}, missing=["aws:MultiFactorAuthPresent"]),
        Simulator(denied={"dynamodb:Scan": "explicitDeny"}, organization=False),
        Simulator(silent=["dynamodb:Scan"]),
    ],
    ids=["a condition", "the organization", "no answer"],
)
def test_what_the_simulator_cannot_tell_is_neither_allowed_nor_denied(simulator):
    (found,) = told(simulator)

    assert found.state is State.NOT_CHECKED
    assert "dynamodb:Scan" in found.what


def test_a_denial_inside_an_organization_that_allows_it_is_one():
    (found,) = told(Simulator(denied={"dynamodb:Scan": "implicitDeny"}, organization=True))
    assert found.state is State.PROBLEM


@pytest.mark.parametrize(
    ("decision", "state"), [("implicitDeny", State.NOT_CHECKED), ("explicitDeny", State.PROBLEM)]
)
def test_a_tables_own_policy_may_allow_what_iam_does_not_but_lifts_no_deny(decision, state):
    (found,) = told(Simulator(denied={"dynamodb:Scan": decision}), with_policy=frozenset([TABLE]))
    assert found.state is state


def test_whoever_may_not_simulate_is_told_once():
    simulator = Simulator(error=refusal("AccessDenied"))
    second = Statement("Phase 2", "Sid", "source", ("dynamodb:PutItem",), STATEMENT.resources)
    (found,) = told(simulator, STATEMENT, second)

    assert (found.state, found.about) == (State.NOT_CHECKED, "all (source)")
    assert "iam:SimulatePrincipalPolicy" in found.what
    assert len(simulator.requests) == 1


def test_one_that_is_throttled_later_loses_its_own_section_only():
    second = Statement("Phase 2", "Sid", "source", ("dynamodb:PutItem",), STATEMENT.resources)
    found = told(Simulator(error=refusal("Throttling"), after=1), STATEMENT, second)

    assert [(one.about, one.state) for one in found] == [
        ("Phase 1 (source)", State.OK),
        ("Phase 2 (source)", State.NOT_CHECKED),
    ]


def test_many_denials_are_counted_and_some_are_named():
    verdicts = [Verdict(f"dynamodb:Do{at}", "*", "implicitDeny") for at in range(9)]
    (found,) = permissions("Deploy", "source", [Known(verdicts)], NONE)

    assert found.what.startswith("9 actions denied: ")
    assert found.what.endswith("; and 3 more")
    assert [one.state for one in permissions("Deploy", "source", [], NONE)] == [State.NOT_CHECKED]
