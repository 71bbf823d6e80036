"""Which way is cheapest, of those that end with the table that is asked for."""

from __future__ import annotations

import pytest

from replicator.estimate.ways import GLOBAL, REFACTORING, REPLICATOR, RESTORE, cheapest, ways
from tests.replicator.estimate.test_costs import HERE, moved

SAME_NAME = {"target": HERE.format("films").replace("eu-west-1", "us-east-1")}


def of(found, name):
    return next(one for one in found if one.name == name)


def told(ours_usd=100.0, **changed):
    return ways(moved(**changed), days=7.0, ours_usd=ours_usd)


def test_where_only_a_logical_id_changes_the_table_stays():
    found = told(target=HERE.format("films"))

    assert [one.name for one in found if one.is_possible] == [REFACTORING]
    assert cheapest(found).name == REFACTORING
    assert of(found, REFACTORING).usd == 0.0


def test_a_table_with_another_name_is_another_table():
    found = told()

    assert [one.name for one in found if one.is_possible] == [REPLICATOR]
    assert cheapest(found).name == REPLICATOR
    assert "name" in of(found, GLOBAL).why


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"transforms": True}, "a transform changes the items"),
        ({"target_exists": True}, "the target is there already"),
        ({"target": HERE.format("movies").replace("eu-west-1", "us-east-1")}, "the table's own name"),
        ({"target": HERE.format("films").replace("1111", "4444")}, "a region has one replica"),
    ],
)
def test_a_global_table_changes_nothing_but_the_region(changed, why):
    found = told(**(SAME_NAME | changed))

    assert not of(found, GLOBAL).is_possible
    assert why in of(found, GLOBAL).why


def test_where_only_the_region_changes_a_global_table_is_held_against_this_one():
    dear, cheap = told(ours_usd=1e6, **SAME_NAME), told(ours_usd=0.01, **SAME_NAME)

    assert of(dear, GLOBAL).is_possible
    assert of(dear, GLOBAL).usd > 0
    assert cheapest(dear).name == GLOBAL
    assert cheapest(cheap).name == REPLICATOR
    assert "over accounts" in of(told(target=SAME_NAME["target"].replace("1111", "4444")), GLOBAL).why


@pytest.mark.parametrize("changed", [{"ours_usd": None}, {"writes_per_second": None}])
def test_a_price_that_nobody_knows_decides_nothing(changed):
    assert cheapest(told(**SAME_NAME, **changed)) is None


def test_a_restore_alone_is_never_the_way_of_a_table_that_may_be_written_to():
    for writes in (0.0, 10.0, None):
        assert not of(told(writes_per_second=writes), RESTORE).is_possible
    assert of(told(), RESTORE).usd > 0
    assert of(told(transforms=True), RESTORE).usd is None
