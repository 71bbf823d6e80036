"""How many consumers a write ceiling feeds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from replicator.context.ceiling import UNITS_PER_MESSAGE, work_in_hand
from replicator.handlers.ceiling import WAITING_SHARE


@given(st.integers(100, 100_000))
def test_what_is_in_hand_can_be_written_within_one_call(rate):
    waiting = WAITING_SHARE * 60  # of a consumer on AWS
    consumers, each = work_in_hand(rate, waiting)

    assert 2 <= consumers <= 32
    assert 1 <= each <= 10
    assert consumers * each * UNITS_PER_MESSAGE <= rate * waiting
