"""What is read of a table's settings: on the embedded AWS, and from answers that it does not give."""

from __future__ import annotations

import json
from dataclasses import replace

import botocore.session
import pytest
from botocore.stub import Stubber

from ddbverify.config import Side
from ddbverify.names import FENCE_SIDS
from ddbverify.tables import aws
from ddbverify.tables import settings as table_settings
from ddbverify.tables.table import describe
from tests.ddbverify import projects
from tests.engines import local_dynamodb

REGION = "eu-west-1"


def _spelled(settings):
    return {str(one): value for one, value in settings.items()}


def _statement(action, resource, sid="Theirs"):
    return {"Sid": sid, "Effect": "Deny", "Principal": "*", "Action": action, "Resource": resource}


@pytest.mark.engine("ministack")
def test_everything_that_can_be_set_is_read(aws, unique, monkeypatch):
    name = unique("orders")
    for variable, value in aws.variables(REGION).items():
        monkeypatch.setenv(variable, value)
    client = aws.client("dynamodb", REGION)
    arn = client.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": one, "AttributeType": "S"} for one in ("id", "day")],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by_day",
                "KeySchema": [{"AttributeName": "day", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["b", "a"]},
            }
        ],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
        DeletionProtectionEnabled=True,
        Tags=[{"Key": "team", "Value": "shop"}],
    )["TableDescription"]["TableArn"]
    client.update_time_to_live(
        TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": "gone"}
    )
    client.update_continuous_backups(
        TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )
    policy = {"Version": "2012-10-17", "Statement": [_statement("dynamodb:PutItem", arn)]}
    client.put_resource_policy(ResourceArn=arn, Policy=json.dumps(policy))

    side = Side(region=REGION)
    settings = table_settings.read(side, describe(side, name))

    assert not settings.unread
    hidden = {"policy", "tags.team"}
    values = _spelled(settings.values)
    assert all(len(values[name]) == 64 for name in hidden)
    assert {name: value for name, value in values.items() if name not in hidden} == {
        "billing": "on demand",
        "deletion_protection": "on",
        "encryption": "with a key that DynamoDB owns",
        "index.by_day": "global",
        "index.by_day.keys": "HASH day (S)",
        "index.by_day.projection": "INCLUDE of a, b",
        "index.by_day.status": "ACTIVE",
        "pitr": "on",
        # The embedded AWS keeps no period; AWS says 35 unless told otherwise.
        **({"pitr.days": "35"} if "pitr.days" in values else {}),
        "stream": "NEW_IMAGE",
        "table_class": "STANDARD",
        "ttl": "by the attribute gone",
    }
    client.update_table(TableName=name, DeletionProtectionEnabled=False)


class _Answers:
    """Clients that give the answers of AWS's documentation."""

    def __init__(self, monkeypatch):
        self.endpoint_url = None
        self._stubs = {}
        monkeypatch.setattr(aws, "client", self.client)

    def client(self, _side, service, *, region=None):
        return self.of(service).client

    def of(self, service):
        if service not in self._stubs:
            core = botocore.session.Session()
            core.set_credentials("none", "none")
            stub = Stubber(core.create_client(service, region_name=REGION, endpoint_url=self.endpoint_url))
            stub.activate()
            self._stubs[service] = stub
        return self._stubs[service]

    def of_dynamodb(self, **changed):
        answers = {
            "describe_continuous_backups": {
                "ContinuousBackupsDescription": {"ContinuousBackupsStatus": "ENABLED"}
            },
            "list_tags_of_resource": {"Tags": []},
            "get_resource_policy": "PolicyNotFoundException",
            "describe_contributor_insights": {},
            "describe_kinesis_streaming_destination": {},
        } | changed
        for operation, answer in answers.items():
            if isinstance(answer, str):
                self.of("dynamodb").add_client_error(operation, answer)
            else:
                self.of("dynamodb").add_response(operation, answer)


@pytest.fixture
def answers(monkeypatch):
    return _Answers(monkeypatch)


@pytest.fixture
def new_answers(monkeypatch):
    return lambda: _Answers(monkeypatch)


def _read(**changes):
    return table_settings.read(Side(region=REGION), projects.table("orders", REGION, **changes))


