"""What a cutover refuses before it touches anything, and whom its fence lets through."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager, nullcontext
from functools import partial
from types import SimpleNamespace
from typing import ClassVar

import pytest
from botocore.exceptions import ClientError

from ddbverify.config import parse
from ddbverify.errors import ConfigurationError, EngineError, Refused
from ddbverify.evidence import cutover as cutover_evidence
from ddbverify.evidence import signing
from ddbverify.gate.gate import Decision
from ddbverify.names import SHUT, Fact, canary_key, marker_key
from replicator.aws import switch
from replicator.aws.roles import role_of
from replicator.aws.stream import Trimmed
from replicator.commands import after_flip, cutover, cutover_drain, cutover_left, last_verification, quiet
from replicator.commands.cutover import CUTOVER, _Attempt
from replicator.commands.cutover_preflight import (
    LEAST_QUIET_BEHIND_A_POLICY_SECONDS,
    LEAST_QUIET_SECONDS,
    check,
    need_fence_of,
)
from replicator.commands.restart import _need_no_cutover
from replicator.context.context import Pace
from replicator.handlers.records import MalformedRecord
from replicator.handlers.state import State
from tests.ddbverify.judged import good_evidence
from tests.replicator.fakes import ARN, STATE, FakeDynamoDB, Rooted, refusal

FILE = """
[[tables]]
source = "orders"
target = "orders-v2"

