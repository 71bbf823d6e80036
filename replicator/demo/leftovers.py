"""
What a run has made in an account: found by listing, held against its tag, and removed.

Nothing is remembered for it on this machine, so a second run finds what a killed one has left. What has a
name as a run gives it, and not the run's tag, is told and left alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import boto3
from botocore.exceptions import ClientError

from ddbverify.errors import DdbVerifyError
from ddbverify.tables.aws import error_code, is_emulator, translated
from replicator.demo.own_run import LEASE, PATH, TAG, Run, of_id, of_table
from replicator.stack import stacks, storage

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_dynamodb import DynamoDBClient

_ROUNDS: Final = 4
"""A command that outlives a killed demonstration may make one thing more, until its state table is gone."""

_PATIENCE_SECONDS: Final = 3600.0
"""For a table that is being restored, or a backup that is being taken: neither can be deleted until then."""

_GONE: Final = (
    "BackupNotFoundException",
    "InvalidResourceId",
    "NoSuchEntity",
    "NoSuchEntityException",
    "ParameterNotFound",
    "ResourceNotFoundException",
    "TableNotFoundException",
)

T = TypeVar("T")

_BUSY: Final = ("ResourceInUseException", "BackupInUseException", "LimitExceededException")


@dataclass(frozen=True, slots=True)
class Thing:
    """Something that a run has made: what it is, in words, and how it is removed."""

    what: str
    remove: Callable[[], Any]


@dataclass(slots=True)
class Found:
    """
    What is there of a run.

    Args:
        things: In the order in which they are to be removed.
        strangers: What has such a name and not the run's tag.
    """

    things: list[Thing] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)


def runs(session: boto3.Session) -> list[Run]:
    """
    Every run of which anything is there, by the tags that are found.

    Raises:
        EngineError: Something could not be listed: what is not seen would not be removed.
    """
    found: dict[Run, None] = {}

    def note(run: Run | None) -> None:
        if run is not None:
            found[run] = None

    with translated("list what demonstrations have left"):
        for name in _parameters(session, PATH):
            note(of_id(_tag(_seen(_tags_of_parameter, session, name) or [])))
        for stack in _stacks(session.client("cloudformation")):
            note(of_id(_tag(stack.get("Tags", []))))
        dynamodb = session.client("dynamodb")
        for name in _tables(dynamodb):
            run = of_table(name)
            if run is not None and run.owns(_seen(_tags_of_table, dynamodb, name) or []):
                note(run)
        for role in _roles(session):
            note(of_id(_tag(_seen(_tags_of_role, session, role) or [])))
    return list(found)


def look(session: boto3.Session, run: Run) -> Found:
    """
    Everything that is there of a run, but its lease.

    Raises:
        EngineError: Something could not be listed.
    """
    found = Found()
    with translated(f"list what the demonstration {run.id} has made"):
        for thing, is_ours in _of(session, run):
            if is_ours:
                found.things.append(thing)
            else:
                found.strangers.append(thing.what)
    return found


def remove(session: boto3.Session, run: Run, tell: Callable[[str], None]) -> list[str]:
    """
    Remove everything of a run, its lease last.

    Returns:
        What is still there, in words, and why; empty where nothing is.
    """
    left: list[str] = []
    for _ in range(_ROUNDS):
        try:
            found = look(session, run)
        except DdbVerifyError as error:
            return [f"not known: {error.message}"]
        left = [f"{one}, which has not the tag {TAG} = {run.id}: not touched" for one in found.strangers]
        if not found.things:
            break
        for thing in found.things:
            try:
                with translated(f"remove {thing.what}"):
                    _seen(thing.remove)
            except DdbVerifyError as error:
                left.append(f"{thing.what}: {error.message}")
            else:
                tell(f"removed: {thing.what}")
    if not left:
        with translated(f"remove the parameter {LEASE}"):
            _remove_lease(session, run)
    return left


def _of(session: boto3.Session, run: Run) -> Iterator[tuple[Thing, bool]]:
    """Each thing, and whether it has the run's tag; the stack with the state goes after all other stacks."""
    cloudformation = session.client("cloudformation")
    ours = [one for one in _stacks(cloudformation) if one["StackName"].startswith(run.stacks)]
    # The base stacks (of each direction one) know what was made; a command that still runs ends with them.
    for stack in sorted(ours, key=lambda one: one["StackName"].endswith("-base")):
        name = stack["StackName"]
        thing = Thing(f"the stack {name}", partial(_delete_stack, session, name))
        yield thing, run.owns(stack.get("Tags", []))
    dynamodb = session.client("dynamodb")
    for name in _tables(dynamodb):
        if name in (run.source, run.target):
            thing = Thing(f"the table {name}", partial(_delete_table, dynamodb, name))
            yield from _if_there(thing, _seen(_is_table_of, dynamodb, run, name))
    for backup in _backups(dynamodb, run):
        # Its name is that of a table which only this run has had, and which may be gone by now.
        thing = Thing(f"a backup of {run.source}", partial(_delete_backup, dynamodb, backup))
        yield thing, True
    for name in _roles(session):
        if name == run.role:
            thing = Thing(f"the role {name}", partial(_delete_role, session, name))
            yield from _if_there(thing, _owned(run, _seen(_tags_of_role, session, name)))
    ssm = session.client("ssm")
    for name in _parameters(session, run.pointer):
        thing = Thing(f"the parameter {name}", partial(ssm.delete_parameter, Name=name))
        yield from _if_there(thing, _owned(run, _seen(_tags_of_parameter, session, name)))
    logs = session.client("logs")
    for page in logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=f"{run.logs}/"):
        for group in page["logGroups"]:  # of a stack, which is gone by now
            name, arn = group["logGroupName"], group["arn"].removesuffix(":*")
            thing = Thing(f"the log group {name}", partial(logs.delete_log_group, logGroupName=name))
            answer = _seen(logs.list_tags_for_resource, resourceArn=arn)
            yield from _if_there(thing, None if answer is None else answer["tags"].get(TAG) == run.id)


