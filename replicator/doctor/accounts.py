"""The edge to what belongs to an account and its region: quotas, and keys of tables. Nothing is changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
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
from replicator.stack.settings import role_resources

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_lambda import LambdaClient

    from ddbverify.tables.services import ClientOf

_CONSUMERS = 32
"""At once, of a pair: what the template `apply` says; more than there are groups never work."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """How many stacks and roles are to be made on each side; those of the writers across accounts only."""

    source_stacks: int
    target_stacks: int
    source_roles: int
    target_roles: int
    source_writers: int
    target_writers: int

    @classmethod
    def of(cls, pairs: int, dashboards: int, *, way_back: bool, worker: bool = False) -> Wanted:
        """
        Of one direction: base, dashboards, and two stacks and roles a pair beside the table it follows.

        Args:
            worker: There are queues only, which want one stack and no role.
        """
        back = int(way_back)
        if worker:
            lead = 1 + pairs
            return cls(lead + back * pairs, pairs + back * lead, 0, 0, 0, 0)
        lead = 1 + dashboards + 2 * pairs
        return cls(
            source_stacks=lead + back * pairs,
            target_stacks=pairs + back * lead,
            source_roles=2 * pairs,
            target_roles=back * 2 * pairs,
            source_writers=back * pairs,
            target_writers=pairs,
        )


def examine(
    context: Context, examined: Examined, *, bundle_bytes: int | None, way_back: bool
) -> Iterator[Finding]:
    """
    Look at the quotas that the stacks meet, and at the keys of the tables.

    Args:
        bundle_bytes: Size of the code of one function; ``None`` where it could not be built.
        way_back: Whether there will be one: a migration of its own, in which the sides change places.
    """
    pairs, config = len(context.config.tables), context.config
    source, target = _place(context, "source"), _place(context, "target")
    worker = config.replicated.worker
    if not worker:
        functions = look("read Lambda's limits", lambda: _functions(context.source_client("lambda")))
        consumers = min(_CONSUMERS, config.replicated.groups)
        shards = _shards(context, examined)
        yield from quotas.concurrency(source, functions, pairs=pairs, shards=shards, consumers=consumers)
        if bundle_bytes is not None:
            yield from quotas.code(source, functions, functions=2 * pairs, bundle_bytes=bundle_bytes)
    boards = len(dashboard.chunks(config.tables)) if config.replicated.dashboard else 0
    yield from _rooms(context, source, target, Wanted.of(pairs, boards, way_back=way_back, worker=worker))
    for role, tables, client_of in (
        ("source", examined.sources, context.source_client),
        ("target", examined.targets, context.target_client),
    ):
        for table in tables.values():
            yield from _key(table, role, client_of, role_resources(config))


def _rooms(context: Context, source: str, target: str, wanted: Wanted) -> Iterator[Finding]:
    """Whether the accounts take what is to be made; two sides in one place share its quota."""
    of_source, of_target = wanted.source_stacks, wanted.target_stacks
    if source == target:
        of_source, of_target = of_source + of_target, 0
    for place, number, client in (
        (source, of_source, context.source_client),
        (target, of_target, context.target_client),
    ):
        if number:
            there = look("count the stacks", partial(_count_stacks, client))
            yield from quotas.room("stack-quota", place, there, wanted=number, noun="stack")
    account, theirs = source.partition("/")[0], target.partition("/")[0]
    here, over = wanted.source_roles, wanted.target_roles
    if account == theirs:
        here, over = here + over, 0
    else:
        here, over = here + wanted.source_writers, over + wanted.target_writers
    for place, number, client in (
        (account, here, context.source_client),
        (theirs, over, context.target_client),
    ):
        if number:
            roles = look("count the roles", partial(_count_roles, client))
            yield from quotas.room("role-quota", place, roles, wanted=number, noun="role")


def _count_stacks(client_of: ClientOf) -> Count:
    return _stacks(client_of("cloudformation"))


def _count_roles(client_of: ClientOf) -> Count:
    return _roles(client_of("iam"))


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


def _key(table: TableFacts, role: str, client_of: ClientOf, ours: str = keys.OURS) -> Iterator[Finding]:
    described = table.description.get("SSEDescription") or {}
    named = described.get("KMSMasterKeyArn") if described.get("SSEType") == "KMS" else None

    def ask() -> Key | None:
        return None if named is None else _read(client_of("kms"), str(named))

    looked = look(f"look at the key of {table.name}", ask)
    yield from keys.encryption(table.name, role, looked, region=table.region, ours=ours)


def _read(client: KMSClient, arn: str) -> Key:
    found = client.describe_key(KeyId=arn)["KeyMetadata"]
    manager = found.get("KeyManager", "CUSTOMER")
    policy: dict[str, Any] = {}
    if manager != "AWS":
        policy = json.loads(client.get_key_policy(KeyId=arn, PolicyName="default")["Policy"])
    return Key(str(found.get("Arn", arn)), str(manager), str(found.get("KeyState")), policy)
