"""``ddbverify plan``: what a comparison would cost, from DynamoDB's own figures, and no item read."""

from __future__ import annotations

import json
from pathlib import Path

import botocore.client
import pytest
from click.testing import CliRunner
from msgspec import structs

from ddbverify.cli import main
from ddbverify.config import Config, Pair
from ddbverify.diff.options import Options, config_of
from ddbverify.errors import ConfigurationError
from ddbverify.reports import plan, plan_text
from ddbverify.reports.plan_cpu import SECOND_LOOK_CPU_SECONDS
from tests.ddbverify import projects

OPTIONS = Options(source="orders", target="orders-v2")
MILLION_ITEMS = {"ItemCount": 1_000_000, "TableSizeBytes": 4_096_000_000}  # 4,096 bytes each: one unit


def provisioned(units):
    return {
        "BillingModeSummary": {"BillingMode": "PROVISIONED"},
        "ProvisionedThroughput": {"ReadCapacityUnits": units},
    }


def estimate(source=None, target=None, *, segments=None, price=None, **options):
    config = config_of(Options(**{"source": "orders", "target": "orders-v2"} | options), Path())
    tables = (
        projects.table("orders", "eu-west-1", **(MILLION_ITEMS | (source or {}))),
        projects.table("orders-v2", "eu-central-1", **(MILLION_ITEMS | (target or {}))),
    )
    return plan.estimate(config, *tables, segments=segments, price=price)


def test_units_are_4_kb_each_and_two_more_per_segment():
    made = estimate(segments=10)
    assert made.source.read_units == made.target.read_units == 1_000_020
    assert (made.read_units, made.items) == (2_000_040, 2_000_000)


def test_an_item_larger_than_a_unit_costs_its_size():
    assert estimate({"ItemCount": 1, "TableSizeBytes": 400_000}, segments=1).source.read_units == 98 + 2


def test_money_is_that_of_on_demand_tables_only():
    assert estimate(segments=10).money == pytest.approx(2_000_040 * 0.125e-6)
    assert estimate(segments=10, price=0.3).money == pytest.approx(2_000_040 * 0.3e-6)
    made = estimate(None, provisioned(500), segments=10)
    assert made.target.money is None
    assert made.money == made.source.money == pytest.approx(1_000_020 * 0.125e-6)


def test_a_provisioned_table_says_which_share_of_its_capacity_is_taken():
    made = estimate(None, provisioned(500), segments=10, read_units=50)
    assert made.target.share_of_capacity == 0.1
    assert made.source.share_of_capacity is None
    text = plan_text.text(made)
    assert "10% of 500/s" in text
    assert "none: provisioned" in text


def test_time_is_that_of_the_slower_table_at_the_lowest_ceiling():
    assert estimate(segments=10).seconds == pytest.approx(1_000_020 / 12_000)
    assert estimate(None, provisioned(500), segments=10).seconds == pytest.approx(1_000_020 / 250)
    assert estimate(None, provisioned(500), segments=10, read_units=50).seconds == 1_000_020 / 50
    capped = {"OnDemandThroughput": {"MaxReadRequestUnits": 100}}
    assert estimate(capped, segments=10).seconds == 1_000_020 / 50
    uncapped = {"OnDemandThroughput": {"MaxReadRequestUnits": -1}}
    assert estimate(uncapped, segments=10).seconds == estimate(segments=10).seconds


def test_a_sample_costs_its_share():
    made = estimate(sample="1%", segments=1_000)
    assert len(made.segments.segments) == 10
    assert made.source.read_units == 10_000 + 2 * 10
    assert made.source.items == 10_000
    assert "never that they are equal" in made.warnings[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            {"target": provisioned(500), "read_units": 450},
            "The target has 500 read units per second, and --read-units allows the comparison to take 90%",
        ),
        ({"read_units": 5}, "With --read-units it takes 2.3 days"),
        ({"source": provisioned(10)}, "With half of the tables' capacity it takes 2.3 days"),
        ({"target": {"ItemCount": 0, "TableSizeBytes": 0}}, "says that the target is empty"),
        ({"transform": "json:loads", "rekeys": True}, "one more pass over the source, 1,000,128 read units"),
    ],
)
def test_what_makes_it_slow_or_dear_is_a_warning(arguments, words):
    made = estimate(**arguments)
    assert [one for one in made.warnings if words in one], made.warnings
    assert words in plan_text.text(made)
    assert made.exit_code == 0


def test_nothing_to_warn_of():
    assert estimate().warnings == ()


def test_what_diff_would_refuse_is_said_and_exits_with_2():
    other = {
        "AttributeDefinitions": [{"AttributeName": "other", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "other", "KeyType": "HASH"}],
    }
    made = estimate(None, other)
    assert made.exit_code == 2
    assert "impossible: orders -> orders-v2: the keys differ: id (S)" in plan_text.text(made)
    assert made.read_units  # the estimate stands nevertheless


def test_the_price_and_its_date_stand_in_the_output():
    assert "$0.125 per million read units (AWS's price for us-east-1 since November 2024" in plan_text.text(
        estimate()
    )
    assert "$0.3 per million read units (as given with --price)" in plan_text.text(estimate(price=0.3))
    assert "up to six hours old" in plan_text.text(estimate())


