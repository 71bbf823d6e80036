"""Transforms on the short way: what is called how often, and what no shortcut may hide."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

import pytest

from ddbverify.compare import shortcut
from ddbverify.compare.inspection import ItemCheck
from ddbverify.compare.request import PassRequest
from ddbverify.items.states import State
from tests.ddbverify.fakes import make_judge
from tests.ddbverify.prepared import PreparedTable, plain, run

SCHEMA = {"id": "S"}
COUNT = 4_000
SHAPES = pytest.mark.parametrize("rekeys", [False, True], ids=["one to one", "re-keyed"])


def numbered(count=COUNT, **more):
    return [{"id": {"S": f"k{number}"}, "n": {"N": f"{number}"}, **more} for number in range(count)]


def compared(source, target, function, *, rekeys=False, ignore=(), **more):
    tables = (PreparedTable(plain(side), SCHEMA, page_size=50) for side in (source, target))
    return run(*tables, judge=make_judge(function, rekeys=rekeys, ignore=ignore), **more)


def counted(comparison):
    return {str(state): count for state, count in comparison.counts.items() if count}


@SHAPES
def test_what_matches_is_called_again_for_one_item_in_sixteen(rekeys):
    calls = Counter()

    def function(item):
        calls[item["id"]] += 1
        return item

    comparison = compared(numbered(), numbered(), function, rekeys=rekeys)

    assert counted(comparison) == {"matched": COUNT}
    twice = sum(1 for count in calls.values() if count > 1)
    assert len(calls) >= COUNT
    assert COUNT / 32 < twice < COUNT / 8  # 250 are expected, and 15 off is one deviation


@SHAPES
@pytest.mark.parametrize("error", [ValueError, SystemExit, GeneratorExit])
def test_whatever_a_function_raises_costs_the_one_item(rekeys, error):
    def function(item):
        if item["id"] == "k7":
            raise error("secret")
        return item

    comparison = compared(numbered(20), numbered(20), function, rekeys=rekeys)

    assert comparison.counts[State.UNCOMPARABLE] == 1
    assert comparison.counts[State.MATCHED] == 19


@SHAPES
def test_a_function_that_goes_by_the_target_hides_what_differs(rekeys):
    """docs/evidence.md says so: what a transform makes is what should be there."""
    held = {"id": "k7", "n": Decimal(-1)}  # as it would know of the network, say
    target = numbered(20)
    target[7] = {"id": {"S": "k7"}, "n": {"N": "-1"}}

    comparison = compared(
        numbered(20), target, lambda item: held if item["id"] == "k7" else item, rekeys=rekeys
    )

    assert counted(comparison) == {"matched": 20}


@pytest.mark.parametrize(
    ("source_keys", "target_keys"),
    [({"id": "S", "n": "N"}, {"id": "S"}), ({"id": "S"}, {"id": "S", "n": "N"})],
    ids=["fewer", "more"],
)
def test_a_rekeyed_target_may_have_another_number_of_keys(source_keys, target_keys):
    source = PreparedTable(plain(numbered(100)), source_keys, page_size=50)
    target = PreparedTable(plain(numbered(100)), target_keys, page_size=50)
    judge = make_judge(dict, rekeys=True, schema=source_keys, target_schema=target_keys)

    assert counted(run(source, target, judge=judge)) == {"matched": 100}


@SHAPES
def test_every_item_that_does_not_match_or_makes_nothing_is_called_again(rekeys):
    calls = Counter()

    def function(item):
        calls[item["id"]] += 1
        return None if item["n"] % 2 else {**item, "n": item["n"] + 1}

    compared(numbered(200), numbered(200), function, rekeys=rekeys)

    assert {f"k{number}" for number in range(200)} <= {key for key, count in calls.items() if count > 1}


@SHAPES
def test_a_function_that_alternates_is_found_out(rekeys):
    calls = Counter()

    def function(item):
        calls["all"] += 1
        return {**item, "n": item["n"] + calls["all"] % 2}

    comparison = compared(numbered(500), numbered(500), function, rekeys=rekeys)

    assert comparison.counts[State.UNCOMPARABLE] > 0


def _raises(item):
    raise ValueError


@SHAPES
@pytest.mark.parametrize(
    "odd",
    [lambda item: {**item, "n": Decimal(-1)}, lambda item: None, _raises],
    ids=["other", "none", "raises"],
)
@pytest.mark.parametrize("hired", [0, 2])
def test_one_odd_result_among_many_calls_is_found_out(rekeys, odd, hired):
    """The call that finds the item not to match counts, though all later ones make what the target holds."""
    calls = Counter()

    def function(item):
        calls[item["id"]] += 1
        return odd(item) if item["id"] == "k7" and calls["k7"] == 1 else item

    comparison = compared(numbered(50), numbered(50), function, rekeys=rekeys, hired=0 if rekeys else hired)

    assert comparison.counts[State.UNCOMPARABLE] == 1
    assert comparison.counts[State.MATCHED] == 49


@SHAPES
def test_an_odd_result_of_the_second_call_is_found_out(rekeys, monkeypatch):
    monkeypatch.setattr(shortcut, "CALLED_TWICE", 1.0)
    calls = Counter()

    def function(item):
        calls[item["id"]] += 1
        return {**item, "n": Decimal(-1)} if item["id"] == "k7" and calls["k7"] == 2 else item

    comparison = compared(numbered(50), numbered(50), function, rekeys=rekeys)

    assert comparison.counts[State.UNCOMPARABLE] == 1
    assert comparison.counts[State.MATCHED] == 49


@SHAPES
def test_what_differs_is_called_twice_and_no_more(rekeys):
    calls = Counter()

    def function(item):
        calls[item["id"]] += 1
        return {**item, "n": item["n"] + 1}

    comparison = compared(numbered(5), numbered(5), function, rekeys=rekeys, has_controls=False)

    assert comparison.counts[State.DIFFERENT] == 5
    assert set(calls.values()) == {6}  # by the scan, and by the two looks of the settling: twice each


@SHAPES
def test_an_item_left_out_by_chance_is_missed(rekeys):
    """The target lacks it, and the function makes nothing of it every other time."""
    calls = Counter()

    def function(item):
        calls[item["id"]] += 1
        return None if item["id"] == "k7" and calls["k7"] % 2 else item

    target = [one for one in numbered(50) if one["id"]["S"] != "k7"]
    comparison = compared(numbered(50), target, function, rekeys=rekeys)

    assert counted(comparison) == {"matched": 49, "uncomparable": 1}


@SHAPES
@pytest.mark.parametrize(
    ("value", "made", "state"),
    [
        ({"N": "1"}, True, "different"),
        ({"BOOL": True}, Decimal(1), "different"),
        ({"N": "1"}, 1.0, "uncomparable"),
        ({"N": "80.5"}, Decimal("80.50"), "matched"),
        ({"L": [{"N": "1"}]}, (1,), "matched"),  # by the typed form: a tuple is a list there
    ],
)
def test_types_are_exact(rekeys, value, made, state):
    target = numbered(3, v=value)
    comparison = compared(numbered(3), target, lambda item: {**item, "v": made}, rekeys=rekeys)

    assert counted(comparison) == {state: 3} | (
        {"undecided": 3} if rekeys and state == "uncomparable" else {}
    )


@SHAPES
@pytest.mark.parametrize(
    "value",
    [
        {"X": "1"},
        {"S": "x", "N": "1"},
        {"M": {"a": {"S": "x", "BOOL": True}}},
        {"N": "1_0"},
        {"N": "1" * 39},
        {"NS": ["NaN"]},
        {"SS": []},
        {"B": "AQI"},
    ],
    ids=str,
)
def test_what_is_malformed_matches_nothing_where_both_spell_it_alike(rekeys, value):
    comparison = compared(numbered(3, v=value), numbered(3, v=value), dict, rekeys=rekeys)

    assert comparison.counts[State.MATCHED] == 0


def test_a_function_that_swaps_keys_is_uncomparable_though_every_item_is_there():
    """In scan order it makes just what the target holds at that place."""
    source = [{"id": {"S": "a"}}, {"id": {"S": "b"}}]
    target = source[::-1]
    comparison = compared(source, target, lambda item: {"id": "b" if item["id"] == "a" else "a"})

    assert counted(comparison) == {"uncomparable": 2}


def test_two_results_under_one_key_are_no_match():
    comparison = compared(numbered(2), numbered(2), lambda item: [item, dict(item)], rekeys=True)

    assert comparison.counts[State.MATCHED] == 0


def test_a_second_source_item_under_one_key_is_no_match():
    def function(item):
        return {"id": "k0", "n": Decimal(0)}

    comparison = compared(numbered(2), numbered(1), function, rekeys=True)

    assert counted(comparison) == {"uncomparable": 1}


@SHAPES
@pytest.mark.parametrize(
    ("ignore", "state"), [(["v"], "matched"), (["v.a"], "matched"), (["w"], "different")]
)
def test_what_is_left_out_is_left_out_here_too(rekeys, ignore, state):
    source = numbered(3, v={"M": {"a": {"S": "x"}}})
    target = numbered(3, v={"M": {"a": {"S": "y"}}})
    comparison = compared(source, target, dict, rekeys=rekeys, ignore=ignore)

    assert counted(comparison) == {state: 3}


@SHAPES
def test_checks_see_source_target_and_what_is_expected(rekeys):
    seen = []

    def check(source, target, expected):
        seen.append((source["n"], target["m"], str(expected["m"]), "n" in expected))

    def function(item):
        item["m"] = item.pop("n") + Decimal("0.50")
        return item

    shown = ItemCheck("x", "x", check, ("source", "target", "expected"))
    target = [{"id": one["id"], "m": {"N": f"{one['n']['N']}.5"}} for one in numbered(3)]
    comparison = compared(
        numbered(3), target, function, rekeys=rekeys, request=PassRequest(item_checks=[shown])
    )

    assert counted(comparison) == {"matched": 3}
    expected = [(number, Decimal(f"{number}.5"), f"{number}.50", False) for number in range(3)]
    assert set(expected) == set(seen)
