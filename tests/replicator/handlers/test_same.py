"""Equal is what the verifier calls equal, found by other code: typed, exact, whatever the spelling."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from ddbverify.items.form import Form
from replicator.handlers.same import other_attributes
from tests.ddbverify.items.test_form import items, mutations, respelt_map


@given(st.data(), items)
def test_every_spelling_of_an_item_is_the_same_item(data, item):
    assert other_attributes(item, respelt_map(data.draw, item)) == []


@given(items)
def test_every_planted_change_is_seen_in_the_attribute_that_it_is_in(item):
    assume("another" not in item)
    for mutated in mutations({"M": item}):
        if "M" in mutated:
            (name,) = other_attributes(item, mutated["M"])
            assert name == "another" or item[name] != mutated["M"].get(name)


@given(items, items)
def test_it_agrees_with_the_verifier(one, other):
    assert (other_attributes(one, other) == []) is Form().same(one, other)


def test_what_aws_writes_by_itself_does_not_count():
    assert other_attributes({"aws:rep:region": {"S": "a"}}, {}) == []
