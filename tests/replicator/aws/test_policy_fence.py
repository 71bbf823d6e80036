"""The fence keeps what it finds, ends by itself, and is lifted whatever reads say."""

from __future__ import annotations

import copy
import json
import time
from types import SimpleNamespace

import pytest

from ddbverify.errors import EngineError, Refused
from ddbverify.names import FENCE_SID
from replicator.aws.fence_notes import InMemory, Standing
from replicator.aws.policies import LIMIT_BYTES, PATIENCE_SECONDS, Policies
from replicator.aws.policy_deny import end_of, is_fenced
from replicator.aws.policy_fence import PolicyFence
from tests.replicator.fakes import no_answer, refusal
from tests.replicator.policies import NOON, Clock, FakePolicies, of

TABLE = SimpleNamespace(name="orders", arn="arn:aws:dynamodb:eu-west-1:123456789012:table/orders")
OPERATOR = "arn:aws:iam::123456789012:role/operator"
READERS = {
    "Sid": "Readers",
    "Effect": "Allow",
    "Principal": "*",
    "Action": "dynamodb:GetItem",
    "Resource": "*",
}
OTHERS = {"Version": "2012-10-17", "Id": "ours", "Statement": [READERS]}
LIMIT = 900  # seconds
MARGIN = 30.0


def fence(client, notes=None, tell=lambda _: None):
    clock = client.clock
    return PolicyFence(of(client, clock, tell), (TABLE,), (OPERATOR,), clock.now, MARGIN, notes or InMemory())


def raised(client, notes=None):
    made = fence(client, notes)
    made.raise_(None, NOON + LIMIT)
    return made


# --- what it puts -----------------------------------------------------------------------------


@pytest.mark.parametrize("before", [None, OTHERS])
def test_up_and_down_leave_exactly_what_was_there(before):
    client = FakePolicies(copy.deepcopy(before))
    made = raised(client)
    assert client.policy != before
    made.lift()

    assert client.policy == before


def test_the_statements_of_others_stay_while_the_fence_is_up():
    client = FakePolicies(copy.deepcopy(OTHERS))
    raised(client)

    assert client.policy["Statement"][:-1] == OTHERS["Statement"]
    assert client.policy["Id"] == "ours"


def test_the_fence_denies_every_write_to_everyone_but_the_operator():
    client = FakePolicies()
    raised(client)

    (statement,) = client.policy["Statement"]
    assert (statement["Sid"], statement["Effect"], statement["Principal"]) == (FENCE_SID, "Deny", "*")
    assert statement["Resource"] == TABLE.arn
    assert statement["Condition"]["ArnNotLike"] == {"aws:PrincipalArn": [OPERATOR]}
    writes = {
        "PutItem",
        "UpdateItem",
        "DeleteItem",
        "BatchWriteItem",
        "PartiQLInsert",
        "PartiQLUpdate",
        "PartiQLDelete",
    }
    assert {one.removeprefix("dynamodb:") for one in statement["Action"]} == writes


def test_a_policy_is_sent_without_blanks_since_aws_counts_them():
    client = FakePolicies({**OTHERS, "Id": "naïve"})
    raised(client).lift()

    assert len(client.texts) == 2
    assert not any(" " in text or "\n" in text or "\\u" in text for text in client.texts)


@pytest.mark.parametrize("before", [None, OTHERS])
def test_both_are_idempotent(before):
    client = FakePolicies(copy.deepcopy(before))
    made = raised(client)
    once, writes = copy.deepcopy(client.policy), client.writes
    made.raise_(None, NOON + LIMIT)
    assert (client.policy, client.writes) == (once, writes)
    made.lift()
    writes = client.writes
    made.lift()

    assert client.policy == before
    assert client.writes == writes


def test_a_single_statement_without_its_list_is_kept():
    client = FakePolicies({"Version": "2012-10-17", "Statement": READERS})
    raised(client).lift()

    assert client.policy == {"Version": "2012-10-17", "Statement": [READERS]}


def test_a_policy_that_changes_all_the_time_is_not_overwritten():
    client = FakePolicies(copy.deepcopy(OTHERS))
    read = client.get_resource_policy

    def read_then_changed(**arguments):
        answer = read(**arguments)
        client.history.append((client.clock.at, json.dumps(OTHERS), answer["RevisionId"] + "x"))
        return answer

    client.get_resource_policy = read_then_changed
    with pytest.raises(EngineError):
        raised(client)
    assert client.policy == OTHERS


# --- AWS's manners: late reads, blocked changes, a limit of size ------------------------------------

