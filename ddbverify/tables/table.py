"""
Tables as DynamoDB describes them, and whether two of them can be a pair.

`describe` is the thin edge to boto3; the rest is pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import botocore.exceptions

from ddbverify.config import Config, Side
from ddbverify.config import Pair as PairSettings
from ddbverify.errors import ConfigurationError, EngineError, NotFoundError
from ddbverify.names import KeySchema, region_of, table_name
from ddbverify.tables import aws
from ddbverify.tables.references import require_named, require_stream_of

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# The states in which a table answers reads.
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TableDescription.html
_READABLE = {"ACTIVE", "UPDATING"}

# While TTL is being switched on or off, deletes by TTL can happen already, or still.
_EXPIRING = {"ENABLED", "ENABLING", "DISABLING"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table at the moment it was described. Sizes and counts are hours old (docs/aws.md T18)."""

    arn: str
    name: str
    reference: str  # what requests have to call it: the name, or the ARN in another account
    region: str
    account: str
    id: str
    created_epoch: float
    status: str
    key_schema: KeySchema  # ordered, the hash key first
    ttl_attribute: str | None
    item_count: int
    size_bytes: int
    billing_mode: str
    indexes: frozenset[str]  # names, global and local
    stream_arn: str | None
    stream_view: str | None  # such as NEW_IMAGE; None without a stream
    raw: Mapping[str, Any] = field(repr=False)  # as it came over the wire: also what botocore does not know

    @property
    def identity(self) -> tuple[str, str, float]:
        """What no other table shares with it, one of the same name made later included."""
        return self.arn, self.id, self.created_epoch


def describe(side: Side, name_or_arn: str) -> Table:
    """
    Ask DynamoDB what a table is. It costs no read units.

    Args:
        side: How to reach its account; an ARN's region wins over ``side.region``.
        name_or_arn: As the configuration names it.

    Raises:
        NotFoundError: No such table.
        ConfigurationError: DynamoDB answers with another table than the one that the ARN names.
        AccessError: Credentials are missing, or lack DescribeTable or DescribeTimeToLive.
        EngineError: AWS refused otherwise.
    """
    name = table_name(name_or_arn)
    client = aws.client(side, "dynamodb", region=region_of(name_or_arn))
    reference, answer = name, _answer(client, name, name_or_arn)
    # Emulators do not take an ARN as a name, so the ARN is used only where the name is not enough.
    if name_or_arn != name and (answer is None or answer["Table"].get("TableArn") != name_or_arn):
        reference, answer = name_or_arn, _answer(client, name_or_arn, name_or_arn)
    if answer is None:
        raise NotFoundError(
            f"There is no table {name} in {client.meta.region_name}.",
            "check the name and the region, and which account the credentials are of.",
        )
    description = answer["Table"]
    require_named(name_or_arn, description.get("TableArn"), place="table")
    require_stream_of(description.get("LatestStreamArn"), description["TableArn"], place="the stream of")
    with aws.translated(f"read the time-to-live setting of the table {name}"):
        ttl = client.describe_time_to_live(TableName=reference).get("TimeToLiveDescription", {})
    return table_from(description, ttl, reference, as_it_came=_as_it_came(answer, name))


def table_from(
    description: Mapping[str, Any],
    ttl: Mapping[str, Any],
    reference: str,
    *,
    as_it_came: Mapping[str, Any] | None = None,
) -> Table:
    """
    A `Table` from the answers of DescribeTable (``Table``) and DescribeTimeToLive.

    Args:
        description: What stands under ``Table``.
        ttl: What stands under ``TimeToLiveDescription``; may be empty.
        reference: What requests have to call the table.
        as_it_came: What stands under ``Table`` over the wire, with what botocore does not know.
    """
    types = {one["AttributeName"]: one["AttributeType"] for one in description["AttributeDefinitions"]}
    in_order = sorted(description["KeySchema"], key=lambda one: str(one["KeyType"]))  # HASH before RANGE
    arn = str(description["TableArn"])
    stream = description.get("StreamSpecification") or {}
    enabled = bool(stream.get("StreamEnabled"))
    indexes = [
        index["IndexName"]
        for kind in ("GlobalSecondaryIndexes", "LocalSecondaryIndexes")
        for index in description.get(kind) or ()
    ]
    return Table(
        arn=arn,
        name=str(description["TableName"]),
        reference=reference,
        region=arn.split(":")[3],
        account=arn.split(":")[4],
        id=str(description.get("TableId", "")),
        created_epoch=description["CreationDateTime"].timestamp(),
        status=str(description["TableStatus"]),
        key_schema={one["AttributeName"]: types[one["AttributeName"]] for one in in_order},
        ttl_attribute=ttl.get("AttributeName") if ttl.get("TimeToLiveStatus") in _EXPIRING else None,
        item_count=int(description.get("ItemCount") or 0),
        size_bytes=int(description.get("TableSizeBytes") or 0),
        billing_mode=str((description.get("BillingModeSummary") or {}).get("BillingMode", "PROVISIONED")),
        indexes=frozenset(indexes),
        stream_arn=description.get("LatestStreamArn") if enabled else None,
        stream_view=stream.get("StreamViewType") if enabled else None,
        raw=description if as_it_came is None else as_it_came,
    )


