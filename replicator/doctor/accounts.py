"""The edge to what belongs to an account and its region: quotas, and keys of tables. Nothing is changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from replicator.context.context import Context
from replicator.context.tables import TableFacts
from replicator.doctor import keys, quotas
from replicator.doctor.examination import Examined
from replicator.doctor.findings import Finding
from replicator.doctor.keys import Key
from replicator.doctor.looking import Known, look
from replicator.doctor.quotas import Count, Functions
from replicator.stack import dashboard

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_lambda import LambdaClient

    from ddbverify.tables.services import ClientOf

_CONSUMERS = 32
"""At once, of a pair: what the template `apply` says; more than there are groups never work."""

_ROLES_OF_A_PAIR, _STACKS_OF_A_PAIR = 2, 2  # at the source: forwarder and consumer; capture and apply


def examine(context: Context, examined: Examined, *, bundle_bytes: int | None) -> Iterator[Finding]:
    """
    Look at the quotas that the stacks meet, and at the keys of the tables.

    Args:
        bundle_bytes: Size of the code of one function; ``None`` where it could not be built.
    """
    pairs, config = len(context.config.tables), context.config
    source, target = _place(context, "source"), _place(context, "target")
    functions = look("read Lambda's limits", lambda: _functions(context.source_client("lambda")))
    consumers = min(_CONSUMERS, config.replicated.groups)
    shards = _shards(context, examined)
    yield from quotas.concurrency(source, functions, pairs=pairs, shards=shards, consumers=consumers)
    if bundle_bytes is not None:
        yield from quotas.code(source, functions, functions=2 * pairs, bundle_bytes=bundle_bytes)
    stacks = look("count the stacks", lambda: _stacks(context.source_client("cloudformation")))
    apart = source != target
    boards = len(dashboard.chunks(config.tables)) if config.replicated.dashboard else 0
    wanted = 1 + boards + pairs * (_STACKS_OF_A_PAIR + (0 if apart else 1))
    yield from quotas.room("stack-quota", source, stacks, wanted=wanted, noun="stack")
    if apart:
        there = look("count the stacks", lambda: _stacks(context.target_client("cloudformation")))
        yield from quotas.room("stack-quota", target, there, wanted=pairs, noun="stack")
    roles = look("count the roles", lambda: _roles(context.source_client("iam")))
    account, theirs = source.partition("/")[0], target.partition("/")[0]
    yield from quotas.room("role-quota", account, roles, wanted=pairs * _ROLES_OF_A_PAIR, noun="role")
    if account != theirs:  # the writers'
        roles = look("count the roles", lambda: _roles(context.target_client("iam")))
        yield from quotas.room("role-quota", theirs, roles, wanted=pairs, noun="role")
    for role, tables, client_of in (
        ("source", examined.sources, context.source_client),
        ("target", examined.targets, context.target_client),
    ):
        for table in tables.values():
            yield from _key(table, role, client_of)


def _place(context: Context, side: str) -> str:
    identity = context.source_identity if side == "source" else context.target_identity
    client = context.source if side == "source" else context.target
    return f"{identity.split(':')[4]}/{client.meta.region_name}"


def _functions(client: LambdaClient) -> Functions:
    answer = client.get_account_settings()
    limit, usage = answer["AccountLimit"], answer["AccountUsage"]
    return Functions(
        concurrent=limit["ConcurrentExecutions"],
        unreserved=limit["UnreservedConcurrentExecutions"],
        code_bytes=usage["TotalCodeSize"],
        code_limit_bytes=limit["TotalCodeSize"],
    )


def _shards(context: Context, examined: Examined) -> int | None:
    """Open shards of all streams that are on; ``None`` where one is off, or may not be described."""
    total = 0
    for source in examined.sources.values():
        found = look(f"describe the stream of {source.name}", lambda: _open_shards(context, source))  # noqa: B023
        if source.stream_arn is None or not isinstance(found, Known):
            return None
        total += found.value
    return total or None


def _open_shards(context: Context, source: TableFacts) -> int:
    if source.stream_arn is None:
        return 0
    client, begin, number = context.source_client("dynamodbstreams"), dict[str, Any](), 0
    while True:
        page = client.describe_stream(StreamArn=source.stream_arn, **begin)["StreamDescription"]
        shards = page.get("Shards") or ()
        number += sum("EndingSequenceNumber" not in one.get("SequenceNumberRange", {}) for one in shards)
        if not (last := page.get("LastEvaluatedShardId")):
            return number
        begin = {"ExclusiveStartShardId": last}


def _stacks(client: CloudFormationClient) -> Count:
    limits = [
        one
        for page in client.get_paginator("describe_account_limits").paginate()
        for one in page["AccountLimits"]
    ]
    most = next(one["Value"] for one in limits if one["Name"] == "StackLimit")
    pages = client.get_paginator("list_stacks").paginate()
    summaries = [one for page in pages for one in page["StackSummaries"]]
    return Count(sum(one["StackStatus"] != "DELETE_COMPLETE" for one in summaries), most)


def _roles(client: IAMClient) -> Count:
    found = client.get_account_summary()["SummaryMap"]
    return Count(found["Roles"], found["RolesQuota"])


def _key(table: TableFacts, role: str, client_of: ClientOf) -> Iterator[Finding]:
    described = table.description.get("SSEDescription") or {}
    named = described.get("KMSMasterKeyArn") if described.get("SSEType") == "KMS" else None

    def ask() -> Key | None:
        return None if named is None else _read(client_of("kms"), str(named))

    looked = look(f"look at the key of {table.name}", ask)
    yield from keys.encryption(table.name, role, looked, region=table.region)


def _read(client: KMSClient, arn: str) -> Key:
    found = client.describe_key(KeyId=arn)["KeyMetadata"]
    manager = found.get("KeyManager", "CUSTOMER")
    policy: dict[str, Any] = {}
    if manager != "AWS":
        policy = json.loads(client.get_key_policy(KeyId=arn, PolicyName="default")["Policy"])
    return Key(str(found.get("Arn", arn)), str(manager), str(found.get("KeyState")), policy)