@pytest.mark.parametrize(
    ("operation", "setting"),
    [
        ("describe_continuous_backups", "pitr"),
        ("list_tags_of_resource", "tags.*"),
        ("get_resource_policy", "policy"),
        ("describe_contributor_insights", "contributor_insights"),
        ("describe_kinesis_streaming_destination", "kinesis"),
    ],
)
def test_a_setting_that_may_not_be_read_is_unread_by_its_permission(answers, operation, setting):
    answers.of_dynamodb(**{operation: "AccessDeniedException"})

    unread = _spelled(_read().unread)

    permission = "dynamodb:" + "".join(word.capitalize() for word in operation.split("_"))
    assert unread == {setting: f"it takes the permission {permission} on orders"}


def test_a_call_that_fails_otherwise_is_unread_too(answers):
    answers.of_dynamodb(list_tags_of_resource="InternalServerError")

    assert "InternalServerError" in _spelled(_read().unread)["tags.*"]


@pytest.mark.parametrize("emulator", [True, False])
def test_an_emulator_that_knows_no_such_operation_has_no_such_setting(answers, emulator):
    answers.endpoint_url = "http://localhost:8000" if emulator else None
    answers.of_dynamodb(describe_continuous_backups="UnknownOperationException")

    assert bool(_read().unread) is not emulator


