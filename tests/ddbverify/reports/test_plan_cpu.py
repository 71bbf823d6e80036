"""A plan's processor time: measured where user code is called, with a clock that only that code moves."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from ddbverify.compare import processes, sampled_cpu
from ddbverify.diff.options import Options, config_of
from ddbverify.errors import AccessError
from ddbverify.reports import plan, plan_cpu, plan_text
from ddbverify.reports.plan_cpu import READ_CPU_SECONDS, Cpu
from ddbverify.suite.each_item import item_check
from ddbverify.tables.pages import PageDecoder
from tests.ddbverify import projects

ITEMS = [{"id": {"S": str(number)}, "n": {"N": str(number)}} for number in range(200)]


@pytest.fixture(autouse=True)
def cores(monkeypatch):
    """As many as a test says, whatever the machine has."""
    number = [1]
    monkeypatch.setattr(processes, "cores", lambda: number[0])
    return number


@pytest.fixture
def spent(monkeypatch):
    """Processor time in seconds, which only the transform and checks below move."""
    seconds = [0.0]
    monkeypatch.setattr(sampled_cpu.time, "process_time", lambda: seconds[0])

    def slow(item):
        seconds[0] += 0.001
        return item

    module = ModuleType("slow_transforms")
    module.slow = slow
    module.__file__ = __file__
    monkeypatch.setitem(sys.modules, "slow_transforms", module)
    return seconds


@pytest.fixture
def reader(monkeypatch):
    """The source, of whose segments the first is empty."""

    class Reader:
        read_units = 0.0
        error = None

        def __init__(self, *_, **__):
            pass

        def scan_page(self, segment, total_segments, start):
            if Reader.error:
                raise Reader.error
            self.read_units += 128
            return PageDecoder({"id": "S"}).page_of(ITEMS if segment else [])

    monkeypatch.setattr(plan_cpu, "TableReader", Reader)
    return Reader


def measured(*checks, **options):
    config = config_of(Options(source="orders", target="orders-v2", **options), Path())
    tables = projects.table("orders", "eu-west-1"), projects.table("orders-v2", "eu-central-1")
    return plan_cpu.measure(config, *tables, 4, checks)


def test_without_a_transform_and_checks_nothing_is_read(monkeypatch):
    monkeypatch.setattr(plan_cpu, "TableReader", None)  # calling it fails
    assert measured() == Cpu()


@pytest.mark.usefixtures("spent", "reader")
@pytest.mark.parametrize("rekeys", [False, True])
def test_a_transform_is_measured_as_often_as_a_comparison_calls_it(rekeys):
    cpu = measured(transform="slow_transforms:slow", rekeys=rekeys)

    assert (cpu.sampled_items, cpu.read_units) == (200, 256)
    # Once for each item, and again for those on which it is shown to be pure.
    assert 0.001 <= cpu.seconds_per_source_item <= 0.002
    assert cpu.seconds(1_000_000, 1_000_000) == pytest.approx(
        1e6 * cpu.seconds_per_source_item + 2e6 * READ_CPU_SECONDS
    )


@pytest.mark.usefixtures("reader")
def test_checks_on_items_are_measured_too(spent):
    def check_slow(source, target):
        spent[0] += 0.003
        assert source["n"] == target["n"]

    assert measured(item_check(check_slow)).seconds_per_source_item == pytest.approx(0.003)


@pytest.mark.usefixtures("spent")
def test_what_cannot_be_measured_is_said_and_the_plan_is_made_all_the_same(reader):
    reader.error = AccessError("Scan is not allowed", "ask")
    cpu = measured(transform="slow_transforms:slow")
    assert cpu == Cpu(problem="Scan is not allowed")
    made = estimate(cpu=cpu)
    assert "could not be measured (Scan is not allowed)" in made.warnings[0]
    assert made.seconds == estimate().seconds


def estimate(*, cpu=Cpu(), items=1_000_000, **options):  # noqa: B008 - frozen
    config = config_of(Options(source="orders", target="orders-v2", **options), Path())
    many = {"ItemCount": items, "TableSizeBytes": items * 480}
    tables = (
        projects.table("orders", "eu-west-1", **many),
        projects.table("orders-v2", "eu-central-1", **many),
    )
    return plan.estimate(config, *tables, cpu=cpu)


MEASURED = Cpu(seconds_per_source_item=80e-6, sampled_items=2_000, read_units=256)


@pytest.mark.parametrize(
    ("cpu", "options", "bound_by"),
    [
        (Cpu(), {}, "the capacity of the source"),
        (Cpu(), {"read_units": 100}, "the read ceiling"),
        (MEASURED, {}, "the processor"),
        (MEASURED, {"read_units": 100}, "the read ceiling"),
    ],
)
def test_the_time_is_that_of_the_tightest_limit(cpu, options, bound_by):
    made = estimate(cpu=cpu, **options)

    assert made.bound_by == bound_by
    assert made.seconds == max(made.source.seconds, made.target.seconds, made.cpu_seconds)
    assert f"bound by {bound_by}: both tables" in plan_text.text(made)
    assert made.as_json()["bound_by"] == bound_by


@pytest.mark.parametrize("seconds_per_item", [1e-6, 80e-6])
def test_of_a_re_keyed_pair_the_target_is_read_before_the_source(seconds_per_item):
    cpu = Cpu(seconds_per_source_item=seconds_per_item, sampled_items=2_000, read_units=256)
    made = estimate(cpu=cpu, transform="json:loads", rekeys=True)

    source = max(made.source.seconds, made.cpu_seconds - 1e6 * READ_CPU_SECONDS)
    assert made.seconds == pytest.approx(made.target.seconds + source)
    assert made.last_verification.seconds == pytest.approx(made.seconds, rel=0.01)
    assert "the whole target is read, then the source" in plan_text.text(made)


def test_the_processors_time_is_that_of_all_processes(cores):
    cores[0] = 4
    one, four = (estimate(cpu=MEASURED, items=3_000_000, processes=number) for number in (1, None))

    assert (one.processes, four.processes) == (1, 4)
    assert four.cpu_seconds == one.cpu_seconds
    assert four.seconds == max(four.source.seconds, four.cpu_seconds / 4) < one.seconds
    assert "of one core (4 processes); transform" in plan_text.text(four)
    assert four.as_json()["processes"] == 4


def test_the_last_verification_is_held_against_the_fence():
    small, large = estimate(cpu=MEASURED), estimate(cpu=MEASURED, items=100_000_000)

    assert small.last_verification.available_seconds == 900 - 60 - 30
    assert (small.last_verification.fits, large.last_verification.fits) == (True, False)
    # 83 µs of processor time an item on one core: 810 s are enough for 9.76 million.
    assert small.fits_up_to_items == large.fits_up_to_items == 9_759_036
    assert "a last verification that reads the whole tables fits into the 14 min" in plan_text.text(small)
    assert (
        "does NOT fit into the 14 min that `fence_limit` leaves it; up to 9,759,036 items"
        in plan_text.text(large)
    )
    assert estimate(items=0).as_json()["last_verification"]["fits"]


def test_pairs_share_one_fence():
    one = estimate(cpu=MEASURED, items=4_000_000)

    assert one.last_verification.fits
    assert "about 11 min, which fits into the 14 min that `fence_limit`" in plan_text.together([one, one])
    assert "about 17 min, which does NOT fit into the 14 min" in plan_text.together([one, one, one])


def test_a_plan_says_what_it_has_read():
    assert "No item was read." in plan_text.text(estimate())
    assert "2,000 items of the source were measured, which cost 256 read units." in plan_text.text(
        estimate(cpu=MEASURED)
    )