def server_time(side: Side, name_or_arn: str) -> float:
    """
    DynamoDB's own clock, in seconds since the epoch, to the second (rounded down).

    This machine's clock may be off by minutes, or may have been set back.

    Raises:
        EngineError: There is no answer.
    """
    name = table_name(name_or_arn)
    client = aws.client(side, "dynamodb", region=region_of(name_or_arn))
    with aws.translated("ask DynamoDB for the time"):
        answer: Mapping[str, Any]
        try:
            answer = client.describe_table(TableName=name)
        except botocore.exceptions.ClientError as error:
            answer = error.response  # a refusal is dated, too, and whoever describes the table reports it
    try:
        date = answer["ResponseMetadata"]["HTTPHeaders"]["date"]
        return parsedate_to_datetime(date).timestamp()
    except (KeyError, ValueError) as error:
        raise EngineError(
            "DynamoDB's answer does not say what time it is.", "look at `endpoint_url`: is it DynamoDB?"
        ) from error


def describe_pair(config: Config, pair: PairSettings) -> tuple[Table, Table]:
    """
    Source and target of one pair, found to be comparable.

    Raises:
        ConfigurationError: See `require_comparable`.
        EngineError: See `describe`.
    """
    source, target = describe(config.source, pair.source), describe(config.target, pair.target)
    require_comparable(pair, source, target)
    return source, target


def require_comparable(pair: PairSettings, source: Table, target: Table) -> None:
    """
    Refuse two tables that cannot be what the pair says they are.

    Raises:
        ConfigurationError: They are one table, one cannot be read now, or the key schemas do
            not fit: the same without a transform, the same types in the same order with one,
            anything with ``rekeys = true``.
    """
    place = str(pair)
    if source.arn == target.arn and (not source.id or source.id == target.id):
        raise ConfigurationError(
            f"{place}: source and target are the same table, {source.arn}.",
            "give the pair another target.",
        )
    for role, table in (("source", source), ("target", target)):
        if table.status not in _READABLE:
            raise ConfigurationError(
                f"{place}: the {role} {table.name} is {table.status}.", "wait until it is ACTIVE."
            )
    ours, theirs = list(source.key_schema.items()), list(target.key_schema.items())
    if pair.transform is None and ours != theirs:
        raise ConfigurationError(
            f"{place}: the keys differ: {_in_words(ours)} in the source, {_in_words(theirs)} in the target.",
            "name another target, or set `transform` to the function that makes one from the other.",
        )
    if not pair.rekeys and [kind for _, kind in ours] != [kind for _, kind in theirs]:
        raise ConfigurationError(
            f"{place}: key types differ: {_in_words(ours)} in the source, {_in_words(theirs)} in the target.",
            "set `rekeys = true` if the transform changes keys, or name another target.",
        )


def _answer(client: DynamoDBClient, reference: str, shown: str) -> Mapping[str, Any] | None:
    try:
        with aws.translated(f"describe the table {table_name(shown)}"):
            answer: Mapping[str, Any] = client.describe_table(TableName=reference)
    except NotFoundError:
        return None
    if "Table" not in answer:
        raise EngineError(
            f"Could not describe the table {table_name(shown)}: the response is not DynamoDB's.",
            "check endpoint_url and proxies, then run the command again.",
        )
    return answer


def _as_it_came(answer: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    try:
        table: Mapping[str, Any] = json.loads(answer["ResponseMetadata"][aws.AS_IT_CAME])["Table"]
    except (KeyError, TypeError, ValueError) as error:
        # Without it, a setting that botocore does not know would be seen by nobody.
        raise EngineError(
            f"DynamoDB's description of the table {name} cannot be read as it came ({type(error).__name__}).",
            "look for a proxy that alters responses, and check endpoint_url.",
        ) from error
    return table


def _in_words(keys: list[tuple[str, str]]) -> str:
    return ", ".join(f"{name} ({kind})" for name, kind in keys)
