"""Whether plans tell the truth: that each budget can be missed, and that all cases run."""

from __future__ import annotations

import msgspec
import pytest

from benchmarks import planning
from benchmarks.against import tables
from benchmarks.planning import CASES, Planned, judge, shown

GOOD = Planned(
    case="equal",
    items=1000,
    bound_by="the read ceiling",
    seconds=2.0,
    cpu_seconds=1.0,
    took_seconds=2.0,
    took_cpu_seconds=1.0,
)


def budget(**worse):
    return judge([msgspec.structs.replace(GOOD, **worse)])[0]


def test_every_table_that_a_case_names_is_there():
    assert {case.target for case in CASES} <= tables(1000).keys()


@pytest.mark.parametrize("took", [2.0, 3.0, 1.34])
def test_what_is_near_the_time_taken_is_met(took):
    assert budget(took_seconds=took).met


@pytest.mark.parametrize(
    "worse",
    [
        {"took_seconds": 3.01},
        {"took_seconds": 1.33},
        {"took_seconds": 0.0},
        {"seconds": 0.0},
        {"wrong": "{}"},
    ],
    ids=str,
)
def test_the_budget_can_be_missed(worse):
    assert not budget(**worse).met


def test_what_was_not_measured_is_not_met():
    assert [one.met for one in judge([GOOD])] == [True, *[False] * (len(CASES) - 1)]
    assert judge([])[0].found == "not measured"


def test_all_cases_run_and_say_what_is_so(monkeypatch):
    monkeypatch.setattr(planning, "QUICK_ITEMS", 1_000)
    monkeypatch.setattr(planning, "ROUNDS", 1)

    rows = planning.run(quick=True, say=lambda _: None)

    assert [row.case for row in rows] == [case.name for case in CASES]
    assert [row.wrong for row in rows] == [""] * len(CASES)
    assert all(row.seconds > 0 for row in rows)
    assert {row.bound_by for row in rows} >= {"the read ceiling"}
    # By name: so few items take no longer than the start-up that is taken off, and two may read alike.
    assert len({budget.name for budget in judge(rows)}) == len(CASES)
    assert shown(rows).count("exact") == len(CASES)