[cutover]
way_back = "off"
pointer = "ssm:/shop/orders-table"
"""


SET_CONSUMER, SWITCH_MAPPING = switch.set_consumer, switch.switch_mapping


class Target:
    """A client that knows one table, or none."""

    def __init__(self, *, there):
        self.there = there

    def describe_table(self, *, TableName):  # noqa: N803
        if not self.there:
            raise refusal("ResourceNotFoundException")
        return {
            "Table": {
                "TableArn": f"arn:aws:dynamodb:eu-west-1:123456789012:table/{TableName}",
                "TableStatus": "ACTIVE",
                "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
                "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            }
        }


def no_parameter(**_):
    raise refusal("ParameterNotFound")


def context(tmp_path, text=FILE, *, follows=True, there=True, emulator=False):
    config = parse(text, tmp_path)
    state = State.of_pair(FakeDynamoDB(), STATE, config.tables[0].id)
    if follows:
        state.put(Fact.STEP + "following", at="now")
    return Rooted(
        config=config,
        emulator=emulator,
        pace=Pace.of(emulator=emulator),
        state=lambda pair: state,
        whole=State.whole(state.client, STATE),
        resources=lambda pair: {
            "target_arn": f"arn:aws:dynamodb:eu-west-1:123456789012:table/{pair.target}",
            "stream_arn": ARN,
        },
        source_table=lambda pair: SimpleNamespace(arn=ARN.partition("/stream/")[0]),
        target=Target(there=there),
        source_client=lambda _: SimpleNamespace(get_parameter=no_parameter),
        pairs_begun=lambda: {config.tables[0].id},
    )


def test_a_migration_that_follows_may_be_cut_over(tmp_path):
    assert check(context(tmp_path)).name == "/shop/orders-table"


def test_a_pair_that_is_named_no_longer_is_no_reason_to_leave_its_application_behind(tmp_path):
    """At the first flip, too: nothing would fence or verify it, and a pointer of all pairs would move it."""
    made = context(tmp_path)
    made.pairs_begun = lambda: {made.config.tables[0].id, "customers-1"}
    with pytest.raises(Refused, match="does not name customers-1 any more"):
        check(made)


LEFT, THERE = "arn:of:what:the:flip:before:set", "arn:aws:dynamodb:eu-west-1:123456789012:table/orders-v2"


@pytest.mark.parametrize(
    ("behind_a_flip", "held", "said"),
    [
        (False, "arn:of:orders", ""),
        (False, None, ""),
        (False, THERE, "points at .* already, and no flip has set it"),
        (True, LEFT, ""),
        (True, "arn:by:hand", "no longer holds what the last flip has set"),
        (True, None, "no longer holds what the last flip has set"),
        (True, THERE, "no longer holds what the last flip has set"),
    ],
)
def test_a_pointer_that_somebody_has_changed_by_hand_moves_nothing(tmp_path, behind_a_flip, held, said):
    """The application may write to a table that nobody follows, and none of it is in the other."""
    made = turned(tmp_path) if behind_a_flip else context(tmp_path)
    if behind_a_flip:
        made.turned(0).whole.put(
            CUTOVER, flipped=True, fence="resource-policy", pointer={"/shop/orders-table": LEFT}
        )
        made.whole = State.whole(FakeDynamoDB(), STATE)  # of its own
    answer = {"Parameter": {"Name": "/shop/orders-table", "Value": held, "Type": "String"}}
    made.source_client = lambda _: SimpleNamespace(
        get_parameter=no_parameter if held is None else lambda **_: answer
    )
    if said:
        with pytest.raises(Refused, match=said):
            check(made)
        made.whole.put(CUTOVER, flipping=True)
        check(made)  # by then it is for the pointer to say
    else:
        assert check(made).name == "/shop/orders-table"


def test_without_a_pointer_there_is_nothing_to_flip(tmp_path):
    with pytest.raises(ConfigurationError, match=r"\[cutover\] pointer"):
        check(context(tmp_path, FILE.partition("[cutover]")[0]))


@pytest.mark.parametrize(
    ("fence", "least"),
    [
        ("command:./fence", LEAST_QUIET_SECONDS),
        ("resource-policy", LEAST_QUIET_BEHIND_A_POLICY_SECONDS),
    ],
)
def test_a_short_quiet_time_is_for_emulators(tmp_path, fence, least):
    """A fence in a policy has spread before it begins; of any other nothing is known."""

    def settings(seconds):
        return f'{FILE}fence = "{fence}"\nquiet = "{seconds:.0f}s"\n'

    for short in (0, least - 1):
        with pytest.raises(ConfigurationError, match=r"\[cutover\] quiet") as caught:
            check(context(tmp_path, settings(short)))
        assert f"{least:.0f}s" in caught.value.hint
        assert check(context(tmp_path, settings(short), emulator=True))
    assert check(context(tmp_path, settings(least)))


def test_a_command_for_a_fence_cannot_open_a_target_that_its_policy_closes(tmp_path):
    here = context(tmp_path, f'{FILE}fence = "command:./fence"\n')
    here.whole.put(Fact.TARGET_FENCE + "orders-v2", at="2026-01-01T00:00:00+00:00", exempt=["arn"])

    with pytest.raises(Refused, match="policy of orders-v2 keeps writers off") as caught:
        check(here)
    assert "replicator restore" in caught.value.hint
    here.whole.put(Fact.TARGET_FENCE + "orders-v2", at="2026-01-01T00:00:00+00:00", opened=True)
    assert check(here)


def turned(tmp_path, fence="resource-policy", *, begun=(), is_gone=False, **options):
    """The way back of a migration that was cut over behind *fence*."""
    made, whole = context(tmp_path, **options), State.whole(FakeDynamoDB(), STATE)
    whole.put(CUTOVER, flipped=True, fence=fence)
    before = SimpleNamespace(
        cycle=0, flips_with="cutover", whole=None if is_gone else whole, begun=lambda: not is_gone
    )
    made.cycle, made.turned = 1, lambda cycle: before
    made.pairs_begun = lambda: {made.config.tables[0].id, *begun}
    return made


def test_a_way_back_may_be_taken_as_it_was_armed(tmp_path):
    assert check(turned(tmp_path)).name == "/shop/orders-table"


def test_a_table_whose_fence_could_not_be_lifted_is_not_gone_back_to(tmp_path):
    """Its application would find both tables fenced."""
    with pytest.raises(Refused, match="The source was fenced by 'command:") as caught:
        check(turned(tmp_path, "command:./fence {side}"))
    assert "put the setting back" in caught.value.hint
    with pytest.raises(Refused, match="does not name customers-1 any more"):
        check(turned(tmp_path, begun=["customers-1"]))


def test_one_that_was_killed_behind_removing_the_direction_before_goes_on(tmp_path):
    assert check(turned(tmp_path, is_gone=True)).name == "/shop/orders-table"


def test_a_way_back_that_is_not_open_yet_is_opened_by_the_command_before(tmp_path):
    with pytest.raises(Refused, match="does not follow its source yet") as caught:
        check(turned(tmp_path, follows=False))
    assert caught.value.hint == "run the command `cutover` again: it goes on where it stopped."


def test_a_cutover_before_restore_is_refused(tmp_path):
    with pytest.raises(Refused, match="does not follow") as caught:
        check(context(tmp_path, follows=False))
    assert "replicator restore" in caught.value.hint


def test_a_target_that_is_gone_is_refused(tmp_path):
    with pytest.raises(Refused, match="does not exist any more"):
        check(context(tmp_path, there=False))


@pytest.mark.parametrize(
    ("identity", "principal"),
    [
        ("arn:aws:iam::123456789012:user/ops", "arn:aws:iam::123456789012:user/ops"),
        ("arn:aws:iam::123456789012:root", "arn:aws:iam::123456789012:root"),
        ("arn:aws:sts::123456789012:assumed-role/Admin/me@x.org", "arn:aws:iam::123456789012:role/Admin"),
        ("arn:aws-cn:sts::123456789012:assumed-role/Admin/me", "arn:aws-cn:iam::123456789012:role/Admin"),
        ("arn:aws-us-gov:sts::123456789012:assumed-role/A/s/x", "arn:aws-us-gov:iam::123456789012:role/A"),
    ],
)
def test_a_session_is_known_by_the_role_behind_it(identity, principal):
    assert role_of(identity)[0] == principal


class Attempt(_Attempt):
    """A cutover whose steps do nothing, or fail where they are told to."""

    fails_at: ClassVar[str] = ""
    error: ClassVar[BaseException] = EngineError("writes still reach the source", "x")
    log: ClassVar[list[str]] = []

    def _do(self, step):
        self.log.append(step)
        if step == self.fails_at:
            raise self.error

    def _drain(self, step):
        self._do("drain")

    def _verify(self, step):
        self._do("verify")
        self.verified = self.context.decision

    def _flip(self):
        self._do("flip")


POINTER = SimpleNamespace(
    name="/shop/orders-table",
    value="arn:of:the:target",
    values={"/shop/orders-table": "arn:of:the:target"},
    is_surely_not_begun=lambda: True,
)


class Whole(dict):
    def get(self, name, default=None):
        if name == Fact.LIVE:
            return self.live
        return dict(self) if name == CUTOVER and self else super().get(name, default)

    def put(self, fact, **facts):
        if fact == Fact.LIVE:
            self.live = facts
            return
        self.clear()  # as the real one: a fact is replaced
        self.update(facts)

    def put_over(self, fact, before, **facts):
        if self.get(fact) != before:
            return False
        self.put(fact, **facts)
        return True

    def all(self, prefix):
        assert prefix == Fact.FENCE
        return iter(self.fences)

    fences = ()
    live = None


class Held:
    """A lease; *lost* until it is taken again, if that can be."""

    token, lost, free = 1, False, True

    def check(self):
        if self.lost:
            raise Refused("lost its lease", "x")

    def lasts(self):
        return not self.lost

    def regain(self):
        if self.lost and self.free:
            self.lost, self.token = False, self.token + 1
        return not self.lost


@contextmanager
def quiet_step(title):
    yield SimpleNamespace(at=lambda text: None, result="")


@pytest.fixture
def attempt(tmp_path, monkeypatch):
    return begun(tmp_path, monkeypatch)


def begun(tmp_path, monkeypatch, text=FILE):
    """A cutover whose steps only say that they are taken."""
    log = []
    monkeypatch.setattr(Attempt, "log", log)
    for name in ("set_consumer", "switch_mapping"):
        monkeypatch.setattr(
            f"replicator.aws.switch.{name}", lambda *_, on, **__: log.append(f"consumer {on}")
        )
    monkeypatch.setattr("replicator.aws.queue.queue_depth", lambda *_: {"in_flight": 0})
    monkeypatch.setattr("ddbverify.tables.aws.caller", lambda side: "arn:aws:iam::123456789012:user/ops")
    config = parse(text, tmp_path)
    found = good_evidence(config)
    console = SimpleNamespace(step=quiet_step, warn=log.append, line=log.append)
    whole = Whole()
    fake = Rooted(
        config=config,
        console=console,
        whole=whole,
        emulator=True,
        source_side=config.source,
        server_time=lambda: 0.0,
        state=lambda pair: Whole(),
        resources=lambda pair: {"consumer_mapping": "uuid"},
        decision=Decision(tmp_path, (), found, "1" * 64),
    )
    watched = after_flip.Watched()
    monkeypatch.setattr(after_flip, "begin", lambda _: log.append("watching"))
    monkeypatch.setattr(after_flip, "look", lambda *_: watched)
    made = Attempt(fake, Held(), POINTER)
    monkeypatch.setattr(quiet, "await_quiet", lambda *_: made._do("quiet"))
    return made


FENCE = SimpleNamespace(
    ends=True,
    lead_seconds=0.0,
    raise_=lambda begins, until: Attempt.log.append("fence"),
    need_standing=lambda: Attempt.log.append("standing"),
    fasten=lambda: Attempt.log.append("fasten"),
    lift=lambda: Attempt.log.append("lifted"),
)


def left_behind(config):
    return cutover_evidence.decode(cutover_evidence.path(config).read_bytes(), signing.trusted_keys(config))


def test_a_cutover_leaves_signed_evidence(attempt):
    attempt._behind(FENCE)

    config = attempt.context.config
    found = left_behind(config)
    assert (found.outcome, found.reason, found.value) == ("flipped", None, "arn:of:the:target")
    assert list(found.steps) == [
        "fence",
        "quiet",
        "drain",
        "consumer",
        "verification",
        "fasten",
        "flip-asked",
        "flip",
    ]
    assert found.verified_by.sha256 == "1" * 64
    assert found.verified_by.run_id == attempt.context.decision.evidence.run_id
    assert [pair.id for pair in found.pairs] == [config.tables[0].id]
    assert (found.operator, found.emulator) == ("arn:aws:iam::123456789012:user/ops", True)


@pytest.mark.parametrize("at", ["quiet", "drain", "verify", "flip"])
@pytest.mark.parametrize("error", [EngineError("writes still reach the source", "x"), KeyboardInterrupt()])
def test_one_that_was_rolled_back_does_too_after_the_fence_was_lifted(attempt, monkeypatch, at, error):
    monkeypatch.setattr(Attempt, "fails_at", at)
    monkeypatch.setattr(Attempt, "error", error)

    with pytest.raises(Refused):
        attempt._behind(FENCE)

    found = left_behind(attempt.context.config)
    assert (found.outcome, found.value) == ("rolled-back", None)
    assert found.reason in ("writes still reach the source", "interrupted")
    assert (found.verified_by is not None) is (at == "flip")
    assert "lifted" in attempt.log


def test_one_that_is_interrupted_says_that_it_starts_over(attempt, monkeypatch):
    """The command's own words are that the next one goes on from here."""
    monkeypatch.setattr(Attempt, "fails_at", "drain")
    monkeypatch.setattr(Attempt, "error", KeyboardInterrupt())

    with pytest.raises(Refused, match="interrupted, and rolled back") as caught:
        attempt._behind(FENCE)
    assert "starts over" in caught.value.hint
    assert "ddbverify run" in caught.value.hint, (
        "the gate is closed by a last verification that was interrupted"
    )


