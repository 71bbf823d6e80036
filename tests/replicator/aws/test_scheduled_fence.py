"""A fence that is put ahead of its beginning has spread by then, and bites everywhere at once."""

from __future__ import annotations

import copy
import json

import pytest

from ddbverify.errors import AccessError, EngineError, Refused
from replicator.aws.fence_notes import InMemory, StateNotes
from replicator.aws.policies import LIMIT_BYTES
from replicator.aws.policy_deny import begin_of, end_of, fenced, is_fenced, what_changed, without
from replicator.aws.policy_fence import PolicyFence
from replicator.context.context import Pace
from replicator.handlers.state import State
from tests.replicator.aws.test_policy_fence import LIMIT, MARGIN, OPERATOR, OTHERS, READERS, TABLE, several
from tests.replicator.fakes import STATE, FakeDynamoDB, refusal
from tests.replicator.policies import NOON, FakePolicies, of

LEAD, SPREAD = 90.0, 60.0
BITES = NOON + LEAD


def fence(client, notes=None):
    clock = client.clock
    return PolicyFence(
        of(client), (TABLE,), (OPERATOR,), clock.now, MARGIN, notes or InMemory(), LEAD, SPREAD
    )


def raised(client, notes=None):
    made = fence(client, notes)
    made.raise_(BITES, BITES + LIMIT)
    return made


def by_another_tool(client, policy):
    """Somebody else's tool puts its own policy, whatever is there."""
    client.history.append((client.clock.at, policy and json.dumps(policy), f"theirs at {client.clock.at}"))


# --- what it puts ---------------------------------------------------------------------------------


def test_on_aws_a_fence_is_put_a_minute_ahead_at_least_and_longer_than_aws_blocks_a_change():
    pace = Pace.of(emulator=False)

    assert (pace.fence_lead, pace.fence_spread) == (LEAD, SPREAD)
    assert pace.fence_spread >= 60
    assert pace.fence_lead - pace.fence_spread >= 15 + pace.poll_seconds  # docs/aws.md T25


@pytest.mark.parametrize("spread", [0.0, 20.0, 55.0])
def test_it_bites_at_its_moment_and_not_before_for_every_request(spread):
    """Put at the moment itself, some requests went through for as long as the policy spread."""
    client = FakePolicies(spread=spread, lag=5.0, block=15.0)
    raised(client)

    assert all(client.lets_through(at) for at in range(int(NOON), int(BITES) + 1))
    assert all(client.denies(at) for at in range(int(BITES) + 1, int(BITES + LIMIT)))
    assert all(client.lets_through(at) for at in range(int(BITES + LIMIT), int(BITES + LIMIT) + 60))


def test_without_a_lead_it_does_not_hold_for_everybody_when_reads_show_it():
    client = FakePolicies(spread=20.0)
    fence(client).raise_(None, NOON + LIMIT)

    assert not client.denies(NOON + 19)
    assert client.denies(NOON + 20)


@pytest.mark.parametrize("before", [None, OTHERS])
def test_it_says_both_moments_and_keeps_what_is_there(before):
    client = FakePolicies(copy.deepcopy(before))
    made = raised(client)

    assert (begin_of(client.policy), end_of(client.policy)) == (BITES, BITES + LIMIT)
    assert without(client.policy) == before
    made.lift()
    assert client.policy == before


def test_it_is_counted_with_both_moments_before_anything_is_put():
    def of_size(room):
        sid = "x" * (room - len(json.dumps({**READERS, "Sid": ""}, separators=(",", ":"))) - 1)
        return FakePolicies({"Version": "2012-10-17", "Statement": [{**READERS, "Sid": sid}]})

    alone = FakePolicies()
    raised(alone)
    room = LIMIT_BYTES - len(alone.texts[0])
    full = of_size(room)
    fence(full).check()
    raised(full)

    assert len(full.texts[0]) == LIMIT_BYTES
    with pytest.raises(Refused, match="has no room for the fence"):
        fence(of_size(room + 1)).check()


