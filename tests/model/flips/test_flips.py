"""Flips in both directions, and the promises, against every order of events that Hypothesis comes up with."""

from __future__ import annotations

import os

import pytest

from replicator.commands import way_back
from replicator.context import live
from tests.model.flips import rules
from tests.model.flips.account import APPLICATION, arn_of
from tests.model.flips.counterexamples import FOUND
from tests.model.flips.machine import FlipModel, replay
from tests.model.flips.rules import NOT_NEEDED, RULES
from tests.model.flips.verifier import Verifier
from tests.model.flips.world import FlipWorld, install
from tests.model.search import EXAMPLES_OF_FLIPS, counterexample, search

NARROWER = {rule.machine.__name__: rule.machine for rule in RULES.values()}
EXAMPLES = 40 if os.environ.get("CI") else 10
"""Of each of two seeds: a history takes a tenth of a second. ``make model`` tries some thousands."""


@pytest.fixture(autouse=True)
def world(monkeypatch):
    install(monkeypatch)


@pytest.mark.parametrize("seed", range(2))
def test_no_history_breaks_a_promise(seed):
    search(FlipModel, EXAMPLES, seed=seed)


@pytest.mark.parametrize("shape", ["plain", "inverse"])
def test_over_back_and_over_again_is_flipped_each_time(shape):
    """Or no history would show anything."""
    made = FlipWorld(shape)
    for command in ("cutover", "cutback", "cutover"):
        assert made.run(command).result["flipped"]
        assert made.write("target" if command == "cutover" else "source", "c")
        made.pump()
    assert made.verifier.links == 3
    assert made.run("settle").result["settled"]
    made.judge()


@pytest.mark.full
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", NARROWER)
def test_no_history_of_a_narrower_machine_breaks_a_promise(name):
    """Where the search finds out that a rule is missing, it has to find nothing as long as none is."""
    search(NARROWER[name], EXAMPLES_OF_FLIPS, seed=0)


def test_every_rule_has_its_counterexample():
    assert list(FOUND) == list(RULES)


@pytest.mark.parametrize("name", RULES)
def test_without_the_rule_a_promise_is_broken(name, monkeypatch):
    RULES[name].without(monkeypatch)
    with pytest.raises(AssertionError):
        replay(FOUND[name])


@pytest.mark.parametrize("name", RULES)
def test_with_the_rule_the_same_history_ends_well(name):
    replay(FOUND[name])


def test_a_record_that_is_readable_late_is_met_under_the_fence():
    """By its marker: or no history would show that one is needed."""
    made = FlipWorld()
    assert made.write("source", "a", readable=30.0)
    assert "last verification" in str(made.run("cutover").error)
    made.wait(60)
    assert made.run("cutover").result["flipped"]
    made.judge()


def test_behind_a_day_a_link_is_a_full_pass():
    made = FlipWorld()
    made.day()
    assert made.run("cutover").result["flipped"]
    assert (made.verifier.full_passes, made.verifier.links) == (1, 1)
    assert made.run("cutback").result["flipped"]
    assert (made.verifier.full_passes, made.verifier.links) == (1, 2)


@pytest.mark.parametrize("is_recorded", [True, False])
@pytest.mark.parametrize("side", ["source", "target"])
def test_time_to_live_keeps_no_cutover_from_its_flip(side, is_recorded):
    made = FlipWorld(ttl_records=is_recorded)
    assert made.write("source", "a", "mortal")
    made.wait(5)
    made.pump()
    made.start("one", "cutover")
    made.go_on("one", "put_item:boundary")
    made.wait(1)
    made.expire(side, "a")
    made.finish("one")
    assert made.parameters.values["/shop/orders"].endswith("orders-v2")
    made.settle()
    made.judge()


def without_role_and_shut(patch):
    """Either alone keeps a late call from writing."""
    rules.a_role_stays(patch)
    rules.not_shut(patch)


