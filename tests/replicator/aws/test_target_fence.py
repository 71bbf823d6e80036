"""The target takes the replicator's writes only, until a known second behind the source's last."""

from __future__ import annotations

import copy
import itertools
import json
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddbverify.errors import AccessError, EngineError, Refused
from replicator.aws import fence, target_seen
from replicator.aws.both_fences import BothFences
from replicator.aws.fence_notes import InMemory as SourceNotes
from replicator.aws.policies import LIMIT_BYTES
from replicator.aws.policy_deny import is_fenced
from replicator.aws.policy_fence import PolicyFence
from replicator.aws.target_deny import Window, closed, is_closed_at, ours_in, unclosed, window_of
from replicator.aws.target_fence import CLOSES_BEFORE_SECONDS, TargetFence
from replicator.aws.target_notes import InMemory, StateNotes
from replicator.context import lock
from replicator.handlers.state import State
from tests.replicator.aws.test_policy_fence import LIMIT, MARGIN, OPERATOR, OTHERS, READERS, TABLE
from tests.replicator.aws.test_scheduled_fence import LEAD, SPREAD
from tests.replicator.fakes import STATE, FakeDynamoDB, no_answer, refusal
from tests.replicator.policies import APPLICATION, NOON, Clock, FakePolicies, of

TARGET = SimpleNamespace(name="orders-v2", arn="arn:aws:dynamodb:eu-west-1:123456789012:table/orders-v2")
CONSUMER = "arn:aws:iam::123456789012:role/replicator-p-apply-ConsumerRole-X"
QUIET = 10.0
BITES = NOON + LEAD
OPENS = BITES + QUIET
ENDS = BITES + LIMIT


def target_fence(client, notes=None, exempt=(OPERATOR, CONSUMER), tell=lambda _: None, **more):
    clock, kept = client.clock, notes or InMemory()
    return TargetFence(of(client, clock, tell), (TARGET,), exempt, clock.now, SPREAD, kept, **more)


def by_another_tool(client, policy):
    client.history.append((client.clock.at, policy and json.dumps(policy), f"theirs at {client.clock.at}"))


class Both:
    """Two tables, whose policies have one clock, and the fences of a cutover."""

    def __init__(self, **manners):
        self.clock = Clock()
        self.source = FakePolicies(copy.deepcopy(OTHERS), clock=self.clock, **manners)
        self.target = FakePolicies(clock=self.clock, **manners)
        self.kept, self.told = InMemory(), []
        self.source_notes = SourceNotes()
        self.close()
        self.clock.at = NOON + 3600
        self.began = self.clock.at

    def close(self):
        self.targets().close()

    def targets(self):
        return target_fence(self.target, self.kept, tell=self.told.append)

    def window(self):
        return window_of(self.target.policy, self.targets().sids)

    def left_of_the_fence(self):
        return ours_in(self.target.policy, self.targets().sids)

    def fences(self):
        of_source = PolicyFence(
            of(self.source),
            (TABLE,),
            (OPERATOR,),
            self.clock.now,
            MARGIN,
            self.source_notes,
            LEAD,
            SPREAD,
        )
        return BothFences(of_source, self.targets(), QUIET)

    @property
    def bites(self):
        return self.began + LEAD

    def raised(self):
        made = self.fences()
        made.raise_(self.bites, self.bites + LIMIT)
        return made

    def taken_twice(self, until):
        """Seconds in which some request of the application gets through to either table."""
        return [
            at - self.bites
            for at in range(int(self.began), int(until))
            if not self.source.denies(at) and not self.target.denies(at)
        ]


class BackAgain(Both):
    """The table that follows behind a flip, closed by the fence of that flip."""

    def close(self):
        self.before = SourceNotes()
        made = PolicyFence(
            of(self.target),
            (TARGET,),
            (OPERATOR, CONSUMER),
            self.clock.now,
            MARGIN,
            self.before,
            LEAD,
            SPREAD,
        )
        made.raise_(self.clock.at + LEAD, self.clock.at + LEAD + LIMIT)
        self.clock.at += LEAD + 1
        made.fasten()

    def targets(self):
        # Whom it lets through it does not know, but from the fence that stands.
        return target_fence(
            self.target, self.kept, (OPERATOR,), self.told.append, by_flip=True, command="cutback"
        )


@pytest.fixture(params=[Both, BackAgain])
def world(request):
    return request.param


