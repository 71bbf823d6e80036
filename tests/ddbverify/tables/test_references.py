"""An ARN names its account, region and partition: another resource's answer is refused, never used."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError
from click.testing import CliRunner

from ddbverify.cli import main
from ddbverify.config import Side
from ddbverify.errors import ConfigurationError
from ddbverify.tables import aws
from ddbverify.tables.references import Arn, arn_at, require_named, require_stream_of
from ddbverify.tables.table import describe

TABLE = "arn:aws:dynamodb:eu-west-1:222233334444:table/orders"
STREAM = f"{TABLE}/stream/2026-11-30T08:00:00.000"
KEY = "arn:aws:kms:eu-west-1:222233334444:key/1234abcd"
ALIAS = "arn:aws:kms:eu-west-1:222233334444:alias/ddbverify"
PARAMETER = "arn:aws:ssm:eu-west-1:222233334444:parameter/shop/orders"


@pytest.mark.parametrize(
    ("given", "answered"),
    [
        (TABLE, TABLE),
        ("orders", TABLE),
        ("orders", None),
        (STREAM, STREAM),
        (f"{TABLE}/backup/01", f"{TABLE}/backup/01"),
        (KEY, KEY),
        (PARAMETER, PARAMETER),
    ],
)
def test_the_resource_that_was_named_is_taken(given, answered):
    require_named(given, answered, place="it")


def test_an_alias_stands_for_a_key_of_its_account_and_region():
    require_named(ALIAS, KEY, place="it", same_resource=False)
    with pytest.raises(ConfigurationError, match="the account 111122223333 instead of 222233334444"):
        require_named(ALIAS, KEY.replace("222233334444", "111122223333"), place="it", same_resource=False)


@pytest.mark.parametrize("given", [TABLE, STREAM, KEY, PARAMETER, f"{TABLE}/backup/01"])
@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("222233334444", "111122223333", "account"),
        ("eu-west-1", "eu-central-1", "region"),
        ("arn:aws:", "arn:aws-cn:", "partition"),
    ],
)
def test_another_account_region_or_partition_is_refused_by_its_name(given, old, new, part):
    with pytest.raises(ConfigurationError, match=f"the {part} "):
        require_named(given, given.replace(old, new), place="it")


@pytest.mark.parametrize(
    "answered", [None, "", "orders", "arn:aws:dynamodb", TABLE.replace("222233334444", "")]
)
def test_an_answer_that_names_no_account_proves_nothing(answered):
    with pytest.raises(ConfigurationError):
        require_named(TABLE, answered, place="it")


def test_another_table_of_the_same_account_is_refused():
    with pytest.raises(ConfigurationError, match="the resource table/clients instead of table/orders"):
        require_named(TABLE, TABLE.replace("orders", "clients"), place="it")


def test_what_is_not_made_yet_is_named_after_the_credentials_that_make_it():
    caller = "arn:aws-cn:sts::222233334444:assumed-role/ops/me"

    made = arn_at(caller, service="dynamodb", region="cn-north-1", resource="table/orders")

    assert made == "arn:aws-cn:dynamodb:cn-north-1:222233334444:table/orders"
    assert Arn.parse(made) == Arn("aws-cn", "dynamodb", "cn-north-1", "222233334444", "table/orders")
    with pytest.raises(ConfigurationError, match="whose credentials"):
        arn_at("me", service="dynamodb", region="eu-west-1", resource="table/orders")


DESCRIBED = {
    "TableName": "orders",
    "TableId": "1",
    "TableStatus": "ACTIVE",
    "CreationDateTime": datetime(2026, 11, 1, tzinfo=UTC),
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
}


class _OneTable:
    """A DynamoDB that knows one table, and takes any ARN of that name for it, as emulators do."""

    class meta:  # noqa: N801 - as botocore calls it
        region_name = "eu-west-1"

    def __init__(self, arn, stream=None):
        self.arn, self.stream = arn, stream

    def describe_time_to_live(self, **_):
        return {}

    def describe_table(self, *, TableName):  # noqa: N803 - as botocore calls it
        if not TableName.endswith("orders"):
            raise ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "DescribeTable")
        return {
            "Table": {"TableArn": self.arn, **DESCRIBED}
            | ({"LatestStreamArn": self.stream} if self.stream else {})
        }


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:dynamodb:eu-west-1:111122223333:table/orders",
        "arn:aws-cn:dynamodb:eu-west-1:222233334444:table/orders",
        "arn:aws:dynamodb:ddblocal:000000000000:table/orders",
    ],
)
def test_a_table_of_the_same_name_in_another_place_is_not_described_for_the_one_named(monkeypatch, arn):
    monkeypatch.setattr(aws, "client", lambda *_, **__: _OneTable(arn))

    with pytest.raises(ConfigurationError, match="AWS answered with another resource"):
        describe(Side(), TABLE)


OTHERS = [
    ("222233334444", "111122223333", "account"),
    ("eu-west-1", "eu-central-1", "region"),
    ("arn:aws:", "arn:aws-cn:", "partition"),
    ("table/orders", "table/clients", "resource"),
]


@pytest.mark.parametrize(("old", "new", "part"), OTHERS)
def test_a_stream_of_another_table_is_not_taken_for_that_of_the_one_described(monkeypatch, old, new, part):
    monkeypatch.setattr(aws, "client", lambda *_, **__: _OneTable(TABLE, STREAM.replace(old, new)))

    with pytest.raises(ConfigurationError, match=f"the stream of .*the {part} "):
        describe(Side(), TABLE)
    require_stream_of(STREAM, TABLE, place="the stream of")
    require_stream_of(None, TABLE, place="the stream of")


@pytest.mark.parametrize("command", ["plan", "diff"])
@pytest.mark.parametrize("side", [0, 1])
def test_a_table_of_another_account_is_refused_on_the_command_line_too(monkeypatch, tmp_path, command, side):
    monkeypatch.chdir(tmp_path)
    ours = TABLE.replace("222233334444", "111122223333")
    monkeypatch.setattr(aws, "client", lambda *_, **__: _OneTable(ours))
    monkeypatch.setattr("ddbverify.tables.table._as_it_came", lambda answer, _: answer["Table"])
    given = ["orders", "my-orders"]
    given[side] = TABLE

    done = CliRunner().invoke(main, [command, *given])

    assert done.exit_code == 2, done.output
    assert "the account 111122223333 instead of 222233334444" in done.stderr
    assert list(tmp_path.iterdir()) == []