def test_fastened_it_has_no_beginning_either():
    client = FakePolicies(lag=5.0, block=15.0)
    made = raised(client)
    client.clock.at = BITES + 60
    made.fasten()

    assert is_fenced(client.policy)
    assert (begin_of(client.policy), end_of(client.policy)) == (None, None)
    assert client.denies(client.clock.at)
    made.lift()
    assert client.policy is None


# --- AWS is late ----------------------------------------------------------------------------------


def test_one_that_aws_takes_too_late_is_refused_and_lifted_before_it_bites():
    client = FakePolicies(copy.deepcopy(OTHERS), block=40.0)
    by_another_tool(client, OTHERS)  # just now
    made = fence(client)

    with pytest.raises(EngineError, match=r"took the fence of orders 50 s before .* needs 60 s") as caught:
        made.raise_(BITES, BITES + LIMIT)
    assert "replicator cutover" in caught.value.hint
    made.lift()
    assert client.policy == OTHERS
    assert all(client.lets_through(at) for at in range(int(NOON), int(BITES + LIMIT)))


def test_changes_that_are_blocked_for_as_long_as_aws_says_leave_time_enough():
    client = FakePolicies(block=15.0, lag=12.0, spread=55.0)
    by_another_tool(client, OTHERS)  # just now
    raised(client)

    assert client.denies(BITES + 1)


def test_one_that_reads_do_not_show_before_it_begins_is_none():
    client = FakePolicies()
    put = client.put_resource_policy

    def then_late(**arguments):
        answer = put(**arguments)
        client.lag = LEAD + 1
        return answer

    client.put_resource_policy = then_late
    with pytest.raises(EngineError, match="AWS took the change, and 60 s later it shows"):
        raised(client)


def test_several_begin_at_one_moment():
    made, policies, clock = several(["first", "second", "third"], lag=5.0, block=15.0)
    made.lift()
    clock.at += 60
    made.raise_(clock.at + LEAD, clock.at + LEAD + LIMIT)

    assert len({begin_of(one.policy) for one in policies}) == 1


# --- between put and beginning --------------------------------------------------------------------

MANNERS = [(0.0, 0.0), (12.0, 15.0)]


@pytest.mark.parametrize(("lag", "block"), MANNERS)
@pytest.mark.parametrize("after", [0.0, 2.0, 40.0])
def test_one_that_is_lifted_before_it_begins_never_bites(lag, block, after):
    client = FakePolicies(copy.deepcopy(OTHERS), lag=lag, block=block)
    made = raised(client)
    client.clock.at += after
    made.lift()

    assert client.policy == OTHERS
    assert all(client.lets_through(at) for at in range(int(NOON), int(BITES + LIMIT)))


@pytest.mark.parametrize(("lag", "block"), MANNERS)
def test_another_process_lifts_what_one_that_was_killed_has_put(lag, block):
    client, notes = FakePolicies(lag=lag, block=block), StateNotes(State.whole(FakeDynamoDB(), STATE))
    raised(client, notes)
    assert notes.get(TABLE).begins == BITES
    fence(client, notes).lift()

    assert client.policy is None
    assert notes.get(TABLE) is None


def test_it_stands_as_long_as_nobody_touches_it():
    client = FakePolicies(lag=5.0)
    made = raised(client)
    for _ in range(20):
        client.clock.at += 5
        made.need_standing()


def test_a_read_that_is_late_once_more_is_no_change():
    client = FakePolicies(copy.deepcopy(OTHERS))
    made, read, late = raised(client), client.get_resource_policy, [5]

    def older(**arguments):
        if late[0]:
            late[0] -= 1
            return {"Policy": client.history[0][1], "RevisionId": "1"}
        return read(**arguments)

    client.get_resource_policy = older
    made.need_standing()
    assert late == [0]


def with_fence(*others):
    return fenced(
        {**OTHERS, "Statement": list(others)}, TABLE.arn, [OPERATOR], int(BITES), int(BITES + LIMIT)
    )