def test_a_fence_whose_intent_could_not_be_noted_is_not_left_noted(attempt, monkeypatch):
    """The note was taken, and its answer lost: status called the source fenced until the next cutover."""
    put, refused = attempt.context.whole.put, []

    def lost(name, **facts):
        put(name, **facts)
        if not refused:
            refused.append(facts)
            raise refusal("InternalServerError")

    monkeypatch.setattr(attempt.context.whole, "put", lost)
    with pytest.raises(ClientError):
        attempt._behind(FENCE)
    assert refused[0]["fenced"] is True
    assert "fenced" not in attempt.context.whole
    assert left_behind(attempt.context.config).outcome == "rolled-back"


def test_one_that_is_interrupted_twice_says_that_the_fence_may_be_up(attempt, monkeypatch):
    monkeypatch.setattr(Attempt, "fails_at", "drain")
    monkeypatch.setattr(Attempt, "error", KeyboardInterrupt())

    def lift():
        raise KeyboardInterrupt

    with pytest.raises(
        EngineError, match=r"failed \(interrupted\), and its fence could not be lifted: interrupted"
    ):
        attempt._behind(SimpleNamespace(**{**vars(FENCE), "lift": lift}))


def test_one_that_is_interrupted_while_it_is_rolled_back_says_what_is_left(attempt, monkeypatch):
    """Behind the lifting a second Ctrl-C left the consumers off, and nothing said so."""
    monkeypatch.setattr(Attempt, "fails_at", "verify")
    monkeypatch.setattr(cutover_drain, "consumers_on", interrupt)

    with pytest.raises(Refused, match="rolling it back was interrupted") as caught:
        attempt._behind(FENCE)
    assert "Its fence is lifted; its consumers may be off" in caught.value.message
    assert "run `replicator cutover` again" in caught.value.hint
    assert "writes still reach the source" in caught.value.message


def test_one_that_is_interrupted_while_the_pointer_is_read_says_that_the_fence_may_be_up(
    attempt, monkeypatch
):
    monkeypatch.setattr(Attempt, "fails_at", "flip")
    attempt.pointer = SimpleNamespace(**{**vars(POINTER), "is_surely_not_begun": interrupt})

    with pytest.raises(EngineError, match="its fence could not be lifted: interrupted") as caught:
        attempt._behind(FENCE)
    assert "run `replicator cutover` again now" in caught.value.hint
    assert "lifted" not in attempt.log


def interrupt(*_, **__):
    raise KeyboardInterrupt


@pytest.mark.parametrize("flipped", [True, False])
def test_one_that_is_interrupted_behind_its_flip_says_that_the_application_has_moved(
    attempt, monkeypatch, flipped
):
    """The command's own words are that the next one goes on: they do not say from where."""
    monkeypatch.setattr(cutover, "cutover_preflight", SimpleNamespace(check=lambda _: POINTER))
    monkeypatch.setattr(cutover, "_Attempt", lambda *_, **__: attempt)
    monkeypatch.setattr(attempt.context, "need_no_restart", lambda: None, raising=False)
    monkeypatch.setattr(attempt.context, "locked", lambda _: nullcontext(), raising=False)

    def run(_):
        if flipped:
            attempt.steps["flip"] = "now"
        raise KeyboardInterrupt

    monkeypatch.setattr(Attempt, "run", run)
    flip = partial(cutover.flip, attempt.context, lambda context: context, "cutover")
    if not flipped:
        with pytest.raises(KeyboardInterrupt):
            flip()
        return
    with pytest.raises(Refused, match="interrupted behind its flip: the application has moved") as caught:
        flip()
    assert "run `replicator cutover` again now" in caught.value.hint


def test_all_that_can_be_done_while_the_application_writes_is_done_before_the_fence(attempt, monkeypatch):
    """What was written so far is looked at and audited; and no target is open that an attempt left so."""
    log, said = attempt.log, "replicator.commands.cutover."

    def says(name, answer=None):
        return lambda *_, **__: log.append(name) or answer

    made = SimpleNamespace(check=lambda: None)
    ahead = SimpleNamespace(roles=("the way back's",))
    for name, does in {
        "fence.of": lambda _, roles=(), **__: log.append(f"fence past {list(roles)}") or made,
        "cutover_drain.need_consumers_on": lambda *_: None,
        "marking.tidy": lambda *_: None,
        "cutover_fence.close_left_open": says("what was left open is closed"),
        "cutover_permitted.need": says("permitted"),
        "way_back_possible.decided": lambda _: True,
        "cutover_gate.ask": says("gate", attempt.context.decision),
        "way_back.arm": says("armed", ahead),
        "way_back.last_words": lambda *_: "",
        "last_verification.can_follow": lambda *_: True,
        "last_verification.approach": says("links"),
        "cutover_gate.fly_canaries": says("canary"),
        "last_verification.waiting": lambda *_, **__: nullcontext(),
        "cutover_drain.approach": says("audit"),
    }.items():
        monkeypatch.setattr(said + name, does)
    monkeypatch.setattr(Attempt, "_behind", lambda _, fence: log.append(f"behind {fence is made}"))

    attempt.run()
    assert [line for line in log if not line.startswith("Cut over") and line] == [
        "fence past []",
        "what was left open is closed",
        "permitted",
        "gate",
        "armed",
        'fence past ["the way back\'s"]',
        "links",
        "canary",
        "audit",
        "behind True",
    ]


def test_the_last_verification_sees_what_the_consumer_wrote_last(attempt):
    """The consumer was switched off behind it: a late write of its was in no verification."""
    attempt._behind(FENCE)

    done = ["fence", "quiet", "drain", "consumer False", "verify", "fasten", "flip", "watching"]
    assert attempt.log == done


class AheadLogged:
    """A way back that only says what is asked of it."""

    def __init__(self, log, written=""):
        self.log, self.written = log, written

    def watch(self):
        self.log.append("follower is watched")

    def fix(self):
        self.log.append("boundary is fixed")

    def await_boundary(self, in_time, step):
        self.log.append("boundary has passed")

    def need_still(self, in_time, step, *, shows):
        self.log.append(f"nobody wrote around it, shown: {shows}")
        if self.written:
            raise EngineError(self.written, "x")


@pytest.fixture
def with_a_way_back(attempt, monkeypatch):
    """A cutover whose last verification is the real one's order, with nothing behind it."""
    log = attempt.log
    monkeypatch.setattr("replicator.commands.way_back.open_", lambda *_: log.append("open"))
    monkeypatch.setattr("replicator.commands.way_back.note_moved", lambda *_: None)
    monkeypatch.setattr(Attempt, "_verify", _Attempt._verify)
    monkeypatch.setattr(last_verification.gate, "judge", lambda *_, **__: attempt.context.decision)

    def has_judged(_):
        log.append("judged")
        return True

    attempt.ahead = AheadLogged(log)
    attempt.waiting = SimpleNamespace(
        folder=attempt.context.config.folder,
        marked=False,
        give_word=lambda: log.append("word"),
        has_judged=has_judged,
    )
    return attempt


def test_the_boundary_of_the_way_back_passes_by_while_the_last_verification_reads(with_a_way_back):
    """It is a moment behind the consumer's last write, which is looked for behind the proof of the ends."""
    with_a_way_back._behind(FENCE)

    log = with_a_way_back.log
    assert log.index("fence") < log.index("follower is watched") < log.index("quiet")
    assert log[log.index("consumer False") : log.index("fasten")] == [
        "consumer False",
        "boundary is fixed",
        "word",
        "boundary has passed",
        "judged",
        "nobody wrote around it, shown: False",
    ]
    steps = list(left_behind(with_a_way_back.context.config).steps)
    assert steps[steps.index("consumer") :][:3] == ["consumer", "boundary", "verification"]


