"""What a load says of its speed."""

from __future__ import annotations

import pytest

from replicator.backfill import rate
from replicator.backfill.rate import Rate


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(rate.time, "monotonic", lambda: now[0])
    return now


def test_items_units_and_time_left(clock):
    shown = Rate(1_000_000)
    assert shown.words(100, 0.0) == "100 items"
    clock[0] += 10

    assert shown.words(100_100, 150_000.0) == (
        "100,100 items, 10,000 items/s, 15,000 write units/s, about 90 s left"
    )


def test_what_a_run_before_has_loaded_is_no_speed(clock):
    shown = Rate(1_000_000)
    shown.words(900_000, 0.0)
    clock[0] += 10

    assert "1,000 items/s" in shown.words(910_000, 10_000.0)


@pytest.mark.parametrize("items", [0, 50])
def test_a_count_that_is_old_or_unknown_promises_no_end(clock, items):
    shown = Rate(items)
    shown.words(10, 0.0)
    clock[0] += 10

    assert shown.words(110, 100.0) == "110 items, 10 items/s, 10 write units/s"
