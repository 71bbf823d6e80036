"""The items behind a finding: of the right keys, marked with their time, within their budget."""

from __future__ import annotations

import pytest

from ddbverify.compare.point_values import PointValues
from ddbverify.items.states import Difference, State
from ddbverify.items.transform import Transform
from tests.ddbverify.fakes import FakeTable

OLD, NEW = {"id": "S", "at": "N"}, {"order": "S", "time": "N"}


def old(key, at, **more):
    return {"id": {"S": key}, "at": {"N": str(at)}, **more}


def new(key, at, **more):
    return {"order": {"S": key}, "time": {"N": str(at)}, **more}


@pytest.fixture
def tables():
    return FakeTable([old("a", 1), old("b", 2)], OLD), FakeTable([new("a", 1, v={"S": "x"})], NEW)


def values_of(tables, key, *, state=State.DIFFERENT, **more):
    source, target = tables
    values = PointValues(
        source, target, source_keys=OLD, target_keys=NEW, **{"rekeys": False, "clock": lambda: 0.0} | more
    )
    return values.of(Difference(state=state, key=key))


@pytest.mark.parametrize("key", [old("a", 1), new("a", 1)])
def test_a_key_of_either_side_leads_to_both_items(tables, key):
    """A finding's key is of the target; of the source where the target's is not known."""
    assert values_of(tables, key) == {
        "read_at": "1970-01-01T00:00:00.000+00:00",
        "source": old("a", 1),
        "target": new("a", 1, v={"S": "x"}),
    }


def test_an_item_that_is_not_there_is_none(tables):
    assert values_of(tables, new("b", 2), state=State.MISSING)["target"] is None


def test_a_side_that_cannot_be_read_is_left_out_and_says_why(tables):
    tables[1].unreadable = {("a", 1)}
    found = values_of(tables, new("a", 1))
    assert "target" not in found
    assert found["unread"] == {"target": "throttled"}
    assert found["source"] == old("a", 1)


def test_with_a_transform_what_it_makes_of_the_source_stands_beside(tables):
    def rename(item):
        if item["id"] == "b":
            raise KeyError("secret")
        return None if item["at"] > 8 else {"order": item["id"], "time": item["at"]}

    transform = Transform("shop:rename", rename, OLD, NEW)
    tables[0].put(old("c", 9))
    made = [values_of(tables, key, transform=transform) for key in (new("a", 1), new("c", 9), new("d", 1))]
    assert [one["expected"] for one in made] == [new("a", 1), None, None]
    raised = values_of(tables, new("b", 2), transform=transform)
    assert "expected" not in raised
    assert raised["unread"] == {"expected": "The transform shop:rename raised KeyError."}


def test_of_a_rekeyed_pair_the_target_only(tables):
    found = values_of(tables, new("a", 1), rekeys=True)
    assert found["target"] == new("a", 1, v={"S": "x"})
    assert "re-keyed" in found["unread"]["source"]
    nothing = values_of(tables, old("a", 1), rekeys=True, state=State.UNCOMPARABLE)
    assert nothing["unread"].keys() == {"source", "target"}


def test_the_budget_is_kept_before_it_is_spent(tables):
    """An item costs up to 100 units, and what it costs is known only afterwards."""
    source, target = tables
    found = values_of(tables, new("a", 1), max_read_units=99)
    assert found["unread"] == dict.fromkeys(("source", "target"), "the budget for values is spent")
    assert source.requests == target.requests == 0
    assert "unread" not in values_of(tables, new("a", 1), max_read_units=200)
