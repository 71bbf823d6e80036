"""A ceiling that is one: never below what its parts are, and larger with everything that costs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.aws.prices import PRICES
from replicator.demo.spending import ceiling

LEAST = {"items": 200, "traffic": 10.0, "minutes": 60.0}


@pytest.mark.parametrize("what", LEAST)
def test_more_of_anything_costs_more(what):
    assert ceiling(**{**LEAST, what: LEAST[what] * 2}).usd > ceiling(**LEAST).usd


@given(st.integers(50, 1000), st.floats(0.1, 100), st.floats(1, 180))
def test_it_covers_twice_what_the_applications_writes_alone_are_billed(items, traffic, minutes):
    """Each is written to the source, and in a transaction to target and ledger: five write units."""
    writes = items + traffic * minutes * 60
    assert (
        ceiling(items=items, traffic=traffic, minutes=minutes).usd
        >= 2 * 5 * writes * PRICES.write_units / 1e6
    )


def test_the_default_demonstration_stays_below_what_is_allowed_by_default():
    assert 0.5 < ceiling(**LEAST).usd < 2.0


def test_the_parts_are_the_sum():
    found = ceiling(**LEAST)
    assert found.usd == pytest.approx(sum(found.parts.values()))
    assert all(usd > 0 for usd in found.parts.values())
