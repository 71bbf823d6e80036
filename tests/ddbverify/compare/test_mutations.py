"""
Every kind of alteration, planted a few hundred at a time: each is found, and nothing else.

On tables in memory, on the embedded AWS, on DynamoDB Local and on the page server of the
benchmarks; with the real films and with generated items of every type and nesting.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config as ClientConfig

from benchmarks.page_server import EXTRA, REGION, Generated, Listed, page_server
from ddbverify.compare import groups
from ddbverify.compare.request import Listeners, PassRequest
from ddbverify.compare.runner import compare
from ddbverify.config import Config, parse
from ddbverify.items.states import State
from ddbverify.items.values import item_to_typed, with_base64, with_bytes
from tests.ddbverify import generated
from tests.ddbverify.generated import Planted, planted, require_exactly
from tests.ddbverify.prepared import PreparedTable, plain, run
from tests.shared_data import films

FILMS = {"year": "N", "title": "S"}
SCHEMAS = {
    "text-and-number": {"pk": "S", "sk": "N"},
    "number-and-binary": {"n": "N", "b": "B"},
    "binary": {"id": "B"},
}
GENERATED_ITEMS = 1_000
CASES = ["films", *SCHEMAS]
SEGMENTS = 3


def plan_of(case: str, seed: int, *, at_most: int | None = None) -> Planted:
    chance = random.Random(seed)
    if case == "films":
        read = json.loads(gzip.decompress(films().read_bytes()), parse_float=Decimal)
        some = read if at_most is None else chance.sample(read, at_most)
        return planted(chance, [item_to_typed(film) for film in some], FILMS)
    schema = SCHEMAS[case]
    return planted(chance, generated.items(chance, schema, GENERATED_ITEMS), schema)


def alter_the_last(plan: Planted, last: dict[str, Any]) -> None:
    """The last item of the last page of the last segment differs, if nothing was planted there."""
    key = generated.key_of(last, plan.schema)
    place = next(at for at, item in enumerate(plan.target) if generated.key_of(item, plan.schema) == key)
    plan.target[place] = plan.target[place] | {"the last": {"BOOL": True}}
    before = next(item for item in plan.source if generated.key_of(item, plan.schema) == key)
    plan.replant(key, "different", generated.lines_between(before, plan.target[place]), "the last of all")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("order", ["the same order and spelling", "no order and no spelling in common"])
@pytest.mark.parametrize("grouped", [False, True], ids=["groups as they are", "every pair that looks alike"])
@pytest.mark.parametrize("hired", [0, 2])
def test_in_memory(monkeypatch, case, order, grouped, hired):
    if grouped:
        monkeypatch.setattr(groups, "SAMPLE", 1)
        monkeypatch.setattr(groups, "FEWEST", 2)
    seed = CASES.index(case) * 2 + (order[0] == "n")
    chance = random.Random(seed)
    plan = plan_of(case, seed)
    source = PreparedTable(plain(plan.source), plan.schema, page_size=97)
    while (last := source.last_of_the_last_page(SEGMENTS)) and (
        generated.key_of(last, plan.schema) in plan.expected
    ):
        plan.source.remove(last)
        plan.source.insert(0, last)
        source = PreparedTable(plain(plan.source), plan.schema, page_size=97)
    alter_the_last(plan, last)
    if order[0] == "t":
        places = {generated.key_of(item, plan.schema): at for at, item in enumerate(plan.source)}
        plan.target.sort(key=lambda item: places.get(generated.key_of(item, plan.schema), -1))
        target = PreparedTable(plain(plan.target), plan.schema, page_size=97)
    else:
        chance.shuffle(plan.target)
        respelt = [(item, generated.spelt_item(chance, item)) for item in plan.target]
        target = PreparedTable(respelt, plan.schema, page_size=31)
    told = []
    comparison = run(source, target, segments=SEGMENTS, listeners=Listeners(found=told.append), hired=hired)
    require_exactly(comparison, plan, seed)
    assert tuple(told) == comparison.differences
    assert source.pages > SEGMENTS


# --- on engines -----------------------------------------------------------------------------


class Endpoint:
    """Two tables on an endpoint that speaks DynamoDB; gone again at the end."""

    def __init__(self, url: str, variables: dict[str, str], name: str) -> None:
        self.url, self.source, self.target = url, f"{name}-source", f"{name}-target"
        self._made: list[str] = []
        self.client = boto3.client(
            "dynamodb",
            endpoint_url=url,
            region_name=variables["AWS_DEFAULT_REGION"],
            aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
            config=ClientConfig(proxies={}, retries={"mode": "standard"}),
        )

    def load(self, plan: Planted) -> None:
        for name, items in ((self.source, plan.source), (self.target, plan.target)):
            self.client.create_table(
                TableName=name,
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[
                    {"AttributeName": key, "AttributeType": kind} for key, kind in plan.schema.items()
                ],
                KeySchema=[
                    {"AttributeName": key, "KeyType": kind}
                    for key, kind in zip(plan.schema, ("HASH", "RANGE"), strict=False)
                ],
            )
            self._made.append(name)
            for start in range(0, len(items), 25):
                puts = [{"PutRequest": {"Item": with_bytes(item)}} for item in items[start : start + 25]]
                answer = self.client.batch_write_item(RequestItems={name: puts})
                assert not answer["UnprocessedItems"]

    def alter_the_last(self, plan: Planted, segments: int) -> int:
        """Alter the last free item of the last page of the last segment; says how many pages it has."""
        scan = self.client.get_paginator("scan").paginate(
            TableName=self.source, Segment=segments - 1, TotalSegments=segments
        )
        pages = [[with_base64(item) for item in page["Items"]] for page in scan]
        last = next(
            item for item in reversed(pages[-1]) if generated.key_of(item, plan.schema) not in plan.expected
        )
        alter_the_last(plan, last)
        altered = next(item for item in plan.target if "the last" in item)
        self.client.put_item(TableName=self.target, Item=with_bytes(altered))
        return len(pages)

    def config(self, folder: Path) -> Config:
        side = f'region = "{self.client.meta.region_name}"\nendpoint_url = "{self.url}"\n'
        return parse(
            f'[source]\n{side}[target]\n{side}[verification]\nsettle = "0s"\n'
            f'[[tables]]\nsource = "{self.source}"\ntarget = "{self.target}"\n',
            folder,
        )

    def remove(self) -> None:
        for name in self._made:
            self.client.delete_table(TableName=name)


LOCAL_VARIABLES = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
}


@pytest.fixture
def endpoint(request, unique, monkeypatch) -> Iterator[Endpoint]:
    if request.param == "ministack":
        aws = request.getfixturevalue("aws")
        url, variables = aws.endpoint_url, aws.variables("us-east-1")
    else:
        url, variables = request.getfixturevalue("dynamodb_local"), LOCAL_VARIABLES
    for name, content in variables.items():
        if name != "AWS_ENDPOINT_URL":
            monkeypatch.setenv(name, content)
    made = Endpoint(url, variables, unique("mutations"))
    yield made
    made.remove()


on_engines = pytest.mark.parametrize(
    "endpoint",
    [
        pytest.param("ministack", marks=pytest.mark.engine("ministack")),
        pytest.param("local", marks=pytest.mark.engine("dynamodb-local")),
    ],
    indirect=True,
)


@on_engines
@pytest.mark.parametrize("case", ["films", "text-and-number", "number-and-binary"])
def test_on_an_engine(case, endpoint, tmp_path):
    seed = 100 + CASES.index(case)
    plan = plan_of(case, seed, at_most=2_500)  # so many as make more than a page of 1 MB
    segments = 1 if case == "films" else SEGMENTS
    endpoint.load(plan)
    pages = endpoint.alter_the_last(plan, segments)
    config = endpoint.config(tmp_path)
    comparison = compare(config, config.tables[0], PassRequest(segments=segments))
    require_exactly(comparison, plan, seed)
    assert comparison.segments_finished == segments
    assert (pages > 1) is (case == "films")


# --- on the page server ---------------------------------------------------------------------


@pytest.fixture
def any_credentials(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "page")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "server")


def served(url: str, folder: Path) -> Config:
    side = f'region = "{REGION}"\nendpoint_url = "{url}"\n'
    return parse(
        f'[source]\n{side}[target]\n{side}[verification]\nsettle = "0s"\n'
        '[[tables]]\nsource = "source"\ntarget = "target"\n',
        folder,
    )


@pytest.mark.parametrize("case", CASES)
def test_on_the_page_server(case, tmp_path, any_credentials):
    """Through sockets, with other page sizes on either side, one of them in no order at all."""
    seed = 200 + CASES.index(case)
    plan = plan_of(case, seed)
    random.Random(seed).shuffle(plan.target)
    tables = {
        "source": Listed(keys=plan.schema, items=plan.source, page_items=97),
        "target": Listed(keys=plan.schema, items=plan.target, page_items=250),
    }
    with page_server(tables) as server:
        config = served(server.endpoint_url, tmp_path)
        comparison = compare(config, config.tables[0], PassRequest(segments=SEGMENTS))
        asked = server.stats()
    require_exactly(comparison, plan, seed)
    assert asked["source"]["Scan"].items == len(plan.source)
    assert asked["target"]["Scan"].items == len(plan.target)


@pytest.mark.parametrize("layout", ["plain", "attribute-order", "scan-order"])
def test_four_among_many_on_the_page_server(layout, tmp_path, any_credentials):
    """The first, the last, and a neighbour of the last item of a table of many full pages."""
    count = 40_000
    planted = {0: "missing", 17_000: "extra", count - 2: "missing", count - 1: "changed"}
    tables = {
        "source": Generated(items=count),
        "target": Generated(items=count, layout=layout, planted=planted),
    }
    with page_server(tables) as server:
        config = served(server.endpoint_url, tmp_path)
        comparison = compare(config, config.tables[0], PassRequest(segments=4))
    found = {(str(one.state), int(one.key["pk"]["S"][-10:]), one.paths) for one in comparison.differences}
    assert found == {
        ("missing", 0, ()),
        ("extraneous", 17_000 + EXTRA, ()),
        ("missing", count - 2, ()),
        ("different", count - 1, ("total: value",)),
    }
    assert len(comparison.differences) == len(planted)
    assert comparison.counts[State.MATCHED] == count - 3
    assert comparison.unexamined == ()
