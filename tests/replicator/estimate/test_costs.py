"""Time and money of a pair: each number from where it says, and none where nobody knows."""

from __future__ import annotations

import pytest

from ddbverify.changes import following
from replicator.aws.prices import Prices
from replicator.estimate import costs
from replicator.estimate.moved import Moved

HERE = "arn:aws:dynamodb:eu-west-1:111122223333:table/{}"
DEARER = Prices(fifo_requests=0.0, write_units=1.0, lambda_gb_second=0.0, backup_gb_month=3.0, restore_gb=5.0)


def moved(**changed):
    facts = {
        "name": "films -> movies",
        "source": HERE.format("films"),
        "target": HERE.format("movies"),
        "target_exists": False,
        "items": 1_000_000,
        "size_bytes": 1_000_000_000,
        "indexes": 0,
        "backfill": "backup",
        "transforms": False,
        "writes_per_second": 10.0,
        "ceiling": None,
        "capacity": None,
    }
    return Moved(**(facts | changed))


@pytest.mark.parametrize(
    ("changed", "loaded"),
    [
        ({}, False),
        ({"transforms": True}, True),
        ({"target_exists": True}, True),
        ({"backfill": "scan"}, True),
        ({"backfill": "export"}, True),
        ({"backfill": "pitr"}, False),
        ({"target": HERE.format("movies").replace("111122223333", "444455556666")}, True),
        ({"target": HERE.format("movies").replace("eu-west-1", "us-east-1")}, False),
    ],
)
def test_a_backup_becomes_the_target_unless_something_stands_between(changed, loaded):
    found = moved(**changed)
    names = {part.name for part in costs.times(found, overlap_seconds=300.0, verification_seconds=60.0)}

    assert found.is_loaded is loaded
    assert ("load" in names) is loaded
    assert ("restore" in names) is (changed.get("backfill") not in ("scan", "export"))


def test_an_import_is_paid_for_by_the_size_of_its_files_and_takes_no_write_unit():
    found = moved(backfill="export", imported=True)
    bill = {
        part.name: part.number
        for part in costs.money(
            found, days=7, verification_usd=0.0, verifications=1, alarms=0, at=Prices(import_gb=7.0)
        )
    }
    times = {part.name: part.number for part in costs.times(found, overlap_seconds=0, verification_seconds=0)}

    assert bill["import"] == 7.0 * costs.IMPORT_FILES
    assert "load" not in bill.keys() | times.keys()
    assert times["import"] is None, "AWS does not say"


@pytest.mark.parametrize("exported", [False, True])
def test_an_export_is_paid_for_by_size_where_it_is_not_there_yet(exported):
    found = moved(backfill="export", exported=exported)
    bill = {
        part.name: part.number
        for part in costs.money(
            found, days=7, verification_usd=0.0, verifications=1, alarms=0, at=Prices(export_gb=7.0)
        )
    }
    times = {part.name: part.number for part in costs.times(found, overlap_seconds=0, verification_seconds=1)}

    assert bill.get("export") == (None if exported else 7.0)
    assert ("export" in times) is not exported
    assert times.get("export") is None, "AWS does not say"
    assert not {"backup", "restore"} & bill.keys()


@pytest.mark.parametrize(
    ("changed", "seconds"),
    [
        ({}, 1_000_000 / 4_000),
        ({"ceiling": 1_000}, 1_000.0),
        ({"ceiling": 1_000, "indexes": 1}, 2_000.0),  # the ceiling counts indexes
        ({"indexes": 1}, 1_000_000 / 4_000),  # a table's own capacity does not
        ({"capacity": 500}, 2_000.0),
        ({"capacity": 500, "ceiling": 100_000}, 2_000.0),
        ({"size_bytes": 2_000_000_000}, 2_000_000 / 4_000),  # 2 KB: two units each
    ],
)
def test_a_load_is_as_slow_as_its_tightest_limit(changed, seconds):
    assert costs.load_seconds(moved(transforms=True, **changed)) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("size_bytes", "indexes", "units"),
    [(1_000_000_000, 0, 4), (1_000_000_000, 2, 8), (1_500_000_000, 0, 6), (0, 0, 4)],
)
def test_a_change_costs_its_item_indexes_and_ledger_twice(size_bytes, indexes, units):
    assert moved(size_bytes=size_bytes, indexes=indexes).units_of_a_change == units