MANNERS = [
    pytest.param(lag, block, id=f"reads {lag:g} s late, changes blocked for {block:g} s")
    for lag in (0.0, 5.0, 12.0)
    for block in (0.0, 15.0)
]


@pytest.mark.parametrize(("lag", "block"), MANNERS)
@pytest.mark.parametrize("before", [None, OTHERS])
@pytest.mark.parametrize("after", [0.0, 2.0, 40.0])
def test_lifted_means_lifted_whatever_reads_say(before, lag, block, after):
    """With reads 5 s late, Ctrl-C 2 s after the fence rose found nothing to lift, and said so."""
    client = FakePolicies(copy.deepcopy(before), lag=lag, block=block)
    made = raised(client)
    client.clock.at += after
    made.lift()

    assert client.policy == before
    assert not is_fenced(of(client).read(TABLE.arn)[0]), "reads show it by the time it is called lifted"


class Interrupting(FakePolicies):
    """Ctrl-C comes once: behind the put and before its answer, or at the first read behind it."""

    at = ""

    def put_resource_policy(self, **arguments):
        answer = super().put_resource_policy(**arguments)
        self._interrupt("put")
        return answer

    def get_resource_policy(self, **arguments):
        if self.writes:
            self._interrupt("read")
        return super().get_resource_policy(**arguments)

    def _interrupt(self, here):
        if self.at == here:
            self.at = ""
            raise KeyboardInterrupt


@pytest.mark.parametrize(("lag", "block"), MANNERS)
@pytest.mark.parametrize("before", [None, OTHERS])
@pytest.mark.parametrize("at", ["put", "read"])
def test_one_that_is_interrupted_while_it_rises_is_lifted(before, lag, block, at):
    client = Interrupting(copy.deepcopy(before), lag=lag, block=block)
    client.at = at
    made = fence(client)
    with pytest.raises(KeyboardInterrupt):
        made.raise_(None, NOON + LIMIT)
    assert is_fenced(client.policy)
    made.lift()

    assert client.policy == before


@pytest.mark.parametrize(("lag", "block"), MANNERS)
@pytest.mark.parametrize("known", [True, False], ids=["its revision is noted", "only that it was asked for"])
def test_another_process_lifts_what_one_that_was_killed_has_put(lag, block, known):
    client, notes = FakePolicies(copy.deepcopy(OTHERS), lag=lag, block=block), InMemory()
    raised(client, notes)
    client.history[-1] = (client.clock.at, *client.history[-1][1:])  # put just now: reads do not show it yet
    if not known:
        notes.put(TABLE, Standing(None, None, int(NOON + LIMIT)))
    fence(client, notes).lift()

    assert client.policy == OTHERS


def test_what_was_changed_by_somebody_else_under_the_fence_is_kept():
    client = FakePolicies(copy.deepcopy(OTHERS))
    made = raised(client)
    theirs = {**client.policy, "Statement": [*client.policy["Statement"], {**READERS, "Sid": "New"}]}
    client.put_resource_policy(ResourceArn="", Policy=json.dumps(theirs), ExpectedRevisionId="2")
    made.lift()

    assert [one["Sid"] for one in client.policy["Statement"]] == ["Readers", "New"]


def test_a_lifting_whose_answer_is_lost_is_no_failure():
    client = FakePolicies(copy.deepcopy(OTHERS))
    made, put, lost = raised(client), client.put_resource_policy, []

    def once(**arguments):
        answer = put(**arguments)
        if not lost:
            lost.append(answer)
            raise no_answer()
        return answer

    client.put_resource_policy = once
    made.lift()
    assert client.policy == OTHERS


def test_a_fence_that_aws_does_not_let_go_is_an_error_and_never_called_lifted():
    client = FakePolicies(block=10 * PATIENCE_SECONDS)
    made = raised(client)

    with pytest.raises(EngineError, match="lift the fence from orders"):
        made.lift()
    assert client.denies(client.clock.at)
    assert made.notes.get(TABLE) is not None


def test_a_change_that_never_shows_is_an_error():
    client = FakePolicies(copy.deepcopy(OTHERS))
    made = raised(client)
    client.lag = 10 * PATIENCE_SECONDS + 1  # from now on, reads show what was there before all this
    client.history[0] = (0.0, client.history[1][1], "2")

    with pytest.raises(EngineError, match="AWS took the change, and 60 s later it shows"):
        made.lift()


def test_what_is_waited_for_is_told_once():
    told = []
    client = FakePolicies(block=15.0)
    made = fence(client, tell=told.append)
    made.raise_(None, NOON + LIMIT)
    made.lift()

    assert len(told) == 1
    assert "orders" in told[0]
    assert client.refused > 5


