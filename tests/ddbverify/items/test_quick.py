"""The state that says "surely equal" of items that never meet: never where the canonical forms differ."""

from __future__ import annotations

import json
import random
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddbverify.items.form import Form
from ddbverify.items.keys import join_key
from ddbverify.items.paths import parse_path
from ddbverify.items.quick import UNSURE, QuickState
from tests.ddbverify import generated
from tests.ddbverify.items.test_form import items, mutations, respelt_map

SECRET = b"s" * 32
QUICK = QuickState(SECRET)


def raw(item) -> bytes:
    return json.dumps(item, ensure_ascii=False).encode("utf-8", "surrogatepass")


@given(st.data(), items)
def test_a_yes_is_said_of_equal_items_only(data, item):
    """Whatever is planted: one state means that the canonical forms are the same."""
    others = [respelt_map(data.draw, item)]
    others += [{**item, name: other} for name, value in item.items() for other in mutations(value)]
    others += [{name: value for name, value in item.items() if name != left_out} for left_out in item]
    for other in others:
        ours, theirs = QUICK.of(raw(item)), QUICK.of(raw(other))
        if ours == theirs != UNSURE:
            assert Form().same(item, other)


@pytest.mark.parametrize("alteration", list(generated.alterations()), ids=lambda one: one.name)
def test_no_alteration_leaves_the_state_as_it_was(alteration):
    before, after = (
        {"id": {"S": "1"}} | ({} if value is None else {"a": value})
        for value in (alteration.before, alteration.after)
    )
    assert QUICK.of(raw(before)) != QUICK.of(raw(after))


def test_items_of_every_type_have_one_state_whatever_the_order_of_names_and_sets():
    chance = random.Random(7)
    for item in generated.items(chance, {"id": "S"}, 200):
        names = chance.sample(list(item), len(item))
        mixed = {name: _mixed(chance, item[name]) for name in names}
        assert QUICK.of(raw(item)) == QUICK.of(raw(mixed)) != UNSURE


def _mixed(chance, typed):
    ((kind, content),) = typed.items()
    if kind == "M":
        return {
            "M": {name: _mixed(chance, content[name]) for name in chance.sample(list(content), len(content))}
        }
    if kind == "L":
        return {"L": [_mixed(chance, one) for one in content]}
    return {kind: chance.sample(content, len(content)) if kind in ("SS", "NS", "BS") else content}


@pytest.mark.parametrize(
    "text",
    [
        b'{"a": {"X": "1"}}',
        b'{"a": {"N": 1}}',
        b'{"a": "1"}',
        b"[]",
        b"",
        b"{",
        b'{"a": {"S": "\xed\xa0\x80"}}',
    ],
)
def test_nothing_is_sure_of_what_is_not_understood(text):
    assert QUICK.of(text) == UNSURE


def test_another_secret_makes_other_states():
    assert QUICK.of(b"{}") != QuickState(b"t" * 32).of(b"{}")
    assert QUICK.of_key(("a",)) != QuickState(b"t" * 32).of_key(("a",))


def test_what_does_not_count_is_left_out_at_the_top_only():
    quick = QuickState(SECRET, [parse_path("seen"), parse_path("deep.seen")])
    item = {"id": {"S": "1"}, "deep": {"M": {"seen": {"N": "1"}}}}
    assert quick.of(raw(item)) == quick.of(raw(item | {"seen": {"N": "1"}, "aws:rep:time": {"N": "1"}}))
    assert quick.of(raw(item)) != quick.of(raw(item | {"deep": {"M": {"seen": {"N": "2"}}}}))


def test_keys_are_one_exactly_when_they_join():
    chance = random.Random(7)
    for schema in ({"h": "S"}, {"h": "N"}, {"h": "B"}, {"h": "N", "r": "S"}, {"h": "S", "r": "B"}):
        keys = [join_key(key, schema) for key in generated.keys(chance, schema, 300)]
        assert len({QUICK.of_key(key) for key in keys}) == len(keys)


@pytest.mark.parametrize(
    ("one", "other"), [("1", "1.0"), ("0", "-0"), ("1E2", "100"), ("1E125", "10E124"), ("00100", "100")]
)
def test_a_number_is_one_key_whatever_its_spelling(one, other):
    assert QUICK.of_key((Decimal(one),)) == QUICK.of_key((Decimal(other),))


def test_no_digit_of_a_key_is_lost_and_no_type_is_another():
    near = [Decimal("1" * 37 + last) for last in "123"]
    keys = [
        *((one,) for one in near),
        ("1",),
        (b"1",),
        (Decimal(1),),
        ("a", "b"),
        ("ab", ""),
        ("", "ab"),
        ("ab",),
    ]
    assert len({QUICK.of_key(key) for key in keys}) == len(keys)
