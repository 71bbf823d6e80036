"""Draws that can be repeated, bounds that can be checked by counting."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddbverify.tables.sampling import draw, mismatch_bound, new_seed


@given(st.integers(1, 500), st.floats(0.001, 1), st.integers(0, 2**63))
def test_a_draw_is_a_set_of_segments_and_can_be_repeated(total, fraction, seed):
    drawn = draw(total, fraction, seed)
    assert drawn == draw(total, fraction, seed)
    assert list(drawn) == sorted(set(drawn))
    assert set(drawn) <= set(range(total))
    assert total * fraction - 1e-6 <= len(drawn) <= total * fraction + 1


def test_a_draw_never_changes():
    """Evidence names the seed only: the same seed has to mean the same segments for ever."""
    assert draw(20, 0.2, 7) == (6, 9, 11, 16)


def test_other_seeds_draw_other_segments():
    assert len({draw(1000, 0.01, new_seed()) for _ in range(20)}) == 20


def test_every_segment_can_be_drawn():
    assert {segment for seed in range(200) for segment in draw(10, 0.1, seed)} == set(range(10))


@pytest.mark.parametrize("fraction", [0, -1, 1.1])
def test_a_fraction_out_of_range_is_a_bug_of_the_caller(fraction):
    with pytest.raises(ValueError, match="fraction"):
        draw(10, fraction, 0)


def by_counting(total, sampled, mismatching):
    """The same bound from exact binomials, one candidate after the other."""
    best = mismatching
    for bad in range(mismatching, total - (sampled - mismatching) + 1):
        ways = sum(math.comb(bad, k) * math.comb(total - bad, sampled - k) for k in range(mismatching + 1))
        if Fraction(ways, math.comb(total, sampled)) > Fraction(5, 100):
            best = bad
    return best / total


@given(st.integers(1, 60), st.data())
def test_the_bound_is_exact(total, data):
    sampled = data.draw(st.integers(1, total))
    mismatching = data.draw(st.integers(0, sampled))
    assert mismatch_bound(total, sampled, mismatching) == by_counting(total, sampled, mismatching)


def test_known_bounds():
    assert mismatch_bound(1_000_000, 100, 0) == pytest.approx(0.0295, abs=0.0001)  # 1 - 0.05 ** (1/100)
    assert mismatch_bound(100, 100, 0) == 0.0
    assert mismatch_bound(100, 100, 3) == 0.03
    assert mismatch_bound(100, 0, 0) == 1.0
