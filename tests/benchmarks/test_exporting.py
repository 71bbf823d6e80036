"""The benchmark of exports: what it judges, and that what it writes is an export."""

from __future__ import annotations

import pytest

from benchmarks.exporting import IN_ION, IN_JSON, TABLES, Row, judge, run


def row(case, cpu, matched=100):
    return Row(case=case, items=100, cpu_seconds=cpu, wall_seconds=1.0, matched=matched)


@pytest.mark.parametrize(
    ("rows", "met"),
    [
        ([row(TABLES, 1.0), row(IN_JSON, 0.8), row(IN_ION, 2.5)], [True, True]),
        ([row(TABLES, 1.0), row(IN_JSON, 0.81), row(IN_ION, 2.7)], [False, False]),
        ([row(TABLES, 1.0), row(IN_JSON, 0.5, matched=99), row(IN_ION, 1.0)], [False, False]),
        ([row(TABLES, 1.0), row(IN_JSON, 0.5), row(IN_ION, 1.0, matched=0)], [True, False]),
        ([row(IN_JSON, 0.5), row(IN_ION, 1.0)], [False, True]),
        ([], [False, False]),
    ],
)
def test_they_are_met_only_where_everything_matched_for_less(rows, met):
    assert [budget.met for budget in judge(rows)] == met


def test_every_case_finds_what_is_so(monkeypatch):
    monkeypatch.setattr("benchmarks.exporting.QUICK_ITEMS", 300)
    monkeypatch.setattr("benchmarks.exporting.ROUNDS", 1)
    rows = run(quick=True, say=lambda _: None)
    assert [(one.case, one.matched) for one in rows] == [(TABLES, 300), (IN_JSON, 300), (IN_ION, 300)]