def test_settling_is_a_range_and_says_so():
    made = estimate(settle="60s")
    assert made.settling.units_per_key == (3 * 4, 3 * 11)
    assert made.settling.of(99) == (99 * 12, 99 * 33)  # too few for a sample
    assert made.settling.of(1_000) == (20 * 12 + 980 * 2, 33_000)  # 20 are settled, the others looked at once
    assert made.settling.of(1_000_000) == (20 * 12 + made.read_units, 33_000_000)  # both tables once more
    once_more = made.read_units / 24_000  # both tables, side by side
    assert made.settling.seconds(1_000_000)[0] == pytest.approx(
        60 + once_more + 999_980 * SECOND_LOOK_CPU_SECONDS
    )
    text = plan_text.text(made)
    assert "12 to 33 read units more for each key that differs" in text
    assert "  0% differ: nothing\n" in text
    assert "  1% differ: 20,200 to 330,000 read units (under $0.01 to $0.04 on demand), 60 s more\n" in text
    assert "\n             10% differ: " in text
    assert (
        f"100% differ: {made.read_units + 240:,} to 33,000,000 read units ($0.25 to $4.12 on demand), "
        in text
    )
    assert "is looked at up to ten times a second for 10 min" in text
    assert made.as_json()["settling"]["read_units_per_key"] == [12, 33]

    rekeyed = estimate(settle="60s", transform="json:loads", rekeys=True).settling
    assert rekeyed.of(1_000)[0] == 12_000  # no sample there
    quiet = plan_text.text(estimate(settle="0s"))
    assert "3 read units more for each key" in quiet
    assert "never holds still" not in quiet


def test_settling_costs_what_the_items_weigh_and_a_rekeyed_pair_a_second_pass():
    large = {"ItemCount": 10, "TableSizeBytes": 100_000}  # 3 units each
    made = estimate(large, settle="0s", transform="json:loads", rekeys=True, segments=1)
    assert made.settling.units_per_key == (7, 7)
    assert made.settling.of(2) == (14, 14 + made.source.read_units)


def test_the_settle_time_is_an_option(monkeypatch):
    monkeypatch.setattr(
        "ddbverify.commands.plan.plan",
        lambda config, **_: estimate(settle=f"{config.verification.settle:g}s"),
    )
    ended = CliRunner().invoke(main, ["plan", "orders", "orders-v2", "--settle", "0s", "--json"])

    assert json.loads(ended.stdout)["settle_seconds"] == 0


@pytest.fixture
def calls(aws, monkeypatch):
    """Operations that botocore was asked for, while the embedded AWS answers them."""
    for name, value in aws.variables("eu-west-1").items():
        monkeypatch.setenv(name, value)
    made = []
    call = botocore.client.BaseClient._make_api_call

    def counted(self, operation, arguments):
        made.append(operation)
        return call(self, operation, arguments)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", counted)
    return made


def test_what_a_transform_prints_while_it_is_measured_does_not_spoil_the_json(monkeypatch):
    made = estimate()

    def loud(*_, **__):
        print("loud transform")
        return made

    monkeypatch.setattr("ddbverify.commands.plan.plan", loud)
    ended = CliRunner().invoke(main, ["plan", "orders", "orders-v2", "--json"], catch_exceptions=False)

    assert json.loads(ended.stdout) == made.as_json()
    assert "loud transform" in ended.stderr


@pytest.mark.engine("ministack")
def test_no_item_is_touched(aws, unique, calls):
    name = unique("orders")
    client = aws.client("dynamodb", "eu-west-1")
    for table in (name, f"{name}-v2"):
        client.create_table(
            TableName=table,
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            ProvisionedThroughput={"ReadCapacityUnits": 10, "WriteCapacityUnits": 10},
        )
        client.put_item(TableName=table, Item={"id": {"S": "secret"}})
    calls.clear()

    ended = CliRunner().invoke(main, ["plan", name, f"{name}-v2", "--json"], catch_exceptions=False)

    assert ended.exit_code == 0, ended.output
    assert calls == ["DescribeTable", "DescribeTimeToLive"] * 2
    document = json.loads(ended.stdout)
    assert document["source"]["items"] == 1
    assert document["target"]["billing"] == "provisioned"
    assert document["source"]["share_of_capacity"] == 0.5
    assert document["read_units"] == document["source"]["read_units"] + document["target"]["read_units"]
    assert "secret" not in ended.output

    arn = client.describe_table(TableName=name)["Table"]["TableArn"]
    elsewhere = CliRunner().invoke(
        main,
        ["plan", arn, f"{name}-v2", "--target-region", "eu-west-1"],
        env={"AWS_DEFAULT_REGION": "us-east-2"},
    )
    assert elsewhere.exit_code == 0, elsewhere.output

    gone = CliRunner().invoke(main, ["plan", name, "no-such-table", "--json"])
    assert gone.exit_code == 6
    assert json.loads(gone.stdout)["error"]["type"] == "NotFoundError"


def test_the_last_verification_reads_everything_whatever_is_sampled_now():
    big = {"ItemCount": 10_000_000, "TableSizeBytes": 40_960_000_000}

    whole, sampled = estimate(big, big), estimate(big, big, sample="1%", seed=1)

    assert sampled.seconds < whole.seconds
    assert sampled.last_verification == whole.last_verification
    assert not whole.last_verification.fits


def test_an_inverse_is_named_and_one_that_does_not_load_ends_the_plan(tmp_path):
    pair = Pair(source="orders", target="orders-v2", transform="json:loads", inverse="json:dumps")
    tables = (projects.table(name, "eu-west-1", **MILLION_ITEMS) for name in ("orders", "orders-v2"))
    made = plan.estimate(Config(tables=(pair,)), *tables)
    assert "inverse     json:dumps; a run holds it to its laws on up to 1,000 items" in plan_text.text(made)
    assert made.as_json()["inverse"] == "json:dumps"
    assert "inverse" not in plan_text.text(estimate())
    assert estimate().as_json()["inverse"] is None

    for name, said in (("json:no_such", "does not load"), ("os:replace", "takes neither one item")):
        bad = Config(tables=(structs.replace(pair, inverse=name),), folder=tmp_path)
        with pytest.raises(ConfigurationError, match=f"The inverse {name} {said}"):
            plan.plan(bad)
