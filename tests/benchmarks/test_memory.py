"""The memory of a comparison in which every item differs: what is measured, and that it can be too much."""

from __future__ import annotations

import pytest

from benchmarks.memory import MOST_BYTES, Held, measure, verdict


def held(*, peak_bytes=MOST_BYTES, findings=1000, different=1000, complete=True):
    summary = {"verdict": "different", "different": different, "complete": complete, "reasons": []}
    return Held(peak_bytes, 0.1, findings, summary)


def test_the_bound_can_be_met_and_missed():
    assert verdict(1000, held()) == ("met: 512 MB, 50.0 µs per item read; at most 512 MB", True)
    said, met = verdict(1000, held(peak_bytes=MOST_BYTES + 10**6))
    assert (said.partition(":")[0], met) == ("NOT met", False)


@pytest.mark.parametrize("wrong", [{"findings": 999}, {"different": 999}, {"complete": False}])
def test_a_wrong_answer_meets_no_bound(wrong):
    said, met = verdict(1000, held(**wrong))

    assert said.startswith("NOT met: wrong")
    assert not met


def test_every_item_differs_and_is_found():
    found = measure(1000)

    assert (found.findings, found.summary["different"], found.summary["matched"]) == (1000, 1000, 0)
    assert found.peak_bytes > 10**7
