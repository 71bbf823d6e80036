"""
A table as a resource of CloudFormation, and what an import needs beside the template. Pure.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-dynamodb-table.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/import-resources.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from replicator.adoption.collecting import Described

TYPE: Final = "AWS::DynamoDB::Table"
NO_CEILING: Final = -1


def logical_id(table: str) -> str:
    """``OrdersV2`` for ``orders-v2``: letters and digits are all that CloudFormation takes."""
    made = "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", table))
    return made if made[:1].isalpha() else f"Table{made}"


def properties(of: Described) -> dict[str, Any]:
    """The properties of the resource, in the order of the documentation's own examples."""
    table = of.table
    provisioned = (table.get("BillingModeSummary") or {}).get("BillingMode", "PROVISIONED") == "PROVISIONED"
    made: dict[str, Any] = {
        "TableName": table["TableName"],
        "AttributeDefinitions": [
            {"AttributeName": one["AttributeName"], "AttributeType": one["AttributeType"]}
            for one in sorted(table["AttributeDefinitions"], key=lambda one: str(one["AttributeName"]))
        ],
        "KeySchema": _key(table),
        "BillingMode": "PROVISIONED" if provisioned else "PAY_PER_REQUEST",
        **_throughput(table, provisioned=provisioned),
    }
    if indexes := [_index(one, provisioned=provisioned) for one in _indexes(table, "GlobalSecondaryIndexes")]:
        made["GlobalSecondaryIndexes"] = indexes
    if local := [_index(one, provisioned=None) for one in _indexes(table, "LocalSecondaryIndexes")]:
        made["LocalSecondaryIndexes"] = local
    stream = table.get("StreamSpecification") or {}
    if stream.get("StreamEnabled"):
        made["StreamSpecification"] = {"StreamViewType": stream["StreamViewType"]}
    if of.ttl_attribute is not None:
        made["TimeToLiveSpecification"] = {"AttributeName": of.ttl_attribute, "Enabled": True}
    if of.recovery:
        days = of.recovery.get("RecoveryPeriodInDays")
        period = {} if days is None else {"RecoveryPeriodInDays": days}
        made["PointInTimeRecoverySpecification"] = {"PointInTimeRecoveryEnabled": True, **period}
    encryption = table.get("SSEDescription") or {}
    if encryption.get("Status") in ("ENABLED", "ENABLING", "UPDATING"):
        made["SSESpecification"] = {
            "SSEEnabled": True,
            "SSEType": encryption.get("SSEType", "KMS"),
            **({"KMSMasterKeyId": encryption["KMSMasterKeyArn"]} if "KMSMasterKeyArn" in encryption else {}),
        }
    made |= _switches(of)
    if of.tags:
        made["Tags"] = [{"Key": key, "Value": value} for key, value in sorted(of.tags.items())]
    return made


def _switches(of: Described) -> dict[str, Any]:
    """What is there or not, each by itself."""
    made: dict[str, Any] = {}
    table_class = (of.table.get("TableClassSummary") or {}).get("TableClass")
    if table_class not in (None, "STANDARD"):
        made["TableClass"] = table_class
    if of.table.get("DeletionProtectionEnabled"):
        made["DeletionProtectionEnabled"] = True
    if of.insights:
        made["ContributorInsightsSpecification"] = {"Enabled": True}
    if of.kinesis:
        made["KinesisStreamSpecification"] = {"StreamArn": of.kinesis[0]}
    if of.policy is not None:
        made["ResourcePolicy"] = {"PolicyDocument": dict(of.policy)}
    return made


def left_out(of: Described) -> list[str]:
    """What the table has and the documents do not, in words: it stays as it is, and stays nobody's."""
    said = [f"{one}: this version does not know what it is" for one in of.unknown]
    if len(of.kinesis) > 1:
        said.append("all Kinesis streams but the first: a resource has one")
    if (of.table.get("BillingModeSummary") or {}).get("BillingMode", "PROVISIONED") == "PROVISIONED":
        said.append("autoscaling, where there is any: its targets and policies are resources of their own")
    return said


def template(resources: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """
    A template with nothing but these tables, each of which outlives its stack.

    Args:
        resources: Logical id -> properties.
    """
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Resources": {
            name: {
                "Type": TYPE,
                "DeletionPolicy": "Retain",
                "UpdateReplacePolicy": "Retain",
                "Properties": dict(made),
            }
            for name, made in resources.items()
        },
    }


def to_import(resources: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What ``create-change-set --resources-to-import`` takes."""
    return [
        {
            "ResourceType": TYPE,
            "LogicalResourceId": name,
            "ResourceIdentifier": {"TableName": made["TableName"]},
        }
        for name, made in resources.items()
    ]


def _key(of: Mapping[str, Any]) -> list[dict[str, str]]:
    in_order = sorted(of["KeySchema"], key=lambda one: str(one["KeyType"]))  # HASH before RANGE
    return [{"AttributeName": one["AttributeName"], "KeyType": one["KeyType"]} for one in in_order]


def _indexes(table: Mapping[str, Any], kind: str) -> list[Mapping[str, Any]]:
    return sorted(table.get(kind) or (), key=lambda one: str(one["IndexName"]))


def _index(one: Mapping[str, Any], *, provisioned: bool | None) -> dict[str, Any]:
    """*provisioned*: ``None`` for a local index, which has no throughput of its own."""
    projection = one.get("Projection") or {}
    names = sorted(projection.get("NonKeyAttributes") or ())
    return {
        "IndexName": one["IndexName"],
        "KeySchema": _key(one),
        "Projection": {
            "ProjectionType": projection.get("ProjectionType", "ALL"),
            **({"NonKeyAttributes": names} if names else {}),
        },
        **({} if provisioned is None else _throughput(one, provisioned=provisioned)),
    }


def _throughput(of: Mapping[str, Any], *, provisioned: bool) -> dict[str, Any]:
    if provisioned:
        found = of.get("ProvisionedThroughput") or {}
        kinds = ("ReadCapacityUnits", "WriteCapacityUnits")
        return {"ProvisionedThroughput": {kind: int(found.get(kind, 0)) for kind in kinds}}
    ceiling = of.get("OnDemandThroughput") or {}
    kept = {
        kind: int(ceiling[kind])
        for kind in ("MaxReadRequestUnits", "MaxWriteRequestUnits")
        if ceiling.get(kind, NO_CEILING) != NO_CEILING
    }
    return {"OnDemandThroughput": kept} if kept else {}
