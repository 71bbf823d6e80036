"""What a verification of changes costs: that each budget can be missed, and that all of it runs."""

from __future__ import annotations

import json

import msgspec
import pytest

from benchmarks import links
from benchmarks.child import Timed
from benchmarks.links import SIZES, VIEWS, Links, Reading, Row, Run
from benchmarks.stream_reading import Measured

READ = Measured(keys=1000, cpu_seconds=0.01, wall_seconds=0.02)
READINGS = [Reading(view=view, records=1000, measured=READ) for view in VIEWS]
FULL = Run(cpu_seconds=3.0, wall_seconds=30.0, units={"source": 24_000.0, "target": 24_000.0}, scans=200)
LINK = Run(cpu_seconds=2.0, wall_seconds=6.0, units={"source": 4_000.0, "target": 2_000.0}, scans=0)
ROWS = [Row(items=items, changed=2_000, ceiling=None, full=FULL, link=LINK) for items in SIZES]
SLOWED = msgspec.structs.replace(ROWS[-1], ceiling=1_000)

RECORDS, UNITS, GROWTH = "records of a stream", "link, read units", "link, CPU"


def changed(one, **more):
    return msgspec.structs.replace(one, **more)


def budget(name, readings=READINGS, rows=ROWS):
    (found,) = [one for one in Links(readings, rows).budgets if one.name.startswith(name)]
    return found


def test_what_is_cheap_enough_is_met():
    assert [one.met for one in Links(READINGS, [*ROWS, SLOWED]).budgets] == [True] * 3


@pytest.mark.parametrize(
    "worse",
    [{"keys": 999}, {"keys": 1001}, {"cpu_seconds": 0.0501}, {"cpu_seconds": 0.0}],
    ids=str,
)
def test_reading_can_miss_its_budget(worse):
    readings = [READINGS[0], changed(READINGS[1], measured=changed(READ, **worse))]
    assert not budget(RECORDS, readings).met


@pytest.mark.parametrize(
    "worse",
    [
        {"units": {"source": 8_001.0, "target": 2_000.0}},
        {"units": {"source": 2_000.0, "target": 8_001.0}},
        {"scans": 1},
    ],
    ids=str,
)
def test_a_link_can_read_too_much(worse):
    assert not budget(UNITS, rows=[changed(row, link=changed(LINK, **worse)) for row in ROWS]).met


def test_what_grows_with_the_table_is_too_much_however_little_it_is():
    more = changed(LINK, units={"source": 4_001.0, "target": 2_000.0})
    assert not budget(UNITS, rows=[ROWS[0], changed(ROWS[1], link=more)]).met


@pytest.mark.parametrize(("seconds", "met"), [(2.6, True), (2.7, False)])
def test_the_cpu_of_a_link_can_grow_too_much(seconds, met):
    rows = [ROWS[0], changed(ROWS[1], link=changed(LINK, cpu_seconds=seconds))]
    assert budget(GROWTH, rows=rows).met is met


@pytest.mark.parametrize("name", [UNITS, GROWTH])
@pytest.mark.parametrize("rows", [[], ROWS[:1], [ROWS[0], SLOWED]], ids=["none", "one", "not at full speed"])
def test_links_that_were_not_measured_meet_nothing(name, rows):
    assert (budget(name, rows=rows).met, budget(name, rows=rows).found) == (False, "not measured")


def test_streams_that_were_not_measured_meet_nothing():
    assert not budget(RECORDS, READINGS[:1]).met


@pytest.mark.parametrize("name", [UNITS, GROWTH])
def test_of_a_wrong_answer_nothing_is_met(name):
    assert not budget(name, rows=[*ROWS, changed(SLOWED, wrong="{}")]).met


def test_how_many_times_shorter_is_computed_from_units_and_the_ceiling():
    assert SLOWED.times_shorter(SLOWED.items) == pytest.approx(30 / 6)
    assert SLOWED.times_shorter(100 * SLOWED.items) == pytest.approx((30 + 24 * 99) / 6)
    assert "5.0 times shorter" in Links(READINGS, [*ROWS, SLOWED]).shown()


def answered(status=0, matched=2_000, different=0, changed=2_000, full_pass=None):
    counts = {"matched": matched, "different": different}
    said = {"pairs": [{"counts": counts, "changed": changed}], "full_pass": full_pass}
    return Timed(1.0, 1.0, status, json.dumps(said).encode(), "why")


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": 3},
        {"matched": 1_999},
        {"different": 1},
        {"changed": 0},
        {"changed": None},
        {"full_pass": "the stream is off"},
    ],
    ids=str,
)
def test_a_link_that_says_what_is_not_so_is_wrong(wrong):
    assert links.what_is_wrong(answered(), 2_000, is_link=True) == ""
    assert links.what_is_wrong(answered(**wrong), 2_000, is_link=True)
    assert links.what_is_wrong(answered(), 2_000, is_link=False)  # it should have read the tables


@pytest.mark.full
def test_all_of_it_runs_and_says_what_is_so(monkeypatch):
    for name, value in {
        "QUICK_RECORDS": 1_500,
        "QUICK_ROUNDS": 1,
        "SIZES": (300, 600),
        "CHANGED": 150,
        "CEILING": 500,
    }.items():
        monkeypatch.setattr(links, name, value)

    made = links.run(quick=True, say=lambda _: None)

    assert [one.measured.keys for one in made.readings] == [1_500] * len(VIEWS)
    assert [(row.items, row.ceiling) for row in made.rows] == [(300, None), (600, None), (600, 500)]
    assert [row.wrong for row in made.rows] == [""] * 3
    assert all(row.full.scans > 0 and row.link.scans == 0 for row in made.rows)
    assert all(150 <= units <= 600 for row in made.rows for units in row.link.units.values())
    records, units, _growth = made.budgets
    assert records.met, records
    assert units.met, units
    assert made.shown().count("exact") == len(VIEWS) + 3
