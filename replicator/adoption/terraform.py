"""
The resource of CloudFormation as Terraform's, with the block that imports it. Pure.

https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/dynamodb_table
https://developer.hashicorp.com/terraform/language/import
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

TYPE: Final = "aws_dynamodb_table"

_OWN_RESOURCES: Final = {
    "ResourcePolicy": "the table's policy: aws_dynamodb_resource_policy",
    "ContributorInsightsSpecification": "contributor insights: aws_dynamodb_contributor_insights",
    "KinesisStreamSpecification": "the Kinesis stream: aws_dynamodb_kinesis_streaming_destination",
}
"""Parts of the table to CloudFormation, and resources of their own to Terraform's provider."""

Block = tuple[str, Sequence["Line"]]
Line = tuple[str, Any] | Block


def code(resources: Mapping[str, Mapping[str, Any]]) -> str:
    """
    A file with an import block and a resource for each table.

    Args:
        resources: Logical id -> properties, as `cloudformation.properties` makes them.
    """
    parts = []
    for made in resources.values():
        name = label(made["TableName"])
        parts.append(f"import {{\n  to = {TYPE}.{name}\n  id = {quoted(made['TableName'])}\n}}\n")
        rows = "".join(_rows(list(_arguments(made)), 1))
        parts.append(f'resource "{TYPE}" "{name}" {{\n{rows}}}\n')
    return "\n".join(parts)


def left_out(resources: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What Terraform knows as resources of their own, in words."""
    return [said for made in resources.values() for key, said in _OWN_RESOURCES.items() if key in made]


def label(table: str) -> str:
    """``orders_v2`` for ``orders-v2``: a name that Terraform takes."""
    made = re.sub(r"[^A-Za-z0-9_]+", "_", table).lower()
    return made if made[:1].isalpha() else f"table_{made}"


def quoted(text: str) -> str:
    """A text as HCL writes it: what would begin a template is escaped."""
    return json.dumps(text, ensure_ascii=False).replace("${", "$${").replace("%{", "%%{")


def _arguments(made: Mapping[str, Any]) -> Iterator[Line]:
    yield "name", made["TableName"]
    yield "billing_mode", made["BillingMode"]
    yield from _key(made)
    yield from _throughput(made)
    if "TableClass" in made:
        yield "table_class", made["TableClass"]
    if made.get("DeletionProtectionEnabled"):
        yield "deletion_protection_enabled", True
    if stream := made.get("StreamSpecification"):
        yield "stream_enabled", True
        yield "stream_view_type", stream["StreamViewType"]
    if tags := made.get("Tags"):
        yield "tags", {one["Key"]: one["Value"] for one in tags}
    for one in made["AttributeDefinitions"]:
        yield "attribute", [("name", one["AttributeName"]), ("type", one["AttributeType"])]
    for kind, block in (
        ("GlobalSecondaryIndexes", "global_secondary_index"),
        ("LocalSecondaryIndexes", "local_secondary_index"),
    ):
        for index in made.get(kind, ()):
            yield block, list(_index(index, is_local=block.startswith("local")))
    if ttl := made.get("TimeToLiveSpecification"):
        yield "ttl", [("attribute_name", ttl["AttributeName"]), ("enabled", True)]
    if recovery := made.get("PointInTimeRecoverySpecification"):
        days = recovery.get("RecoveryPeriodInDays")
        period: list[Line] = [] if days is None else [("recovery_period_in_days", days)]
        yield "point_in_time_recovery", [("enabled", True), *period]
    if encryption := made.get("SSESpecification"):
        key = encryption.get("KMSMasterKeyId")
        yield "server_side_encryption", [("enabled", True), *([] if key is None else [("kms_key_arn", key)])]
    yield "lifecycle", [("prevent_destroy", True)]


def _index(index: Mapping[str, Any], *, is_local: bool) -> Iterator[Line]:
    yield "name", index["IndexName"]
    yield from (one for one in _key(index) if not (is_local and one[0] == "hash_key"))
    projection = index["Projection"]
    yield "projection_type", projection["ProjectionType"]
    if names := projection.get("NonKeyAttributes"):
        yield "non_key_attributes", list(map(str, names))
    yield from _throughput(index)


def _key(of: Mapping[str, Any]) -> Iterator[Line]:
    for one in of["KeySchema"]:
        yield {"HASH": "hash_key", "RANGE": "range_key"}[one["KeyType"]], one["AttributeName"]


def _throughput(of: Mapping[str, Any]) -> Iterator[Line]:
    if provisioned := of.get("ProvisionedThroughput"):
        yield "read_capacity", provisioned["ReadCapacityUnits"]
        yield "write_capacity", provisioned["WriteCapacityUnits"]
    if ceiling := of.get("OnDemandThroughput"):
        names = {
            "MaxReadRequestUnits": "max_read_request_units",
            "MaxWriteRequestUnits": "max_write_request_units",
        }
        yield "on_demand_throughput", [(names[kind], units) for kind, units in ceiling.items()]


def _rows(lines: Sequence[Line], depth: int) -> Iterator[str]:
    indent = "  " * depth
    for name, value in lines:
        if isinstance(value, list) and value and isinstance(value[0], tuple):
            yield f"\n{indent}{name} {{\n{''.join(_rows(value, depth + 1))}{indent}}}\n"
        elif isinstance(value, dict):
            rows = "".join(f"{indent}  {quoted(key)} = {quoted(one)}\n" for key, one in value.items())
            yield f"{indent}{name} = {{\n{rows}{indent}}}\n"
        elif isinstance(value, list):
            yield f"{indent}{name} = [{', '.join(map(quoted, value))}]\n"
        elif isinstance(value, str):
            yield f"{indent}{name} = {quoted(value)}\n"
        else:
            yield f"{indent}{name} = {json.dumps(value)}\n"