def test_who_writes_around_the_boundary_is_found_out_all_the_same(with_a_way_back):
    with_a_way_back.ahead.written = "Somebody else writes to orders-v2"

    with pytest.raises(Refused, match="Somebody else writes"):
        with_a_way_back._behind(FENCE)
    assert "flip" not in with_a_way_back.log
    assert "lifted" in with_a_way_back.log


def test_who_wrote_behind_the_flip_is_told_and_changes_nothing_of_it(attempt, monkeypatch):
    monkeypatch.setattr(after_flip, "look", lambda *_: after_flip.Watched(unread="it is off"))
    attempt._behind(FENCE)

    assert any("is not known" in line and "it is off" in line for line in attempt.log)
    assert attempt.context.whole["flipped"] is True


def test_a_source_that_cannot_be_watched_yet_is_told_and_the_flip_stands(attempt, monkeypatch):
    def refused(_):
        raise refusal("ThrottlingException")

    monkeypatch.setattr(after_flip, "begin", refused)
    attempt._behind(FENCE)

    assert any("is not watched yet" in line and "Throttling" in line for line in attempt.log)
    assert attempt.context.whole["flipped"] is True
    assert "lifted" not in attempt.log


@pytest.mark.parametrize("at", ["quiet", "drain", "verify", "flip"])
def test_whatever_fails_the_consumer_is_switched_on_again(attempt, monkeypatch, at):
    monkeypatch.setattr(Attempt, "fails_at", at)

    with pytest.raises(Refused):
        attempt._behind(FENCE)
    assert attempt.log.index("lifted") < attempt.log.index("consumer True")
    assert "consumer False" not in attempt.log[attempt.log.index("consumer True") :]


def test_nor_does_it_stay_off_where_the_fence_cannot_be_lifted(attempt, monkeypatch):
    """The fence ends by itself, and then the application writes again: nothing applied it."""
    monkeypatch.setattr(Attempt, "fails_at", "verify")

    def lift():
        raise EngineError("no connection", "x")

    with pytest.raises(EngineError, match="could not be lifted: no connection"):
        attempt._behind(SimpleNamespace(**{**vars(FENCE), "lift": lift}))
    told = [line for line in attempt.log if "could not be lifted" in line]
    assert attempt.log.index(told[0]) < attempt.log.index("consumer True"), "what is urgent is told first"


def test_one_that_was_killed_leaves_no_consumer_off_whatever_is_refused_next(attempt, monkeypatch):
    """The fence was lifted, the policy was then found to be full, and the consumer stayed off."""
    attempt.context.whole.put(CUTOVER, steps={"consumer": "now"}, fenced=True)

    def check():
        raise Refused("The policy has no room for the fence", "x")

    left = SimpleNamespace(lift=lambda: attempt.log.append("lifted"), check=check)
    monkeypatch.setattr("replicator.commands.cutover.fence.of", lambda _, **__: left)

    with pytest.raises(Refused, match="no room"):
        attempt.run()
    assert [line for line in attempt.log if not line.startswith("an earlier")] == ["lifted", "consumer True"]


@pytest.mark.parametrize(
    ("recorded", "said"),
    [({}, "could not be lifted"), ({"fence": "command:./fence"}, "fence is another now")],
    ids=["it cannot be lifted", "the setting is another"],
)
def test_one_that_was_killed_leaves_no_consumer_off_where_its_fence_stays(
    attempt, monkeypatch, recorded, said
):
    attempt.context.whole.put(CUTOVER, steps={"consumer": "now"}, fenced=True, **recorded)

    def lift():
        raise EngineError("no connection", "x")

    monkeypatch.setattr("replicator.commands.cutover.fence.of", lambda _, **__: SimpleNamespace(lift=lift))
    with pytest.raises((EngineError, Refused), match=said):
        attempt.run()
    assert attempt.log[-1] == "consumer True"
    assert attempt.context.whole["fenced"] is True


def test_one_that_is_rolled_back_ends_no_pause(attempt, monkeypatch):
    monkeypatch.setattr(Attempt, "fails_at", "drain")
    monkeypatch.setattr(Attempt, "error", EngineError("writes still reach the source", "x"))
    attempt.context.state = lambda pair: Whole({Fact.CONTROL: {"state": "pause"}})

    with pytest.raises(Refused):
        attempt._behind(FENCE)
    assert "consumer True" not in attempt.log
    assert any("was paused meanwhile" in line for line in attempt.log)

    attempt.context.state = lambda pair: Whole({Fact.CONTROL: {"state": "run"}})
    with pytest.raises(Refused):
        attempt._behind(FENCE)
    assert "consumer True" in attempt.log


def test_the_consumers_are_shut_before_the_last_verification(attempt, monkeypatch):
    """What is started late writes nothing that no verification sees, whoever switches the mapping on."""
    state, seen = Whole(), []
    attempt.context.state = lambda pair: state
    monkeypatch.setattr(Attempt, "_verify", lambda *_: seen.append(dict(state)))
    attempt._behind(FENCE)
    assert [one["state"] for one in seen] == [SHUT]
    assert attempt.context.whole.live["table"] == "target"


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_pause_is_not_taken_for_the_end_of_a_direction(attempt, monkeypatch, when):
    """Shutting the consumer replaced it: a cutover that the operator had paused moved on."""
    state = Whole({Fact.CONTROL: {"state": "pause"}} if when == "before" else {})
    if when == "meanwhile":
        monkeypatch.setattr(state, "put_over", lambda *_, **__: False, raising=False)
    attempt.context.state = lambda pair: state
    with pytest.raises(Refused, match="is paused"):
        attempt._behind(FENCE)
    assert "lifted" in attempt.log
    assert "flip" not in attempt.log


def test_between_is_noted_before_the_flip_is_asked_for_and_target_behind_it(attempt, monkeypatch):
    noted = []
    put = attempt.context.whole.put

    def keep(fact, **facts):
        noted.append(facts.get("table") or ("asked" if facts.get("flipping") else ""))
        put(fact, **facts)

    monkeypatch.setattr(attempt.context.whole, "put", keep, raising=False)
    monkeypatch.setattr(Attempt, "_flip", lambda self: noted.append("flip"))

    attempt._behind(FENCE)
    assert [one for one in noted if one][:4] == ["between", "asked", "flip", "asked"]
    assert attempt.context.whole.live["table"] == "target"


@pytest.mark.parametrize("at", ["between", "flip-asked"])
def test_one_that_was_killed_at_its_flip_lets_the_consumer_follow_the_source_again(attempt, monkeypatch, at):
    """`between` keeps the consumer off; the pointer says that nothing has moved."""
    steps = {"consumer": "now", **({"flip-asked": "now"} if at == "flip-asked" else {})}
    attempt.context.whole.put(CUTOVER, steps=steps, fenced=True, flipping=at == "flip-asked")
    attempt.context.whole.put(Fact.LIVE, table="between", at="now")
    with pytest.raises(Refused, match="nothing may follow"):
        switch.on_again(attempt.context, attempt.context.config.tables[0])
    assert "consumer True" not in attempt.log

    def check():
        raise Refused("The policy has no room for the fence", "x")

    left = SimpleNamespace(lift=lambda: attempt.log.append("lifted"), check=check)
    monkeypatch.setattr("replicator.commands.cutover.fence.of", lambda *_, **__: left)
    attempt.pointer = SimpleNamespace(**{**vars(POINTER), "is_begun": lambda: False})
    with pytest.raises(Refused, match="no room"):
        attempt.run()
    assert attempt.context.whole.live["table"] == "source"
    assert attempt.log[-2:] == ["lifted", "consumer True"]


