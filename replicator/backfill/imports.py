"""
`ImportTable`: asked for, found after a kill, waited for, and held against what was written to its files.

An import makes its table, and takes no write units. It only counts what it could not take, and of two items
with one key it keeps either (docs/aws.md T41), so its counts have to be those of the files, or it has failed.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from ddbverify.config import Config
from ddbverify.errors import ConfigurationError, EngineError, NotFoundError
from ddbverify.tables.aws import code_of, translated
from ddbverify.tables.references import require_named
from replicator.backfill.files import Place
from replicator.context import tables
from replicator.context.console import Step
from replicator.context.context import Context
from replicator.context.tables import NameTaken, TableFacts, making

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import (
        GlobalSecondaryIndexTypeDef,
        ImportTableInputTypeDef,
        TableCreationParametersTypeDef,
    )

SETTING: Final = "[replication] import_from"

MOST_FILES: Final = 50_000
"""https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataImport.Validation.html"""

_BUCKET: Final = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^/\s?#]+)*")
_UNDER_WAY: Final = {"IN_PROGRESS", "CANCELLING"}
_ANEW: Final = "then run the same command again: it removes what the import made, and imports the files anew."
_BY_WRITES: Final = (
    f"{{look}}; then take {SETTING} out and run the same command again: it removes what the import made and "
    "loads by writes, which puts the items that DynamoDB refuses into the quarantine."
)


class Failed(EngineError):
    """The import has ended, and its table is not what was written to the files."""


def need_settings(config: Config) -> None:
    """
    Refuse settings of imports that do not do, whatever the tables and the bucket are.

    Raises:
        ConfigurationError: With the key to change.
    """
    place = config.replicated.import_from
    if place is None:
        return
    if not _BUCKET.fullmatch(place):
        raise ConfigurationError(
            f"{SETTING} = {place!r} names no place in a bucket.",
            'write it like "s3://BUCKET" or "s3://BUCKET/PREFIX", without a slash at its end.',
        )
    if config.replicated.backfill != "export":
        raise ConfigurationError(
            f'{SETTING} does nothing with backfill = "{config.replicated.backfill}": '
            "only the items of an export are imported.",
            'use backfill = "export", or take import_from out.',
        )


def account_of(context: Context) -> str:
    """The target's account, which owns the bucket that is imported from."""
    return context.target_identity.split(":")[4]


def need_bucket(context: Context) -> None:
    """
    Look whether the target's account has the bucket to import from.

    Raises:
        ConfigurationError: There is none.
        EngineError: It may not be looked at, or is another account's.
    """
    bucket, _, prefix = (context.config.replicated.import_from or "").removeprefix("s3://").partition("/")
    try:
        with translated(f"look into the bucket {bucket}"):
            context.target_client("s3").list_objects_v2(
                Bucket=bucket,
                Prefix=f"{prefix}/" if prefix else "",
                MaxKeys=1,
                ExpectedBucketOwner=account_of(context),
            )
    except NotFoundError as error:
        raise ConfigurationError(
            f"{SETTING}: there is no bucket {bucket}.", "make it, or name another one."
        ) from error


def cannot(source: Mapping[str, Any], *, rekeys: bool, files: int = 0, items: int = 1) -> str:
    """
    Why the target of a pair cannot be imported, in words; empty where it can.

    Args:
        source: As described; the target is made like it.
        rekeys: Of the pair.
        files: Data files of the export that hold items.
        items: Of the export.
    """
    if rekeys:
        return "the pair changes its keys"
    if source.get("LocalSecondaryIndexes"):
        return "an import makes no local index"
    if files > MOST_FILES:
        return f"the export has {files:,} data files, and an import takes {MOST_FILES:,}"
    return "" if items else "the export holds no item"


