"""Written histories of one key, and what settling has to make of them. Time is a fake."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ddbverify.compare.looks import ceiling_seconds, fewest_looks, most_looks
from ddbverify.compare.settle import Settler
from ddbverify.compare.suspects import Suspect
from ddbverify.errors import PluginError
from ddbverify.items.form import ABSENT
from ddbverify.items.keys import ReadFailed
from ddbverify.items.states import State
from ddbverify.plugins.rulings import Ruling
from tests.ddbverify.fakes import Clock, item, make_judge

SETTLE = 10.0
KEY = ("k",)


class History:
    """One key on both sides over time: (seconds after the scan, side, value or None or error)."""

    def __init__(self, clock, source, target, events):
        self.clock = clock
        self.now = {"source": source, "target": target}
        self.reads = []
        for at, side, value in events:
            clock.at(at, lambda side=side, value=value: self.now.update({side: value}))

    def _read(self, side, keys):
        self.clock.pass_until(self.clock.now + 0.005)
        self.reads.append((side, self.clock.now))
        value = self.now[side]
        made = value if isinstance(value, ReadFailed) else value and item("k", v=value)
        return [made for _ in keys]

    def source(self, keys):
        return self._read("source", keys)

    def target(self, keys):
        return self._read("target", keys)


def settled(source, target, events=(), *, settle=SETTLE, passed=None, judge=None, seen_before=0.0):
    """The outcome of a key that the scan saw as (source, target), with *events* afterwards."""
    clock = Clock()
    judge = judge or make_judge()
    history = History(clock, source, target, events)
    state = [judge.state(value and item("k", v=value)) for value in (source, target)]
    now = clock.now
    suspect = Suspect(
        key=KEY,
        owners={KEY},
        expected=state[0],
        target=state[1],
        expected_since=now - seen_before,
        target_since=now - seen_before,
        first_seen=now - seen_before,
    )
    settler = Settler(
        history, judge, settle_seconds=settle, clock=clock, sleep=clock.sleep, pipeline_passed=passed
    )
    (outcome,) = settler.settle([suspect])
    return outcome, history, clock.now - now


@pytest.mark.parametrize("side", ["source", "target"])
def test_what_will_never_be_read_is_not_waited_for(side):
    spent = ReadFailed("the budget is spent", is_final=True)
    outcome, history, seconds = settled("new", "old", [(0.001, side, spent)])
    assert (outcome.state, outcome.reason) == (State.UNDECIDED, "the budget is spent")
    assert seconds < 1
    assert len(history.reads) <= 6


FAILED = ReadFailed("throttled")


@pytest.mark.parametrize(
    ("source", "target", "events", "state"),
    [
        pytest.param("new", "old", [(0.5, "target", "new")], State.MATCHED, id="a change in flight"),
        pytest.param("new", None, [(4, "target", "new")], State.MATCHED, id="an insert in flight"),
        pytest.param(None, "old", [(4, "target", None)], State.MATCHED, id="a delete in flight"),
        pytest.param("new", "old", [(9.9, "target", "new")], State.MATCHED, id="just in time"),
        pytest.param("new", "old", [], State.DIFFERENT, id="a lost change"),
        pytest.param("new", None, [], State.MISSING, id="a lost insert"),
        pytest.param(None, "old", [], State.EXTRANEOUS, id="a lost delete, or a resurrected item"),
        pytest.param("v1", "v0", [(3, "source", "v2"), (3.05, "target", "v1")], State.MATCHED, id="follows"),
        pytest.param("a", "b", [(0, "source", "b"), (3, "source", "a")], State.MATCHED, id="target is ahead"),
        pytest.param("v1", "v0", [(5, "source", "v2")], State.DIFFERENT, id="moved once, then lost"),
        pytest.param(
            "a",
            "z",
            [(1, "source", "b"), (2, "source", "a"), (2.5, "target", "b")],
            State.MATCHED,
            id="ABA: the target holds a state the source has had",
        ),
        pytest.param(
            "a", "z", [(1, "source", "b"), (2, "source", "a")], State.DIFFERENT, id="ABA, and nothing comes"
        ),
        pytest.param(
            "v",
            None,
            [(1, "source", None), (1.5, "target", "v"), (2, "target", None)],
            State.MATCHED,
            id="insert and delete in flight",
        ),
        pytest.param(
            None, "old", [(2, "target", None), (2.01, "target", "old")], State.EXTRANEOUS, id="resurrected"
        ),
        pytest.param(
            None,
            "old",
            [(1, "source", "back"), (6, "target", "back")],
            State.MATCHED,
            id="deleted, then inserted again",
        ),
    ],
)
def test_histories(source, target, events, state):
    outcome, _, _ = settled(source, target, events)
    assert outcome.state is state
    assert outcome.converged is (state is State.MATCHED)
    assert not outcome.reason


@pytest.mark.parametrize("settle_seconds", [0.0, 1.0, 10.0, 60.0, 3600.0])
def test_the_looks_that_a_plan_counts_with_are_those_that_are_made(settle_seconds):
    """At a key that differs for good: seen only now, and seen long ago."""
    _, history, _ = settled("a", "b", settle=settle_seconds)
    # Reading takes time here, so that one look may have become needless.
    assert most_looks(settle_seconds) - 1 <= len(history.reads) / 3 <= most_looks(settle_seconds)
    _, history, _ = settled("a", "b", settle=settle_seconds, seen_before=settle_seconds)
    assert len(history.reads) / 3 == fewest_looks(settle_seconds) == (4 if settle_seconds else 1)


@pytest.mark.parametrize("lag", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("states", [("held", "free"), ("held", None), (None, "held")])
def test_a_key_that_goes_to_and_fro_is_not_persistent_for_being_met_twice_alike(states, lag):
    """The scan, an hour ago, and the first look both meet it with the same change under way."""
    ours, theirs = states
    moves = [
        move
        for turn in range(20)
        for move in (
            (10 * turn + lag, "target", ours),
            (10 * turn + 5, "source", theirs),
            (10 * turn + 5 + lag, "target", theirs),
            (10 * turn + 10, "source", ours),
        )
    ]

    outcome, _, seconds = settled(ours, theirs, moves, settle=60.0, seen_before=3600.0)

    assert (outcome.state, outcome.converged) == (State.MATCHED, True)
    assert seconds < 5


def test_a_persistent_difference_is_reported_only_after_the_source_was_still():
    outcome, history, took = settled("v1", "v0", [(7, "source", "v2")])
    assert outcome.state is State.DIFFERENT
    assert took >= 7 + SETTLE
    assert [side for side, _ in history.reads[-3:]] == ["source", "target", "source"]
    assert history.reads[-2][1] >= 7 + SETTLE


def test_a_settle_time_of_zero_decides_at_the_first_look():
    outcome, history, _ = settled("new", "old", settle=0.0)
    assert outcome.state is State.DIFFERENT
    assert len(history.reads) == 3


def every(seconds, until, side, values):
    count = int(until / seconds)
    return [(n * seconds, side, values(n)) for n in range(1, count)]


def test_a_hot_key_that_the_target_follows_converges():
    """Ten writes a second, half a second of lag: no state is ever the same on both sides."""
    source = every(0.1, 60, "source", lambda n: f"v{n}")
    target = every(0.1, 60, "target", lambda n: f"v{n - 5}")
    outcome, _, _ = settled("v0", "older", source + target)
    assert outcome.state is State.MATCHED
    assert outcome.converged


def test_a_hot_key_that_the_target_does_not_follow_churns():
    outcome, _, took = settled("v0", "older", every(1.0, 1000, "source", lambda n: f"v{n}"))
    assert outcome.state is State.CHURNING
    assert outcome.reason
    assert ceiling_seconds(SETTLE, 1) <= took < 2 * ceiling_seconds(SETTLE, 1)


def test_a_target_that_somebody_else_writes_is_different_at_the_ceiling():
    outcome, _, took = settled("v", "x0", every(3.0, 1000, "target", lambda n: f"x{n}"))
    assert outcome.state is State.DIFFERENT
    assert took >= ceiling_seconds(SETTLE, 1)


@pytest.mark.parametrize("side", ["source", "target"])
def test_regression_17_a_read_error_keeps_the_suspect(side):
    outcome, _, _ = settled("new", "old", [(0, side, FAILED)])
    assert outcome.state is State.UNDECIDED
    assert outcome.reason == "throttled"
    assert outcome.expected
    assert outcome.found


@pytest.mark.parametrize("side", ["source", "target"])
def test_regression_17_a_read_error_that_passes_decides_nothing(side):
    value = {"source": "new", "target": "old"}[side]
    outcome, _, _ = settled("new", "old", [(0, side, FAILED), (30, side, value)])
    assert outcome.state is State.DIFFERENT


def test_an_absent_answer_is_not_an_error_and_an_error_is_not_absent():
    outcome, _, _ = settled("new", None, [(0, "target", FAILED)])
    assert outcome.state is State.UNDECIDED


class TestPipeline:
    def test_the_settle_time_alone_is_said_to_have_decided(self):
        assert settled("new", "old")[0].by_time_only
        assert settled("new", "old", passed=lambda _: None)[0].by_time_only

    def test_a_difference_counts_once_the_pipeline_has_passed(self):
        asked = []
        outcome, _, _ = settled("new", "old", passed=lambda moved_at: not asked.append(moved_at))
        assert outcome.state is State.DIFFERENT
        assert not outcome.by_time_only
        assert asked == [Clock().now]

    def test_so_does_one_whose_target_moved_last(self):
        """On a way back changes come from the target, and what it holds is under way to the source."""
        begun = Clock().now
        arrives = [(3, "target", "newer")]
        outcome, _, _ = settled("old", "new", arrives, passed=lambda moved_at: moved_at < begun + 2)
        assert outcome.state is State.UNDECIDED
        assert "pipeline" in outcome.reason
        outcome, _, _ = settled("old", "new", arrives, passed=lambda moved_at: moved_at < begun + 60)
        assert outcome.state is State.DIFFERENT

    def test_before_that_it_is_undecided(self):
        outcome, _, took = settled("new", "old", passed=lambda _: False)
        assert outcome.state is State.UNDECIDED
        assert "pipeline" in outcome.reason
        assert took >= ceiling_seconds(SETTLE, 1)

    def test_a_slow_pipeline_is_waited_for(self):
        clock_start = Clock().now
        answers = iter([False, False, True])
        outcome, _, took = settled("new", "old", passed=lambda _: next(answers))
        assert outcome.state is State.DIFFERENT
        assert SETTLE < took < ceiling_seconds(SETTLE, 1)
        assert clock_start


def test_uncomparable_when_the_transform_raises_on_the_state_of_now():
    def transform(one):
        if one["v"] == "poison":
            raise RuntimeError(one["v"])
        return one

    outcome, _, _ = settled("v1", "v0", [(1, "source", "poison")], judge=make_judge(transform))
    assert outcome.state is State.UNCOMPARABLE
    assert "RuntimeError" in outcome.reason
    assert "poison" not in outcome.reason


def test_an_item_that_the_transform_drops_by_now_is_excluded_once_it_is_gone():
    judge = make_judge(lambda one: None if one["v"] == "drop" else one)
    events = [(1, "source", "drop"), (2, "target", None)]
    assert settled("v1", "v0", events, judge=judge)[0].state is State.EXCLUDED
    assert settled("v1", "v0", events[:1], judge=judge)[0].state is State.EXTRANEOUS


def test_an_item_whose_ttl_passes_meanwhile_is_excluded():
    clock = Clock()
    judge = make_judge(ttl=["expires"])
    source = {**item("k"), "expires": {"N": str(int(clock.now) + 3)}}

    class Reads:
        def source(self, keys):
            return [source for _ in keys]

        def target(self, keys):
            return [None for _ in keys]

    suspect = Suspect(
        key=KEY,
        owners={KEY},
        expected=judge.state(source),
        target=ABSENT,
        expected_since=clock.now,
        target_since=clock.now,
    )
    settler = Settler(Reads(), judge, settle_seconds=SETTLE, clock=clock, sleep=clock.sleep)
    (outcome,) = settler.settle([suspect])
    assert outcome.state is State.EXCLUDED


def test_thousands_of_suspects_are_read_in_batches():
    clock = Clock()
    judge = make_judge()
    requests = []

    class Reads:
        def source(self, keys):
            requests.append(len(keys))
            return [item(key[0], v="new") for key in keys]

        def target(self, keys):
            requests.append(len(keys))
            return [item(key[0], v="old") for key in keys]

    suspects = [
        Suspect(
            key=(str(number),),
            owners={(str(number),)},
            expected=judge.state(item(str(number), v="new")),
            target=judge.state(item(str(number), v="old")),
            expected_since=clock.now,
            target_since=clock.now,
        )
        for number in range(5_000)
    ]
    settler = Settler(Reads(), judge, settle_seconds=1.0, clock=clock, sleep=clock.sleep)
    outcomes = list(settler.settle(suspects))
    assert {outcome.state for outcome in outcomes} == {State.DIFFERENT}
    assert {outcome.suspect.key for outcome in outcomes} == {(str(number),) for number in range(5_000)}
    assert max(requests) == 100
    assert sum(requests) <= 5_000 * 3 * 8


def test_a_key_that_was_looked_at_too_late_to_be_decided_is_not_called_moving():
    """Churning says that it was written meanwhile, so that the next run since this one meets it again."""
    clock = Clock()

    class SlowReads:
        def _all(self, keys, value):
            clock.pass_until(clock.now + 4)  # a read ceiling of 25 units for a second, say
            return [item(key[0], v=value) for key in keys]

        def source(self, keys):
            return self._all(keys, "new")

        def target(self, keys):
            return self._all(keys, "old")

    suspects = [Suspect(key=(str(n),), owners={(str(n),)}, expected=None, target=None) for n in range(800)]
    settler = Settler(SlowReads(), make_judge(), settle_seconds=1.0, clock=clock, sleep=clock.sleep)
    outcomes = list(settler.settle(suspects))

    assert len(outcomes) == 800
    assert {outcome.state for outcome in outcomes} <= {State.DIFFERENT, State.UNDECIDED}
    reasons = {outcome.reason for outcome in outcomes if outcome.state is State.UNDECIDED}
    assert "it could not be looked at for as long as the settle time" in reasons


class Claimed:
    """Two source items that claim one target key, and what the target holds there."""

    def __init__(self, held):
        self.held = held

    def source(self, keys):
        return [item(owner, of="k") for (owner,) in keys]

    def target(self, keys):
        return [self.held for _ in keys]


def moved_to(source):
    return {"id": source["of"], "of": source["id"]}


def test_a_key_that_two_source_items_claim_now_is_not_equal_by_what_one_of_them_claimed_before():
    """While only the first claimed it the target was right; no state is as long as both do."""
    clock, judge = Clock(), make_judge(moved_to, rekeys=True)
    held = item("k", of="s1")
    suspect = Suspect(
        key=KEY,
        owners={("s1",), ("s2",)},
        expected=judge.state(held),
        target=judge.state(item("k", of="s0")),
        expected_since=clock.now,
        target_since=clock.now,
        first_seen=clock.now,
    )
    settler = Settler(Claimed(held), judge, settle_seconds=SETTLE, clock=clock, sleep=clock.sleep)
    (outcome,) = settler.settle([suspect])

    assert outcome.state is State.UNCOMPARABLE
    assert "several source items" in outcome.reason


class FailsLate:
    """Its plugin finds two items to differ, each time but one."""

    normalisers, failures, plugins = (), (), ("p",)

    def __init__(self, fails_at=None):
        self.asked, self.fails_at = 0, fails_at

    @staticmethod
    def normalised(one):
        return one

    def ruling(self, expected, target, form):
        self.asked += 1
        if self.asked == self.fails_at:
            raise PluginError("The plugin p failed.", "mend it.")
        return Ruling(equal=False, expected=expected, target=target, by=())


def test_a_plugin_that_fails_when_the_paths_are_asked_for_costs_its_key_and_not_the_pass():
    never = FailsLate()
    outcome, *_ = settled("1", "2", judge=replace(make_judge(), rulings=never))
    assert outcome.state is State.DIFFERENT

    at_last = FailsLate(fails_at=never.asked)  # the paths are what is asked for last
    outcome, *_ = settled("1", "2", judge=replace(make_judge(), rulings=at_last))

    assert outcome.state is State.UNCOMPARABLE
    assert "The plugin p failed" in outcome.reason


def of_a_key(source, target, *, judge=None, **how):
    """The outcome of a key of which nothing is known but that it was written."""
    clock = Clock()
    history = History(clock, source, target, ())
    settler = Settler(
        history,
        judge or make_judge(),
        settle_seconds=0.0,
        clock=clock,
        sleep=clock.sleep,
        orphans_are_final=True,
        **how,
    )
    (outcome,) = settler.settle([Suspect(key=KEY, owners={KEY}, expected=None, target=None)])
    return outcome, [side for side, _ in history.reads]


@pytest.mark.parametrize("held", ["new", None])
@pytest.mark.parametrize("wants_pairs", [False, True])
def test_a_key_that_was_written_and_agrees_is_read_once_on_either_side(held, wants_pairs):
    outcome, reads = of_a_key(held, held, wants_pairs=wants_pairs)

    assert (outcome.state, outcome.converged, outcome.found) == (State.MATCHED, True, held is not None)
    assert reads == ["source", "target"]
    assert (outcome.pair is not None) is (held is not None)


@pytest.mark.parametrize(("source", "target"), [("new", "old"), ("new", None), (None, "old")])
def test_one_that_does_not_agree_is_looked_at_as_any_suspect_is(source, target):
    outcome, reads = of_a_key(source, target)

    assert outcome.state not in (State.MATCHED, State.EXCLUDED)
    assert reads[:3] == ["source", "target", "source"]


@pytest.mark.parametrize(("source", "target"), [(FAILED, None), (None, FAILED), (FAILED, FAILED)])
def test_what_could_not_be_read_agrees_with_nothing(source, target):
    outcome, _ = of_a_key(source, target)

    assert outcome.state is State.UNDECIDED


def test_an_item_that_the_transform_drops_and_the_target_lacks_is_none_that_is_compared():
    judge = make_judge(lambda item: None)
    outcome, reads = of_a_key("new", None, judge=judge)

    assert (outcome.state, reads) == (State.EXCLUDED, ["source", "target"])


def test_an_item_that_the_transform_fails_on_agrees_with_nothing():
    def fails(item):
        raise KeyError("total")

    outcome, _ = of_a_key("new", None, judge=make_judge(fails))

    assert outcome.state is State.UNCOMPARABLE
