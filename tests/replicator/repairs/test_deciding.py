"""Nothing is written over what nobody has looked at, and nothing is deleted that was not asked for."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddbverify.evidence.repairs import Entry
from ddbverify.items.form import ABSENT, Form
from ddbverify.items.states import State
from ddbverify.items.transform import Transform
from replicator.repairs.cost import cost
from replicator.repairs.deciding import Choice, Fate, Intended, Rules

FORM = Form.of(["stamp"], b"secret")
SOURCE, TARGET = {"id": "S"}, {"key": "S"}


def item(name, value=None, **more):
    return None if value is None else {name: {"S": "a"}, "v": {"S": value}} | more


def renamed(one):
    if one["v"] == "bad":
        raise LookupError
    return None if one["v"] == "dropped" else {"key": one["id"], "v": one["v"]}


RULES = Rules(FORM, Transform("tests:renamed", renamed, SOURCE, TARGET, rekeys=False))


def digest(one):
    return (ABSENT if one is None else FORM.digest(one)).hex()


def entry(expected, target, state=State.DIFFERENT, causes=("c",)):
    return Entry(
        pair="p",
        finding=state,
        key={"key": {"S": "a"}},
        causes=causes,
        expected=digest(item("key", expected)),
        target=digest(item("key", target)),
    )


VALUES = st.sampled_from([None, "1", "2", "3"])


@given(VALUES, VALUES, VALUES, VALUES)
def test_it_is_written_exactly_where_both_are_as_they_were_seen_and_differ(was, held, source, target):
    found = RULES.decide(entry(was, held), item("id", source), item("key", target))
    if source == target:
        assert found is Fate.EQUAL
    elif source != was:
        assert found is Fate.SOURCE_MOVED
    elif target != held:
        assert found is Fate.TARGET_MOVED
    else:
        assert found == Intended(
            {"id": {"S": "a"}}, {"key": {"S": "a"}}, item("key", source), item("key", target)
        )


def test_what_is_ignored_moves_nothing_and_what_is_dropped_is_nothing():
    stamped = item("key", "2", stamp={"S": "now"})
    assert isinstance(RULES.decide(entry("1", "2"), item("id", "1"), stamped), Intended)
    assert RULES.decide(entry(None, "2"), item("id", "dropped"), item("key", "2")).item is None
    assert RULES.decide(entry("1", "2"), item("id", "dropped"), None) is Fate.EQUAL


def test_what_cannot_be_made_or_understood_is_refused_by_name():
    assert RULES.decide(entry("1", "2"), item("id", "bad"), item("key", "2")) is Fate.UNMADE
    strange = item("key", "2", x={"NEW": "?"})
    assert RULES.decide(entry("1", "2"), item("id", "1"), strange) is Fate.UNKNOWN


@pytest.mark.parametrize(("state", "deletes"), [*product([State.MISSING, State.EXTRANEOUS], [True, False])])
def test_every_way_has_to_be_chosen_and_deleting_by_name(state, deletes):
    one = entry("1", "2", state, causes=("x", "y"))
    both = frozenset({("p", state, "x"), ("p", state, "y")})
    may = deletes or state is State.MISSING
    assert Choice(both, deletes).takes(one) is may
    assert Choice(None, deletes).takes(one) is may
    for chosen in ({("p", state, "x")}, {("q", state, "x"), ("p", state, "y")}):
        assert not Choice(frozenset(chosen), deletes).takes(one)


def test_what_it_costs_grows_with_keys_and_sizes_and_is_told_at_the_ceilings():
    small = cost(100, source_bytes=100, target_bytes=100, pipeline=True, writes=True)
    assert (small.read_units, small.write_units, small.seconds) == (100 * (3 + 3), 100 * 4, None)
    large = cost(100, source_bytes=9_000, target_bytes=100, pipeline=False, writes=True, write_units=180)
    assert (large.read_units, large.write_units, large.seconds) == (100 * (3 + 1 + 9), 100 * 18, 10.0)
    dry = cost(100, source_bytes=100, target_bytes=100, pipeline=True, writes=False, read_units=20)
    assert (dry.read_units, dry.write_units, dry.seconds) == (200, 0, 10.0)
    assert (small + dry).keys == 200
    assert "200 keys" in (small + dry).in_words()
