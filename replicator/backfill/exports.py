"""
A point-in-time export of a source: asked for, waited for, and proven to be the one of its boundary.

It takes no read units of the source. The second that it shows is chosen beforehand, as that of `pitr` is, so
a request whose answer was lost is the same request again: DynamoDB knows it by its token for eight hours. The
manifests and files are proven by `ddbverify.exports`, which decodes no item.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from ddbverify.config import Config
from ddbverify.errors import ConfigurationError, EngineError, Inconclusive, NotFoundError, Refused
from ddbverify.exports.export import Export, open_export
from ddbverify.tables.aws import error_code, translated
from ddbverify.tables.references import require_named
from replicator.context.console import Step
from replicator.context.context import Context
from replicator.context.tables import TableFacts

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import ExportTableToPointInTimeInputTypeDef

_ANOTHER: Final = "run the same command again: it asks for another one."
_PLACE: Final = "[[tables]] export"

# What is said of a request that will never be granted as it stands: another second, or another place, may be.
_NEVER: Final = {"ExportConflictException", "InvalidExportTimeException"}


# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_BUCKET: Final = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^/\s?#]+)*")
_EXPORT: Final = re.compile(_BUCKET.pattern + r"/AWSDynamoDB/[A-Za-z0-9-]+")


def need_settings(config: Config) -> None:
    """
    Refuse settings of exports that do not do, whatever the tables and the bucket are.

    Raises:
        ConfigurationError: With the key to change.
    """
    replication, named = config.replicated, [pair.export for pair in config.tables if pair.export is not None]
    to, owner = replication.export_to, replication.export_owner
    if wrong := [name for name in named if not _EXPORT.fullmatch(name)]:
        raise ConfigurationError(
            f"{_PLACE} = {wrong[0]!r} names no export in a bucket.",
            'write it like "s3://BUCKET/PREFIX/AWSDynamoDB/01700000000000-0a1b2c3d".',
        )
    if to is not None and not _BUCKET.fullmatch(to):
        raise ConfigurationError(
            f"[replication] export_to = {to!r} names no place in a bucket.",
            'write it like "s3://BUCKET" or "s3://BUCKET/PREFIX", without a slash at its end.',
        )
    if owner is not None and not re.fullmatch(r"\d{12}", owner):
        raise ConfigurationError(
            f"[replication] export_owner = {owner!r} is no account.",
            "write the 12 digits of the account that owns the bucket.",
        )
    if replication.backfill == "export" and to is None and len(named) < len(config.tables):
        raise ConfigurationError(
            '[replication] backfill = "export" needs a bucket to export to.',
            'write export_to = "s3://BUCKET/PREFIX", or name an export that is there for each pair: '
            "[[tables]] export.",
        )


class Unusable(EngineError):
    """The export that was asked for will not come: another one has to be asked for."""


@dataclass(frozen=True, slots=True)
class Found:
    """A complete export, as its manifests and DynamoDB agree on it."""

    arn: str
    address: str
    epoch: float  # the moment whose state it shows
    manifests: Mapping[str, str]  # name -> SHA-256


def ask(context: Context, source: TableFacts, second: int, token: str) -> str:
    """
    Ask for an export of *source* as it was at *second*; the same *token* asks for the same one.

    Returns:
        Its ARN.

    Raises:
        Unusable: DynamoDB will not make this one.
        EngineError: It refused for another reason.
    """
    replication = context.config.replicated
    bucket, _, prefix = (replication.export_to or "").removeprefix("s3://").partition("/")
    request: ExportTableToPointInTimeInputTypeDef = {
        "TableArn": source.arn,
        "S3Bucket": bucket,
        "ExportTime": datetime.fromtimestamp(second, UTC),
        "ExportFormat": "DYNAMODB_JSON",
        "ExportType": "FULL_EXPORT",
        "ClientToken": token,
        "S3SseAlgorithm": "KMS" if replication.export_key else "AES256",
    }
    if prefix:
        request["S3Prefix"] = prefix
    if replication.export_owner:
        request["S3BucketOwner"] = replication.export_owner
    if replication.export_key:
        request["S3SseKmsKeyId"] = replication.export_key
    try:
        with translated(f"export the table {source.name}"):
            answer = context.source.export_table_to_point_in_time(**request)
    except EngineError as error:
        cause = error.__cause__
        if isinstance(cause, ClientError) and error_code(cause) in _NEVER:
            raise Unusable(error.message, _ANOTHER) from error
        raise
    return answer["ExportDescription"]["ExportArn"]


def awaited(context: Context, arn: str, step: Step) -> Mapping[str, Any]:
    """
    Wait until an export is complete.

    Returns:
        As DynamoDB describes it.

    Raises:
        Unusable: It has failed.
        EngineError: DynamoDB does not say.
    """
    while True:
        said = _described(context, arn)
        status = said.get("ExportStatus")
        if status == "COMPLETED":
            return said
        if status != "IN_PROGRESS":
            code = said.get("FailureCode") or "no reason is given"
            raise Unusable(f"The export is {status} ({code}).", f"mend what it names, then {_ANOTHER}")
        step.at("DynamoDB writes the export")
        context.need_going_on()
        time.sleep(context.pace.poll_seconds)


def _described(context: Context, arn: str) -> Mapping[str, Any]:
    with translated("describe the export"):
        said: Mapping[str, Any] = context.source.describe_export(ExportArn=arn)["ExportDescription"]
    require_named(arn, said.get("ExportArn"), place="the export")
    return said


def address_of(said: Mapping[str, Any]) -> str:
    """Where an export lies, of its description."""
    prefix = f"{said['S3Prefix']}/" if said.get("S3Prefix") else ""
    return f"s3://{said['S3Bucket']}/{prefix}AWSDynamoDB/{said['ExportArn'].rpartition('/')[2]}"


def named(context: Context, source: TableFacts, address: str) -> Found:
    """
    The export that the settings name, if it is a whole and complete one of *source*.

    Raises:
        ConfigurationError: There is none, or one that is of no use here.
        EngineError: It cannot be read, or DynamoDB does not say what it is.
    """
    return found(context, source, address, None)


def found(context: Context, source: TableFacts, address: str, said: Mapping[str, Any] | None) -> Found:
    """
    Hold an export's manifests against *source*, and against what DynamoDB says of it.

    The manifests do not say whether it was filtered. DynamoDB does, for 90 days, and has to.

    Args:
        said: Of DynamoDB; ``None``: it is asked.
    """
    opened = _opened(context, dict(source.keys), address)
    full = opened.full
    try:
        said = said or _described(context, full.export_arn)
    except NotFoundError as error:
        raise ConfigurationError(
            f"{_PLACE} = {address!r}: DynamoDB does not know that export (any more), so whether it is all of "
            "its table is not known.",
            "leave export out: `up` asks for a new one.",
        ) from error
    problem = ""
    if (full.table_arn, full.table_id) != (source.arn, source.id):
        problem = f"it is an export of another table than {source.name}, or of an earlier one of that name"
    elif full.output_format != "DYNAMODB_JSON":
        problem = "it is in Amazon Ion, and a load reads DynamoDB JSON"
    elif said.get("FilterSpecification"):
        problem = "it was filtered, so it does not hold all of its table"
    elif said.get("ExportStatus") != "COMPLETED" or said.get("ExportType", "FULL_EXPORT") != "FULL_EXPORT":
        problem = f"it is {said.get('ExportStatus')} and {said.get('ExportType')}, not a complete full export"
    elif said.get("ItemCount", full.items) != full.items:
        problem = f"DynamoDB counts {said['ItemCount']:,} items, and its manifest {full.items:,}"
    elif "ExportTime" in said and int(said["ExportTime"].timestamp()) != int(full.until):
        problem = "DynamoDB says another time of it than its manifest"
    if problem:
        raise ConfigurationError(
            f"The export {address} cannot fill the target: {problem}.",
            "name a complete export of the source in DynamoDB JSON, or leave export out: `up` asks for one.",
        )
    return Found(full.export_arn, address, full.until, dict(full.digests))


def bound(context: Context, keys: Mapping[str, str], address: str, manifests: Mapping[str, str]) -> Export:
    """
    The export that a boundary was fixed by.

    Raises:
        Refused: There is another one in its place.
        EngineError: It cannot be read.
    """
    opened = _opened(context, keys, address)
    if dict(opened.full.digests) != dict(manifests):
        raise Refused(
            f"The export {address} is not the one that `up` found there.",
            "put it back; or begin anew with `replicator restart`.",
        )
    return opened


def _opened(context: Context, keys: Mapping[str, str], address: str) -> Export:
    try:
        return open_export(address, (), context.source_side, keys, place=_PLACE)
    except Inconclusive as error:
        raise Refused(error.message, error.hint) from error


def need_bucket(context: Context) -> None:
    """
    Look whether there is the bucket to export to.

    Raises:
        ConfigurationError: There is none.
        EngineError: It may not be looked at.
    """
    replication = context.config.replicated
    bucket, _, prefix = (replication.export_to or "").removeprefix("s3://").partition("/")
    owner: Any = {"ExpectedBucketOwner": replication.export_owner} if replication.export_owner else {}
    try:
        with translated(f"look into the bucket {bucket}"):
            context.source_client("s3").list_objects_v2(
                Bucket=bucket, Prefix=f"{prefix}/" if prefix else "", MaxKeys=1, **owner
            )
    except NotFoundError as error:
        raise ConfigurationError(
            f"[replication] export_to: there is no bucket {bucket}.", "make it, or name another one."
        ) from error
