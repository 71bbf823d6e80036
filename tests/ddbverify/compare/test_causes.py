"""Causes are grouped over all findings, in bounded memory, and the frequent ones are never lost."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddbverify.compare.causes import Causes, without_depth, without_places
from ddbverify.items.paths import parse_path, show_path
from ddbverify.items.states import State


def said(causes, count=10):
    return [(cause.text, cause.findings) for cause in causes.most_common(count)]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("price: N -> S", "`price` is S instead of N"),
        ("price: value", "`price` has another value"),
        ("price: removed", "`price` is not in the target"),
        ("price: added", "`price` is in the target only"),
        ("lines[12].tags[0]: value", "`lines[].tags[]` has another value"),
        (r"odd\[3\].a: b: value", r"`odd\[3\].a: b` has another value"),
        ("(a type that is not known)", "a type that is not known"),
        ("(somewhere)", "somewhere"),
        ("(and 7 more)", "more attributes than are listed"),
    ],
)
def test_a_path_in_words(path, words):
    causes = Causes()
    causes.add(State.DIFFERENT, [path])
    assert said(causes) == [(words, 1)]


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("price: N -> S", "price: N -> S"),
        ("info.secret[3]: N -> S", "info: value"),
        (r"odd\.name: added", r"odd\.name: added"),
        ("list[0]: removed", "list: value"),
        ("(and 7 more)", "(and 7 more)"),
    ],
)
def test_below_an_attribute_nothing_is_named(path, shown):
    assert without_depth(path) == shown


@pytest.mark.parametrize(
    ("state", "reason", "words"),
    [
        (State.MISSING, "", "not in the target"),
        (State.EXTRANEOUS, "", "in the target only"),
        (
            State.UNCOMPARABLE,
            "the transform t:f raised KeyError",
            "cannot be compared: the transform t:f raised KeyError",
        ),
        (State.CHURNING, "it never held still", "never held still: it never held still"),
        (State.UNDECIDED, "throttled", "not decided: throttled"),
    ],
)
def test_other_states_say_their_reason(state, reason, words):
    causes = Causes()
    causes.add(state, (), reason)
    assert said(causes) == [(words, 1)]


def test_a_finding_counts_once_for_each_cause_however_many_places_show_it():
    causes = Causes()
    causes.add(State.DIFFERENT, ["a[0]: value", "a[1]: value", "b: removed"])
    causes.add(State.DIFFERENT, ["a[7]: value"])
    assert causes.findings == 2
    assert said(causes) == [("`a[]` has another value", 2), ("`b` is not in the target", 1)]


def test_the_same_words_in_two_states_stay_apart():
    causes = Causes()
    causes.add(State.DIFFERENT, [])
    causes.add(State.MISSING)
    assert causes.distinct == 2


def test_map_keys_that_are_data_do_not_push_out_a_cause_that_comes_late():
    """First come, first kept would list a hundred singletons and not what happened to 9 of 10."""
    causes = Causes(most=100)
    for number in range(1_000):
        causes.add(State.DIFFERENT, [f"byid.{number}: removed"])
    for _ in range(9_000):
        causes.add(State.DIFFERENT, ["price: N -> S"])
    (first, *_) = causes.most_common()
    assert first.text == "`price` is S instead of N"
    assert 9_000 - causes.uncertain <= first.findings <= 9_000
    assert 0 < causes.uncertain <= 10_000 / 101


@given(st.lists(st.sampled_from("abcdefgh"), max_size=200), st.integers(1, 10))
def test_counts_are_exact_until_there_are_too_many_and_bounded_then(names, most):
    causes = Causes(most=most)
    for name in names:
        causes.add(State.DIFFERENT, [f"{name}: value"])
    true = Counter(names)
    listed = {text[1]: count for text, count in said(causes, 100)}
    assert causes.findings == len(names)
    assert causes.distinct <= most
    assert causes.uncertain * (most + 1) <= len(names)
    for name, count in true.items():
        assert count - causes.uncertain <= listed.get(name, 0) <= count
    if len(true) <= most:
        assert (listed, causes.uncertain) == (dict(true), 0)


@given(st.lists(st.one_of(st.text(min_size=1, max_size=5), st.integers(0, 99)), min_size=1, max_size=5))
def test_only_places_in_lists_are_folded(steps):
    path = (steps[0] if isinstance(steps[0], str) else "a", *steps[1:])
    folded = without_places(show_path(path))
    assert parse_path(folded.replace("[]", "[0]")) == tuple(
        0 if isinstance(one, int) else one for one in path
    )
