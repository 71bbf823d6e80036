"""What the tests of searches have in common: each search draws the same every time."""

from __future__ import annotations

import pytest
from hypothesis import core
from hypothesis.internal.cache import LRUCache
from hypothesis.internal.conjecture import providers
from hypothesis.internal.floats import float_to_int
from sortedcontainers import SortedSet

SEED = 3


@pytest.fixture
def the_same_examples_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    By a seed and not by `derandomize`, which draws others whenever a line of the source has changed.

    And without the constants of our own modules, which Hypothesis draws from as far as they have been
    imported by then: each worker of xdist has imported others.
    """
    monkeypatch.setattr(core, "global_force_seed", SEED)
    none = providers.Constants(
        integers=SortedSet(), floats=SortedSet(key=float_to_int), bytes=SortedSet(), strings=SortedSet()
    )
    monkeypatch.setattr(providers, "_get_local_constants", lambda: none)
    # Nor those that a test before has left in Hypothesis's memory of them, which outlives that test.
    monkeypatch.setattr(providers, "CONSTANTS_CACHE", LRUCache(1_024))
