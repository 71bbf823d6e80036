"""What the story is played on: two tables, roles that write, a pointer, and the migration's settings."""

from __future__ import annotations

import functools
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError

from replicator.demo.scene import Scene, Spot
from replicator.demo.shapes import Item, Schema
from replicator.demo.traffic import Application, Journal

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.literals import ScalarAttributeTypeType
    from mypy_boto3_dynamodb.service_resource import Table
    from mypy_boto3_ssm import SSMClient

_SETTLE_SECONDS = 2


def create_table(spot: Spot, schema: Schema) -> None:
    """Make its table, empty, with this key."""
    spot.dynamodb.create_table(
        TableName=spot.name,
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
    scene: Scene,
    schema: Schema,
    target_schema: Schema,
    transform: Callable[[Item], Any] | None,
    journal: Journal,
) -> Application:
    """The application, with credentials of a role of its own: the fence keeps that role off the source."""
    spots = (scene.source, scene.target)
    accounts = {spot.account: spot for spot in spots}
    for account, spot in accounts.items():
        _make_role(spot, scene.role, [one.arn for one in spots if one.account == account])
    return Application(
        source=_as_writer(scene.source, scene.role),
        target=_as_writer(scene.target, scene.role),
        pointer=functools.partial(_read_pointer, scene.source.client("ssm"), scene.pointer),
        flipped_value=scene.target.arn,
        schema=schema,
        target_schema=target_schema,
        transform=transform,
        journal=journal,
    )


def _make_role(spot: Spot, name: str, tables: list[str]) -> None:
    """The role of the writers in an account, for the tables that are there."""
    trust = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{spot.account}:root"},
        "Action": "sts:AssumeRole",
    }
    allow = {
        "Effect": "Allow",
        "Action": ["dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"],
        "Resource": tables,
    }
    iam = spot.client("iam")
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy(trust))
    iam.put_role_policy(RoleName=name, PolicyName="write", PolicyDocument=policy(allow))


def _as_writer(spot: Spot, role: str) -> Table:
    """The place's table, with the credentials of its account's writers."""
    arn = f"arn:aws:iam::{spot.account}:role/{role}"
    made = spot.client("sts").assume_role(RoleArn=arn, RoleSessionName="writers")["Credentials"]
    resource = spot.session.resource(
        "dynamodb",
        aws_access_key_id=made["AccessKeyId"],
        aws_secret_access_key=made["SecretAccessKey"],
        aws_session_token=made["SessionToken"],
    )
    return resource.Table(spot.name)


def write_settings(folder: Path, scene: Scene, transform: str | None, *, rekeys: bool) -> None:
    """Write the ``migration.toml`` that a user would write."""
    source, target = scene.source, scene.target
    fence = [sys.executable, "-m", "replicator.demo.fence", scene.role, source.arn, target.arn, "{side}"]
    through = ""
    if transform:  # nobody says how to undo it, so there is no way back
        through = f"transform = {json.dumps(transform)}\nrekeys = {str(rekeys).lower()}\n"
    text = (
        'name = "demo"\n\n'
        f"[source]\n{_side(source)}\n[target]\n{_side(target)}\n"
        f'[[tables]]\nsource = "{source.name}"\ntarget = "{target.name}"\n{through}\n'
        # Short times, allowed under an emulator: its backups are exact and its fence is at once.
        f'[replication]\noverlap = "1s"\ngroups = 4\n\n[verification]\nsettle = "{_SETTLE_SECONDS}s"\n\n'
        "[gate]\nemulator = true\nchurning = true\n\n"
        f'[cutover]\npointer = "ssm:{scene.pointer}"\nquiet = "1s"\nstream_lag = "1s"\n'
        f"fence = {json.dumps('command:' + shlex.join(fence))}\n"
    )
    (folder / "migration.toml").write_text(text, encoding="utf-8")


def _side(spot: Spot) -> str:
    profile = f'profile = "{spot.profile}"\n' if spot.profile else ""
    return f'region = "{spot.region}"\n{profile}'


def _read_pointer(ssm: SSMClient, name: str) -> str | None:
    try:
        value: str = ssm.get_parameter(Name=name)["Parameter"]["Value"]
    # By its code: each of the writers' threads may build `ssm.exceptions` anew (botocore does so
    # without a lock), and the class in an `except` is then not the one that is raised.
    except ClientError as error:
        if error.response["Error"]["Code"] == "ParameterNotFound":
            return None
        raise
    return value


def policy(*statements: dict[str, Any]) -> str:
    """A policy document."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
