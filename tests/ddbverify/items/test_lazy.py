"""Items as checks see them: Python's own values, decoded once and when touched, and read-only."""

from __future__ import annotations

import copy
import json
import pickle
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddbverify.items.lazy import LazyItem, read_only
from ddbverify.items.values import from_typed
from tests.ddbverify import generated

VALUES = st.randoms(use_true_random=False).map(generated.any_value)

EVERY_TYPE = {
    "s": {"S": "x"},
    "n": {"N": "1.50"},
    "b": {"B": "AQI="},
    "set": {"NS": ["1", "2"]},
    "list": {"L": [{"N": "1"}, {"NULL": True}]},
    "map": {"M": {"a": {"BOOL": True}}},
}
PYTHON = {
    "s": "x",
    "n": Decimal("1.50"),
    "b": b"\1\2",
    "set": {Decimal(1), Decimal(2)},
    "list": [Decimal(1), None],
    "map": {"a": True},
}


@pytest.mark.parametrize(
    "made", [LazyItem.of_typed(EVERY_TYPE), LazyItem.of_raw(json.dumps(EVERY_TYPE).encode())]
)
def test_values_are_pythons_own(made):
    assert dict(made) == PYTHON
    assert not any(isinstance(value, float) for value in made.values())
    assert "n" in made
    assert made.get("absent") is None
    with pytest.raises(KeyError):
        made["absent"]
    with pytest.raises(TypeError):
        made["s"] = "y"
    assert "1.5" not in repr(made)


def test_an_attribute_that_nobody_touches_is_not_decoded():
    made = LazyItem.of_raw(b'{"a": {"S": "x"}, "broken": {"FUTURE": "secret"}}')
    assert made["a"] == "x"
    with pytest.raises(ValueError, match="FUTURE"):
        made["broken"]


@given(VALUES)
def test_what_is_read_is_what_a_transform_would_read(typed):
    assert read_only(typed) == from_typed(typed)


@given(VALUES)
def test_a_copy_is_plain_and_can_be_changed(typed):
    made = read_only(typed)
    for twin in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert twin == made
        assert type(twin) is type(from_typed(typed))


CHANGES = [
    lambda made: made["list"].append("spoilt"),
    lambda made: made["list"].__setitem__(0, 1),
    lambda made: made["list"].__iadd__([1]),
    lambda made: made["list"].sort(),
    lambda made: made["set"].clear(),
    lambda made: made["set"].__isub__({Decimal(1)}),
    lambda made: made["map"].update(a=False),
    lambda made: made["map"].__setitem__("a", False),
    lambda made: made["map"].__delitem__("a"),
    lambda made: made["map"].__ior__({"b": 1}),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_check_cannot_change_what_the_next_one_sees(change):
    made = LazyItem.of_typed(EVERY_TYPE)
    with pytest.raises(TypeError, match="read-only: copy it first"):
        change(made)
    assert dict(made) == PYTHON


def test_every_way_to_change_a_container_is_refused():
    made = LazyItem.of_typed(EVERY_TYPE)
    for name, plain in (("list", list), ("set", set), ("map", dict)):
        own = {key for key in vars(type(made[name])) if key != "__module__"}
        changing = {
            key
            for key in dir(plain)
            if key in CHANGING
            or (key.startswith("__i") and key not in {"__init__", "__iter__", "__init_subclass__"})
        }
        assert changing <= own, f"{name}: {changing - own}"


CHANGING = {
    *("append", "extend", "insert", "remove", "pop", "clear", "sort", "reverse", "popitem", "update"),
    *("setdefault", "add", "discard", "intersection_update", "difference_update", "__setitem__"),
    *("symmetric_difference_update", "__delitem__"),
}


def test_an_attribute_is_decoded_once():
    made = LazyItem.of_raw(json.dumps(EVERY_TYPE).encode())
    assert all(made[name] is made[name] for name in EVERY_TYPE)
