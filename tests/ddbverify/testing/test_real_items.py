"""Items for tests of a transform are drawn from a real table: any of them, as Python values, not shown."""

from __future__ import annotations

from decimal import Decimal

import pytest

from ddbverify.errors import NotFoundError
from ddbverify.testing import assert_transform, read_table, real_items
from ddbverify.testing.real_items import RealTable
from tests.ddbverify import broken_transforms as transforms
from tests.ddbverify import projects
from tests.ddbverify.fakes import FakeTable

REGION = "eu-west-1"


@pytest.mark.engine("ministack")
def test_keys_indexes_and_items_of_a_table_go_into_a_test_of_a_transform(aws, unique, monkeypatch):
    name = unique("films")
    for variable, value in aws.variables(REGION).items():
        monkeypatch.setenv(variable, value)
    client = aws.client("dynamodb", REGION)
    client.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}]
        + [{"AttributeName": one, "AttributeType": "N"} for one in ("year", "rank")],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-year",
                "KeySchema": [
                    {"AttributeName": "year", "KeyType": "HASH"},
                    {"AttributeName": "rank", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )
    for number in range(30):
        item = {"id": {"S": str(number)}, "year": {"N": "1999"}, "raw": {"B": b"\x00\xff"}}
        client.put_item(TableName=name, Item=item)

    films = read_table(name, region=REGION, items=10)

    assert films.keys == {"id": "S"}
    assert films.indexes == {"by-year": {"year": "N", "rank": "N"}}
    assert len(films.items) == len({item["id"] for item in films.items}) == 10
    assert {(item["year"], item["raw"]) for item in films.items} == {(Decimal(1999), b"\x00\xff")}
    assert_transform(
        transforms.same,
        source_keys=films.keys,
        target_keys={"id": "S"},
        indexes=films.indexes,
        like=films.items,
        max_examples=5,
    )
    with pytest.raises(NotFoundError):
        read_table("no-such-table", region=REGION)


def _read(monkeypatch, *, says, holds, **more):
    table = FakeTable([{"id": {"S": str(number)}} for number in range(holds)], page_size=1000)
    described = projects.table("films", REGION, ItemCount=says)
    monkeypatch.setattr(real_items, "describe", lambda *_: described)
    monkeypatch.setattr(real_items, "TableReader", lambda *_: table)
    return read_table("films", **more), table


@pytest.mark.parametrize("says", [0, 1, 500, 5_000])
def test_as_many_as_are_asked_for_whatever_the_table_says_of_its_size(monkeypatch, says):
    films, table = _read(monkeypatch, says=says, holds=500, items=40, seed=1)

    assert len(films.items) == 40 or says == 5_000
    assert films.items
    assert table.requests <= 60


def test_they_are_from_everywhere_and_others_each_time(monkeypatch):
    draws = [
        {item["id"] for item in _read(monkeypatch, says=500, holds=500, items=40)[0].items} for _ in range(30)
    ]

    assert len(set().union(*draws)) > 250  # of any 415 to 498; of a single place 40
    one, again = (_read(monkeypatch, says=500, holds=500, items=40, seed=3)[0] for _ in range(2))
    assert one.items == again.items


def test_an_empty_table_gives_none_and_costs_little(monkeypatch):
    films, table = _read(monkeypatch, says=1_000_000, holds=0)

    assert films.items == []
    assert table.requests == 20


def test_real_items_are_not_shown():
    assert "secret" not in repr(RealTable({"id": "S"}, {}, [{"id": "secret"}]))
