"""The documents by which a stack adopts a table: what it is, and nothing that it is not."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

import pytest

from ddbverify.errors import AccessError
from ddbverify.tables.table import table_from
from replicator.adoption import cdk, cloudformation, terraform
from replicator.adoption.collecting import Described, collect
from replicator.adoption.owner import owner_of
from tests.replicator.fakes import refusal

NOW = datetime.now(UTC)
KEY = "arn:aws:kms:eu-west-1:123456789012:key/0"
WHOLE = Described(
    table={
        "TableName": "orders-v2",
        "TableArn": "arn:aws:dynamodb:eu-west-1:123456789012:table/orders-v2",
        "AttributeDefinitions": [
            {"AttributeName": "sk", "AttributeType": "N"},
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "day", "AttributeType": "S"},
        ],
        "KeySchema": [
            {"AttributeName": "sk", "KeyType": "RANGE"},
            {"AttributeName": "pk", "KeyType": "HASH"},
        ],
        "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"},
        "ProvisionedThroughput": {"ReadCapacityUnits": 0, "WriteCapacityUnits": 0},
        "OnDemandThroughput": {"MaxReadRequestUnits": 40, "MaxWriteRequestUnits": -1},
        "GlobalSecondaryIndexes": [
            {
                "IndexName": "by-day",
                "KeySchema": [{"AttributeName": "day", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["b", "a"]},
                "IndexStatus": "ACTIVE",
            }
        ],
        "LocalSecondaryIndexes": [
            {
                "IndexName": "local",
                "KeySchema": [
                    {"AttributeName": "pk", "KeyType": "HASH"},
                    {"AttributeName": "day", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
        "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
        "SSEDescription": {"Status": "ENABLED", "SSEType": "KMS", "KMSMasterKeyArn": KEY},
        "TableClassSummary": {"TableClass": "STANDARD_INFREQUENT_ACCESS"},
        "DeletionProtectionEnabled": True,
    },
    ttl_attribute="expires",
    recovery={"PointInTimeRecoveryStatus": "ENABLED", "RecoveryPeriodInDays": 14},
    tags={"team": "shop ${x} %{y}", "a": 'b "c"'},
    insights=True,
    kinesis=("arn:aws:kinesis:eu-west-1:123456789012:stream/one",),
    policy={"Version": "2012-10-17", "Statement": [{"Sid": "Readers", "Effect": "Allow", "Action": "*"}]},
    is_fenced=False,
    unknown=(),
)


def test_the_resource_says_all_that_the_table_has():
    assert cloudformation.properties(WHOLE) == {
        "TableName": "orders-v2",
        "AttributeDefinitions": [
            {"AttributeName": "day", "AttributeType": "S"},
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "N"},
        ],
        "KeySchema": [
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
        "BillingMode": "PAY_PER_REQUEST",
        "OnDemandThroughput": {"MaxReadRequestUnits": 40},
        "GlobalSecondaryIndexes": [
            {
                "IndexName": "by-day",
                "KeySchema": [{"AttributeName": "day", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["a", "b"]},
            }
        ],
        "LocalSecondaryIndexes": [
            {
                "IndexName": "local",
                "KeySchema": [
                    {"AttributeName": "pk", "KeyType": "HASH"},
                    {"AttributeName": "day", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
        "StreamSpecification": {"StreamViewType": "NEW_IMAGE"},
        "TimeToLiveSpecification": {"AttributeName": "expires", "Enabled": True},
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True, "RecoveryPeriodInDays": 14},
        "SSESpecification": {"SSEEnabled": True, "SSEType": "KMS", "KMSMasterKeyId": KEY},
        "TableClass": "STANDARD_INFREQUENT_ACCESS",
        "DeletionProtectionEnabled": True,
        "ContributorInsightsSpecification": {"Enabled": True},
        "KinesisStreamSpecification": {"StreamArn": "arn:aws:kinesis:eu-west-1:123456789012:stream/one"},
        "ResourcePolicy": {"PolicyDocument": WHOLE.policy},
        "Tags": [{"Key": "a", "Value": 'b "c"'}, {"Key": "team", "Value": "shop ${x} %{y}"}],
    }


def test_a_provisioned_table_keeps_its_capacity_and_says_that_autoscaling_is_not_in_it():
    throughput = {"ReadCapacityUnits": 5, "WriteCapacityUnits": 7, "NumberOfDecreasesToday": 0}
    table = dict(WHOLE.table, ProvisionedThroughput=throughput, BillingModeSummary={})
    table["GlobalSecondaryIndexes"] = [
        dict(table["GlobalSecondaryIndexes"][0], ProvisionedThroughput=throughput)
    ]
    described = Described(**{name: getattr(WHOLE, name) for name in Described.__slots__} | {"table": table})
    made = cloudformation.properties(described)
    assert made["BillingMode"] == "PROVISIONED"
    assert made["ProvisionedThroughput"] == {"ReadCapacityUnits": 5, "WriteCapacityUnits": 7}
    assert made["GlobalSecondaryIndexes"][0]["ProvisionedThroughput"] == made["ProvisionedThroughput"]
    assert "OnDemandThroughput" not in made
    assert any("autoscaling" in one for one in cloudformation.left_out(described))


def test_a_table_outlives_its_stack():
    made = cloudformation.template({"Orders": cloudformation.properties(WHOLE)})
    resource = made["Resources"]["Orders"]
    assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Retain", "Retain")


@pytest.mark.parametrize(
    ("table", "expected"),
    [("orders-v2", "OrdersV2"), ("shop.orders_2", "ShopOrders2"), ("2024", "Table2024"), ("a--b", "AB")],
)
def test_a_logical_id_has_letters_and_digits(table, expected):
    assert cloudformation.logical_id(table) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("KeySchema", "keySchema"),
        ("SSESpecification", "sseSpecification"),
        ("SSEEnabled", "sseEnabled"),
        ("SSEType", "sseType"),
        ("KMSMasterKeyId", "kmsMasterKeyId"),
        ("TableName", "tableName"),
    ],
)
def test_members_are_spelled_as_cdk_spells_them(name, expected):
    assert cdk.member(name) == expected


def test_the_code_for_cdk_says_the_same():
    code = cdk.code({"OrdersV2": cloudformation.properties(WHOLE)})
    assert 'const ordersV2 = new CfnTable(this, "OrdersV2", {' in code
    assert 'ordersV2.overrideLogicalId("OrdersV2");' in code
    assert "ordersV2.applyRemovalPolicy(RemovalPolicy.RETAIN);" in code
    assert '      attributeName: "pk",\n      keyType: "HASH",' in code
    assert '"Sid": "Readers"' in code  # a document of another language
    assert "sseSpecification: {" in code


def test_the_code_for_terraform_says_the_same():
    import hcl2

    resources = {"OrdersV2": cloudformation.properties(WHOLE)}
    code = terraform.code(resources)
    parsed = hcl2.loads(code)
    text = json.dumps(parsed)
    assert "aws_dynamodb_table" in text
    for line in (
        'import {\n  to = aws_dynamodb_table.orders_v2\n  id = "orders-v2"\n}',
        'resource "aws_dynamodb_table" "orders_v2" {',
        '  hash_key = "pk"\n  range_key = "sk"',
        '    non_key_attributes = ["a", "b"]',
        "    max_read_request_units = 40",
        '    "team" = "shop $${x} %%{y}"',
        '    "a" = "b \\"c\\""',
        "    prevent_destroy = true",
        "    recovery_period_in_days = 14",
        f'    kms_key_arn = "{KEY}"',
    ):
        assert line in code
    local = code.split("local_secondary_index {")[1].split("}")[0]
    assert 'range_key = "day"' in local
    assert "hash_key" not in local
    assert len(terraform.left_out(resources)) == 3


# --- on the embedded AWS --------------------------------------------------------------------


@pytest.fixture
def table(aws, unique):
    """A table with an index of each kind, a stream, time to live, recovery and tags."""
    name, client = unique("adopted"), aws.client("dynamodb", "eu-west-1")
    attributes = [{"AttributeName": one, "AttributeType": "S"} for one in ("pk", "sk", "day")]
    keys = [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}]
    client.create_table(
        TableName=name,
        AttributeDefinitions=attributes,
        KeySchema=keys,
        BillingMode="PAY_PER_REQUEST",
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-day",
                "KeySchema": [{"AttributeName": "day", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
        Tags=[{"Key": "team", "Value": "shop"}],
    )
    client.update_time_to_live(
        TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires"}
    )
    client.update_continuous_backups(
        TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )
    client.put_item(TableName=name, Item={"pk": {"S": "1"}, "sk": {"S": "1"}})
    return name


def whole(client, name):
    """What AWS says of a table, as the command asks for it."""
    ttl = client.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    return collect(client, table_from(client.describe_table(TableName=name)["Table"], ttl, name))


def test_a_stack_takes_the_table_over_as_it_is_and_ends_in_no_changes(aws, table, unique):
    client, stacks = aws.client("dynamodb", "eu-west-1"), aws.client("cloudformation", "eu-west-1")
    before = client.describe_table(TableName=table)["Table"]
    described = whole(client, table)
    resources = {"Adopted": cloudformation.properties(described)}
    made = resources["Adopted"]
    assert made["TimeToLiveSpecification"]["AttributeName"] == "expires"
    assert made["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
    assert made["Tags"] == [{"Key": "team", "Value": "shop"}]
    assert made["StreamSpecification"] == {"StreamViewType": "NEW_IMAGE"}
    stack, body = unique("stack"), json.dumps(cloudformation.template(resources))
    stacks.create_change_set(
        StackName=stack,
        ChangeSetName="adopt",
        ChangeSetType="IMPORT",
        ResourcesToImport=cloudformation.to_import(resources),
        TemplateBody=body,
    )
    changes = changed(stacks, stack, "adopt")["Changes"]
    assert [one["ResourceChange"]["Action"] for one in changes] == ["Import"]
    stacks.execute_change_set(StackName=stack, ChangeSetName="adopt")
    wait_for(lambda: stacks.describe_stacks(StackName=stack)["Stacks"][0]["StackStatus"] == "IMPORT_COMPLETE")
    after = client.describe_table(TableName=table)["Table"]
    assert (after["TableId"], after["CreationDateTime"]) == (before["TableId"], before["CreationDateTime"])
    # What is made of the table that the stack owns now is what the stack has.
    again = cloudformation.template({"Adopted": cloudformation.properties(whole(client, table))})
    stacks.create_change_set(
        StackName=stack, ChangeSetName="again", ChangeSetType="UPDATE", TemplateBody=json.dumps(again)
    )
    found = changed(stacks, stack, "again")
    assert (found["Status"], found["Changes"]) == ("FAILED", [])
    assert "didn't contain changes" in found["StatusReason"]
    # Taken out of its stack, it stays.
    stacks.delete_stack(StackName=stack)
    assert client.describe_table(TableName=table)["Table"]["TableId"] == before["TableId"]


def changed(stacks, stack, name):
    def settled():
        found = stacks.describe_change_set(StackName=stack, ChangeSetName=name)
        return found if not found["Status"].endswith(("_PENDING", "_IN_PROGRESS")) else None

    return wait_for(settled)


def wait_for(answer, seconds=20):
    deadline = time.monotonic() + seconds
    while not (found := answer()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def test_what_may_not_be_read_is_not_left_out():
    class Refusing:
        def describe_continuous_backups(self, **_):
            raise refusal("AccessDeniedException")

    with pytest.raises(AccessError, match="dynamodb:DescribeContinuousBackups"):
        collect(
            Refusing(), table_from(WHOLE.table | {"CreationDateTime": NOW, "TableStatus": "ACTIVE"}, {}, "x")
        )


# --- who owns the source --------------------------------------------------------------------


class Stacks:
    def __init__(self, body, resources=None):
        self.body, self.resources = body, resources

    def describe_stack_resources(self, *, PhysicalResourceId):  # noqa: N803
        if self.resources is None:
            raise refusal("ValidationError")
        return {"StackResources": self.resources}

    def get_template(self, *, StackName, TemplateStage):  # noqa: N803
        assert TemplateStage == "Processed"
        return {"TemplateBody": self.body}


OWNED = [{"StackName": "shop", "LogicalResourceId": "Orders", "PhysicalResourceId": "orders"}]


@pytest.mark.parametrize(
    ("body", "keeps", "said"),
    [
        ({"Resources": {"Orders": {"DeletionPolicy": "Retain"}}}, True, "it stays when it leaves"),
        ({"Resources": {"Orders": {"DeletionPolicy": "Delete"}}}, False, "set `DeletionPolicy: Retain`"),
        ({"Resources": {"Orders": {}}}, False, "set `DeletionPolicy: Retain`"),
        (json.dumps({"Resources": {"Orders": {"DeletionPolicy": "Retain"}}}), True, "it stays"),
        ("Resources:\n  Orders:\n", None, "in YAML"),
    ],
)
def test_whether_the_old_stack_would_take_the_source_away(body, keeps, said):
    owner = owner_of(Stacks(body, OWNED), "orders")
    assert owner is not None
    assert owner.keeps is keeps
    assert said in owner.said("orders")
    assert "shop" in owner.said("orders")


def test_a_table_of_no_stack_has_no_owner():
    assert owner_of(Stacks({}), "orders") is None
    assert owner_of(Stacks({}, [dict(OWNED[0], PhysicalResourceId="other")]), "orders") is None
