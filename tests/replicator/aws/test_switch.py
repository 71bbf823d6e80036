"""Pause and resume: what the consumer does with a batch, and what the two commands leave behind."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddbverify.errors import EngineError, Refused
from ddbverify.names import Fact
from replicator.aws import queue, switch
from replicator.aws.sight import percentile
from replicator.commands import pause, phases, resume
from replicator.commands import status as status_of
from replicator.commands.status import status
from replicator.context import live
from replicator.handlers import consumer
from replicator.handlers.control import LAG_BOUNDS, is_paused, lag_bound
from replicator.handlers.state import State
from tests.replicator.fakes import STATE, TARGET, FakeDynamoDB, Rooted, refusal
from tests.replicator.handlers.test_consumer import Deployment, bodies_of, late, v
from tests.replicator.migrations import SOURCE_REGION, Migration


@pytest.mark.parametrize(
    ("control", "paused"),
    [
        (None, False),
        ({"state": "run"}, False),
        ({"state": "pause"}, True),
        ({"state": "a word of a later version"}, True),
        ({}, True),
    ],
)
def test_whatever_is_not_run_is_a_pause(control, paused):
    assert is_paused(control) is paused


def test_a_paused_consumer_hands_back_every_message_and_writes_nothing(monkeypatch):
    deployed = Deployment(monkeypatch)
    deployed.state.put(Fact.CONTROL, state="pause")
    before = dict(deployed.database.items(STATE))

    answer = deployed.handle(*bodies_of(late("a", 1, v("x"))), "rubbish")

    assert answer == {"batchItemFailures": [{"itemIdentifier": "m0"}, {"itemIdentifier": "m1"}]}
    assert deployed.database.items(TARGET) == {}
    assert deployed.database.items(STATE) == before  # no gap for what it has not looked at
    deployed.state.put(Fact.CONTROL, state="run")
    assert deployed.handle(*bodies_of(late("a", 1, v("x")))) == {"batchItemFailures": []}
    assert len(deployed.database.items(TARGET)) == 1


def test_a_control_that_cannot_be_read_lets_nothing_be_written(monkeypatch):
    deployed = Deployment(monkeypatch)

    def unread(**_):
        raise refusal("AccessDeniedException")

    monkeypatch.setattr(deployed.database, "get_item", unread)

    with pytest.raises(Exception, match="AccessDenied"):
        deployed.handle(*bodies_of(late("a", 1, v("x"))))
    assert deployed.database.items(TARGET) == {}


def test_the_metrics_of_a_batch_name_no_key_and_no_value(monkeypatch, capsys):
    deployed = Deployment(monkeypatch)
    deployed.handle(*bodies_of(late("a-secret-key", 1, v("a secret value"))))

    said = capsys.readouterr().out
    assert '"Applied":[1' in said
    assert "secret" not in said


def test_a_calls_time_limits_the_wait_for_the_ceiling():
    class Context:
        def get_remaining_time_in_millis(self):
            return 50_000

    assert consumer.seconds_left(Context()) == 50.0
    assert consumer.seconds_left(None) == 30.0


@pytest.mark.parametrize("moment", ["before", "looked", "switched"])
def test_a_pause_at_any_moment_is_ended_by_no_cutover(monkeypatch, moment):
    """A pause takes no lease; one that came behind the cutover's look was overwritten."""
    state, mapping, warned = State.of_pair(FakeDynamoDB(), STATE, "orders"), [], []

    def pause():
        mapping.append(False)
        state.put(Fact.CONTROL, state="pause")
        mapping.append(False)

    def switched(context, uuid, *, on, **_):
        if on and moment == "looked":
            pause()
        mapping.append(on)
        if on and moment == "switched":
            pause()

    monkeypatch.setattr(switch, "switch_mapping", switched)
    context = Rooted(
        state=lambda pair: state,
        whole=State.whole(FakeDynamoDB(), STATE),
        resources=lambda pair: {"consumer_mapping": "uuid"},
        server_time=lambda: 0.0,
        console=SimpleNamespace(warn=warned.append),
    )
    if moment == "before":
        pause()

    assert switch.on_again(context, "orders -> orders-v2") is False
    assert is_paused(state.get(Fact.CONTROL))
    assert mapping[-1] is False, "or each message would come again until it is a dead letter"
    assert "was paused meanwhile" in warned[0]


def test_a_pause_under_the_fence_is_not_waited_for(monkeypatch):
    """The queue of a paused pair drains for nobody; the source stayed fenced until `fence_limit`."""
    state, depths = State.of_pair(FakeDynamoDB(), STATE, "orders"), [1, 1, 1]
    monkeypatch.setattr(
        queue, "queue_depth", lambda *_: {"waiting": depths.pop(), "in_flight": 0, "delayed": 0}
    )

    def slept(seconds):
        state.put(Fact.CONTROL, state="pause")

    monkeypatch.setattr(queue.time, "sleep", slept)
    context = Rooted(state=lambda pair: state, pace=SimpleNamespace(poll_seconds=0.0))

    with pytest.raises(EngineError, match="was paused, with 1 message waiting"):
        queue.await_empty_queue(context, "orders -> orders-v2", SimpleNamespace(at=lambda text: None))
    assert depths == [1], "it was seen at the next look"


