"""What differences and transforms cost: that each budget can be missed, and that it runs."""

from __future__ import annotations

import msgspec
import pytest

from benchmarks import costs
from benchmarks.against import tables
from benchmarks.costs import CASES, Cost, Costs

GOOD = Cost(
    case="all differ", items=1000, microseconds=10.0, plain=100.0, passes=2.0, wall_seconds=1.0, wrong=""
)


def budget(row: Cost | None, case: str = "all differ"):
    (found,) = [one for one in Costs([row] if row else []).budgets if one.name == f"cost, {case}"]
    return found


def test_every_table_that_a_case_names_is_there():
    assert {case.target for case in CASES} <= tables(1000).keys()


def test_what_is_cheap_enough_is_met():
    assert budget(GOOD).met


@pytest.mark.parametrize(
    "worse",
    [{"microseconds": 101.0}, {"microseconds": 0.0}, {"passes": 3.01}, {"wrong": "{}"}],
    ids=lambda worse: next(iter(worse)),
)
def test_each_limit_can_be_missed(worse):
    assert not budget(msgspec.structs.replace(GOOD, **worse)).met


def test_what_was_not_measured_is_not_met():
    assert not budget(None).met
    assert budget(None).found == "not measured"


@pytest.mark.full
def test_all_cases_run_and_say_what_is_so(monkeypatch):
    monkeypatch.setattr(costs, "ITEMS", 3000)
    monkeypatch.setattr(costs, "QUICK_ITEMS", 1000)
    said: list[str] = []

    made = costs.run(quick=True, say=said.append)

    assert [row.case for row in made.rows] == [case.name for case in CASES]
    assert len(said) == len(CASES)
    assert [row.items for row in made.rows] == [3000, *[1000] * (len(CASES) - 1)]
    assert [row.wrong for row in made.rows] == [""] * len(CASES)
    assert {row.case: round(row.passes, 1) for row in made.rows}["transform"] == 1.0
    assert all(row.plain > 0 and row.passes > 0 for row in made.rows)
    assert "exact" in made.shown()


def test_of_the_cheap_case_the_least_run_counts_and_a_wrong_one_is_not_forgotten(monkeypatch):
    runs = iter([(3.0, ""), (1.0, "{}"), (2.0, "")])

    def measure(build, case, server, items, folder):
        cpu, wrong = next(runs, (5.0, ""))
        build.cpu.setdefault(case.name, []).append(cpu)
        build.wall.setdefault(case.name, []).append(cpu)
        build.units[case.name] = 1.0
        build.wrong |= {case.name: wrong} if wrong else {}

    monkeypatch.setattr(costs, "measure", measure)
    monkeypatch.setattr(costs, "startup", lambda *_: 0.5)
    monkeypatch.setattr(costs, "_plain", lambda *_: 90.0)

    equal = costs.run(quick=False, say=lambda _: None).rows[0]

    assert (equal.microseconds, equal.plain, equal.wall_seconds) == (5.0, 450.0, 1.0)
    assert equal.wrong == "{}"
    assert not budget(equal, "equal").met
