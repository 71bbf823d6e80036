"""Keys to join by: equal exactly when the keys are."""

from __future__ import annotations

import base64
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddbverify.items.form import UnknownValue
from ddbverify.items.keys import join_key, typed_key
from ddbverify.items.transform import canonical_key

numbers = st.builds(
    lambda digits, exponent: str(Decimal(digits).scaleb(exponent)),
    st.integers(min_value=-(10**37), max_value=10**37),
    st.integers(min_value=-80, max_value=80),
)


def test_regression_11_numeric_keys_are_numbers():
    schema = {"n": "N"}
    assert join_key({"n": {"N": "10"}}, schema) == join_key({"n": {"N": "1E1"}}, schema)
    assert join_key({"n": {"N": "9"}}, schema) < join_key({"n": {"N": "10"}}, schema)


def test_regression_15_every_digit_of_a_key_counts_in_its_text():
    schema = {"n": "N"}
    texts = {canonical_key({"n": {"N": "1" * 37 + last}}, schema) for last in "123"}
    assert len(texts) == 3
    assert len({canonical_key({"n": {"N": zero}}, schema) for zero in ("0", "-0", "0.00")}) == 1


@given(st.text(min_size=1, max_size=9), numbers, st.binary(min_size=1, max_size=9))
def test_keys_survive_being_joined_by(text, number, raw):
    schema = {"s": "S", "n": "N", "b": "B"}
    key = join_key({"s": {"S": text}, "n": {"N": number}, "b": {"B": base64.b64encode(raw).decode()}}, schema)
    assert key == (text, Decimal(number), raw)
    assert join_key(typed_key(key, schema), schema) == key


def test_a_key_attribute_that_is_missing_or_of_another_type():
    for item in ({}, {"k": {"N": "1"}}, {"k": "1"}):
        with pytest.raises(UnknownValue):
            join_key(item, {"k": "S"})
