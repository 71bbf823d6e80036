"""The design's rules and the promises, held against every order of events that Hypothesis comes up with."""

from __future__ import annotations

import os

import pytest

from tests.model.counterexamples import FOUND
from tests.model.order_model import OrderModel, replay
from tests.model.rules import NOT_NEEDED, RULES, Unguarded, no_condition
from tests.model.search import EXAMPLES_PER_RULE, counterexample, search
from tests.model.world import install

NARROWER = {rule.machine.__name__: rule for rule in RULES.values() if rule.machine is not OrderModel}
EXAMPLES = 250 if os.environ.get("CI") else 100
"""Of each of four seeds; ``make model`` tries 100,000."""


@pytest.fixture(autouse=True)
def world(monkeypatch):
    install(monkeypatch)


@pytest.mark.parametrize("seed", range(4))
def test_no_history_breaks_a_promise(seed):
    search(OrderModel, EXAMPLES, seed=seed)


@pytest.mark.full
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", NARROWER)
def test_no_history_of_a_narrower_machine_breaks_a_promise(name, monkeypatch):
    """Where the search finds out that a rule is missing, it has to find nothing as long as none is."""
    NARROWER[name].first(monkeypatch)
    search(NARROWER[name].machine, EXAMPLES_PER_RULE, seed=0)


# --- every rule is there for a reason ---------------------------------------------------------


def test_every_rule_has_its_counterexample():
    assert list(FOUND) == list(RULES)


@pytest.mark.parametrize("name", RULES)
def test_without_the_rule_a_promise_is_broken(name, monkeypatch):
    RULES[name].first(monkeypatch)
    RULES[name].without(monkeypatch)
    with pytest.raises(AssertionError):
        replay(FOUND[name], strict=RULES[name].machine.strict)


@pytest.mark.parametrize("name", RULES)
def test_with_the_rule_the_same_history_ends_well(name, monkeypatch):
    RULES[name].first(monkeypatch)
    replay(FOUND[name], strict=RULES[name].machine.strict)


def test_where_nothing_comes_late_fifo_order_is_enough(monkeypatch):
    """What the rules of the forwarder are for: they keep that order."""
    no_condition(monkeypatch)
    search(Unguarded, 100, seed=0)


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_where_nothing_comes_late_fifo_order_is_enough_in_any_of_many_histories(monkeypatch):
    no_condition(monkeypatch)
    search(Unguarded, EXAMPLES_PER_RULE, seed=0)


@pytest.mark.full
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", RULES)
def test_the_search_finds_out_that_a_rule_is_missing(name):
    assert counterexample(RULES[name], EXAMPLES_PER_RULE, seed=0, shrink=False)


@pytest.mark.full
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", NOT_NEEDED)
def test_the_search_finds_nothing_that_a_rule_implied_by_others_is_for(name):
    assert counterexample(NOT_NEEDED[name], EXAMPLES_PER_RULE, seed=0) is None