@pytest.mark.engine("dynamodb-local")
def test_dynamodb_local_has_few_settings_and_all_are_read(dynamodb_local, unique, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
    name = unique("orders")
    local_dynamodb(dynamodb_local).create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    side = Side(region="us-east-1", endpoint_url=dynamodb_local)

    assert table_settings.read(side, describe(side, name)).unread == {}


PROVISIONED = {
    "BillingModeSummary": None,
    "ProvisionedThroughput": {"ReadCapacityUnits": 5, "WriteCapacityUnits": 6},
}


def test_autoscaling_is_read_of_provisioned_tables_only(answers):
    answers.of_dynamodb()
    place = {"ResourceId": "table/orders", "ScalableDimension": "dynamodb:table:ReadCapacityUnits"}
    scaling = answers.of("application-autoscaling")
    common = {"ServiceNamespace": "dynamodb", **place}
    scaling.add_response(
        "describe_scalable_targets",
        {
            "ScalableTargets": [
                {**common, "MinCapacity": 5, "MaxCapacity": 90, "RoleARN": "r", "CreationTime": 1}
            ]
        },
    )
    aim = {"TargetValue": 70.0, "ScaleInCooldown": 60}
    policy = {"PolicyARN": "p", "PolicyName": "p", "PolicyType": "TargetTrackingScaling", "CreationTime": 1}
    scaling.add_response(
        "describe_scaling_policies",
        {"ScalingPolicies": [{**common, **policy, "TargetTrackingScalingPolicyConfiguration": aim}]},
    )

    values = _spelled(_read(**PROVISIONED).values)

    assert values["autoscaling.read"] == "5 to 90 at 70 %, cooling down for 60 s in"
    assert (values["billing"], values["capacity.write"]) == ("provisioned", "6")
    scaling.assert_no_pending_responses()


TRACKING = {
    "PolicyType": "TargetTrackingScaling",
    "TargetTrackingScalingPolicyConfiguration": {"TargetValue": 70.0},
}


def _tracking(**more):
    aim = {**TRACKING["TargetTrackingScalingPolicyConfiguration"], **more}
    return {**TRACKING, "TargetTrackingScalingPolicyConfiguration": aim}


def _stepping(*steps):
    made = [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": step} for step in steps]
    return {"PolicyType": "StepScaling", "StepScalingPolicyConfiguration": {"StepAdjustments": made}}


def _metric(table):
    dimensions = [{"Name": "TableName", "Value": table}]
    return _tracking(
        CustomizedMetricSpecification={"MetricName": "m", "Namespace": "n", "Dimensions": dimensions}
    )


def _scaled(answers, *policies, **target):
    """What is said of a table's reads."""
    answers.of_dynamodb()
    common = {
        "ServiceNamespace": "dynamodb",
        "ResourceId": "table/orders",
        "ScalableDimension": "dynamodb:table:ReadCapacityUnits",
        "CreationTime": 1,
    }
    scaling = answers.of("application-autoscaling")
    scaling.add_response(
        "describe_scalable_targets",
        {"ScalableTargets": [{**common, "MinCapacity": 5, "MaxCapacity": 90, "RoleARN": "r", **target}]},
    )
    named = [
        {**common, "PolicyARN": str(number), "PolicyName": str(number), **policy}
        for number, policy in enumerate(policies)
    ]
    scaling.add_response("describe_scaling_policies", {"ScalingPolicies": named})
    return _spelled(_read(**PROVISIONED).values)["autoscaling.read"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([_tracking()], [_tracking(DisableScaleIn=True)]),
        ([_tracking(ScaleInCooldown=60)], [_tracking(ScaleOutCooldown=60)]),
        ([_tracking()], [_metric("orders")]),
        ([_metric("orders")], [_metric("another")]),
        ([_stepping(1)], [_stepping(2)]),
        ([_tracking()], [_tracking(), _stepping(1)]),
        ([_tracking(TargetValue=50.0), _tracking()], [_tracking(TargetValue=60.0), _tracking()]),
    ],
)
def test_autoscaling_that_differs_is_never_said_in_the_same_words(new_answers, one, other):
    assert _scaled(new_answers(), *one) != _scaled(new_answers(), *other)


def test_autoscaling_that_is_suspended_says_so(answers):
    said = _scaled(answers, TRACKING, SuspendedState={"DynamicScalingInSuspended": True})

    assert said == "5 to 90 (suspended: DynamicScalingIn) at 70 %"


def test_what_is_usual_in_autoscaling_needs_no_words(answers):
    usual = {"PredefinedMetricType": "DynamoDBReadCapacityUtilization"}
    off = dict.fromkeys(("DynamicScalingInSuspended", "DynamicScalingOutSuspended"), False)

    policy = _tracking(DisableScaleIn=False, PredefinedMetricSpecification=usual)

    assert _scaled(answers, policy, SuspendedState=off) == "5 to 90 at 70 %"


def test_autoscaling_that_may_not_be_read_is_unread(answers):
    answers.of_dynamodb()
    answers.of("application-autoscaling").add_client_error(
        "describe_scalable_targets", "AccessDeniedException"
    )

    assert _spelled(_read(**PROVISIONED).unread) == {
        "autoscaling.*": "it takes the permission application-autoscaling:DescribeScalableTargets and "
        "DescribeScalingPolicies on orders"
    }


def test_autoscaling_of_a_table_of_another_account_is_not_read_of_ones_own_of_that_name(answers):
    """It goes by name, and a table that only its ARN reaches is of another account."""
    answers.of_dynamodb()
    scaling = answers.of("application-autoscaling")
    scaling.add_response("describe_scalable_targets", {"ScalableTargets": []})
    arn = "arn:aws:dynamodb:eu-west-1:222233334444:table/orders"
    theirs = replace(projects.table("orders", REGION, **PROVISIONED), arn=arn, reference=arn)

    settings = table_settings.read(Side(region=REGION), theirs)

    assert _spelled(settings.unread) == {
        "autoscaling.*": "orders is in another account than these credentials, and autoscaling is not shown "
        "to other accounts"
    }
    with pytest.raises(AssertionError):
        scaling.assert_no_pending_responses()


def _policy_of(answers, *statements):
    answers.of_dynamodb(get_resource_policy={"Policy": json.dumps({"Statement": list(statements)})})
    return _spelled(_read().values).get("policy")


def test_a_policy_is_the_same_in_another_spelling(answers):
    arn = projects.table("orders", REGION).arn
    one, other = (
        _statement(["dynamodb:GetItem", "dynamodb:PutItem"], arn),
        _statement("dynamodb:*", [arn], "B"),
    )
    plain = _policy_of(answers, one, other)

    assert plain
    assert plain == _policy_of(
        answers,
        other | {"Resource": arn, "Action": ["dynamodb:*"]},
        one | {"Action": ["dynamodb:PutItem", "dynamodb:GetItem"]},
    )
    assert plain != _policy_of(answers, one)


@pytest.mark.parametrize("sid", FENCE_SIDS)
def test_the_fences_of_a_migration_are_no_difference(answers, sid):
    fence = _statement("dynamodb:PutItem", "*", sid)

    assert _policy_of(answers, fence) is None
    assert _policy_of(answers, fence, _statement("dynamodb:PutItem", "*")) == _policy_of(
        answers, _statement("dynamodb:PutItem", "*")
    )


def test_what_a_description_says_is_read_of_it():
    values = table_settings.described(
        projects.table(
            "orders",
            REGION,
            TableClassSummary={"TableClass": "STANDARD_INFREQUENT_ACCESS"},
            SSEDescription={"Status": "ENABLED", "SSEType": "KMS", "KMSMasterKeyArn": "arn:key"},
            OnDemandThroughput={"MaxReadRequestUnits": 10, "MaxWriteRequestUnits": -1},
            WarmThroughput={"ReadUnitsPerSecond": 12000, "WriteUnitsPerSecond": 4000},
            Replicas=[{"RegionName": "us-east-1"}, {"RegionName": "eu-north-1"}],
        )
    )

    assert _spelled(values) == {
        "billing": "on demand",
        "table_class": "STANDARD_INFREQUENT_ACCESS",
        "encryption": "with KMS",
        "encryption.key": "arn:key",
        "capacity.max_read": "10",
        "capacity.warm_read": "12000",
        "capacity.warm_write": "4000",
        "replicas": "eu-north-1, us-east-1",
    }


def _index(name, *keys, **more):
    return {
        "IndexName": name,
        "KeySchema": [{"AttributeName": one, "KeyType": role} for role, one in keys],
        "Projection": {"ProjectionType": "ALL"},
        **more,
    }


def _attributes(**types):
    return [{"AttributeName": name, "AttributeType": kind} for name, kind in types.items()]


def _keys_of(index, **types):
    table = projects.table(
        "orders", REGION, AttributeDefinitions=_attributes(id="S", **types), GlobalSecondaryIndexes=[index]
    )
    return _spelled(table_settings.described(table))["index.by_place.keys"]


PLACE = {"region": "S", "category": "S", "city": "S", "day": "N"}


def test_the_keys_of_an_index_are_their_roles_order_and_types():
    both = _index("by_place", ("HASH", "region"), ("RANGE", "category"))
    four = _index("by_place", ("RANGE", "day"), ("HASH", "region"), ("HASH", "city"), ("RANGE", "category"))

    assert _keys_of(both, **PLACE) == "HASH region (S) + RANGE category (S)"
    assert _keys_of(four, **PLACE) == "HASH region (S) + HASH city (S) + RANGE day (N) + RANGE category (S)"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([("HASH", "region"), ("RANGE", "category")], [("HASH", "region"), ("HASH", "category")]),
        ([("HASH", "region"), ("HASH", "city")], [("HASH", "city"), ("HASH", "region")]),
        (
            [("HASH", "region"), ("RANGE", "day"), ("RANGE", "city")],
            [("HASH", "region"), ("RANGE", "city"), ("RANGE", "day")],
        ),
        ([("HASH", "region")], [("HASH", "region"), ("RANGE", "day")]),
    ],
)
def test_another_role_or_order_of_an_index_key_is_another_index(one, other):
    assert _keys_of(_index("by_place", *one), **PLACE) != _keys_of(_index("by_place", *other), **PLACE)


def test_another_type_of_an_index_key_is_another_index():
    index = _index("by_place", ("HASH", "region"))

    assert _keys_of(index, region="S") != _keys_of(index, region="N")


def test_names_that_look_like_two_are_told_from_two():
    one = _index("by_place", ("HASH", "a (S) + RANGE b"))
    two = _index("by_place", ("HASH", "a"), ("RANGE", "b"))

    assert _keys_of(one, **{"a (S) + RANGE b": "S"}) != _keys_of(two, a="S", b="S")
    projections = [
        _index(
            "by_place",
            ("HASH", "a"),
            Projection={"ProjectionType": "INCLUDE", "NonKeyAttributes": extra},
        )
        for extra in (["a, b"], ["a", "b"])
    ]
    shown = {
        _spelled(table_settings.described(projects.table("orders", REGION, GlobalSecondaryIndexes=[index])))[
            "index.by_place.projection"
        ]
        for index in projections
    }
    assert len(shown) == 2
