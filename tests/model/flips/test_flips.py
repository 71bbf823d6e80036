"""Flips in both directions, and the promises, against every order of events that Hypothesis comes up with."""

from __future__ import annotations

import os

import pytest

from tests.model.flips.counterexamples import FOUND
from tests.model.flips.machine import FlipModel, replay
from tests.model.flips.rules import NOT_NEEDED, RULES
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
