"""DynamoDB's typed JSON and Python's values: nothing is lost on the way, and nothing is rounded."""

from __future__ import annotations

import enum
import json
from collections import OrderedDict
from decimal import Decimal
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddbverify.items.values import (
    ValueNotAllowed,
    from_typed,
    item_from_typed,
    item_to_typed,
    to_typed,
    with_base64,
    with_bytes,
)

numbers = st.one_of(
    st.integers(-(10**37), 10**37).map(Decimal),
    st.decimals(allow_nan=False, allow_infinity=False, places=9, min_value=-(10**20), max_value=10**20),
)
scalars = st.one_of(st.none(), st.booleans(), st.text(), st.binary(), numbers)
sets = st.one_of(
    st.sets(st.text(), min_size=1), st.sets(st.binary(), min_size=1), st.sets(numbers, min_size=1)
)
values = st.recursive(
    st.one_of(scalars, sets),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)),
    max_leaves=10,
)
items = st.dictionaries(st.text(min_size=1), values, max_size=5)


@given(items)
def test_a_round_trip_keeps_every_value_and_its_type(item):
    back = item_from_typed(item_to_typed(item))

    assert back == item
    assert repr(_types(back)) == repr(_types(item))


@given(items)
def test_the_typed_form_is_json(item):
    typed = item_to_typed(item)

    assert json.loads(json.dumps(typed)) == typed


@given(items)
def test_bytes_and_base64_are_two_spellings_of_one_item(item):
    typed = item_to_typed(item)

    assert with_base64(with_bytes(typed)) == typed


@pytest.mark.parametrize("value", [1.5, float("nan"), [{"a": 0.1}], {1.5}])
def test_floats_are_refused_wherever_they_stand(value):
    with pytest.raises(ValueNotAllowed, match="float"):
        to_typed(value)


@pytest.mark.parametrize(
    "value",
    [
        set(),
        {"a", b"b"},
        {True},
        {(1, 2)},
        {1: "a"},
        object(),
        Decimal("NaN"),
        Decimal("Infinity"),
        Decimal("1" * 39),
        Decimal("1E+126"),
        Decimal("1E-131"),
    ],
)
def test_what_dynamodb_has_no_type_for_is_refused_without_showing_it(value):
    with pytest.raises(ValueNotAllowed) as caught:
        to_typed(value)

    assert "1111" not in str(caught.value)


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({"id": "a", "price": 0.5}, "an item whose attribute 'price' holds a float, which has no"),
        ({"lines": [{"secret": {"n": 0.5}}]}, "an item whose attribute 'lines' holds a float, which has no"),
        ({"grösse": set()}, "an item whose attribute 'grösse' holds an empty set"),
        ({"m": {"secret": {7: "x"}}}, "an item whose attribute 'm' holds a map with a key that is a int"),
        ({"e\nsc": Decimal("NaN")}, r"an item whose attribute 'e\nsc' holds a Decimal that is not finite"),
        ({7: "a"}, "an item with a name of an attribute that is a int"),
    ],
)
def test_the_message_names_the_attribute_and_nothing_inside_it(item, said):
    with pytest.raises(ValueNotAllowed) as caught:
        item_to_typed(item)

    assert str(caught.value).startswith(said)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_type_descriptor_is_refused():
    with pytest.raises(ValueNotAllowed, match="unknown type"):
        from_typed({"X": 1})
    with pytest.raises(ValueNotAllowed, match="2 type descriptors"):
        from_typed({"S": "a", "N": "1"})


@pytest.mark.parametrize("spelt", ["1" + "0" * 125, "1" * 38 + "0" * 80, f"-{'9' * 38}{'0' * 88}"])
def test_zeros_at_the_end_are_no_digits_of_a_number(spelt):
    # DynamoDB writes 1E+125 out, so a number that it holds comes with 126 figures.
    assert Decimal(to_typed(Decimal(spelt))["N"]) == Decimal(spelt)
    assert Decimal(to_typed(int(spelt))["N"]) == Decimal(spelt)


def test_a_bool_is_no_number_and_38_digits_stay():
    assert to_typed(True) == {"BOOL": True}
    assert to_typed(Decimal("1" * 38)) == {"N": "1" * 38}
    assert to_typed(-0) == {"N": "0"}


@pytest.mark.parametrize("read", ["1" + "0" * 125, "-" + "12" * 19 + "0" * 88, "1" * 37 + "00"])
def test_a_large_number_comes_back_as_dynamodb_writes_it(read):
    """DynamoDB writes 1E+125 with all its zeros (so does DynamoDB Local); it has one digit nevertheless."""
    written = item_to_typed(item_from_typed({"n": {"N": read}}))
    assert Decimal(written["n"]["N"]) == Decimal(read)


def _types(value):
    if isinstance(value, dict):
        return {name: _types(one) for name, one in sorted(value.items())}
    if isinstance(value, list):
        return [_types(one) for one in value]
    if isinstance(value, set):
        return {type(one).__name__ for one in value}
    return type(value).__name__


class _Text(str):
    __slots__ = ()


class _Number(Decimal):
    """As a library of the user's may have it."""


class _Size(enum.IntEnum):
    LARGE = 3


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (_Text("x"), "x"),
        (_Number("1.50"), Decimal("1.50")),
        (_Size.LARGE, 3),
        (bytearray(b"x"), b"x"),
        (OrderedDict(a=[1]), {"a": [1]}),
        (MappingProxyType({"a": None}), {"a": None}),
        (({"x"}, True), [{"x"}, True]),
        (frozenset({_Text("b"), "a"}), {"a", "b"}),
        (frozenset({Decimal(2), 1}), {1, 2}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_subclass_is_what_it_stands_for(value, plain):
    assert to_typed(value) == to_typed(plain)
    assert item_to_typed({"v": value}) == item_to_typed({"v": plain})