# --- the statements -------------------------------------------------------------------------------


def test_nobody_writes_but_the_replicator_and_the_operator():
    client = FakePolicies(copy.deepcopy(OTHERS))
    assert target_fence(client).close() == ["orders-v2"]

    assert client.denies(NOON, APPLICATION)
    assert client.lets_through(NOON, CONSUMER)
    assert client.lets_through(NOON, OPERATOR)
    assert unclosed(client.policy) == OTHERS
    assert not is_fenced(client.policy), "it is no fence of a source"


@pytest.mark.parametrize("before", [None, OTHERS])
def test_who_may_not_remove_a_policy_is_told_where_nothing_else_is_in_it(before):
    """It was found out at the flip, behind the last verification."""
    client, notes = FakePolicies(copy.deepcopy(before)), InMemory()
    made, removed = target_fence(client, notes), []
    made.close()
    closed = copy.deepcopy(client.policy)
    remove = client.delete_resource_policy

    def counted(**request):
        removed.append(request)
        return remove(**request)

    client.delete_resource_policy = counted
    assert made.rehearse() == []
    assert client.policy == closed, "nothing is changed"
    assert len(removed) == (before is None), "one that stays needs no such permission"

    def denied(**_):
        raise refusal("AccessDeniedException")

    client.delete_resource_policy = denied
    if before is None:
        with pytest.raises(AccessError):
            made.rehearse()
    else:
        assert made.rehearse() == []


@pytest.mark.parametrize("before", [None, OTHERS])
def test_taken_out_it_leaves_what_was_there(before):
    client, notes = FakePolicies(copy.deepcopy(before)), InMemory()
    made = target_fence(client, notes)
    made.close()
    made.lift()

    assert client.policy == before
    assert notes.kept == {}


def test_a_window_denies_before_it_and_behind_it():
    policy = closed(OTHERS, TARGET.arn, (OPERATOR,), Window(100, 200))

    assert [at for at in range(300) if not is_closed_at(policy, at)] == list(range(100, 201))
    assert window_of(policy) == Window(100, 200)
    assert window_of(closed(OTHERS, TARGET.arn, (OPERATOR,), None)) is None


def test_closing_again_changes_nothing_and_lets_another_operator_in():
    client, notes = FakePolicies(), InMemory()
    target_fence(client, notes).close()
    writes = client.writes
    assert target_fence(client, notes).close() == []
    assert client.writes == writes

    colleague = "arn:aws:iam::123456789012:user/colleague"
    assert target_fence(client, notes, exempt=(colleague,)).close() == ["orders-v2"]
    assert all(client.lets_through(NOON, who) for who in (OPERATOR, CONSUMER, colleague))
    assert client.denies(NOON)


def test_what_others_put_into_the_policy_meanwhile_stays():
    client, notes = FakePolicies(), InMemory()
    made = target_fence(client, notes)
    made.close()
    by_another_tool(client, {**client.policy, "Statement": [READERS, *client.policy["Statement"]]})
    made.schedule(Window(int(OPENS), int(ENDS)))
    assert READERS in client.policy["Statement"]
    made.close()
    made.lift()

    assert client.policy["Statement"] == [READERS]


def test_a_policy_that_is_full_is_refused_before_anything_is_put():
    sid = "x" * (LIMIT_BYTES - 500)
    client = FakePolicies({"Version": "2012-10-17", "Statement": [{**READERS, "Sid": sid}]})
    made = target_fence(client)

    for call in (made.check, made.close):
        with pytest.raises(Refused, match="no room for the target's fence") as caught:
            call()
        assert "fence_target = false" in caught.value.hint
    assert client.writes == 0


def test_a_change_that_aws_blocks_is_made_later():
    client = FakePolicies(block=15.0, lag=12.0)
    by_another_tool(client, OTHERS)
    target_fence(client).close()

    assert client.denies(client.clock.at)
    assert client.refused > 0


# --- a cutover ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lag", "block", "spread"), [(0, 0, 0), (5, 15, 20), (12, 15, 29)])
def test_at_no_moment_do_both_tables_take_writes(world, lag, block, spread):
    both = world(lag=lag, block=block, spread=spread)
    made = both.raised()
    both.clock.at = both.bites + 120
    made.need_standing()
    made.fasten()

    assert both.taken_twice(both.bites + 2 * LIMIT) == []
    opened = both.bites + QUIET
    assert all(both.target.denies(at) for at in range(int(both.began), int(opened)))
    assert all(both.target.lets_through(at) for at in range(int(opened), int(both.bites) + 2 * LIMIT))
    assert all(both.source.denies(at) for at in range(int(both.bites) + 1, int(both.bites) + 2 * LIMIT))
    assert both.left_of_the_fence() == []


