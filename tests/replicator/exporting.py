"""
DynamoDB's exports to S3, with AWS's documented manners, over an AWS that writes none.

It answers `ExportTableToPointInTime` and `DescribeExport` of every boto3 client, and leaves files in S3 as
AWS does. https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import botocore.client
import pytest

from ddbverify.items.values import with_base64
from ddbverify.names import TypedItem
from replicator.embedded.aws import EmbeddedAws
from tests.ddbverify.exports.exporting import full, moment
from tests.replicator.fakes import refusal

REGION = "eu-west-1"


@dataclass
class Export:
    """One that was asked for."""

    request: dict[str, Any]
    arn: str
    table: dict[str, Any]  # as described
    items: list[TypedItem]
    polls: int = 0
    status: str = "IN_PROGRESS"
    failure: str = ""

    @property
    def id(self) -> str:
        return self.arn.rpartition("/")[2]


@dataclass
class Exports:
    """
    The exports of one account and region.

    Args:
        polls: How often one is described before it is complete.
        files: Data files of each.
        meanwhile: Called each time that one is described as under way: what the application does then.
    """

    aws: EmbeddedAws
    folder: Path
    polls: int = 2
    files: int = 3
    meanwhile: Callable[[], None] = lambda: None
    fails_with: str = ""
    made: dict[str, Export] = field(default_factory=dict)  # by ARN
    tokens: dict[str, Export] = field(default_factory=dict)
    calls: list[tuple[str, Any]] = field(default_factory=list)  # of every boto3 client, to any service
    _call: Any = None
    _guard: Any = field(default_factory=threading.Lock)

    def install(self, patch: pytest.MonkeyPatch) -> None:
        call = self._call = botocore.client.BaseClient._make_api_call

        def answered(client: Any, operation: str, arguments: Any) -> Any:
            self.calls.append((operation, arguments))
            own = {"ExportTableToPointInTime": self._ask, "DescribeExport": self._describe}.get(operation)
            return call(client, operation, arguments) if own is None else own(**arguments)

        patch.setattr(botocore.client.BaseClient, "_make_api_call", answered)

    @cached_property
    def bucket(self) -> str:
        """Made when it is first asked for."""
        name = f"exports-{abs(hash(self.folder)) % 10**9}"
        here = {"LocationConstraint": REGION}
        self._of_aws("s3", "CreateBucket", Bucket=name, CreateBucketConfiguration=here)
        return name

    def _of_aws(self, service: Any, operation: str, **arguments: Any) -> Any:
        """A request of AWS's own, which nobody who watches clients sees."""
        return self._call(self.aws.client(service, REGION), operation, arguments)

    def _items(self, name: str) -> Iterator[TypedItem]:
        place: dict[str, Any] = {}
        while True:
            page = self._of_aws("dynamodb", "Scan", TableName=name, ConsistentRead=True, **place)
            yield from map(with_base64, page["Items"])
            if "LastEvaluatedKey" not in page:
                return
            place = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def _ask(self, **request: Any) -> dict[str, Any]:
        name = request["TableArn"].rpartition("/")[2]
        assert request["ExportTime"].microsecond == 0
        with self._guard:
            before = self.tokens.get(request["ClientToken"])
            if before is not None:
                if before.request != request:
                    raise refusal("ExportConflictException")
                return {"ExportDescription": self._said(before)}
            recovery = self._of_aws("dynamodb", "DescribeContinuousBackups", TableName=name)
            window = recovery["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription", {})
            if window.get("PointInTimeRecoveryStatus") != "ENABLED":
                raise refusal("PointInTimeRecoveryUnavailableException")
            if not request["ExportTime"] <= window["LatestRestorableDateTime"]:
                raise refusal("InvalidExportTimeException")
            number = 1_700_000_000_000 + len(self.made)
            export = Export(
                request=request,
                arn=f"{request['TableArn']}/export/0{number}-0a1b2c3d",
                table=self._of_aws("dynamodb", "DescribeTable", TableName=name)["Table"],
                items=list(self._items(name)),
            )
            self.made[export.arn] = self.tokens[request["ClientToken"]] = export
            return {"ExportDescription": self._said(export)}

    def _describe(self, ExportArn: str) -> dict[str, Any]:  # noqa: N803
        with self._guard:
            if ExportArn not in self.made:
                raise refusal("ExportNotFoundException")
            export = self.made[ExportArn]
            export.polls += 1
            if export.status == "IN_PROGRESS" and export.polls > self.polls:
                export.failure = self.fails_with
                if not export.failure:
                    self._write(export)
                export.status = "FAILED" if export.failure else "COMPLETED"
            said = self._said(export)
        if said["ExportStatus"] == "IN_PROGRESS":
            self.meanwhile()
        return {"ExportDescription": said}

    def _said(self, export: Export) -> dict[str, Any]:
        is_done = export.status == "COMPLETED"
        return {
            "ExportArn": export.arn,
            "ExportStatus": export.status,
            "ExportTime": export.request["ExportTime"],
            "TableArn": export.request["TableArn"],
            "TableId": export.table["TableId"],
            "S3Bucket": export.request["S3Bucket"],
            "ExportFormat": export.request["ExportFormat"],
            "ExportType": export.request["ExportType"],
            **({"S3Prefix": export.request["S3Prefix"]} if "S3Prefix" in export.request else {}),
            **({"ItemCount": len(export.items)} if is_done else {}),
            **({"FailureCode": export.failure} if export.failure else {}),
        }

    def _write(self, export: Export) -> None:
        prefix = f"{export.request['S3Prefix']}/" if "S3Prefix" in export.request else ""
        folder = self.folder / export.id
        folder.mkdir(parents=True)
        written = full(
            folder,
            *(export.items[at :: self.files] for at in range(self.files)),
            export_id=export.id,
            table_id=export.table["TableId"],
            exportArn=export.arn,
            tableArn=export.request["TableArn"],
            exportTime=moment(export.request["ExportTime"].timestamp()),
            s3Bucket=export.request["S3Bucket"],
            s3Prefix=export.request.get("S3Prefix"),
        )
        for one in written.files:
            one["dataFileS3Key"] = prefix + one["dataFileS3Key"]
        written.write_manifests()
        for path in sorted(written.root.rglob("*")):
            if path.is_file():
                key = f"{prefix}AWSDynamoDB/{path.relative_to(written.root).as_posix()}"
                self._of_aws(
                    "s3", "PutObject", Bucket=export.request["S3Bucket"], Key=key, Body=path.read_bytes()
                )