@pytest.mark.parametrize(
    ("theirs", "said"),
    [
        (None, "it is gone, fence and all"),
        (OTHERS, "the fence's statement is gone from it"),
        (
            with_fence(READERS, {**READERS, "Sid": "Backup"}),
            "the fence's statement still stands; of the others: Backup came",
        ),
        (with_fence(), "the fence's statement still stands; of the others: Readers went"),
        (with_fence({**READERS, "Action": "dynamodb:Scan"}), "of the others: one or more changed"),
        (
            fenced(OTHERS, TABLE.arn, [OPERATOR, "arn:aws:iam::123456789012:role/app"], int(BITES), None),
            "the fence's statement is another one now",
        ),
    ],
    ids=["removed", "overwritten", "added to", "taken from", "altered", "the fence altered"],
)
@pytest.mark.parametrize("lag", [0.0, 5.0])
def test_a_policy_that_another_tool_edits_is_named_and_nothing_goes_on(theirs, said, lag):
    client = FakePolicies(copy.deepcopy(OTHERS), lag=lag)
    made = raised(client)
    client.clock.at += 30
    by_another_tool(client, theirs)
    client.clock.at += lag

    with pytest.raises(
        EngineError, match="Somebody else has changed the resource policy of orders"
    ) as caught:
        made.need_standing()
    assert said in caught.value.message
    assert "which tool writes that policy" in caught.value.hint

    made.lift()  # what is not the fence's stays as they made it
    assert client.policy == without(theirs)


def test_one_of_which_nothing_is_known_is_not_called_standing():
    client = FakePolicies()
    raised(client)

    with pytest.raises(EngineError, match="is not the one that was put"):
        fence(client).need_standing()


# --- what is said ---------------------------------------------------------------------------------


def test_a_statement_without_its_sid_is_named_so():
    put = with_fence()
    policy = with_fence({"Effect": "Allow", "Principal": "*", "Action": "dynamodb:GetItem", "Resource": "*"})

    assert what_changed(policy, put).endswith("of the others: one without a Sid came")


def test_of_two_fences_one_that_has_no_beginning_denies_already():
    ours = with_fence()["Statement"][-1]
    bare = {**ours, "Condition": {}}

    assert begin_of({"Statement": [ours]}) == BITES
    assert begin_of({"Statement": [ours, bare]}) is None
    assert end_of({"Statement": [ours, bare]}) is None


# --- whether it may be put, without putting it ------------------------------------------------------


@pytest.mark.parametrize("before", [None, OTHERS])
def test_who_may_change_the_policy_is_told_so_and_nothing_changes(before):
    client = FakePolicies(copy.deepcopy(before))

    assert fence(client).rehearse() == []
    assert (client.policy, client.writes) == (before, 0)


@pytest.mark.parametrize(
    ("before", "lacks"),
    [(None, "put_resource_policy"), (None, "delete_resource_policy"), (OTHERS, "put_resource_policy")],
)
def test_who_may_not_is_told_before_anything_is_fenced(before, lacks):
    client = FakePolicies(copy.deepcopy(before))

    def denied(**_):
        raise refusal("AccessDeniedException")

    setattr(client, lacks, denied)
    with pytest.raises(AccessError):
        fence(client).rehearse()


def test_what_cannot_be_found_out_is_said():
    client = FakePolicies()

    def odd(**_):
        raise refusal("ValidationException")

    client.put_resource_policy = odd
    (said,) = fence(client).rehearse()
    assert "whether the resource policy of orders may be changed" in said
    client.put_resource_policy = lambda **_: {"RevisionId": "taken"}
    (said,) = fence(client).rehearse()
    assert "wrong revision" in said


def test_what_a_rehearsal_would_put_denies_nobody_at_no_time():
    client, put = FakePolicies(), []

    def taken(**arguments):
        put.append(arguments)
        raise refusal("PolicyNotFoundException")

    client.put_resource_policy = taken
    fence(client).rehearse()
    client.history.append((client.clock.at, put[0]["Policy"], "2"))

    assert put[0]["ExpectedRevisionId"] not in ("NO_POLICY", "1")
    assert all(client.lets_through(at) for at in range(int(NOON), int(NOON) + 100_000, 1_000))