@pytest.mark.parametrize("within", [0.0, 0.7])
@pytest.mark.parametrize("quiet", [0.0, 0.4, 7.0])
def test_in_the_second_in_which_the_source_closes_the_target_is_closed(quiet, within):
    """Dates are held to the second: until its end the source takes writes."""
    both = Both()
    since = both.bites + within
    replace(both.fences(), quiet_seconds=quiet).raise_(since, since + LIMIT)

    assert both.taken_twice(since + LIMIT) == []
    assert both.window().opens - since >= quiet


def test_it_is_open_before_the_flip_for_every_request_and_no_second_is_waited_for(world):
    both = world(lag=5.0, block=15.0, spread=29.0)
    made = both.raised()
    both.clock.at = both.bites + QUIET + 1
    assert both.target.lets_through(both.clock.at)
    made.source.fasten()
    before = both.clock.at
    made.target.open()

    assert both.clock.at == before


@pytest.mark.parametrize("rolls_back", [False, True])
def test_whatever_dies_on_the_way_never_are_both_open(world, rolls_back):
    """The operator's machine dies before its n-th change or read of a policy; nobody runs it again."""
    deaths = itertools.takewhile(lambda dies: died_at(world, dies, rolls_back=rolls_back), itertools.count(1))
    assert len(list(deaths)) > 10


def died_at(world, dies, *, rolls_back):
    both = world(spread=20.0, lag=3.0)
    counted = itertools.count(1)

    class DiedError(BaseException):
        pass

    def dying(call):
        def wrapped(**arguments):
            if next(counted) == dies:
                raise DiedError
            return call(**arguments)

        return wrapped

    for client in (both.source, both.target):
        for name in ("get_resource_policy", "put_resource_policy", "delete_resource_policy"):
            setattr(client, name, dying(getattr(client, name)))
    try:
        made = both.raised()
        both.clock.at = both.bites + 60
        if rolls_back:
            made.lift()
        else:
            made.fasten()
        died = False
    except DiedError:
        died = True
    since = both.target.history[-1][0]
    not_spread_yet = range(int(since), int(since) + 20) if rolls_back and is_lifted(both) else ()
    assert [
        at for at in both.taken_twice(both.bites + 2 * LIMIT) if at + both.bites not in not_spread_yet
    ] == []
    return died


def is_lifted(both):
    return both.source.policy == OTHERS


def test_the_target_closes_before_the_source_opens_by_itself(world):
    both = world()
    both.raised()
    ends = int(both.bites + LIMIT)

    assert both.source.lets_through(ends)
    assert both.target.denies(ends - CLOSES_BEFORE_SECONDS + 1)
    assert both.target.lets_through(ends - CLOSES_BEFORE_SECONDS)


@pytest.mark.parametrize("after", [20.0, LEAD + 1, LEAD + 60])
def test_one_that_fails_closes_the_target_before_it_opens_the_source(world, after):
    both = world(lag=4.0, block=15.0)
    made = both.raised()
    both.clock.at = both.began + after
    made.lift()

    assert both.source.policy == OTHERS
    assert both.target.denies(both.clock.at + LIMIT)
    assert both.window() is None
    assert both.taken_twice(both.bites + 2 * LIMIT) == []
    closed_at, opened_at = (client.history[-1][0] for client in (both.target, both.source))
    assert closed_at <= opened_at


def test_one_that_fails_between_fasten_and_flip_closes_the_target_again(world):
    both = world(lag=4.0, block=15.0)
    made = both.raised()
    both.clock.at = both.bites + 60
    made.fasten()
    assert both.kept.get("orders-v2").opened
    made.lift()

    assert both.target.denies(both.clock.at)
    assert both.source.lets_through(both.clock.at)
    assert both.taken_twice(both.bites + 2 * LIMIT) == []


def test_where_the_target_cannot_be_closed_the_application_gets_its_source_back_and_it_is_told():
    both = Both()
    made = both.raised()
    both.clock.at = both.bites + 60

    def refuse(**_):
        raise refusal("InternalServerError")

    both.target.put_resource_policy = refuse
    made.lift()

    assert both.source.policy == OTHERS
    assert any("orders-v2 could not be closed again, `replicator restore` does" in line for line in both.told)
    assert both.clock.at < both.bites + 90, "the application waits for it"
    assert window_of(both.target.policy) is not None, "which closes by itself"


