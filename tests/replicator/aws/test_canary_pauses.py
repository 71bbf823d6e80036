"""Looks for a canary get rarer where they begin often: those of many pairs keep an emulator from its work."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from replicator.aws import canary


@pytest.mark.parametrize(
    ("first", "waited", "most_looks"),
    [
        (0.2, 12.0, 20),  # an emulator: it was 60
        (5.0, 600.0, 121),  # AWS: as often as before, since nothing there waits for our looks
    ],
)
def test_looks_get_rarer_but_not_rarer_than_a_second(monkeypatch, first, waited, most_looks):
    now, pauses = [0.0], []

    def sleep(seconds):
        pauses.append(seconds)
        now[0] += seconds

    monkeypatch.setattr(canary.time, "sleep", sleep)
    monkeypatch.setattr(canary.time, "monotonic", lambda: now[0])
    context = SimpleNamespace(pace=SimpleNamespace(poll_seconds=first))

    canary._await(context, "the consumer", lambda: now[0] >= waited)

    assert len(pauses) <= most_looks
    assert pauses == sorted(pauses)
    assert pauses[0] == first
    assert max(pauses) <= max(first, 1.0)