def _if_there(thing: Thing, is_ours: bool | None) -> Iterator[tuple[Thing, bool]]:
    """Nothing for what is gone since it was listed."""
    if is_ours is not None:
        yield thing, is_ours


def _owned(run: Run, tags: list[Any] | None) -> bool | None:
    return None if tags is None else run.owns(tags)


def _tables(dynamodb: DynamoDBClient) -> list[str]:
    pages = dynamodb.get_paginator("list_tables").paginate()
    return [name for page in pages for name in page["TableNames"]]


def _parameters(session: boto3.Session, beginning: str) -> list[str]:
    pages = (
        session.client("ssm")
        .get_paginator("describe_parameters")
        .paginate(ParameterFilters=[{"Key": "Name", "Option": "BeginsWith", "Values": [beginning]}])
    )
    return [one["Name"] for page in pages for one in page["Parameters"]]


def _stacks(cloudformation: CloudFormationClient) -> Iterator[Any]:
    for page in cloudformation.get_paginator("describe_stacks").paginate():
        yield from (one for one in page["Stacks"] if one["StackStatus"] != "DELETE_COMPLETE")


def _delete_stack(session: boto3.Session, name: str) -> None:
    cloudformation, s3 = session.client("cloudformation"), session.client("s3")
    for page in cloudformation.get_paginator("list_stack_resources").paginate(StackName=name):
        for one in page["StackResourceSummaries"]:
            if one["ResourceType"] == "AWS::S3::Bucket" and one.get("PhysicalResourceId"):
                storage.empty(s3, one["PhysicalResourceId"])
    stacks.delete(cloudformation, name)


def _is_table_of(dynamodb: DynamoDBClient, run: Run, name: str) -> bool:
    """By its tag; or as a table that was restored from the run's own, which has none until it is there."""
    if run.owns(_tags_of_table(dynamodb, name)):
        return True
    if name != run.target:
        return False
    if is_emulator(dynamodb):
        return True  # it does not say what a table was restored from; the name is the run's own
    restored: Any = dynamodb.describe_table(TableName=name)["Table"].get("RestoreSummary") or {}
    return str(restored.get("SourceTableArn", "")).endswith(f":table/{run.source}")


def _tags_of_table(dynamodb: DynamoDBClient, name: str) -> list[Any]:
    arn = dynamodb.describe_table(TableName=name)["Table"]["TableArn"]
    return [dict(one) for one in dynamodb.list_tags_of_resource(ResourceArn=arn).get("Tags", [])]


def _delete_table(dynamodb: DynamoDBClient, name: str) -> None:
    _when_free(lambda: dynamodb.delete_table(TableName=name))
    dynamodb.get_waiter("table_not_exists").wait(TableName=name)


def _backups(dynamodb: DynamoDBClient, run: Run) -> list[str]:
    pages = dynamodb.get_paginator("list_backups").paginate(TableName=run.source)
    return [
        one["BackupArn"]
        for page in pages
        for one in page["BackupSummaries"]
        if one["BackupStatus"] != "DELETED"
    ]


def _delete_backup(dynamodb: DynamoDBClient, arn: str) -> None:
    _when_free(lambda: dynamodb.delete_backup(BackupArn=arn))


def _when_free(call: Callable[[], Any]) -> None:
    """Make a request again as long as what it is about is being made, or too much else is."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            call()
        except ClientError as error:
            if error_code(error) not in _BUSY or time.monotonic() > deadline:
                raise
            time.sleep(5.0)
        else:
            return


def _roles(session: boto3.Session) -> list[str]:
    pages = session.client("iam").get_paginator("list_roles").paginate(PathPrefix=PATH)
    return [one["RoleName"] for page in pages for one in page["Roles"]]


def _tags_of_role(session: boto3.Session, name: str) -> list[Any]:
    return [dict(one) for one in session.client("iam").list_role_tags(RoleName=name)["Tags"]]


def _delete_role(session: boto3.Session, name: str) -> None:
    iam = session.client("iam")
    for one in iam.list_role_policies(RoleName=name)["PolicyNames"]:
        iam.delete_role_policy(RoleName=name, PolicyName=one)
    iam.delete_role(RoleName=name)


def _tags_of_parameter(session: boto3.Session, name: str) -> list[Any]:
    ssm = session.client("ssm")
    return [
        dict(one) for one in ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=name)["TagList"]
    ]


def _remove_lease(session: boto3.Session, run: Run) -> None:
    if run.owns(_seen(_tags_of_parameter, session, LEASE) or []):  # else it is another run's, or gone
        _seen(session.client("ssm").delete_parameter, Name=LEASE)


def _seen(call: Callable[..., T], *arguments: Any, **named: Any) -> T | None:
    """
    What a call answers; ``None`` where what it is about is gone.

    What was removed may be listed for some seconds more: IAM and SSM say so only once it is looked at.
    """
    try:
        return call(*arguments, **named)
    except ClientError as error:
        if error_code(error) not in _GONE:
            raise
        return None


def _tag(tags: list[Any]) -> str | None:
    return next((one["Value"] for one in tags if one["Key"] == TAG), None)