def test_a_consumer_that_is_not_paused_is_switched_on(monkeypatch):
    state, mapping = State.of_pair(FakeDynamoDB(), STATE, "orders"), []
    monkeypatch.setattr(switch, "switch_mapping", lambda *_, on, **__: mapping.append(on))
    context = Rooted(
        state=lambda pair: state,
        whole=State.whole(FakeDynamoDB(), STATE),
        resources=lambda pair: {"consumer_mapping": "uuid"},
        server_time=lambda: 7.0,
    )

    assert switch.on_again(context, "orders -> orders-v2") is True
    assert mapping == [True]
    assert state.get(Fact.CONSUMER) == {"on": True, "since_epoch": 7}


@pytest.mark.parametrize("cut", [{"flipped": True}, {"flipping": True}])
def test_a_pause_of_what_has_moved_is_refused(cut):
    """It said that changes wait in the queue; nothing is captured for it any more, and `resume` refuses."""
    state = State.of_pair(FakeDynamoDB(), STATE, "orders")
    context = Rooted(
        need_begun=lambda: None,
        whole={switch.CUTOVER: cut},
        state=lambda pair: state,
        config=SimpleNamespace(tables=["orders"]),
    )

    with pytest.raises(Refused, match="has been moved"):
        pause.pause(context)
    assert state.get(Fact.CONTROL) is None


class Mapped(Rooted):
    """Pairs with a mapping each; the first request to one in *refused* is refused with that code."""

    def __init__(self, monkeypatch, *pairs, refused=None):
        self.refused, self.log = dict(refused or {}), []
        self.database = FakeDynamoDB()
        self.config = SimpleNamespace(tables=list(pairs))
        self.console = SimpleNamespace(line=lambda text: None)
        self.whole = {}
        monkeypatch.setattr(
            switch, "switch_mapping", lambda _, uuid, *, on, **__: self.log.append(f"wait {uuid}")
        )

    def need_begun(self):
        pass

    def state(self, pair):
        return State.of_pair(self.database, STATE, pair)

    def resources(self, pair):
        return {"consumer_mapping": pair}

    def source_client(self, _):
        return SimpleNamespace(update_event_source_mapping=self.update)

    def update(self, *, UUID, Enabled):  # noqa: N803
        assert Enabled is False
        self.log.append(f"ask {UUID}")
        if UUID in self.refused:
            raise refusal(self.refused[UUID])

    def paused(self):
        return [pair for pair in self.config.tables if is_paused(self.state(pair).get(Fact.CONTROL))]


@pytest.mark.parametrize("code", ["ResourceInUseException", "ResourceConflictException"])
def test_a_pause_while_the_mapping_is_being_changed_is_one(monkeypatch, code):
    """Its first request was refused, nothing was written, and the consumer went on."""
    context = Mapped(monkeypatch, "orders", refused={"orders": code})

    assert pause.pause(context) == {"pairs": {"orders": "pause"}}
    assert context.paused() == ["orders"]
    assert context.log == ["ask orders", "wait orders"]


def test_whoever_may_not_pause_is_told_so(monkeypatch):
    """With the fact and without the switch each message would come again until it is a dead letter."""
    context = Mapped(monkeypatch, "orders", refused={"orders": "AccessDeniedException"})

    with pytest.raises(EngineError, match="pause the consumer of orders: AccessDenied"):
        pause.pause(context)
    assert context.paused() == []


def test_no_pair_goes_on_while_the_mapping_of_another_is_waited_for(monkeypatch):
    context = Mapped(monkeypatch, "orders", "users")
    monkeypatch.setattr(switch, "switch_mapping", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))

    with pytest.raises(KeyboardInterrupt):
        pause.pause(context)
    assert context.paused() == ["orders", "users"]
    assert context.log == ["ask orders", "ask users"]


@pytest.mark.parametrize(
    ("cutover", "control", "said"),
    [
        (None, "run", ["Phase 2 is done. The target follows the source."]),
        ({"flipped": True}, "run", ["This migration was cut over: see `replicator status`."]),
        (
            {"flipped": False},
            "pause",
            [
                "Phase 2 is done. The target follows the source.",
                "orders is paused: nothing is applied until `replicator resume`",
            ],
        ),
    ],
)
def test_a_finished_phase_does_not_say_again_what_is_true_no_more(cutover, control, said):
    state, lines = State.of_pair(FakeDynamoDB(), STATE, "orders"), []
    state.put(Fact.CONTROL, state=control)
    context = Rooted(
        whole={switch.CUTOVER: cutover},
        state=lambda pair: state,
        config=SimpleNamespace(tables=["orders"]),
        console=SimpleNamespace(line=lines.append, warn=lines.append),
    )

    phases.end(context, "Phase 2 is done. The target follows the source.")

    assert lines == said


