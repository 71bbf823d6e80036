"""Each budget can be missed, and what was not measured is missed; the whole runs from end to end."""

from __future__ import annotations

import json

import msgspec
import pytest
from click.testing import CliRunner

from benchmarks import collection, reporting
from benchmarks.__main__ import main, pages
from benchmarks.budgets import (
    ATTRIBUTE_ORDER,
    CASES,
    EQUAL,
    OTHER_BORDERS,
    SCAN_ORDER,
    SPREAD,
    THIRTY_CHECKS,
    TRANSFORM,
    TWO_PROCESSES,
    TWO_PROCESSES_TRANSFORM,
    Row,
    judge,
)
from benchmarks.measure import Measured, Outcome
from benchmarks.page_server import Asked

ITEMS = 1000
NAMES = [
    "CPU per item, equal",
    "CPU per item, attribute-order",
    "CPU of thirty checks on items, the whole pass in it",
    "CPU per item, two processes, equal",
    "items per second, two processes, transform",
    "memory, orders agree",
    "memory, no order in common",
    "requests",
    "results",
]


def a_row(
    case, who="ours", *, items=ITEMS, cost=1.0, wall=1.0, peak=50_000_000, requests=2, units=8.0, **outcome
):
    """A row without fault; *cost* is in microseconds per item read."""
    served = {
        role: Asked(requests=requests * 2, items=items * 2, units=units) for role in ("source", "target")
    }
    reported = {"source": 4.0, "target": 4.0} if who in ("ours", "checks") else None
    return Row(
        case=case,
        who=who,
        items=items,
        memory=200_000_000 if case == SCAN_ORDER else None,
        measured=Measured(
            cpu_seconds=cost * 2 * items / 1e6,
            wall_seconds=wall,
            startup_cpu_seconds=0.1,
            peak_bytes=peak,
            rounds=2,
            outcome=Outcome(**{"matched": items, "read_units": reported, **outcome}),
        ),
        served=served,
        other_reads=0,
        pages={"source": 1, "target": 1},
    )


def missed(*changed):
    """Names of the budgets that rows without fault miss when some are replaced."""
    rows = {(row.who, row.case, row.items): row for row in [a_row(EQUAL, "plain", cost=60.0)]}
    rows |= {("ours", case, ITEMS): a_row(case) for case in (*CASES, TWO_PROCESSES)}
    rows |= {("ours", TRANSFORM, ITEMS): a_row(TRANSFORM, wall=1.8)}
    rows |= {("ours", TWO_PROCESSES_TRANSFORM, ITEMS): a_row(TWO_PROCESSES_TRANSFORM)}
    rows |= {(who, THIRTY_CHECKS, ITEMS): a_row(THIRTY_CHECKS, who, cost=20.0) for who in ("checks", "loop")}
    rows |= {(row.who, row.case, row.items): row for row in changed}
    return [budget.name for budget in judge(list(rows.values())) if not budget.met]


def test_rows_without_fault_meet_every_budget():
    assert missed() == []


def test_nothing_measured_meets_no_budget():
    budgets = judge([])

    assert [budget.name for budget in budgets] == NAMES
    assert not any(budget.met for budget in budgets)


@pytest.mark.parametrize(
    ("row", "names"),
    [
        (a_row(EQUAL, cost=1.6), ["CPU per item, equal"]),
        (a_row(EQUAL, cost=1.4), []),
        (a_row(ATTRIBUTE_ORDER, cost=5.5), ["CPU per item, attribute-order"]),
        (a_row(ATTRIBUTE_ORDER, cost=4.5), []),
        (a_row(THIRTY_CHECKS, "checks", cost=61.0), [NAMES[2]]),
        (a_row(THIRTY_CHECKS, "checks", cost=59.0), []),
        (a_row(THIRTY_CHECKS, "loop", cost=0.0), [NAMES[2]]),
        (a_row(THIRTY_CHECKS, "checks", requests=3), ["requests"]),
        (a_row(THIRTY_CHECKS, "checks", cost=1.0, others=1), [NAMES[2], "results"]),
        (a_row(THIRTY_CHECKS, "checks", peak=121_000_000), ["memory, orders agree"]),
        (a_row(TWO_PROCESSES, cost=1.16), [NAMES[3]]),
        (a_row(TWO_PROCESSES, cost=1.14), []),
        (a_row(TWO_PROCESSES_TRANSFORM, wall=1.07), [NAMES[4]]),
        (a_row(TWO_PROCESSES_TRANSFORM, wall=1.05), []),
        (a_row(TWO_PROCESSES, peak=121_000_000), ["memory, orders agree"]),
        (a_row(EQUAL, peak=121_000_000), ["memory, orders agree"]),
        (a_row(OTHER_BORDERS, items=10**6, peak=121_000_000), ["memory, orders agree"]),
        (a_row(SCAN_ORDER, peak=321_000_000), ["memory, no order in common"]),
        (a_row(SCAN_ORDER, peak=319_000_000), []),
        (a_row(EQUAL, requests=1), ["requests"]),
        (a_row(EQUAL, requests=3), ["requests"]),
        (a_row(EQUAL, units=9.0), ["requests"]),
        (a_row(OTHER_BORDERS, others=1), ["results"]),
        (a_row(OTHER_BORDERS, matched=ITEMS - 1), ["results"]),
        (a_row(SCAN_ORDER, incomplete=("not read",)), ["memory, no order in common", "results"]),
        (a_row(EQUAL, "plain", cost=60.0, matched=1), ["results"]),
        # Nothing costs nothing.
        (a_row(EQUAL, cost=0.0), ["CPU per item, equal", NAMES[3]]),
        # What stopped early was fast for the wrong reason.
        (a_row(EQUAL, matched=0, cost=0.1), ["CPU per item, equal", NAMES[3], "results"]),
    ],
)
def test_a_fault_misses_exactly_its_budgets(row, names):
    assert missed(row) == names


