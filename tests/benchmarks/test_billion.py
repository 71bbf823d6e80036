"""What a billion items cost: the formula, and that the page has what it gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.billion import BEGIN, BILLION, MEASURED, PER_PART, PRICES_OF_SPARK, cost, exports_cost, table

DOCS = Path(__file__).parents[2] / "docs"


def test_both_sides_are_read_and_idle_vcpus_are_paid_for():
    its = cost(18.0, items=100_000_000, parts=0, busy=0.5)
    assert its.cpu_hours == pytest.approx((3600 + BEGIN) / 3600)
    assert its.vcpu_hours == pytest.approx(2 * its.cpu_hours)
    assert its.dpu_hours == pytest.approx(its.vcpu_hours / 4)
    assert its.gb_hours == pytest.approx(its.vcpu_hours * 4)
    assert its.glue == pytest.approx(its.dpu_hours * 0.44)
    assert its.glue_flex == pytest.approx(its.dpu_hours * 0.29)
    each = PRICES_OF_SPARK.vcpu_hour + 4 * PRICES_OF_SPARK.gb_hour
    assert its.emr_serverless == pytest.approx(its.vcpu_hours * each)


def test_data_files_cost_beside_their_items():
    more = cost(10.0, parts=7_200).cpu_hours - cost(10.0, parts=0).cpu_hours
    assert more == pytest.approx(2 * PER_PART)


def test_exports_are_paid_for_by_the_gigabyte_of_both_tables():
    assert exports_cost(BILLION) == pytest.approx(96.0)


def test_the_page_has_the_table_of_the_formula_and_its_terms():
    page = (DOCS / "spark.md").read_text(encoding="utf-8")
    assert table() in page
    for term in (f"{PER_PART:g} s", f"{BEGIN:g} s", "2,000", f"${exports_cost():.0f}", "us-east-1"):
        assert term in page, term
    for price in (PRICES_OF_SPARK.dpu_hour, PRICES_OF_SPARK.flex_dpu_hour, PRICES_OF_SPARK.vcpu_hour):
        assert f"${price:g}" in page


def test_what_it_reckons_with_is_what_was_measured():
    measured = (DOCS / "benchmarks.md").read_text(encoding="utf-8").partition("### On Spark")[2]
    for microseconds in MEASURED.values():
        assert f"{microseconds:g} µs" in measured