def test_one_that_was_killed_behind_its_rolling_back_follows_the_source_again(attempt, monkeypatch):
    """Its fence is lifted, and noted so; that nothing is between any more was not."""
    attempt.context.whole.put(CUTOVER, steps={"flip-asked": "now", "lifted": "now"})
    attempt.context.whole.put(Fact.LIVE, table="between", at="now")

    def check():
        raise Refused("The policy has no room for the fence", "x")

    left = SimpleNamespace(check=check)
    monkeypatch.setattr("replicator.commands.cutover.fence.of", lambda *_, **__: left)
    with pytest.raises(Refused, match="no room"):
        attempt.run()
    assert attempt.context.whole.live["table"] == "source"
    assert "consumer True" in attempt.log


def test_the_consumers_stay_off_where_it_cannot_be_noted_that_the_source_is_live(attempt, monkeypatch):
    monkeypatch.setattr(Attempt, "fails_at", "flip")
    put = attempt.context.whole.put

    def refused(fact, **facts):
        if facts.get("table") == "source":
            raise refusal("ThrottlingException")
        put(fact, **facts)

    monkeypatch.setattr(attempt.context.whole, "put", refused, raising=False)
    with pytest.raises(Refused, match="writes still reach the source"):
        attempt._behind(FENCE)
    assert "lifted" in attempt.log
    assert "consumer True" not in attempt.log
    assert any("stay off until `replicator cutover`" in line for line in attempt.log)


def slept(attempt, meanwhile=lambda: None):
    """The machine sleeps in the drain, and *meanwhile* another operator may be at work."""

    def drain(step):
        attempt.lock.lost = True
        meanwhile()
        attempt.lock.check()

    return drain


def test_a_lease_that_ended_is_taken_again_to_lift_the_fence(attempt, monkeypatch):
    monkeypatch.setattr(Attempt, "_drain", lambda self, step: slept(attempt)(step))

    with pytest.raises(Refused, match="lost its lease"):
        attempt._behind(FENCE)
    assert "lifted" in attempt.log
    assert "lifted" in attempt.context.whole["steps"]


@pytest.mark.parametrize("free", [True, False], ids=["the other is done", "the other is at work"])
def test_a_cutover_that_slept_takes_nothing_back_of_the_one_that_came_after(attempt, monkeypatch, free):
    """It lifted the fence behind a flip: both tables took writes."""
    of_the_other = {"steps": {"flip": "now"}, "flipped": True, "token": 2}

    def meanwhile():
        attempt.context.whole.put("", **of_the_other)
        attempt.lock.token, attempt.lock.free = 1, free

    monkeypatch.setattr(Attempt, "_drain", lambda self, step: slept(attempt, meanwhile)(step))

    with pytest.raises(Refused, match="another operator has taken over") as caught:
        attempt._behind(FENCE)
    assert "replicator status" in caught.value.hint
    assert "lifted" not in attempt.log
    assert "consumer True" not in attempt.log
    assert attempt.context.whole == of_the_other
    assert not cutover_evidence.path(attempt.context.config).exists()


def test_what_fails_after_the_fence_is_lifted_hides_neither_that_nor_the_reason(attempt, monkeypatch):
    """The state said "fenced" until the consumer was on again, and its refusal was all that was told."""
    monkeypatch.setattr(Attempt, "fails_at", "drain")

    def refused(*_):
        raise refusal("AccessDeniedException")

    monkeypatch.setattr("replicator.aws.switch.on_again", refused)

    with pytest.raises(Refused, match="writes still reach the source"):
        attempt._behind(FENCE)
    assert "lifted" in attempt.context.whole["steps"]
    assert not attempt.context.whole.get("fenced")
    assert any("replicator resume" in line and "AccessDenied" in line for line in attempt.log)
    assert left_behind(attempt.context.config).reason == "writes still reach the source"


def test_a_lifting_that_cannot_be_recorded_hides_neither_it_nor_the_reason(attempt, monkeypatch):
    monkeypatch.setattr(Attempt, "fails_at", "drain")
    put = attempt.context.whole.put

    def refused(fact, **facts):
        if "lifted" in facts.get("steps", ()):
            raise refusal("ThrottlingException")
        put(fact, **facts)

    monkeypatch.setattr(attempt.context.whole, "put", refused, raising=False)

    with pytest.raises(Refused, match="writes still reach the source"):
        attempt._behind(FENCE)
    assert any("the fence is lifted" in line for line in attempt.log)
    assert any("until the next attempt" in line and "Throttling" in line for line in attempt.log)
    assert "consumer True" in attempt.log


@pytest.mark.parametrize("state", ["Enabling", "Disabling"])
def test_a_consumer_that_aws_does_not_switch_off_is_waited_for_within_the_limit(attempt, monkeypatch, state):
    """The source stayed fenced for as long as the mapping took, whatever `fence_limit` says."""
    states, context, now = ["Enabled" if state == "Disabling" else state], attempt.context, [0.0]

    def update(**_):
        states[0] = state

    functions = SimpleNamespace(
        get_event_source_mapping=lambda **_: {"State": states[0]}, update_event_source_mapping=update
    )

    def sleep(seconds):
        now[0] += seconds
        assert now[0] < 10 * context.config.cutover.fence_limit, "it waits for ever"

    context.source_client = lambda service: functions
    context.pace = SimpleNamespace(poll_seconds=5.0)
    monkeypatch.setattr("replicator.aws.switch.switch_mapping", SWITCH_MAPPING)
    monkeypatch.setattr("replicator.aws.switch.set_consumer", SET_CONSUMER)
    monkeypatch.setattr("replicator.aws.switch.on_again", lambda *_: True)
    monkeypatch.setattr("replicator.context.clock.seconds", lambda: now[0])
    monkeypatch.setattr(time, "sleep", sleep)

    with pytest.raises(Refused, match=r"fence_limit: the consumer of .* is not off"):
        attempt._behind(FENCE)
    assert "lifted" in attempt.log


def test_a_removal_that_came_too_late_for_the_consumer_is_not_waited_for(attempt, monkeypatch):
    """Nobody takes it any more: the source stayed fenced until `fence_limit`, and then it was rolled back."""
    depths = [
        {"waiting": 1, "in_flight": 2, "delayed": 0},  # in hand when the consumer was switched off
        {"waiting": 1, "in_flight": 0, "delayed": 0},  # by time to live
    ]
    monkeypatch.setattr("replicator.aws.queue.queue_depth", lambda *_: depths.pop(0))
    monkeypatch.setattr(time, "sleep", lambda _: None)
    attempt.context.pace = SimpleNamespace(poll_seconds=5.0)

    attempt._behind(FENCE)
    assert (depths, attempt.log[-1]) == ([], "watching")


def test_what_the_consumer_has_in_hand_is_waited_for_within_the_limit(attempt, monkeypatch):
    now, context = [0.0], attempt.context

    def sleep(seconds):
        now[0] += seconds
        assert now[0] < 10 * context.config.cutover.fence_limit, "it waits for ever"

    monkeypatch.setattr("replicator.aws.queue.queue_depth", lambda *_: {"in_flight": 1})
    monkeypatch.setattr("replicator.context.clock.seconds", lambda: now[0])
    monkeypatch.setattr(time, "sleep", sleep)
    context.pace = SimpleNamespace(poll_seconds=5.0)

    with pytest.raises(Refused, match="is off, and still has 1 message in hand"):
        attempt._behind(FENCE)
    assert "lifted" in attempt.log


