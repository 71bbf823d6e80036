"""Outcomes follow from evidence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddbverify import CheckFailed, Finding, Inconclusive, Outcome, Verdict, comparison_verdict, require
from ddbverify.suite.verdicts import StillChurning, learning
from tests.ddbverify import projects


@given(
    examined=st.integers(0, 5),
    findings=st.lists(st.just(Finding("x")), max_size=2).map(tuple),
    unexamined=st.lists(st.just("a segment"), max_size=2).map(tuple),
    churning=st.integers(0, 2),
)
def test_the_outcome_is_passed_only_when_something_and_everything_was_examined(
    examined, findings, unexamined, churning
):
    verdict = Verdict(examined=examined, findings=findings, unexamined=unexamined, churning=churning)

    passed = examined > 0 and not findings and not unexamined and not churning
    assert (verdict.outcome is Outcome.PASSED) == passed
    assert (verdict.outcome is Outcome.FAILED) == bool(findings)
    with learning() as learned:
        if passed:
            require(verdict)
        else:
            with pytest.raises(CheckFailed if findings else Inconclusive) as caught:
                require(verdict)
            assert isinstance(caught.value, StillChurning) == verdict.only_churning
    assert learned == [verdict]


@pytest.mark.parametrize(
    ("spec", "outcome"),
    [
        ({"counts": {"matched": 3}}, Outcome.PASSED),
        ({"counts": {}}, Outcome.INCONCLUSIVE),
        ({"counts": {"excluded": 3}}, Outcome.INCONCLUSIVE),
        ({"counts": {"matched": 3, "undecided": 1}}, Outcome.INCONCLUSIVE),
        ({"counts": {"matched": 3, "uncomparable": 1}}, Outcome.INCONCLUSIVE),
        ({"counts": {"matched": 3, "churning": 1}}, Outcome.INCONCLUSIVE),
        ({"unexamined": ["segment 4 could not be read"]}, Outcome.INCONCLUSIVE),
        ({"segments": [4, 3, 4]}, Outcome.INCONCLUSIVE),
    ],
)
def test_what_the_engine_could_not_decide_decides_nothing(spec, outcome):
    assert comparison_verdict(projects.comparison(**spec)).outcome is outcome


def test_nothing_examined_passes_only_where_nothing_was_written_since_a_pass():
    assert Verdict(examined=0).outcome is Outcome.INCONCLUSIVE
    assert Verdict(examined=0, unchanged=True).outcome is Outcome.PASSED
    assert Verdict(examined=0, unchanged=True, churning=1).outcome is Outcome.INCONCLUSIVE
    assert Verdict(examined=0, unchanged=True, findings=(Finding("one"),)).outcome is Outcome.FAILED


def test_equally_common_reasons_are_told_in_one_order_whatever_they_were_met_in():
    met = [
        {"state": "uncomparable", "key": {"id": {"S": f"{number}"}}, "reason": reason}
        for number, reason in enumerate(
            ["it returned a list", "it raised ValueError", "it raised ValueError"]
        )
    ] + [{"state": "uncomparable", "key": {"id": {"S": "9"}}, "reason": "it changed the key"}]
    said = {
        comparison_verdict(
            projects.comparison(counts={"matched": 3, "uncomparable": 4}, differences=order)
        ).unexamined
        for order in (met, met[::-1])
    }
    assert len(said) == 1
    assert "it raised ValueError; it changed the key; it returned a list" in said.pop()[0]
