"""
Our equality against DynamoDB's own: equal by our canonical form exactly when DynamoDB stores the same.

DynamoDB writes numbers in one form and sets in one order, so what it stores is the same when the
JSON that it returns is, names of maps apart. DynamoDB Local leaves numbers inside lists and maps as
they were written (tests/contracts); there, its own ``=`` says what is the same.
"""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ddbverify.compare.request import PassRequest
from ddbverify.compare.runner import compare
from ddbverify.config import Side, parse
from ddbverify.items.form import Form
from ddbverify.items.raw import decode_item
from ddbverify.items.states import State
from ddbverify.items.values import with_bytes
from ddbverify.tables.table import describe
from ddbverify.tables.wire import TableReader
from tests.ddbverify import generated
from tests.engines import local_dynamodb

pytestmark = pytest.mark.engine("dynamodb-local")

REGION = "us-east-1"
PAIRS = 500


class Table:
    """One table of DynamoDB Local, written through boto3 and read raw, as the verifier reads it."""

    def __init__(self, endpoint: str, name: str) -> None:
        self.client, self.name = local_dynamodb(endpoint, REGION), name
        self.client.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        )
        side = Side(region=REGION, endpoint_url=endpoint)
        self._reader = TableReader(side, describe(side, name))

    def put(self, key: str, value: dict[str, Any]) -> None:
        self.client.put_item(TableName=self.name, Item=with_bytes({"id": {"S": key}, "v": value}))

    def stored(self) -> dict[str, dict[str, Any]]:
        """Every value of ``v``, as the bytes of the pages say it."""
        found, start = {}, None
        while True:
            page = self._reader.scan_page(0, 1, start)
            for raw in page.items:
                item = decode_item(raw)
                found[item["id"]["S"]] = item["v"]
            if page.last_key is None:
                return found
            start = page.last_key

    def says_equal(self, key: str, value: dict[str, Any]) -> bool:
        """Whether DynamoDB's own ``=`` holds between what is stored and *value*."""
        check = {
            "TableName": self.name,
            "Key": {"id": {"S": key}},
            "ConditionExpression": "v = :value",
            "ExpressionAttributeValues": with_bytes({":value": value}),
        }
        try:
            self.client.transact_write_items(TransactItems=[{"ConditionCheck": check}])
        except self.client.exceptions.TransactionCanceledException as refused:
            (reason,) = refused.response["CancellationReasons"]
            assert reason["Code"] == "ConditionalCheckFailed"
            return False
        return True


@pytest.fixture
def credentials(monkeypatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")


@pytest.fixture
def tables(dynamodb_local, unique, credentials) -> Iterator[tuple[Table, Table]]:
    made = Table(dynamodb_local, unique("written-one-way")), Table(dynamodb_local, unique("or-another"))
    yield made
    for table in made:
        table.client.delete_table(TableName=table.name)


def pair(chance: random.Random) -> tuple[dict[str, Any], dict[str, Any]]:
    """Two spellings of one value; a value and one that is altered a little; or any two of a kind."""
    one = generated.any_value(chance, depth=3)
    match chance.randrange(4):
        case 0 | 1:
            other = one
        case 2:
            altered = chance.choice([each for each in generated.alterations() if each.before and each.after])
            one, other = altered.before, altered.after
        case _:
            other = generated.value(chance, next(iter(one)), depth=3)
    return respelt(chance, one), respelt(chance, other)


def respelt(chance: random.Random, typed: dict[str, Any]) -> dict[str, Any]:
    return json.loads(generated.spelt(chance, typed))


def test_equal_exactly_when_dynamodb_stores_the_same(tables, dynamodb_local, tmp_path):
    seed = 20_260_103
    chance = random.Random(seed)
    one_table, other_table = tables
    written = {f"{number}": pair(chance) for number in range(PAIRS)}
    for key, (one, other) in written.items():
        one_table.put(key, one)
        other_table.put(key, other)
    ones, others = one_table.stored(), other_table.stored()
    form = Form()
    same = {key for key, (_, other) in written.items() if one_table.says_equal(key, other)}
    assert PAIRS / 3 < len(same) < PAIRS * 2 / 3, "both answers are to be tried"
    for key, (one, other) in written.items():
        where = f"seed {seed}, pair {key}: {one} and {other}"
        if one.keys().isdisjoint("LM"):
            assert (ones[key] == others[key]) is (key in same), where
        assert form.same({"v": one}, {"v": other}) is (key in same), where
        assert form.same({"v": ones[key]}, {"v": others[key]}) is (key in same), where
        assert form.same({"v": one}, {"v": ones[key]}), where
        assert generated.meaning(one) == generated.meaning(ones[key]), where
    side = f'region = "{REGION}"\nendpoint_url = "{dynamodb_local}"\n'
    names = f'source = "{one_table.name}"\ntarget = "{other_table.name}"\n'
    config = parse(
        f'[source]\n{side}[target]\n{side}[verification]\nsettle = "0s"\n[[tables]]\n{names}', tmp_path
    )
    comparison = compare(config, config.tables[0], PassRequest(segments=3))
    different = {one.key["id"]["S"] for one in comparison.only(State.DIFFERENT)}
    assert different == written.keys() - same, f"seed {seed}"
    assert comparison.counts[State.MATCHED] == len(same)


digits = st.text("0123456789", max_size=22)
zeros = st.integers(0, 40).map(lambda count: "0" * count)
before_the_point = st.tuples(st.one_of(digits, zeros, st.just("1")), st.one_of(zeros, digits)).map("".join)
behind_it = st.one_of(st.just(""), st.just("."), st.one_of(digits, zeros).map(".{}".format))
powers = st.builds("{}{}".format, st.sampled_from(["e", "E", "e+", "E-", "E+0"]), st.integers(0, 140))
number_texts = st.tuples(
    st.sampled_from(["", "-"]), before_the_point, behind_it, st.one_of(st.just(""), powers)
).map("".join)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(number_texts, min_size=2, max_size=8))
def test_numbers_are_equal_exactly_when_dynamodb_stores_the_same(tables, texts):
    """Any text that DynamoDB takes for a number; what it refuses is none of ours."""
    table, _ = tables
    accepted = {}
    for text in [*texts, *(f"{text}.0" for text in texts), *(f"0{text}" for text in texts)]:
        with contextlib.suppress(ClientError):
            table.put(f"n{len(accepted)}", {"N": text})
            accepted[f"n{len(accepted)}"] = text
    stored = table.stored()
    form = Form()
    for key, text in accepted.items():
        assert form.same({"v": {"N": text}}, {"v": stored[key]}), (text, stored[key])
        for other_key, other in accepted.items():
            ours = form.same({"v": {"N": text}}, {"v": {"N": other}})
            assert ours is (stored[key] == stored[other_key]), (text, other)