def test_one_request_that_is_refused_while_it_is_closed_again_is_made_again(world):
    """Found by the order model: both tables took writes, for one throttled read of the state table."""
    both = world()
    made = both.raised()
    both.clock.at = both.bites + 60
    made.fasten()
    read, refusals = both.kept.get, [EngineError("AWS refused to read what is noted.", "try again")]

    def throttled(name):
        if refusals:
            raise refusals.pop()
        return read(name)

    both.kept.get = throttled
    made.lift()

    assert both.target.denies(both.clock.at)
    assert (both.taken_twice(both.bites + 2 * LIMIT), both.told) == ([], [])


def test_a_machine_that_slept_while_it_closes_the_target_again_tries_anew(world):
    """Found by the order model: the time for another try had passed by in its sleep."""
    both = world()
    made = both.raised()
    both.clock.at = both.bites + 60
    made.fasten()
    read, sleeps = both.kept.get, [60.0]

    def slept(name):
        if sleeps:
            both.clock.at += sleeps.pop()
            raise lock.LeaseLost("It lost its lease.", "run it again")
        return read(name)

    both.kept.get = slept
    made.lift()

    assert both.target.denies(both.clock.at)
    assert (both.taken_twice(both.bites + 2 * LIMIT), both.told) == ([], [])


def test_who_has_lost_the_lease_leaves_both_tables_fenced(world):
    """Another operator may be at work, and moves the application."""
    both = world()
    made = both.raised()
    both.clock.at = both.bites + 60
    made.fasten()

    def lost(_):
        raise lock.LeaseLost("It lost its lease.", "run it again")

    both.kept.get = lost
    with pytest.raises(lock.LeaseLost):
        made.lift()

    assert is_fenced(both.source.policy)
    assert both.taken_twice(both.bites + 2 * LIMIT) == []


def test_where_the_target_may_not_be_closed_nobody_waits_for_it(world):
    both = world()
    made = both.raised()
    both.clock.at = before = both.bites + 60

    def refuse(**_):
        raise refusal("AccessDeniedException")

    both.target.put_resource_policy = refuse
    made.lift()

    assert both.source.policy == OTHERS
    assert both.clock.at < before + 5
    assert any("could not be closed again" in line for line in both.told)


def test_killed_between_the_two_puts_the_next_run_closes_and_lifts(world):
    both = world()
    both.fences().source.raise_(both.bites, both.bites + LIMIT)
    both.clock.at = both.bites + 60
    assert both.target.denies(both.clock.at)
    both.fences().lift()

    assert both.source.policy == OTHERS
    assert both.target.denies(both.clock.at)


def test_whoever_changes_the_sources_policy_is_noticed_beside_a_target_that_stands(world):
    both = world()
    made = both.raised()
    made.need_standing()
    by_another_tool(both.source, {**OTHERS})
    both.clock.at += 30

    with pytest.raises(EngineError, match="changed the resource policy of orders "):
        made.need_standing()


def test_whoever_changes_the_policy_during_the_cutover_is_noticed(world):
    both = world(lag=3.0)
    made = both.raised()
    by_another_tool(both.target, {**OTHERS})
    both.clock.at += 4

    with pytest.raises(EngineError, match=r"policy of orders-v2 during the cutover: .* is gone from it"):
        made.need_standing()
    with pytest.raises(EngineError, match="during the cutover"):
        made.target.open()


def test_a_window_that_aws_takes_too_late_is_none(world):
    both = world()
    put = both.target.put_resource_policy

    def slowly(**arguments):
        both.clock.at += LEAD - 40 + QUIET
        return put(**arguments)

    both.target.put_resource_policy = slowly
    with pytest.raises(EngineError, match="needs 60 s until it holds everywhere"):
        both.raised()


def test_it_is_not_opened_before_its_moment(world):
    both = world()
    made = both.raised()
    both.clock.at = both.bites + QUIET - 1

    with pytest.raises(EngineError, match="does not take writes yet"):
        made.target.open()
    both.clock.at += 1
    made.target.open()