OF_AN_EARLIER_CYCLE = {
    "a call that Lambda starts late": (
        without_role_and_shut,
        [
            ("begin", {"stage": "flipped"}),
            ("strange", {"side": "source", "key": "a"}),
            ("flow", {}),  # into the queue of the first way over, whose consumer is off
            ("run", {"command": "cutover"}),
            ("write", {"side": "target", "key": "a"}),
            ("run", {"command": "cutback"}),
            ("wait", {"seconds": 31.0}),
            ("run", {"command": "cutover"}),
            ("write", {"side": "target", "key": "a"}),
            ("flow", {}),
            ("receive", {"at": 0, "late": True}),
        ],
    ),
    "a cutover of a machine that slept": (
        rules.takes_back_whatever_happened,
        [
            ("begin", {}),
            ("start", {"command": "cutover", "operator": "one", "until": "put_resource_policy", "more": 1}),
            ("run", {"command": "cutover", "operator": "other"}),
            ("run", {"command": "cutback", "operator": "other"}),
            ("run", {"command": "cutover", "operator": "other"}),
            ("finish", {"operator": "one"}),
        ],
    ),
}


@pytest.mark.parametrize("what", OF_AN_EARLIER_CYCLE)
def test_what_comes_late_from_an_earlier_cycle_changes_nothing(what, monkeypatch):
    without, moves = OF_AN_EARLIER_CYCLE[what]
    replay(moves)
    assert live.read(FlipModel.latest.world.context()) == live.Live("target", 3)
    without(monkeypatch)
    with pytest.raises(AssertionError):
        replay(moves)


@pytest.mark.full
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", RULES)
def test_the_search_finds_out_that_a_rule_is_missing(name):
    assert counterexample(RULES[name], EXAMPLES_OF_FLIPS, seed=0, shrink=False)


@pytest.mark.full
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", NOT_NEEDED)
def test_the_search_finds_nothing_that_a_rule_implied_by_others_is_for(name):
    assert counterexample(NOT_NEEDED[name], EXAMPLES_OF_FLIPS, seed=0) is None


def under_way(command, shape="plain"):
    """A world in which *command* has begun, behind the flips that it needs."""
    made = FlipWorld(shape)
    if command == "cutback":
        assert made.run("cutover").result["flipped"]
        made.pump()
        made.wait(60)
    made.start("one", command)
    return made


@pytest.mark.parametrize(("command", "armed"), [("cutover", "shop-back-1"), ("cutback", "shop-over-2")])
def test_what_is_armed_is_off_until_the_pointer_has_moved(command, armed):
    """Two consumers that are on would write each other's changes back."""
    world = under_way(command)
    moves, seen = len(world.parameters.ever.get("/shop/orders", ())), False
    while "one" in world.operators and len(world.parameters.ever.get("/shop/orders", ())) == moves:
        pipeline = world.stacks.pipelines.get(armed)
        seen |= pipeline is not None and pipeline.consumer is not None
        assert pipeline is None or not pipeline.consumer_on
        world.operators["one"].step()
    assert seen, "or it was never armed"
    world.finish("one")
    assert world.stacks.pipelines[armed].consumer_on


def written_by_an_old_instance(world):
    """
    What goes by a pointer of before the last flip writes to the follower as soon as that opens for a cutback.

    That is behind the quiet, and before the flip: its opening is a moment that was put ahead.
    """
    process = world.operators["one"]
    while not world.database.may_write("orders", APPLICATION):
        world.operators["one"].step()
    assert not world.database.may_write("orders-v2", APPLICATION)
    world.database.seed("orders", world._item("source", "c", "by an old pointer"))
    world.database.record()
    world.finish("one")
    return process


def test_an_instance_that_goes_by_an_old_pointer_is_found_before_a_cutback_flips():
    world = under_way("cutback")
    assert "does not open the gate" in str(written_by_an_old_instance(world).error)
    assert world.parameters.values["/shop/orders"] == arn_of("orders-v2")
    world.wait(120)
    assert world.database.may_write("orders-v2", APPLICATION), "the application goes on"
    assert not world.database.may_write("orders", APPLICATION)


def test_without_the_followers_stream_it_would_not_be(monkeypatch):
    wires = Verifier.wires
    monkeypatch.setattr(Verifier, "wires", lambda self: wires(self)[1:])
    monkeypatch.setattr(way_back.Ahead, "need_still", lambda *_, **__: None)
    with pytest.raises(AssertionError, match="do not say what a full pass says"):
        written_by_an_old_instance(under_way("cutback"))
