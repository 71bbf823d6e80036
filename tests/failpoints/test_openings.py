"""What the journal of open tables calls open at once."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from replicator.handlers.state import text_of
from tests.failpoints.openings import Openings
from tests.replicator.fakes import refusal
from tests.replicator.policies import NOON, Clock, FakePolicies

HOUR = 3600


def deny(begin=None, end=None):
    condition = {"ArnNotLike": {"aws:PrincipalArn": ["arn:aws:iam::123456789012:user/ops"]}}
    for operator, at in (("DateGreaterThan", begin), ("DateLessThan", end)):
        if at is not None:
            condition[operator] = {"aws:CurrentTime": text_of(NOON + at)}
    return {"Effect": "Deny", "Condition": condition}


def looked(source, target):
    clock = Clock()
    tables = {
        name: (FakePolicies({"Statement": made} if made else None, clock=clock), name)
        for name, made in (("source", source), ("target", target))
    }
    openings = Openings(tables, clock.now)
    openings.look("a point")
    return openings


@pytest.mark.parametrize(
    ("source", "target", "both"),
    [
        ([], [], True),
        ([], [deny()], False),
        ([deny()], [], False),
        ([deny()], [deny()], False),
        ([deny(begin=10)], [deny()], False),
        ([deny(end=HOUR)], [], True),  # it ends by itself
        ([deny(end=HOUR)], [deny(end=10), deny(begin=HOUR - 30)], False),
        ([deny(end=HOUR)], [deny(end=10), deny(begin=HOUR + 30)], True),
        ([deny(begin=20)], [deny(end=10)], True),  # opened before the other one is closed
        ([deny(begin=10)], [deny(end=20)], False),
    ],
)
def test_both_are_called_open_where_they_are_now_or_would_be_later(source, target, both):
    assert bool(looked(source, target).both) is both


def test_it_tells_which_was_open_behind_which_point():
    openings = looked([], [deny()])
    openings.open.append(("another", frozenset()))
    openings.open.append(("a third", frozenset({"target"})))

    assert openings.open[0] == ("a point", frozenset({"source"}))
    assert openings.in_turn() == ["source", "target"]


def test_a_policy_that_cannot_be_read_is_no_table_that_is_closed():
    clock = Clock()
    policies = FakePolicies(clock=clock)
    policies.get_resource_policy = refuse
    with pytest.raises(ClientError):
        Openings({"source": (policies, "source")}, clock.now).look("a point")


def refuse(**_):
    raise refusal("ThrottlingException")
