"""Marks say how a check counts, and refuse what means nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ddbverify
from ddbverify.errors import CheckFailed, Inconclusive
from ddbverify.suite.marks import SETTINGS, CheckSettings, Coverage, MarkError, Severity, check, settings_of
from ddbverify.suite.verdicts import Finding, Outcome, Verdict, learning, require


def test_without_a_mark_a_check_counts_in_full():
    settings = CheckSettings()
    assert (settings.severity, settings.coverage, settings.allowed(10**9)) == ("error", "full", 0)


def test_the_mark_stays_on_the_function_above_and_below_each_item():
    def one(target):
        pass

    mark = check(
        severity="warn", coverage="sample", tolerate=3, covers={"missing", "value:total"}, time_limit="2m"
    )
    above = mark(ddbverify.each_item(one))
    below = ddbverify.each_item(mark(one))

    for function in (above, below):
        assert getattr(function, SETTINGS) == CheckSettings(
            severity=Severity.WARN,
            coverage=Coverage.SAMPLE,
            tolerate=3,
            covers=frozenset({"missing", "value:total"}),
            time_limit=120.0,
        )


@pytest.mark.parametrize(
    "wrong",
    [
        {"severity": "fatal"},
        {"coverage": "half"},
        {"coverage": "0.5%"},
        {"tolerate": -1},
        {"tolerate": 1.0},
        {"tolerate": 0.0},
        {"tolerate": float("nan")},
        {"tolerate": True},
        {"tolerate": "3"},
        {"covers": [1]},
        {"covers": [""]},
        {"covers": ["a missing item"]},
        {"covers": ["value:"]},
        {"covers": [":total"]},
        {"time_limit": 0},
        {"time_limit": True},
        {"time_limit": "soon"},
        {"time_limit": float("inf")},
    ],
)
def test_what_means_nothing_is_refused(wrong):
    with pytest.raises(MarkError):
        settings_of(**wrong)


@given(
    refuted=st.integers(0, 50), examined=st.integers(0, 1_000), tolerate=st.integers(0, 50) | st.just(0.01)
)
def test_what_is_tolerated_passes_is_counted_and_is_never_all(refuted, examined, tolerate):
    settings = settings_of(tolerate=tolerate)
    verdict = Verdict(examined=examined, findings=(Finding("x"),) * refuted)
    with learning(settings) as verdicts:
        try:
            require(verdict)
            outcome = Outcome.PASSED
        except CheckFailed:
            outcome = Outcome.FAILED
        except Inconclusive:
            outcome = Outcome.INCONCLUSIVE

    (learned,) = verdicts
    assert learned.refuted == refuted
    assert learned.outcome is outcome
    assert (outcome is Outcome.FAILED) == (refuted > settings.allowed(examined))
    if outcome is Outcome.PASSED:
        assert examined > 0


def test_what_is_tolerated_does_not_decide_what_was_not_examined():
    with learning(CheckSettings(tolerate=3)), pytest.raises(Inconclusive):
        require(Verdict(examined=5, findings=(Finding("x"),), unexamined=("a segment",)))


def test_a_mark_without_parentheses_says_what_to_write():
    with pytest.raises(MarkError, match=r"write @check\(\), or leave it out"):

        @check
        def check_total(pair):
            """A check."""