def test_a_fence_that_cannot_be_lifted_does_not_hide_why_it_was_to_be(attempt, monkeypatch):
    monkeypatch.setattr(Attempt, "fails_at", "drain")

    def lift():
        raise EngineError("no connection", "x")

    with pytest.raises(EngineError, match="could not be lifted: no connection") as caught:
        attempt._behind(SimpleNamespace(**{**vars(FENCE), "lift": lift}))
    assert "writes still reach the source" in caught.value.message


def test_a_verification_that_does_not_end_even_when_told_to_is_killed(monkeypatch, tmp_path):
    monkeypatch.setattr(last_verification, "_ENDING_SECONDS", 0.2)
    told = tmp_path / "told"
    deaf = f"""
import pathlib, signal, time
signal.signal(signal.SIGTERM, lambda *_: pathlib.Path({str(told)!r}).touch())
pathlib.Path({str(tmp_path / "ready")!r}).touch()
time.sleep(600)
time.sleep(600)
"""
    began = time.monotonic()

    assert last_verification.run([sys.executable, "-c", deaf], tmp_path, 2.0) is None
    assert time.monotonic() - began < 300
    assert told.exists() is (tmp_path / "ready").exists()


def test_a_cutover_stands_where_its_evidence_cannot_be_signed(attempt):
    (attempt.context.config.folder / ".ddbverify").mkdir()
    (attempt.context.config.folder / ".ddbverify" / "key.pem").write_text("no key")

    attempt._behind(FENCE)

    assert attempt.context.whole["flipped"] is True
    assert "lifted" not in attempt.log
    assert any("could not be signed" in line for line in attempt.log)


UNTIL_QUIET = 61  # seconds: the clock of the fence and that of the look are whole seconds


class Wall:
    """A fence and its streams by a clock of their own; a write gets through at each of these seconds."""

    def __init__(self, tmp_path, monkeypatch, *, written_at, quiet="60s"):
        self.now, self.written_at, self.texts, self.warned = 1_000.0, list(written_at), [], []
        self.keys, self.by_ttl = {"id": {"S": "secret"}}, False
        self.audits, self.audit_seconds = [], 0.0
        monkeypatch.setattr("replicator.commands.quiet.StreamReader", lambda *_, **__: self)
        monkeypatch.setattr(time, "sleep", self.sleep)
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(cutover_drain, "read_ahead", self.read_ahead)
        self.context = Rooted(
            config=parse(f'{FILE}quiet = "{quiet}"\n', tmp_path),
            console=SimpleNamespace(warn=self.warned.append),
            pace=SimpleNamespace(poll_seconds=5.0),
            state=lambda pair: {},
            resources=lambda pair: {"stream_arn": ARN},
            source_client=lambda service: None,
            source_table=lambda pair: SimpleNamespace(arn=ARN.partition("/stream/")[0], keys={"id": "S"}),
            server_time=lambda: self.now,
        )

    def sleep(self, seconds):
        self.now += seconds

    def read_ahead(self, context, *, to_the_end):
        assert context is self.context
        assert to_the_end
        self.audits.append(self.now)
        self.now += self.audit_seconds

    def skip(self, until):
        assert until == 1_000.0

    def read(self):
        come = [at for at in self.written_at if at <= self.now - 1_000.0]
        self.written_at = self.written_at[len(come) :]
        change = SimpleNamespace(keys=self.keys)
        return [SimpleNamespace(change=change, by_ttl=self.by_ttl) for _ in come]

    def watch(self):
        step = SimpleNamespace(at=self.texts.append, result="")
        quiet.await_quiet(self.context, 1_000.0, lambda why: None, step)
        return step.result


def test_who_still_writes_behind_the_fence_is_said_while_it_is_waited(tmp_path, monkeypatch):
    wall = Wall(tmp_path, monkeypatch, written_at=[2, 20, 40, 55])

    assert wall.watch() == "quiet for 60 s, after 4 late writes"

    said = [text for text in wall.texts if "come through" in text]
    assert "3 writes have come through the fence: something writes as root, or the policy" in said[0]
    assert "4 writes have" in said[-1]
    assert len(wall.warned) == 1  # a log has no live line
    assert "secret" not in " ".join([*wall.texts, *wall.warned])


@pytest.mark.parametrize("ours", [canary_key({"id": "S"}), marker_key({"id": "S"}, 7)])
def test_what_the_replicator_writes_itself_is_no_write_through_the_fence(tmp_path, monkeypatch, ours):
    wall = Wall(tmp_path, monkeypatch, written_at=[2, 20, 40])
    wall.keys = ours

    assert wall.watch() == "quiet for 60 s"


def test_what_time_to_live_removes_is_no_write_through_the_fence(tmp_path, monkeypatch):
    """No fence keeps it off, and under a fence of minutes it may remove something every second."""
    wall = Wall(tmp_path, monkeypatch, written_at=[2, 20, 40])
    wall.by_ttl = True

    assert wall.watch() == "quiet for 60 s"


def test_what_was_under_way_when_the_fence_rose_is_no_alarm(tmp_path, monkeypatch):
    wall = Wall(tmp_path, monkeypatch, written_at=[2, 20])

    assert wall.watch() == "quiet for 60 s, after 2 late writes"
    assert not any("come through" in text for text in wall.texts)
    assert wall.warned == []


def test_a_write_of_the_last_seconds_is_looked_for(tmp_path, monkeypatch):
    """The time was up before the last look, and a write at 58 s was left in the stream."""
    wall = Wall(tmp_path, monkeypatch, written_at=[58])

    assert wall.watch() == "quiet for 60 s, after 1 late writes"
    assert wall.written_at == []


def test_a_look_that_takes_long_proves_only_what_was_before_it(tmp_path, monkeypatch):
    """A write that comes behind a long look is not in it, though the time is up when the look ends."""
    wall = Wall(tmp_path, monkeypatch, written_at=[61])
    read = wall.read

    def slow():
        come = read()
        wall.now += 45
        return come

    wall.read = slow
    assert wall.watch() == "quiet for 60 s, after 1 late writes"


@pytest.mark.parametrize("begun", [0.0, 0.5, 0.99])
def test_a_quiet_is_as_long_as_it_is_asked_for_though_the_clock_says_whole_seconds(
    tmp_path, monkeypatch, begun
):
    """A quiet of a second was over 0.3 s behind the fence."""
    wall = Wall(tmp_path, monkeypatch, written_at=[])
    wall.context.pace = SimpleNamespace(poll_seconds=0.25)
    wall.now += begun
    wall.context.server_time = lambda: float(int(wall.now))
    wall.watch()

    assert wall.now - (1_000.0 + begun) >= 60


@pytest.mark.parametrize("poll_seconds", [0.25, 5.0])
@pytest.mark.parametrize("begun", [0.0, 0.5, 0.99])
def test_a_quiet_takes_no_longer_than_is_told_beforehand(tmp_path, monkeypatch, begun, poll_seconds):
    """A second less was told: the clock's whole seconds were in the wait, and not in the forecast."""
    wall = Wall(tmp_path, monkeypatch, written_at=[])
    wall.context.pace = SimpleNamespace(poll_seconds=poll_seconds)
    wall.now += begun
    wall.context.server_time = lambda: float(int(wall.now))
    wall.watch()

    assert wall.now - (1_000.0 + begun) <= quiet.forecast_seconds(wall.context)


def test_an_emulator_is_not_audited_at_each_look(tmp_path, monkeypatch):
    wall = Wall(tmp_path, monkeypatch, written_at=[])
    wall.context.pace = SimpleNamespace(poll_seconds=0.25)
    wall.watch()

    assert len(wall.audits) == UNTIL_QUIET


