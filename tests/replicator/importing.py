"""
DynamoDB's imports from S3, with AWS's documented manners, over an AWS that has others.

It answers `ImportTable`, `DescribeImport` and `ListImports` of every boto3 client, reads the files itself,
and shows the table as CREATING meanwhile. An import cannot be called off. Counts come at its end. The first
line that makes no item ends its object, an item that is refused is counted, and of two items with one key the
last stays.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataImport.Validation.html
"""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import botocore.client
import pytest
from botocore.exceptions import ClientError

from ddbverify.items.values import with_bytes
from replicator.embedded.aws import EmbeddedAws
from tests.replicator.fakes import refusal

_OF_ITEMS = {"Scan", "Query", "GetItem", "PutItem", "UpdateItem", "DeleteItem"}


@dataclass
class Import:
    """One that was asked for."""

    request: dict[str, Any]
    arn: str
    table: dict[str, Any]  # as described when it was made
    polls: int = 0
    status: str = "IN_PROGRESS"
    failure: str = ""
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("ProcessedItemCount", "ImportedItemCount", "ErrorCount"), 0)
    )


@dataclass
class Imports:
    """
    The imports of one account and region.

    Args:
        polls: How often one is described before it has ended.
        fails_with: FailureCode of those that end before an item is read; there is no table then.
        most: Imports at once.
        meanwhile: Called each time that one is described as under way.
        loses: Items of each import that it does not take, and does not tell of.
    """

    aws: EmbeddedAws
    region: str
    polls: int = 2
    fails_with: str = ""
    most: int = 50
    meanwhile: Callable[[], None] = lambda: None
    loses: int = 0
    made: dict[str, Import] = field(default_factory=dict)  # by ARN
    calls: list[tuple[str, Any]] = field(default_factory=list)
    _call: Any = None
    _guard: Any = field(default_factory=threading.RLock)

    def install(self, patch: pytest.MonkeyPatch) -> None:
        call = self._call = botocore.client.BaseClient._make_api_call
        own = {
            "ImportTable": self._ask,
            "DescribeImport": self._describe,
            "ListImports": self._list,
            "DeleteTable": self._delete,
        }

        def answered(client: Any, operation: str, arguments: Any) -> Any:
            self.calls.append((operation, arguments))
            if operation == "DescribeTable":
                return self._table(call(client, operation, arguments))
            if operation in _OF_ITEMS and self._is_being_made(arguments.get("TableName", "")):
                raise refusal("ResourceNotFoundException")  # AWS's word for a table that is not ACTIVE
            if operation == "DeleteTable" and not self._is_ours(arguments["TableName"]):
                return call(client, operation, arguments)
            return own[operation](**arguments) if operation in own else call(client, operation, arguments)

        patch.setattr(botocore.client.BaseClient, "_make_api_call", answered)

    @cached_property
    def bucket(self) -> str:
        name = f"imports-{abs(hash(id(self))) % 10**9}"
        here = {"LocationConstraint": self.region}
        self._of_aws("s3", "CreateBucket", Bucket=name, CreateBucketConfiguration=here)
        return name

    def files(self, prefix: str = "") -> dict[str, bytes]:
        """What lies in the bucket: key -> content, unpacked."""
        found = self._of_aws("s3", "ListObjectsV2", Bucket=self.bucket, Prefix=prefix).get("Contents", ())
        return {one["Key"]: gzip.decompress(self._object(self.bucket, one["Key"])) for one in found}

    def _object(self, bucket: str, key: str) -> bytes:
        content: bytes = self._of_aws("s3", "GetObject", Bucket=bucket, Key=key)["Body"].read()
        return content

    def _of_aws(self, service: Any, operation: str, **arguments: Any) -> Any:
        """A request of AWS's own, which nobody who watches clients sees."""
        call = self._call or botocore.client.BaseClient._make_api_call  # where this is not installed
        return call(self.aws.client(service, self.region), operation, arguments)

    def _is_ours(self, name: str) -> bool:
        return any(one.request["TableCreationParameters"]["TableName"] == name for one in self.made.values())

    def _ask(self, **request: Any) -> dict[str, Any]:
        with self._guard:
            for one in self.made.values():
                if one.request["ClientToken"] == request["ClientToken"]:
                    if one.request != request:
                        raise refusal("ImportConflictException")
                    return {"ImportTableDescription": self._said(one)}
            if sum(one.status == "IN_PROGRESS" for one in self.made.values()) >= self.most:
                raise refusal("LimitExceededException")
            parameters = request["TableCreationParameters"]
            table = self._of_aws("dynamodb", "CreateTable", **parameters)["TableDescription"]
            arn = f"{table['TableArn']}/import/0{1_700_000_000_000 + len(self.made)}-0a1b2c3d"
            self.made[arn] = Import(request, arn, table)
            return {"ImportTableDescription": self._said(self.made[arn])}

    def _describe(self, ImportArn: str) -> dict[str, Any]:  # noqa: N803
        with self._guard:
            if ImportArn not in self.made:
                raise refusal("ImportNotFoundException")
            one = self.made[ImportArn]
            one.polls += 1
            if one.status == "IN_PROGRESS" and one.polls > self.polls:
                self._end(one)
            said = self._said(one)
        if said["ImportStatus"] == "IN_PROGRESS":
            self.meanwhile()
        return {"ImportTableDescription": said}

    def _list(self, TableArn: str, NextToken: str = "0") -> dict[str, Any]:  # noqa: N803
        """A page holds one."""
        of_table = [one for one in self.made.values() if one.table["TableArn"] == TableArn]
        at = int(NextToken)
        more = {"NextToken": str(at + 1)} if at + 1 < len(of_table) else {}
        return {"ImportSummaryList": [{"ImportArn": one.arn} for one in of_table[at : at + 1]], **more}

    def _is_being_made(self, name: str) -> bool:
        return any(
            one.table["TableName"] == name and one.status == "IN_PROGRESS" for one in self.made.values()
        )

    def _under_way(self, table_id: str) -> bool:
        return any(
            one.table["TableId"] == table_id and one.status == "IN_PROGRESS" for one in self.made.values()
        )

    def _table(self, answer: Any) -> Any:
        table = answer["Table"]
        return (
            {**answer, "Table": {**table, "TableStatus": "CREATING"}}
            if self._under_way(table.get("TableId", ""))
            else answer
        )

    def _delete(self, TableName: str) -> Any:  # noqa: N803
        table = self._of_aws("dynamodb", "DescribeTable", TableName=TableName)["Table"]
        if self._under_way(table["TableId"]):
            for one in self.made.values():  # it ends while its end is waited for
                if one.status == "IN_PROGRESS":
                    self._end(one)
            raise refusal("ResourceInUseException")
        return self._of_aws("dynamodb", "DeleteTable", TableName=TableName)

    def _end(self, one: Import) -> None:
        name = one.table["TableName"]
        if self.fails_with:
            one.status, one.failure = "FAILED", self.fails_with
            self._of_aws("dynamodb", "DeleteTable", TableName=name)
            return
        source, left = one.request["S3BucketSource"], self.loses
        assert one.request["InputCompressionType"] == "GZIP"
        assert one.request["InputFormat"] == "DYNAMODB_JSON"
        listed = self._of_aws(
            "s3", "ListObjectsV2", Bucket=source["S3Bucket"], Prefix=source["S3KeyPrefix"]
        ).get("Contents", ())
        for key in [found["Key"] for found in listed]:
            for line in gzip.decompress(self._object(source["S3Bucket"], key)).splitlines():
                try:
                    item = json.loads(line)["Item"]
                except (ValueError, KeyError):
                    one.counts["ErrorCount"] += 1
                    break
                if left:
                    left -= 1
                    continue
                one.counts["ProcessedItemCount"] += 1
                try:
                    self._of_aws("dynamodb", "PutItem", TableName=name, Item=with_bytes(item))
                    one.counts["ImportedItemCount"] += 1
                except ClientError:
                    one.counts["ErrorCount"] += 1
        one.status = "COMPLETED"
        if one.counts["ErrorCount"]:
            one.status, one.failure = "FAILED", "ItemValidationError"

    def _said(self, one: Import) -> dict[str, Any]:
        return {
            "ImportArn": one.arn,
            "ImportStatus": one.status,
            "TableArn": one.table["TableArn"],
            "TableId": one.table["TableId"],
            "ClientToken": one.request["ClientToken"],
            "S3BucketSource": one.request["S3BucketSource"],
            "CloudWatchLogGroupArn": f"arn:aws:logs:{self.region}:1:log-group:/aws-dynamodb/imports:*",
            **(one.counts if one.status != "IN_PROGRESS" else dict.fromkeys(one.counts, 0)),
            **(
                {"FailureCode": one.failure, "FailureMessage": "as asked for by a test"}
                if one.failure
                else {}
            ),
        }
