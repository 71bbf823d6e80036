"""What the story is played on: two tables, a role that writes, a pointer, and the migration's settings."""

from __future__ import annotations

import functools
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError

from replicator.demo.shapes import Item, Schema
from replicator.demo.traffic import Application, Journal
from replicator.embedded.aws import EmbeddedAws

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.literals import ScalarAttributeTypeType
    from mypy_boto3_ssm import SSMClient

SOURCE_REGION, TARGET_REGION = "eu-west-1", "eu-central-1"
SOURCE, TARGET = "shop", "shop-v2"
POINTER = "/shop/table"
ROLE = "shop-writers"

_SETTLE_SECONDS = 2


def create_table(client: DynamoDBClient, name: str, schema: Schema) -> None:
    """Make an empty table with this key."""
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[
            {"AttributeName": attribute, "KeyType": "RANGE" if at else "HASH"}
            for at, attribute in enumerate(schema)
        ],
        AttributeDefinitions=[
            {"AttributeName": attribute, "AttributeType": cast("ScalarAttributeTypeType", kind)}
            for attribute, kind in schema.items()
        ],
    )


def application(
    aws: EmbeddedAws,
    schema: Schema,
    target_schema: Schema,
    transform: Callable[[Item], Any] | None,
    journal: Journal,
) -> Application:
    """The application, with credentials of a role of its own: the fence keeps that role off the source."""
    iam = aws.client("iam", SOURCE_REGION)
    trust = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{aws.account_id}:root"},
        "Action": "sts:AssumeRole",
    }
    role = iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=_policy(trust))["Role"]["Arn"]
    allow = {
        "Effect": "Allow",
        "Action": ["dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"],
        "Resource": [_arn(aws, SOURCE_REGION, SOURCE), _arn(aws, TARGET_REGION, TARGET)],
    }
    iam.put_role_policy(RoleName=ROLE, PolicyName="write", PolicyDocument=_policy(allow))
    sts = aws.client("sts", SOURCE_REGION)
    credentials = sts.assume_role(RoleArn=role, RoleSessionName="writers")["Credentials"]
    source, target = (
        aws.session(region)
        .resource(
            "dynamodb",
            aws_access_key_id=credentials["AccessKeyId"],
            aws_secret_access_key=credentials["SecretAccessKey"],
            aws_session_token=credentials["SessionToken"],
        )
        .Table(name)
        for region, name in ((SOURCE_REGION, SOURCE), (TARGET_REGION, TARGET))
    )
    return Application(
        source=source,
        target=target,
        pointer=functools.partial(_read_pointer, aws.client("ssm", SOURCE_REGION)),
        flipped_value=_arn(aws, TARGET_REGION, TARGET),
        schema=schema,
        target_schema=target_schema,
        transform=transform,
        journal=journal,
    )


def write_settings(folder: Path, aws: EmbeddedAws, transform: str | None, *, rekeys: bool) -> None:
    """Write the ``migration.toml`` that a user would write."""
    tables = [_arn(aws, SOURCE_REGION, SOURCE), _arn(aws, TARGET_REGION, TARGET)]
    fence = [sys.executable, "-m", "replicator.demo.fence", ROLE, *tables, "{side}"]
    through = ""
    if transform:  # nobody says how to undo it, so there is no way back
        through = f"transform = {json.dumps(transform)}\nrekeys = {str(rekeys).lower()}\n"
    text = (
        'name = "demo"\n\n'
        f'[source]\nregion = "{SOURCE_REGION}"\n\n[target]\nregion = "{TARGET_REGION}"\n\n'
        f'[[tables]]\nsource = "{SOURCE}"\ntarget = "{TARGET}"\n{through}\n'
        # Short times, allowed under an emulator: its backups are exact and its fence is at once.
        f'[replication]\noverlap = "1s"\ngroups = 4\n\n[verification]\nsettle = "{_SETTLE_SECONDS}s"\n\n'
        "[gate]\nemulator = true\nchurning = true\n\n"
        f'[cutover]\npointer = "ssm:{POINTER}"\nquiet = "1s"\nstream_lag = "1s"\n'
        f"fence = {json.dumps('command:' + shlex.join(fence))}\n"
    )
    (folder / "migration.toml").write_text(text, encoding="utf-8")


def _read_pointer(ssm: SSMClient) -> str | None:
    try:
        value: str = ssm.get_parameter(Name=POINTER)["Parameter"]["Value"]
    # By its code: each of the writers' threads may build `ssm.exceptions` anew (botocore does so
    # without a lock), and the class in an `except` is then not the one that is raised.
    except ClientError as error:
        if error.response["Error"]["Code"] == "ParameterNotFound":
            return None
        raise
    return value


def _arn(aws: EmbeddedAws, region: str, table: str) -> str:
    return f"arn:aws:dynamodb:{region}:{aws.account_id}:table/{table}"


def _policy(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})
