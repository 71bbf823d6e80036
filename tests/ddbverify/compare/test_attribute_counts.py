"""In which attributes items differ is counted in the words of ``@check(covers=...)``; nothing is guessed."""

from __future__ import annotations

import pytest

from ddbverify.compare.attribute_counts import MOST_ATTRIBUTES, AttributeCounts
from ddbverify.items.states import State
from tests.ddbverify.fakes import FakeTable, item
from tests.ddbverify.prepared import run


def counted(*items):
    counts = AttributeCounts()
    for paths in items:
        counts.add(paths)
    return counts.told, {f"{one.kind}:{one.attribute}": one.keys for one in counts.counted}


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("price: value", "value:price"),
        ("price: added", "added:price"),
        ("price: removed", "removed:price"),
        ("price: N -> S", "type:price"),
        ("info.rating: N -> S", "value:info"),
        ("info.rating: added", "value:info"),
        ("lines[3]: removed", "value:lines"),
        (r"a\.b: value", "value:a.b"),
        (r"a\[3\]: value", "value:a[3]"),
        ("a: b: value", "value:a: b"),
    ],
)
def test_a_difference_counts_for_its_top_level_attribute_and_kind(path, place):
    assert counted([path]) == (1, {place: 1})


def test_an_item_counts_once_for_each_attribute_and_kind():
    told, counts = counted(["a.b: value", "a.c: added", "n: N -> S"], ["a.b: value"], ["n: value"])

    assert (told, counts) == (3, {"value:a": 2, "type:n": 1, "value:n": 1})


@pytest.mark.parametrize("paths", [[], ["(somewhere)"], ["a: value", "(and 7 more)"]])
def test_an_item_whose_differences_are_not_all_known_is_not_told(paths):
    assert counted(paths, ["n: value"]) == (1, {"value:n": 1})


def test_attributes_beyond_the_bound_are_not_told_and_those_before_still_are():
    many = [[f"a{number}: value"] for number in range(MOST_ATTRIBUTES + 5)]

    told, counts = counted(*many, ["a0: value"], ["a0: value", "new: value"])

    assert (told, len(counts), counts["value:a0"]) == (MOST_ATTRIBUTES + 1, MOST_ATTRIBUTES, 2)


def test_a_pass_counts_where_its_different_items_differ():
    source = FakeTable([item("a", price="1", n="1"), item("b", price="2", n="1"), item("c", price="3")])
    target = FakeTable([item("a", price="9", n="1"), item("b", price="9", n="2"), item("c", price="3")])

    comparison = run(source, target)

    assert comparison.counts[State.DIFFERENT] == comparison.different_told == 2
    assert {f"{one.kind}:{one.attribute}": one.keys for one in comparison.different_in} == {
        "value:price": 2,
        "value:n": 1,
    }
