"""What the story is played on: two tables, roles that write, a pointer, and the migration's settings."""

from __future__ import annotations

import functools
import json
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError

from replicator.demo.own_run import PATH, TAG
from replicator.demo.scene import Scene, Spot
from replicator.demo.shapes import Item, Schema
from replicator.demo.traffic import Application, Journal

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.literals import ScalarAttributeTypeType
    from mypy_boto3_dynamodb.service_resource import Table
    from mypy_boto3_ssm import SSMClient

_IAM_SECONDS = 120.0


def create_table(spot: Spot, schema: Schema, tags: list[Any] | None = None) -> None:
    """Make its table, empty, with this key, and wait until it is there."""
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
        Tags=tags or [],
    )
    spot.dynamodb.get_waiter("table_exists").wait(TableName=spot.name)


def tag_target(scene: Scene) -> bool:
    """Give a restored table the run's tag, and say whether it had any: a restore takes none over (T15)."""
    client = scene.target.dynamodb
    arn = client.describe_table(TableName=scene.target.name)["Table"]["TableArn"]
    had = bool(client.list_tags_of_resource(ResourceArn=arn).get("Tags"))
    if scene.tags:
        client.tag_resource(ResourceArn=arn, Tags=scene.tags)
    return had


def tables_left(scene: Scene) -> list[str]:
    """Names of the demonstration's tables that are there, those of its stacks included."""
    names = {
        name
        for spot in (scene.source, scene.target)
        for page in spot.dynamodb.get_paginator("list_tables").paginate()
        for name in page["TableNames"]
    }
    if scene.run is None:
        return sorted(names)  # nobody else has any there
    ours = (scene.source.name, scene.target.name)
    return sorted(one for one in names if one in ours or one.startswith(scene.run.stacks))


def make_pointer(scene: Scene) -> None:
    """Make the parameter beforehand, where it is to have a tag; it points at the source."""
    if scene.tags:
        scene.source.client("ssm").put_parameter(
            Name=scene.pointer, Value=scene.source.arn, Type="String", Tags=scene.tags
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
        _make_role(spot, scene, [one.arn for one in spots if one.account == account])
    source, target = _as_writers(scene)
    return Application(
        source=source,
        target=target,
        pointer=functools.partial(_read_pointer, scene.source.client("ssm"), scene.pointer),
        flipped_value=scene.target.arn,
        schema=schema,
        target_schema=target_schema,
        transform=transform,
        journal=journal,
        renew=functools.partial(_as_writers, scene),
    )


def _make_role(spot: Spot, scene: Scene, tables: list[str]) -> None:
    """The role of the writers in an account, for the tables that are there."""
    trust = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:{spot.partition}:iam::{spot.account}:root"},
        "Action": "sts:AssumeRole",
    }
    allow = {
        "Effect": "Allow",
        "Action": ["dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"],
        "Resource": tables,
    }
    iam = spot.client("iam")
    path = PATH if scene.run else "/"
    iam.create_role(RoleName=scene.role, Path=path, AssumeRolePolicyDocument=policy(trust), Tags=scene.tags)
    iam.put_role_policy(RoleName=scene.role, PolicyName="write", PolicyDocument=policy(allow))


def _as_writers(scene: Scene) -> tuple[Table, Table]:
    return _as_writer(scene.source, scene), _as_writer(scene.target, scene)


def _as_writer(spot: Spot, scene: Scene) -> Table:
    """The place's table, with the credentials of its account's writers."""
    path = PATH if scene.run else "/"
    arn = f"arn:{spot.partition}:iam::{spot.account}:role{path}{scene.role}"
    made = _assumed(spot, arn)
    resource = spot.session.resource(
        "dynamodb",
        aws_access_key_id=made["AccessKeyId"],
        aws_secret_access_key=made["SecretAccessKey"],
        aws_session_token=made["SessionToken"],
    )
    return resource.Table(spot.name)


def _assumed(spot: Spot, arn: str) -> Any:
    """Keys of a role, which IAM may know only some seconds after it was made."""
    deadline = time.monotonic() + _IAM_SECONDS
    while True:
        try:
            return spot.client("sts").assume_role(RoleArn=arn, RoleSessionName="writers")["Credentials"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "AccessDenied" or time.monotonic() > deadline:
                raise
            time.sleep(2.0)


def write_settings(folder: Path, scene: Scene, transform: str | None, *, rekeys: bool) -> None:
    """Write the ``migration.toml`` that a user would write."""
    source, target = scene.source, scene.target
    times = _EMULATED if scene.emulated else _REAL
    dashboard = "dashboard = false\n" if scene.run else ""  # it would cost more than all else
    through = ""
    if transform:  # nobody says how to undo it, so there is no way back
        through = f"transform = {json.dumps(transform)}\nrekeys = {str(rekeys).lower()}\n"
    text = (
        f'name = "{scene.migration}"\n\n'
        f"[source]\n{_side(source)}\n[target]\n{_side(target)}\n"
        f'[[tables]]\nsource = "{source.name}"\ntarget = "{target.name}"\n{through}\n'
        f"{_of_run(scene)}{times.format(dashboard)}"
        f'[cutover]\npointer = "ssm:{scene.pointer}"\n{_fence(scene) if scene.emulated else ""}'
    )
    (folder / "migration.toml").write_text(text, encoding="utf-8")


# Short times, allowed under an emulator: its backups are exact and its fence is at once.
_EMULATED = (
    '[replication]\noverlap = "1s"\ngroups = 4\n{}\n[verification]\nsettle = "2s"\n\n'
    "[gate]\nemulator = true\nchurning = true\n\n"
)
_REAL = (
    '[replication]\noverlap = "60s"\ngroups = 4\n{}\n[verification]\nsettle = "10s"\n\n'
    "[gate]\nchurning = true\n\n"
)


def _of_run(scene: Scene) -> str:
    """What the stacks have in a user's account: the run's tag, and no more at once than it needs."""
    if scene.run is None:
        return ""
    return f'[stack]\nconcurrency = 2\nlog_retention = 1\n\n[stack.tags]\n{TAG} = "{scene.run.id}"\n\n'


def _fence(scene: Scene) -> str:
    """A command, since an emulator holds nobody to the policies of tables."""
    words = [sys.executable, "-m", "replicator.demo.fence"]
    words += [scene.role, scene.source.arn, scene.target.arn, "{side}"]
    return f'quiet = "1s"\nstream_lag = "1s"\nfence = {json.dumps("command:" + shlex.join(words))}\n'


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