@pytest.mark.parametrize("flipped", [False, True])
def test_a_target_that_was_flipped_to_follows_no_more(flipped):
    phase = status_of._phase({"following": "2026-01-01"}, None, flipped=flipped, consumer={"on": True})

    assert phase.startswith("cut over: " if flipped else "following: ")


@given(st.lists(st.floats(0, 200_000), min_size=1, max_size=60), st.sampled_from([50, 90, 99, 100]))
def test_percentiles_are_never_too_low(lags, share):
    counts = {}
    for lag in lags:
        counts[lag_bound(lag)] = counts.get(lag_bound(lag), 0) + 1

    bound = percentile(counts, share)

    exact = sorted(lags)[max(0, -(-len(lags) * share // 100) - 1)]
    assert bound >= min(exact, LAG_BOUNDS[-1])
    assert percentile({}, share) is None


@pytest.mark.engine("ministack")
@pytest.mark.e2e
def test_a_paused_migration_keeps_its_changes_and_goes_on_under_a_ceiling(aws, unique, tmp_path, monkeypatch):
    for name, value in aws.variables(SOURCE_REGION).items():
        monkeypatch.setenv(name, value)
    moving = Migration(aws, unique("p"), tmp_path)
    moving.configure()
    file = tmp_path / "migration.toml"
    file.write_text(file.read_text().replace("groups = 2\n", "groups = 2\nwrite_units = 2000\n"))
    for number in range(10):
        moving.put(f"k{number}", "first")
    moving.up()
    pause.pause(moving.context())  # before there is a consumer: nothing to switch, and no harm
    moving.restore()  # which has a canary come all the way: it ends the pause
    moving.assert_equal()

    pause.pause(moving.context())
    moving.put("k1", "while paused")
    deadline = time.monotonic() + 30
    while not queue.queue_depth(moving.context(), moving.pair)["waiting"]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    paused = status(moving.context())["pairs"][str(moving.pair)]
    with pytest.raises(Refused, match="is paused"):
        moving.cutover()
    assert moving.items(moving.target_region, moving.target)["k1"]["v"] == {"S": "first"}
    assert paused["paused"]
    assert paused["consumer"] == {"on": False, "unknown": None}
    assert paused["phase"] == "following, but paused: nothing is applied"

    resume.resume(moving.context())
    moving.assert_equal()
    running = status(moving.context())["pairs"][str(moving.pair)]
    assert not running["paused"]
    assert running["consumer"] == {"on": True, "unknown": None}
    assert running["phase"].startswith("following: the target keeps up")
    assert running["write_units_ceiling"] == 2000
    assert running["cost"]["usd"] > 0
    assert running["canary_lag_seconds"]["canaries"] > 0
    assert running["last_applied_seconds_ago"] is not None
    assert moving.state().get(Fact.CEILING)["until_ms"] > 0
    moving.down()
    assert moving.left_over() == []


@pytest.mark.parametrize("table", ["target", "between", "a word of a later version"])
@pytest.mark.parametrize("switching", ["set_consumer", "on_again"])
def test_no_consumer_is_switched_on_once_the_application_may_have_moved(monkeypatch, table, switching):
    """A restart, a resume and a failed cutover asked each in their own way, or not at all."""
    state, mapping, whole = (
        State.of_pair(FakeDynamoDB(), STATE, "orders"),
        [],
        State.whole(FakeDynamoDB(), STATE),
    )
    monkeypatch.setattr(switch, "switch_mapping", lambda *_, on, **__: mapping.append(on))
    context = Rooted(
        state=lambda pair: state, whole=whole, resources=lambda pair: {"consumer_mapping": "uuid"}
    )
    whole.put(Fact.LIVE, table=table, at="now")
    on = {"set_consumer": {"on": True}, "on_again": {}}[switching]

    with pytest.raises(Refused, match="has been moved, or may have been"):
        getattr(switch, switching)(context, "orders -> orders-v2", **on)
    assert mapping == []
    assert state.get(Fact.CONTROL) is None


def test_one_may_be_switched_off_whatever_has_moved(monkeypatch):
    mapping, whole = [], State.whole(FakeDynamoDB(), STATE)
    monkeypatch.setattr(switch, "switch_mapping", lambda *_, on, **__: mapping.append(on))
    whole.put(Fact.LIVE, table="between", at="now")

    switch.set_consumer(
        Rooted(whole=whole, resources=lambda pair: {"consumer_mapping": "uuid"}), "a -> b", on=False
    )
    assert mapping == [False]


@pytest.mark.parametrize(
    ("cut", "table"),
    [({}, "source"), ({"flipping": True}, "between"), ({"flipping": True, "flipped": True}, "target")],
)
def test_what_an_earlier_build_noted_says_which_table_is_live(cut, table):
    whole = State.whole(FakeDynamoDB(), STATE)
    if cut:
        whole.put(Fact.CUTOVER, steps={}, **cut)

    assert live.read(Rooted(whole=whole)) == live.Live(table, 0)