def ask(context: Context, source: TableFacts, name: str, place: Place, token: str) -> Mapping[str, Any]:
    """
    Ask for a table *name*, like *source*, of the files at *place*; the same *token* asks for the same one.

    Returns:
        As DynamoDB describes the import.

    Raises:
        NameTaken: There is a table of that name.
        EngineError: DynamoDB refused.
    """
    like = tables.like(source, name)
    parameters: TableCreationParametersTypeDef = {
        "TableName": name,
        "AttributeDefinitions": like["AttributeDefinitions"],
        "KeySchema": like["KeySchema"],
    }
    if "ProvisionedThroughput" in like:
        parameters["BillingMode"] = "PROVISIONED"
        parameters["ProvisionedThroughput"] = like["ProvisionedThroughput"]
    else:
        parameters["BillingMode"] = "PAY_PER_REQUEST"
    if "GlobalSecondaryIndexes" in like:
        everywhere = cast("list[GlobalSecondaryIndexTypeDef]", like["GlobalSecondaryIndexes"])
        parameters["GlobalSecondaryIndexes"] = everywhere
    request: ImportTableInputTypeDef = {
        "ClientToken": token,
        "S3BucketSource": {
            "S3BucketOwner": place.owner,
            "S3Bucket": place.bucket,
            "S3KeyPrefix": place.prefix,
        },
        "InputFormat": "DYNAMODB_JSON",
        "InputCompressionType": "GZIP",
        "TableCreationParameters": parameters,
    }
    try:
        with making(f"import the table {name}"):
            return context.target.import_table(**request)["ImportTableDescription"]
    except NameTaken:
        raise
    except EngineError as error:
        if code_of(error) != "LimitExceededException":
            raise
        raise EngineError(
            f"DynamoDB takes no further import into {name} now (LimitExceededException): an account has 50 "
            "at once, and a limit on the size of their files together.",
            "wait until others have ended, and run the same command again: nothing is written anew.",
        ) from error


def found(client: DynamoDBClient, table_arn: str, token: str) -> Mapping[str, Any] | None:
    """The import that was asked for with *token* and made this table, if there is one."""
    with translated("list the imports of the target"):
        page = client.list_imports(TableArn=table_arn)
        made = list(page["ImportSummaryList"])
        while "NextToken" in page:  # botocore has no paginator for it
            page = client.list_imports(TableArn=table_arn, NextToken=page["NextToken"])
            made += page["ImportSummaryList"]
    for one in made:
        said = described(client, one["ImportArn"])
        if said.get("ClientToken") == token:
            return said
    return None


def described(client: DynamoDBClient, arn: str) -> Mapping[str, Any]:
    """An import as DynamoDB describes it, for 90 days."""
    with translated("describe the import"):
        said: Mapping[str, Any] = client.describe_import(ImportArn=arn)["ImportTableDescription"]
    require_named(arn, said.get("ImportArn"), place="the import")
    return said


def awaited(context: Context, arn: str, step: Step) -> Mapping[str, Any]:
    """Wait until an import has ended, in whatever way."""
    while True:
        said = described(context.target, arn)
        if said.get("ImportStatus") not in _UNDER_WAY:
            return said
        step.at("DynamoDB imports the files")
        context.need_going_on()
        time.sleep(context.pace.poll_seconds)


def need_all(said: Mapping[str, Any], written: int, name: str) -> None:
    """
    Hold an import that has ended against what was *written* to its files.

    Raises:
        Failed: It failed, or has taken other items than those; says what to do.
    """
    status, code = said.get("ImportStatus"), str(said.get("FailureCode") or "")
    counts = {what: said.get(what) for what in ("ProcessedItemCount", "ImportedItemCount", "ErrorCount")}
    log = str(said.get("CloudWatchLogGroupArn") or "/aws-dynamodb/imports")
    look = f"look into the log group {log}, which names file and line of each item"
    if status != "COMPLETED" and not counts["ErrorCount"] and not code.startswith("ItemValidation"):
        why = f"{code or 'no reason is given'}: {said.get('FailureMessage') or 'no more is said'}"
        raise Failed(f"The import into {name} is {status} ({why})", f"mend what it names, {_ANEW}")
    if status != "COMPLETED" or counts["ErrorCount"]:
        errors = counts["ErrorCount"] or "unknown"
        raise Failed(
            f"The import into {name} is {status}: DynamoDB could not take all {written:,} items (errors: "
            f"{errors}).",
            _BY_WRITES.format(look=look),
        )
    if counts != {"ProcessedItemCount": written, "ImportedItemCount": written, "ErrorCount": 0}:
        told = ", ".join(f"{what} {number}" for what, number in counts.items())
        raise Failed(
            f"The import into {name} is COMPLETED, but {written:,} items were written to its files, and "
            f"DynamoDB counts {told}: items are missing, or two had one key.",
            _BY_WRITES.format(look=look),
        )