def test_a_policy_that_somebody_has_emptied_meanwhile_is_opened_without_a_change():
    client, notes = FakePolicies(lag=3.0), InMemory()
    made = target_fence(client, notes)
    made.close()
    by_another_tool(client, OTHERS)
    made.lift()

    assert client.policy == OTHERS


# --- back again -----------------------------------------------------------------------------------


@pytest.mark.parametrize("rolls_back", [False, True])
def test_whoever_the_fence_of_the_flip_lets_through_writes_until_the_end(rolls_back):
    """The consumer of the way back applies what came before the fence, for as long as that takes."""
    back = BackAgain(spread=20.0)
    made = back.raised()
    back.clock.at = back.bites + 60
    if rolls_back:
        made.lift()
    else:
        made.fasten()

    seconds = range(int(back.began), int(back.clock.at))
    assert all(back.target.lets_through(at, who) for at in seconds for who in (CONSUMER, OPERATOR))
    assert back.target.lets_through(back.clock.at + LIMIT, CONSUMER)
    assert back.target.denies(back.clock.at + LIMIT) == rolls_back


def test_what_was_not_opened_is_not_touched():
    back = BackAgain()
    writes = back.target.writes
    back.fences().lift()

    assert (back.target.writes, back.kept.kept) == (writes, {})
    assert back.target.denies(back.clock.at)


def test_one_that_could_not_be_closed_again_is_closed_by_the_next_attempt(world):
    both = world()
    made = both.raised()
    both.clock.at = both.bites + 60
    made.fasten()
    put = both.target.put_resource_policy

    def refuse(**_):
        raise refusal("InternalServerError")

    both.target.put_resource_policy = refuse
    made.lift()
    assert both.target.lets_through(both.clock.at)
    closes = "cutback" if world is BackAgain else "restore"
    assert any(f"`replicator {closes}` does" in line for line in both.told)
    both.target.put_resource_policy = put
    assert fence.close_left_open(both.fences()) == ["orders-v2"]
    assert both.target.denies(both.clock.at)
    assert fence.close_left_open(both.fences()) == []


def test_one_whose_window_was_left_in_its_policy_is_closed_by_the_next_attempt(world):
    """The target's side did not answer, so that the source alone was lifted; see `fence.of`, *to_lift*."""
    both = world()
    both.raised().source.lift()
    both.clock.at = both.bites + 60
    assert both.target.lets_through(both.clock.at)

    assert fence.close_left_open(both.fences()) == ["orders-v2"]
    assert both.target.denies(both.clock.at)


@pytest.mark.parametrize("how", ["opened", "killed at the answer", "not scheduled"])
def test_behind_the_flip_nothing_is_left_of_the_fence_of_the_flip_before(monkeypatch, how):
    back, lifted = BackAgain(lag=3.0), []
    if how != "not scheduled":
        made = back.raised()
        back.clock.at = back.bites + 60
        made.source.fasten()
        if how == "killed at the answer":
            back.target.delete_resource_policy = lambda **_: (_ for _ in ()).throw(MachineDiesError)
        with suppress(MachineDiesError):
            made.target.open()
        back.target.__dict__.pop("delete_resource_policy", None)
    of_before = PolicyFence(of(back.target), (TARGET,), (OPERATOR,), back.clock.now, MARGIN, back.before)
    direction = SimpleNamespace(cycle=1, turned=lambda _: SimpleNamespace(whole=None))
    monkeypatch.setattr(fence, "of", lambda _: back.fences())
    monkeypatch.setattr(fence, "StateNotes", lambda _: back.before)
    monkeypatch.setattr(fence, "of_sources", lambda _: lifted.append(1) or of_before)
    back.clock.at += 5  # the flip
    before = back.clock.at
    fence.lift_opened(direction)
    if how == "opened":
        assert back.clock.at == before, "there is nothing to wait for"
    assert back.target.policy is None
    assert back.before.get(TARGET) is None
    assert lifted


# --- answers that are lost ------------------------------------------------------------------------


@pytest.mark.parametrize("was_opened", [False, True])
def test_a_change_whose_answer_was_lost_is_made_again(world, was_opened):
    both = world()
    made = both.raised()
    both.clock.at = both.bites + 60
    if was_opened:
        made.fasten()
    put = both.target.put_resource_policy

    def lost(**arguments):
        both.target.put_resource_policy = put
        put(**arguments)
        raise no_answer()

    both.target.put_resource_policy = lost
    made.lift()

    assert both.target.denies(both.clock.at)
    both.targets().close()
    assert both.kept.get("orders-v2").revision == str(both.target.revision)


