"""What is made up can be made smaller."""

from __future__ import annotations

import random

from hypothesis import find, settings

from ddbverify.testing.strategies import _key_value


def test_a_key_that_is_as_long_as_may_be_shrinks_to_one_byte():
    """Where any key is a counter-example that is no integer."""
    once = settings(max_examples=200, database=None, deadline=None)
    for seed in range(5):
        keys = _key_value("B", 2048, [])
        key = find(keys, lambda key: not key.isdigit(), settings=once, random=random.Random(seed))
        assert len(key) == 1, f"seed {seed}"