def test_who_may_not_change_a_policy_is_told_at_once():
    client = FakePolicies()
    made = raised(client)
    client.delete_resource_policy = refuse

    with pytest.raises(EngineError, match="AccessDenied"):
        made.lift()
    assert client.clock.at == NOON


def several(names, **manners):
    """A fence of several tables, whose policies share a clock."""
    tables = tuple(
        SimpleNamespace(name=name, arn=f"arn:aws:dynamodb:eu-west-1:123456789012:table/{name}")
        for name in names
    )
    clock = Clock()
    policies = {table.arn: FakePolicies(clock=clock, **manners) for table in tables}

    def to(method):
        return lambda **arguments: getattr(policies[arguments["ResourceArn"]], method)(**arguments)

    methods = ("get_resource_policy", "put_resource_policy", "delete_resource_policy")
    client = SimpleNamespace(**{name: to(name) for name in methods})
    made = PolicyFence(of(client, clock), tables, (OPERATOR,), clock.now, MARGIN)
    made.raise_(None, NOON + LIMIT)
    return made, list(policies.values()), clock


def test_one_table_that_cannot_be_freed_keeps_no_other_fenced():
    made, policies, _ = several(["first", "second", "third"])
    policies[0].delete_resource_policy = policies[0].put_resource_policy = refuse

    with pytest.raises(EngineError, match="lift the fence from first"):
        made.lift()
    assert [one.policy is None for one in policies] == [False, True, True]


def test_one_whose_note_cannot_be_read_is_lifted_after_the_others(monkeypatch):
    made, policies, clock = several(["first", "second", "third"], lag=5.0)
    known = made.notes.get
    freed = {}

    def get(table):
        if table.name == "first":
            raise EngineError("the state table is throttled", "x")
        return known(table)

    monkeypatch.setattr(made.notes, "get", get)
    for name, one in zip(("first", "second", "third"), policies, strict=True):
        delete = one.delete_resource_policy
        one.delete_resource_policy = lambda _name=name, _delete=delete, **rest: (
            freed.setdefault(_name, clock.at),
            _delete(**rest),
        )[1]
    made.lift()

    assert [one.policy for one in policies] == [None, None, None]
    assert list(freed) == ["second", "third", "first"]


def test_many_tables_wait_together():
    """By the fake's clock: AWS takes 15 s and shows it 5 s later, for one table as for forty."""
    made, policies, clock = several([f"table{number}" for number in range(40)], lag=5.0, block=15.0)
    assert clock.at - NOON < 15
    made.fasten()
    assert clock.at - NOON < 40
    made.lift()
    assert clock.at - NOON < 80
    assert all(one.policy is None for one in policies)


def refuse(**_):
    raise refusal("AccessDeniedException")


@pytest.mark.parametrize("blanks", [0, 2], ids=["without blanks", "with blanks"])
def test_a_policy_that_has_no_room_is_refused_before_anything_is_done(blanks):
    statements = [{**READERS, "Sid": f"Readers{at}"} for at in range(300)]
    text = json.dumps({"Version": "2012-10-17", "Statement": statements}, indent=blanks or None)
    client = FakePolicies({"Version": "2012-10-17", "Statement": statements})
    assert len(text) > LIMIT_BYTES

    with pytest.raises(Refused, match=r"orders has no room for the fence.*20,480") as caught:
        fence(client).check()
    assert "command:" in caught.value.hint
    assert client.writes == 0


def test_a_policy_that_has_room_without_its_blanks_is_taken():
    """A policy of 20,480 bytes, blanks counted, of which the blanks make room for the fence."""
    statements = [{**READERS, "Sid": f"R{at}"} for at in range(150)]
    client = FakePolicies({"Version": "2012-10-17", "Statement": statements})
    assert len(json.dumps(client.policy, indent=4)) > LIMIT_BYTES

    fence(client).check()
    raised(client).lift()
    assert client.policy == {"Version": "2012-10-17", "Statement": statements}


@pytest.mark.parametrize("fastened", [True, False], ids=["of a finished cutover", "of one under way"])
def test_the_fence_of_another_migration_is_not_taken_over(fastened):
    """A second migration's failed cutover lifted the fence of the first: both tables took writes."""
    client = FakePolicies(copy.deepcopy(OTHERS))
    first = raised(client)
    if fastened:
        first.fasten()
    before, writes = client.policy, client.writes

    with pytest.raises(Refused, match="orders is fenced already, by another migration") as caught:
        fence(client).check()
    assert FENCE_SID in caught.value.hint
    assert (client.policy, client.writes) == (before, writes)
    fence(client, first.notes).check()  # its own is