@pytest.mark.parametrize("seconds", [0.0, 3.0, 8.0])
def test_what_comes_through_the_streams_meanwhile_is_audited_and_makes_nobody_wait(
    tmp_path, monkeypatch, seconds
):
    """Behind the quiet all of it would be read while the application waits."""
    wall = Wall(tmp_path, monkeypatch, written_at=[])
    wall.audit_seconds = seconds
    wall.watch()

    assert wall.audits[0] == 1_000.0
    apart = max(5.0, seconds)
    assert len(wall.audits) == UNTIL_QUIET // apart + (UNTIL_QUIET % apart > 0)
    assert wall.now <= 1_000.0 + UNTIL_QUIET + seconds


@pytest.mark.parametrize("error", [Trimmed("records are gone"), MalformedRecord("a record without Keys")])
def test_a_stream_that_cannot_be_read_says_what_to_do(tmp_path, monkeypatch, error):
    """A record that is not understood ended the command as a fault of the replicator would."""
    wall = Wall(tmp_path, monkeypatch, written_at=[])

    def bad():
        raise error

    wall.read = bad
    with pytest.raises(EngineError, match="could not be watched") as caught:
        wall.watch()
    assert "restart" in caught.value.hint


# --- the fence's own end ------------------------------------------------------------------------


def test_the_fence_ends_by_itself_when_the_limit_is_over(attempt, monkeypatch):
    ends = []
    fence = SimpleNamespace(**{**vars(FENCE), "raise_": lambda begins, until: ends.append(until)})
    attempt.context.server_time = lambda: 1_000.0
    attempt._behind(fence)

    assert ends == [1_000.0 + attempt.context.config.cutover.fence_limit]


class Scheduled:
    """A fence that is put ahead, by a clock that passes while it is waited for."""

    ends, lead_seconds = True, 90.0

    def __init__(self, attempt, monkeypatch, *, edited_at=None):
        self.now, self.edited_at, self.given, self.looks = 1_000.0, edited_at, None, []
        attempt.context.server_time = lambda: float(int(self.now))
        attempt.context.pace = SimpleNamespace(poll_seconds=5.0)
        monkeypatch.setattr("replicator.context.clock.seconds", lambda: self.now)
        monkeypatch.setattr(time, "sleep", self.sleep)

    def sleep(self, seconds):
        assert seconds > 0
        self.now += seconds

    def raise_(self, begins, until):
        self.given = begins, until
        self.now += 20  # AWS takes its time
        Attempt.log.append("fence")

    def need_standing(self):
        self.looks.append(self.now)
        if self.edited_at is not None and self.now >= self.edited_at:
            raise EngineError("Somebody else has changed the resource policy of orders", "x")

    def fasten(self):
        Attempt.log.append("fasten")

    def lift(self):
        Attempt.log.append(f"lifted at {self.now:.0f}")


def test_the_fence_is_put_ahead_and_all_times_count_from_its_beginning(attempt, monkeypatch):
    fence = Scheduled(attempt, monkeypatch)
    quiet_from, deadlines = [], []
    monkeypatch.setattr(quiet, "await_quiet", lambda _, since, *__: quiet_from.append((since, fence.now)))
    monkeypatch.setattr(Attempt, "_drain", lambda self, _: deadlines.append(self.deadline))
    attempt._behind(fence)

    limit = attempt.context.config.cutover.fence_limit
    assert fence.given == (1_090.0, 1_090.0 + limit)
    ((since, now),) = quiet_from
    assert since == 1_090.0
    assert 1_091.0 <= now < 1_097.0
    assert deadlines == [1_090.0 + limit]
    assert list(attempt.steps)[:3] == ["fence", "fence-holds", "quiet"]


def test_whether_it_still_stands_is_read_again_until_it_begins(attempt, monkeypatch):
    fence = Scheduled(attempt, monkeypatch)
    attempt._behind(fence)

    assert len(fence.looks) >= 70 / 5
    assert 1_090.0 - fence.looks[-1] <= 5


@pytest.mark.parametrize("edited_at", [0.0, 1_050.0, 1_086.0])
def test_one_that_another_tool_edits_before_it_begins_is_lifted_and_named(attempt, monkeypatch, edited_at):
    fence = Scheduled(attempt, monkeypatch, edited_at=edited_at)

    with pytest.raises(Refused, match="Somebody else has changed the resource policy of orders"):
        attempt._behind(fence)
    (lifted,) = (line for line in attempt.log if "lifted at" in line)
    assert int(lifted.removeprefix("lifted at ")) <= 1_095
    assert "quiet" not in attempt.log
    assert left_behind(attempt.context.config).outcome == "rolled-back"


def test_one_that_is_interrupted_before_it_begins_is_lifted(attempt, monkeypatch):
    fence = Scheduled(attempt, monkeypatch)

    def need_standing():
        raise KeyboardInterrupt

    fence.need_standing = need_standing
    with pytest.raises(Refused, match="interrupted, and rolled back"):
        attempt._behind(fence)
    assert any("lifted at 1020" in line for line in attempt.log)


def test_another_operator_who_takes_over_before_it_begins_finds_it(attempt, monkeypatch):
    fence = Scheduled(attempt, monkeypatch)

    def need_standing():
        attempt.lock.lost, attempt.lock.free = True, False
        attempt.lock.check()

    fence.need_standing = need_standing
    with pytest.raises(Refused, match="another operator has taken over"):
        attempt._behind(fence)
    assert not any("lifted" in line for line in attempt.log)
    assert attempt.context.whole["fenced"] is True


@pytest.mark.parametrize("error", [EngineError("The fence ends by itself in 3 s", "x"), KeyboardInterrupt()])
def test_a_fence_that_cannot_be_fastened_flips_nothing(attempt, error):
    def fasten():
        raise error

    with pytest.raises(Refused):
        attempt._behind(SimpleNamespace(**{**vars(FENCE), "fasten": fasten}))
    assert "flip" not in attempt.log
    assert "flip-asked" not in attempt.context.whole["steps"]
    assert "lifted" in attempt.log


def test_the_operators_own_fence_has_no_end_and_is_not_fastened(attempt):
    attempt._behind(SimpleNamespace(**{**vars(FENCE), "ends": False}))

    assert "fasten" not in attempt.log
    assert "fasten" not in attempt.context.whole["steps"]
    assert attempt.context.whole["flipped"] is True


@pytest.mark.parametrize(("limit", "quiet_time"), [("80s", "60s"), ("2m", "95s")])
def test_a_limit_without_time_to_fasten_the_fence_is_refused(tmp_path, limit, quiet_time):
    text = f'{FILE}fence_limit = "{limit}"\nquiet = "{quiet_time}"\n'

    with pytest.raises(ConfigurationError, match=r"fence_limit of .* leaves no time"):
        check(context(tmp_path, text))
    assert check(context(tmp_path, text.replace(f'"{limit}"', '"15m"')))
    assert check(context(tmp_path, f'{text}fence = "command:./fence"\n'))


@pytest.mark.parametrize(
    ("then", "now"), [("resource-policy", "command:./fence"), ("command:./fence", "resource-policy")]
)
def test_one_fence_is_not_lifted_in_the_place_of_the_other(then, now):
    with pytest.raises(Refused, match="fence is another now"):
        need_fence_of({"fence": then, "fenced": True}, now, "cutback")
    need_fence_of({"fence": now, "fenced": True}, now, "cutback")
    need_fence_of({"fenced": True}, now, "cutback")  # of a build that did not note it


# --- a pointer of several parameters ------------------------------------------------------------


