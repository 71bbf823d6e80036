"""The quick yes of raw items: never said of what the canonical form tells apart."""

from __future__ import annotations

import enum
import json
from collections import OrderedDict
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddbverify.items.form import Form, UnknownValue
from ddbverify.items.raw import (
    NotUnderstood,
    decode_both,
    decode_item,
    in_python,
    surely_equal,
    surely_holds,
    values_of,
)
from ddbverify.items.values import ValueNotAllowed, item_from_typed, item_to_typed
from tests.ddbverify.items.test_form import items, mutations, respelt_map


class Word(enum.StrEnum):
    X = "x"


def raw(item) -> bytes:
    return json.dumps(item, ensure_ascii=False).encode("utf-8", "surrogatepass")


def holds(item, made, left_out=frozenset()) -> bool:
    return surely_holds(values_of(raw(item)), made, left_out)


@given(items)
def test_what_a_transform_gets_is_what_the_typed_form_says(item):
    made = in_python(values_of(raw(item)))

    assert made == item_from_typed(item)
    assert raw(item_to_typed(made)) == raw(item_to_typed(item_from_typed(item)))  # types and digits, too


@given(st.data(), items)
def test_a_yes_is_said_of_equal_items_only(data, item):
    """Whatever is planted: a yes means that the canonical forms are the same."""
    others = [respelt_map(data.draw, item)]
    others += [{**item, name: other} for name, value in item.items() for other in mutations(value)]
    for other in others:
        made = item_from_typed(other)
        if holds(item, made):
            assert Form().same(item, item_to_typed(made))


@pytest.mark.parametrize(
    ("item", "made"),
    [
        ({"a": {"S": "x"}}, {"a": "x"}),
        ({"a": {"N": "80.5"}, "b": {"N": "-3"}}, {"a": Decimal("80.50"), "b": -3}),
        ({"a": {"M": {"b": {"L": [{"BOOL": True}, {"NULL": True}]}}}}, {"a": {"b": [True, None]}}),
        ({"a": {"SS": ["y", "x"]}, "b": {"NS": ["1", "2.0"]}}, {"a": {"x", "y"}, "b": {Decimal(2), 1}}),
        ({"a": {"B": "AQI="}, "b": {"BS": ["AQI=", ""]}}, {"a": b"\1\2", "b": {b"", b"\1\2"}}),
    ],
)
def test_a_yes_is_said_of_every_type(item, made):
    assert holds(item, made)


@pytest.mark.parametrize(
    ("item", "made"),
    [
        ({"a": {"N": "1"}}, {"a": True}),
        ({"a": {"BOOL": True}}, {"a": 1}),
        ({"a": {"BOOL": True}}, {"a": Decimal(1)}),
        ({"a": {"N": "1"}}, {"a": 1.0}),  # DynamoDB has no type for it
        ({"a": {"S": "x"}}, {"a": Word.X}),
        ({"a": {"B": "AQI="}}, {"a": bytearray(b"\1\2")}),
        ({"a": {"B": "AQI"}}, {"a": b"\1\2"}),  # malformed
        ({"a": {"L": []}}, {"a": ()}),
        ({"a": {"M": {}}}, {"a": OrderedDict()}),
        ({"a": {"NS": ["1"]}}, {"a": {True}}),
        ({"a": {"NS": ["1"]}}, {"a": {1.0}}),
        ({"a": {"SS": ["x"]}}, {"a": {Word.X}}),
        ({"a": {"SS": []}}, {"a": set()}),  # malformed on both sides
        ({"a": {"NULL": False}}, {"a": None}),  # malformed
        ({"a": {"N": "NaN"}}, {"a": Decimal("NaN")}),
        ({"a": {"N": "NaN123"}}, {"a": Decimal("NaN123")}),
        ({"a": {"N": "Infinity"}}, {"a": Decimal("Infinity")}),
        ({"a": {"N": "1_0"}}, {"a": Decimal(10)}),  # malformed, though Decimal takes it
        ({"a": {"N": " 10"}}, {"a": Decimal(10)}),
        ({"a": {"N": "\u0661"}}, {"a": Decimal(1)}),
        ({"a": {"N": "1" * 39}}, {"a": Decimal("1" * 39)}),  # a digit more than DynamoDB has
        ({"a": {"N": "1E+200"}}, {"a": Decimal("1E+200")}),
        ({"a": {"S": "x", "N": "1"}}, {"a": "x"}),
        ({"a": {"N": "1", "BOOL": True}}, {"a": Decimal(1)}),
        ({"a": {"M": {}, "L": []}}, {"a": {}}),
        ({"a": {"S": "x"}}, {"a": "x", "b": None}),
        ({"a": {"S": "x"}, "b": {"NULL": True}}, {"a": "x"}),
        ({"a": {"S": "x"}}, [("a", "x")]),
        ({"a": {"S": "x"}}, None),
    ],
)
def test_no_yes_is_said_of_what_looks_alike_or_is_malformed(item, made):
    assert not holds(item, made)