def test_one_that_has_ended_by_itself_keeps_nobody_off():
    client = FakePolicies()
    raised(client)
    client.clock.at = NOON + LIMIT

    fence(client).check()


def test_one_that_was_lifted_a_moment_ago_is_none_though_a_read_shows_it():
    client = FakePolicies(lag=5.0)
    made = raised(client)
    client.clock.at += 60
    client.history.append((client.clock.at, None, "3"))
    assert is_fenced(of(client).read(TABLE.arn)[0])

    fence(client, tell=made.policies.tell).check()
    assert client.clock.at - NOON < 60 + 15 + 5


# --- its own end ------------------------------------------------------------------------------


def test_it_ends_by_itself_until_it_is_fastened():
    """After a `kill -9` the deny stayed until somebody ran `cutover` again."""
    client = FakePolicies()
    raised(client)

    assert end_of(client.policy) == NOON + LIMIT
    assert client.denies(NOON + LIMIT - 1)
    assert not client.denies(NOON + LIMIT)


@pytest.mark.parametrize(("lag", "block"), MANNERS)
@pytest.mark.parametrize("before", [None, OTHERS])
def test_fastened_it_has_no_end_and_is_lifted_like_any(before, lag, block):
    client = FakePolicies(copy.deepcopy(before), lag=lag, block=block)
    made = raised(client)
    made.fasten()

    assert is_fenced(client.policy)
    assert end_of(client.policy) is None
    assert client.denies(NOON + 100 * LIMIT)
    made.lift()
    assert client.policy == before


@pytest.mark.parametrize(("lag", "block"), MANNERS)
@pytest.mark.parametrize("before", [None, OTHERS])
def test_killed_between_its_fastening_and_the_note_of_it_it_is_lifted_by_the_note_before(before, lag, block):
    """Noted is what was put first: of another revision, with an end that it has no more."""
    client, notes = FakePolicies(copy.deepcopy(before), lag=lag, block=block), InMemory()
    made, keep = raised(client, notes), notes.put

    def killed(table, standing):
        raise KeyboardInterrupt

    notes.put = killed
    with pytest.raises(KeyboardInterrupt):
        made.fasten()
    assert end_of(client.policy) is None
    notes.put = keep
    fence(client, notes).lift()

    assert client.policy == before
    assert notes.get(TABLE) is None


@pytest.mark.parametrize("left", [MARGIN - 1, 0.0, -100.0])
def test_it_is_not_fastened_shortly_before_its_end_or_behind_it(left):
    client = FakePolicies()
    made = raised(client)
    client.clock.at = NOON + LIMIT - left

    with pytest.raises(EngineError, match="ends by itself in") as caught:
        made.fasten()
    assert "fence_limit" in caught.value.hint
    assert end_of(client.policy) == NOON + LIMIT


def test_nor_where_aws_takes_the_change_too_late():
    """Blocked until its end is near: by the time the change shows, a write may have come through."""
    client = FakePolicies(lag=5.0)
    made = raised(client)
    client.clock.at = NOON + LIMIT - MARGIN - 3

    with pytest.raises(EngineError, match="ends by itself in"):
        made.fasten()
    made.lift()
    assert client.policy is None


def test_a_fence_that_somebody_took_away_is_not_fastened():
    """Writes may have come through the gap: putting it up again proves nothing."""
    client = FakePolicies(copy.deepcopy(OTHERS))
    made = raised(client)
    client.put_resource_policy(ResourceArn="", Policy=json.dumps(OTHERS), ExpectedRevisionId="2")

    with pytest.raises(EngineError, match="fasten the fence of orders"):
        made.fasten()
    assert client.policy == OTHERS


@pytest.mark.engine("ministack")
def test_an_engine_takes_the_policy_and_gives_it_back(aws, unique):
    client = aws.client("dynamodb", "eu-west-1")
    name = unique("orders")
    arn = client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )["TableDescription"]["TableArn"]
    table = SimpleNamespace(name=name, arn=arn)
    up = PolicyFence(Policies(client), (table,), (OPERATOR,), time.time, MARGIN)
    up.check()
    up.raise_(None, time.time() + LIMIT)
    stored = json.loads(client.get_resource_policy(ResourceArn=arn)["Policy"])
    assert [one["Sid"] for one in stored["Statement"]] == [FENCE_SID]
    assert end_of(stored) is not None
    up.fasten()
    assert end_of(json.loads(client.get_resource_policy(ResourceArn=arn)["Policy"])) is None
    up.lift()
    up.lift()
    with pytest.raises(client.exceptions.PolicyNotFoundException):
        client.get_resource_policy(ResourceArn=arn)