@pytest.fixture
def killed_while_flipping(attempt, monkeypatch):
    """The same cutover, run again after it was killed between asking for the flip and recording it."""

    def killed(*_):
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(Attempt, "_flip", killed)
        patch.setattr(cutover_left, "need_ours", killed)  # nothing is taken back
        with pytest.raises(SystemExit):
            attempt._behind(FENCE)
    attempt.log.clear()
    attempt.steps = {}
    monkeypatch.setattr("replicator.commands.cutover.fence.of", lambda _, **__: SimpleNamespace(lift=lifted))
    return attempt


def lifted():
    Attempt.log.append("lifted")
    raise EngineError("enough of this test", "x")


def test_killed_before_the_flip_its_fence_is_lifted(killed_while_flipping):
    """The record of the flip that was asked for did not say that the fence was up: it stayed, unseen."""
    attempt = killed_while_flipping
    attempt.pointer = SimpleNamespace(**{**vars(POINTER), "is_begun": lambda: False})

    assert attempt.context.whole["fenced"] is True
    with pytest.raises(EngineError, match="An earlier cutover was interrupted"):
        attempt.run()
    assert "lifted" in attempt.log


@pytest.fixture
def one_more(attempt):
    """A pair was taken out of the settings while its source is fenced."""
    attempt.context.whole.fences = [("orders", {}), ("users", {})]
    return attempt


@pytest.mark.parametrize("recorded", [{"steps": {}, "fenced": True}, {"steps": {"lifted": "now"}}])
def test_a_fence_of_a_pair_that_is_named_no_longer_is_not_left_behind(one_more, monkeypatch, recorded):
    """The fences of the other pairs were lifted, the record said so, and users stayed fenced for good."""
    monkeypatch.setattr("replicator.commands.cutover.fence.of", lambda _, **__: SimpleNamespace(lift=lifted))
    one_more.context.whole.put(CUTOVER, **recorded)

    with pytest.raises(Refused, match="fenced users, and") as caught:
        one_more.run()
    assert "[[tables]]" in caught.value.hint
    assert one_more.log == []
    assert one_more.context.whole == recorded


def test_nor_by_a_restart(one_more):
    with pytest.raises(Refused, match="fenced users, and"):
        _need_no_cutover(one_more.context)


def test_behind_the_flip_it_stays_and_nothing_is_to_be_done(one_more):
    one_more.context.whole.put(CUTOVER, steps={"flip": "now"}, flipped=True)

    assert one_more.run()["flipped"]
    assert "watching" in one_more.log, "the run before may have been killed in between"


def test_killed_half_way_through_the_flip_it_goes_forward(killed_while_flipping):
    """Of several parameters some point at their targets: without the fence both tables would take writes."""
    attempt, log = killed_while_flipping, killed_while_flipping.log
    attempt.pointer = SimpleNamespace(
        **{**vars(POINTER), "is_begun": lambda: True, "flip": lambda: log.append("flip")}
    )

    assert attempt.run()["flipped"]
    assert [log[0], log[1]] == ["flip", "watching"]
    assert "lifted" not in log
    assert attempt.context.whole["flipped"] is True
    assert left_behind(attempt.context.config).outcome == "flipped"


@pytest.mark.parametrize(
    "values",
    [{"/shop/other": "arn:of:the:target"}, {"/shop/orders-table": '{"orders": "arn:of:the:target"}'}],
    ids=["another parameter", "another form"],
)
@pytest.mark.parametrize("begun", [True, False])
def test_an_unfinished_flip_is_not_decided_by_another_pointer(killed_while_flipping, values, begun):
    """The application had moved; by another parameter it had not: the fence was lifted behind the flip."""
    attempt, recorded = killed_while_flipping, dict(killed_while_flipping.context.whole)
    assert recorded["pointer"] == POINTER.values
    other = {"values": values, "is_begun": lambda: begun, "flip": lambda: attempt.log.append("flip")}
    attempt.pointer = SimpleNamespace(**{**vars(POINTER), **other})

    with pytest.raises(Refused, match="was to set /shop/orders-table, ") as caught:
        attempt.run()
    assert "put [cutover] pointer" in caught.value.hint
    assert attempt.log == []
    assert attempt.context.whole == recorded


def test_before_the_flip_is_asked_for_the_pointer_may_be_another(attempt, monkeypatch):
    """Nothing of it was touched, so its fence is lifted whatever the pointer is by now."""
    monkeypatch.setattr(Attempt, "fails_at", "drain")
    monkeypatch.setattr(cutover_left, "need_ours", lambda *_: (_ for _ in ()).throw(SystemExit))
    with pytest.raises(SystemExit):
        attempt._behind(FENCE)
    monkeypatch.setattr("replicator.commands.cutover.fence.of", lambda _, **__: SimpleNamespace(lift=lifted))
    attempt.pointer = SimpleNamespace(**{**vars(POINTER), "values": {"/other": "arn"}})

    with pytest.raises(EngineError, match="An earlier cutover was interrupted"):
        attempt.run()
    assert "lifted" in attempt.log


@pytest.mark.parametrize("recorded", ["in the flip", "behind it"])
def test_evidence_of_a_run_after_a_crash_names_the_verification(killed_while_flipping, monkeypatch, recorded):
    """It is known by its folder only: the evidence said that there had been none."""
    attempt, judged = killed_while_flipping, []

    def judge(config, folder):
        judged.append(str(folder))
        return attempt.context.decision

    monkeypatch.setattr("replicator.commands.cutover.gate.judge", judge)
    attempt.context.whole["verified_by"] = "/a/folder/of/it"
    if recorded == "behind it":
        attempt.context.whole.update({"flipped": True, "steps": {"flip": "now"}})
    attempt.pointer = SimpleNamespace(
        **{**vars(POINTER), "is_begun": lambda: True, "flip": lambda: attempt.log.append("flip")}
    )
    attempt.verified, attempt.verified_by = None, ""
    attempt.run()

    assert judged == ["/a/folder/of/it"]
    found = left_behind(attempt.context.config)
    assert found.verified_by.sha256 == "1" * 64
    assert [pair.id for pair in found.pairs] == [attempt.context.config.tables[0].id]


def test_a_flip_that_fails_half_way_leaves_the_fence_up(attempt, monkeypatch):
    monkeypatch.setattr(Attempt, "fails_at", "flip")
    attempt.pointer = SimpleNamespace(**{**vars(POINTER), "is_surely_not_begun": lambda: False})

    with pytest.raises(EngineError, match="the fence stays up"):
        attempt._behind(FENCE)
    assert "lifted" not in attempt.log
    assert attempt.context.whole["fenced"] is True


def test_each_step_is_told_when_it_is_done_and_never_before(attempt):
    told = []
    attempt.told = SimpleNamespace(
        tell=lambda event, **_: told.append((event, list(attempt.log))), opened=lambda *_: None
    )
    attempt._behind(FENCE)
    events = [event for event, _ in told]
    assert events == [name for name in attempt.steps if name != "gate"], "each once, in its order"
    logs = dict(told)
    assert "fence" in logs["fence"], "it is put, and not only meant to be"
    assert "flip" in logs["flip"]
    assert "flip" not in logs["flip-asked"]


@pytest.mark.parametrize("fails_at", ["quiet", "drain", "verify"])
def test_a_fence_is_told_to_be_lifted_only_when_it_is(attempt, monkeypatch, fails_at):
    told = []
    attempt.told = SimpleNamespace(tell=lambda event, **more: told.append((event, more, list(attempt.log))))
    monkeypatch.setattr(Attempt, "fails_at", fails_at)
    with pytest.raises(Refused):
        attempt._behind(FENCE)
    (lifted, _, log), (rolled, more, _) = told[-2:]
    assert (lifted, rolled) == ("lifted", "rolled-back")
    assert "lifted" in log
    assert more["reason"] == "writes still reach the source"