def bill(found, **how):
    facts = {"days": 30.0, "verification_usd": 0.5, "verifications": 2, "alarms": 11, "at": DEARER}
    return {part.name: part.number for part in costs.money(found, **(facts | how))}


def test_money_is_counted_part_by_part():
    found = bill(moved())

    assert found["backup"] == pytest.approx(3.0)  # 1 GB for a month
    assert found["restore"] == pytest.approx(5.0)
    assert found["following"] == pytest.approx(30 * 86_400 * 10 * 4 / 1e6)
    assert found["verification"] == pytest.approx(1.0)
    assert found["alarms"] == pytest.approx(1.1)
    assert "load" not in found
    assert "transfer" not in found
    assert bill(moved(transforms=True))["load"] == pytest.approx(1.0)
    assert bill(moved(), days=15.0)["backup"] == pytest.approx(1.5)
    assert "backup" not in bill(moved(backfill="pitr"))
    assert {"backup", "restore"}.isdisjoint(bill(moved(backfill="scan")))
    assert "transfer" in bill(moved(target=HERE.format("movies").replace("eu-west-1", "us-east-1")))


def test_what_nobody_knows_has_no_number_and_is_in_no_sum():
    parts = costs.money(
        moved(writes_per_second=None), days=1.0, verification_usd=None, verifications=2, alarms=0, at=DEARER
    )

    assert costs.unknown(parts) == ["following", "verification"]
    assert costs.total(parts) == pytest.approx(sum(one.number for one in parts if one.number is not None))
    (following,) = [one for one in parts if one.name == "following"]
    assert "$4.00 for a million changes" in following.how


def test_a_way_back_follows_as_the_target_did():
    part = costs.way_back(moved(), days=7.0, at=DEARER)

    assert part.number == pytest.approx(7 * costs.following_usd(moved(), DEARER))
    assert costs.way_back(moved(writes_per_second=None), days=7.0).number is None


def test_a_dashboard_is_the_whole_migrations():
    assert costs.shared(0, days=30.0) == []
    assert costs.total(costs.shared(2, days=15.0)) == pytest.approx(3.0)


def test_builds_cost_their_minutes_reads_and_alarms():
    at = Prices(build_minute=1.0, alarm_month=30.0)
    once, each = (costs.Pass(seconds=600.0, usd=5.0, each_time=one) for one in (False, True))
    part = costs.scheduled([once, each], 86_400 / 2, alarms=2, days=3.0, at=at)
    # 6 builds of three minutes; 1 + 6 passes of ten; two alarms for three days.
    assert part.number == pytest.approx(6 * 3 + 7 * 10 + 7 * 5 + 2 * 3)
    assert part.how == "6 builds of about 88 minutes in all, of which each reads whole tables"
    part = costs.scheduled([once], 86_400 / 2, alarms=0, days=0.1, at=at)
    assert part.number == pytest.approx(3 + 10 + 5)
    assert part.how == "1 build of about 13 minutes in all, of which the first reads whole tables"


def test_how_far_builds_may_lie_apart_is_what_runs_take():
    assert costs.LINKED_SECONDS == following.LONGEST_SECONDS


@pytest.mark.parametrize("change", [{"seconds": None}, {"usd": None}])
def test_builds_whose_passes_nobody_knows_have_no_price(change):
    one = costs.Pass(**({"seconds": 1.0, "usd": 1.0, "each_time": False} | change))
    assert costs.scheduled([one], 3600.0, alarms=1, days=1.0).number is None