def test_what_was_asked_is_kept_in_the_state_table():
    notes = StateNotes(State.whole(FakeDynamoDB(), STATE))
    client = FakePolicies()
    made = target_fence(client, notes)
    made.close()
    made.schedule(Window(int(OPENS), int(ENDS)))
    kept = notes.get("orders-v2")

    assert (kept.exempt, kept.window) == ((OPERATOR, CONSUMER), Window(int(OPENS), int(ENDS)))
    assert (kept.revision, kept.opened) == (str(client.revision), False)
    client.clock.at = OPENS
    made.open()
    assert notes.get("orders-v2").opened
    assert client.policy is None
    made.lift()
    assert notes.get("orders-v2") is None


# --- what is seen of it ---------------------------------------------------------------------------


def test_each_state_is_told():
    client, notes = FakePolicies(), InMemory()
    made = target_fence(client, notes)

    def seen(policy, at, here=NOON + 3600):
        return target_seen.seen("orders-v2", policy, notes.get("orders-v2"), at, here)

    made.close()
    assert seen(client.policy, NOON).state == "closed"
    made.schedule(Window(int(OPENS), int(ENDS)))
    assert seen(client.policy, NOON).as_json() == {
        "state": "closed",
        "opens": "2027-01-15T08:01:40+00:00",
        "closes": None,
        "unknown": None,
    }
    assert (seen(client.policy, OPENS).state, seen(client.policy, OPENS).closes) == ("open", ENDS)
    assert seen(client.policy, ENDS + 1) == target_seen.SeenTarget("orders-v2", "closed")
    assert seen(OTHERS, NOON).state == "changed"
    assert seen(OTHERS, NOON, here=10.0).state == "unknown"
    client.clock.at = OPENS
    made.open()
    assert seen(client.policy, OPENS).state == "open"


def test_a_late_read_of_the_closed_policy_is_not_believed_behind_a_window(world):
    both = world()
    made = both.raised()
    both.target.lag = 10.0  # a read may be late, though one has shown it before
    made.lift()

    assert both.window() is None
    assert both.taken_twice(both.bites + 2 * LIMIT) == []


# --- any history ----------------------------------------------------------------------------------


class MachineDiesError(BaseException):
    pass


@given(
    world=st.sampled_from([Both, BackAgain]),
    lag=st.integers(0, 12),
    block=st.sampled_from([0, 15]),
    spread=st.integers(0, 25),
    source_dies=st.integers(1, 60),
    fails_after=st.none() | st.integers(0, 400),
    again_after=st.none() | st.integers(0, 1500),
)
@settings(max_examples=120)
def test_in_any_history_at_most_one_table_takes_writes(
    world, lag, block, spread, source_dies, fails_after, again_after
):
    """
    A cutover that is flipped, fails or dies at some request, and perhaps another operator behind it.

    Where a window is closed again while the source opens, the target's new policy has to spread: those
    seconds are the promise's exception, and no others are.
    """
    both = world(lag=lag, block=block, spread=spread)
    calls, reopened = itertools.count(1), []
    for client in (both.source, both.target):
        for name in ("get_resource_policy", "put_resource_policy", "delete_resource_policy"):
            setattr(client, name, _dying(getattr(client, name), calls, source_dies))
    with suppress(MachineDiesError, EngineError):
        made = both.raised()
        both.clock.at = max(both.clock.at, both.bites + (30 if fails_after is None else fails_after))
        if fails_after is None:
            made.fasten()
        else:
            reopened.append(both.clock.at)
            made.lift()
    ends = both.bites + 2 * LIMIT
    if again_after is not None and next(calls) > source_dies:  # it died: another one lifts what it has left
        both.clock.at = max(both.clock.at, both.bites + again_after)
        reopened.append(both.clock.at)
        both.fences().lift()
        assert not is_fenced(both.source.policy)
        assert both.window() is None
    excepted = {second for at in reopened for second in range(int(at), int(at) + 90 + spread)}
    assert [at for at in both.taken_twice(ends) if int(at + both.bites) not in excepted] == []
    if reopened and is_lifted(both) and both.target.history[-1][0] < both.clock.at - spread:
        assert both.target.denies(both.clock.at)


def _dying(call, calls, number):
    def wrapped(**arguments):
        if next(calls) == number:
            raise MachineDiesError
        return call(**arguments)

    return wrapped