def test_cost_is_judged_at_the_largest_size_that_both_have_run():
    small, large = a_row(EQUAL, cost=50.0), a_row(EQUAL, items=10 * ITEMS)
    largest = a_row(EQUAL, items=100 * ITEMS, cost=50.0)

    assert missed(small, large, largest) == ["CPU per item, equal"]
    assert missed(small, large, largest, a_row(EQUAL, "plain", items=10 * ITEMS, cost=60.0)) == []


def test_reads_beside_the_scan_are_counted():
    assert missed(msgspec.structs.replace(a_row(EQUAL), other_reads=1)) == ["requests"]


@pytest.mark.parametrize(
    ("items", "page_items", "segments", "expected"),
    [(10, 3, 1, 4), (9, 3, 1, 3), (10, 3, 2, 4), (2, 3, 5, 5), (0, 3, 1, 1)],
)
def test_pages_of_one_read(items, page_items, segments, expected):
    assert pages(items, page_items, segments) == expected


@pytest.mark.full
def test_a_whole_run_counts_what_it_compared(tmp_path, monkeypatch):
    """No figure is asserted: a machine under load is no fault of the code's."""
    monkeypatch.setattr("benchmarks.__main__.ROUNDS", 1)
    monkeypatch.setattr(collection, "CHECKS", 40)
    monkeypatch.setattr(collection, "PAIRS", 2)
    monkeypatch.setattr(reporting, "MANY", 2_000)
    file = tmp_path / "figures.json"

    ran = CliRunner().invoke(main, ["--only", "verifier", "--sizes", "2500", "--json", str(file)])

    report = json.loads(file.read_text())
    assert ran.exit_code == (0 if report["met"] else 1), ran.output
    assert report["met"] == all(budget["met"] for budget in report["budgets"])
    more = ["collection by pytest", "report", "event log", "live page"]
    assert [budget["name"] for budget in report["budgets"]] == [*NAMES, *more]
    assert "for 80 checks" in report["budgets"][-4]["found"]
    assert "at 2,000 findings" in report["budgets"][-3]["limit"]
    assert "≤ 1% of the pass's CPU time" in report["budgets"][-2]["limit"]
    assert "≤ 1% of one core" in report["budgets"][-1]["limit"]
    assert all(budget["name"] in ran.stdout for budget in report["budgets"])
    rows = {(row["who"], row["case"]): row for row in report["rows"]}
    thirty = {("checks", THIRTY_CHECKS), ("loop", THIRTY_CHECKS)}
    assert set(rows) == {("plain", EQUAL), *thirty, *(("ours", case) for case in (*CASES, *SPREAD))}
    assert {row["items"] for row in rows.values()} == {2500}
    for row in [rows["plain", EQUAL], *(rows["ours", case] for case in CASES if case != SCAN_ORDER)]:
        rounds = row["measured"]["rounds"]
        assert row["measured"]["outcome"]["matched"] == 2500
        assert row["measured"]["peak_bytes"] > 10**7
        assert row["pages"] == {"source": 2, "target": 2}
        asked = 2 if row["who"] == "plain" else 3  # ours asks whether anything follows the end
        assert {side["requests"] for side in row["served"].values()} == {asked * rounds}
        assert {side["items"] for side in row["served"].values()} == {2500 * rounds}
        assert row["other_reads"] == 0


@pytest.mark.parametrize("sizes", ["0", "ten", "5,5", "5,", "-5"])
def test_sizes_that_are_none_are_refused(sizes):
    ran = CliRunner().invoke(main, ["--sizes", sizes])

    assert ran.exit_code == 2
    assert "different numbers above 0" in ran.output