@pytest.mark.parametrize(
    "item",
    [
        {"a": {}},
        {"a": {"S": "x", "N": "1"}},
        {"a": {"L": [{"S": "x", "N": "1"}]}},
        {"a": {"NULL": False}},
        {"a": {"B": "AQI"}},
        {"a": {"N": "one"}},
    ],
)
def test_a_transform_is_not_given_what_is_malformed(item):
    with pytest.raises(NotUnderstood):
        in_python(values_of(raw(item)))


@pytest.mark.parametrize("text", ["{", '{"a": {"X": "1"}}', '{"a": {"S": 1}}', '{"a": {"S": "\\ud800"}}'])
def test_bytes_that_are_no_item_are_not_understood(text):
    with pytest.raises(NotUnderstood):
        values_of(text.encode())


def test_left_out_attributes_may_differ_but_have_to_be_possible():
    item, left_out = {"a": {"S": "x"}, "b": {"N": "1"}}, frozenset({"b"})
    assert holds(item, {"a": "x", "b": Decimal(2)}, left_out)
    assert holds(item, {"a": "x"}, left_out)
    assert not holds(item, {"a": "y", "b": Decimal(1)}, left_out)
    assert not holds(item, {"a": "x", "b": 1.5}, left_out)
    with pytest.raises(ValueNotAllowed):
        item_to_typed({"b": 1.5})


def test_an_item_that_python_cannot_hold_is_unknown():
    with pytest.raises(UnknownValue):
        decode_item(b'{"a": {"S": "\\ud800"}}')


@given(items, items, st.sampled_from([(), ("a",), ("a.b", "b[0]")]))
def test_two_items_decoded_together_are_what_each_is_alone(item, more, ignore):
    other = item | more
    form = Form.of(ignore)

    ours, theirs = decode_both(raw(item), raw(other))

    assert (raw(ours), raw(theirs)) == (raw(item), raw(other))
    assert form.digests(ours, theirs) == (form.digest(item), form.digest(other))
    alike = {name for name in item.keys() & other.keys() if raw(item[name]) == raw(other[name])}
    assert all(ours[name] is theirs[name] for name in alike)


def test_one_that_is_no_truth_value_is_not_taken_for_the_truth_value_beside_it():
    ours, theirs = decode_both(raw({"a": {"BOOL": True}}), raw({"a": {"BOOL": 1}}))

    with pytest.raises(UnknownValue):
        Form().digests(ours, theirs)
    assert not surely_equal(raw({"a": {"BOOL": True}}), raw({"a": {"BOOL": 1}, "b": {"S": ""}}))
    assert not surely_equal(raw({"a": {"BOOL": 1}, "b": {"S": ""}}), raw({"b": {"S": ""}, "a": {"BOOL": 2}}))


@pytest.mark.parametrize("text", ['{"a": {"S": "\\ud800"}}', '{"a": 1}', "[]", '{"a": {"S": "x"}'])
def test_an_item_that_cannot_be_decoded_is_unknown_on_either_side(text):
    good = raw({"a": {"S": "x"}})
    for one, other in ((text.encode(), good), (good, text.encode()), (text.encode(), text.encode())):
        with pytest.raises(UnknownValue, match="cannot be decoded"):
            decode_both(one, other)
