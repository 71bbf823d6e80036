"""
How a table is set up, as ``Setting -> value``: what `ddbverify.tables.parity` compares.

`read` is the thin edge to AWS. What DescribeTable and DescribeTimeToLive have said already costs
nothing more; the rest is one call each, and two for every scalable resource of a provisioned table.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ddbverify.config import Side
from ddbverify.errors import AccessError, EngineError, NotFoundError
from ddbverify.names import FENCE_SIDS
from ddbverify.setting_names import Kind, Pattern, Setting, pattern
from ddbverify.tables import aws
from ddbverify.tables.indexes import indexes_of, keys_in_words, shown, types_of
from ddbverify.tables.table import Table
from ddbverify.tables.unknown import unknown_settings

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_ON: Final = "on"
_RESOURCES_AT_ONCE: Final = 50  # of DescribeScalableTargets
_USUAL_METRICS: Final = tuple(
    {"PredefinedMetricType": f"DynamoDB{rate}CapacityUtilization"} for rate in ("Read", "Write")
)
_AUTOSCALED: Final = {"ReadCapacityUnits": "read", "WriteCapacityUnits": "write"}


@dataclass(frozen=True, slots=True)
class TableSettings:
    """
    The settings of one table. What is not set has no entry.

    Values are words for people, and equal exactly when the settings are; `HIDDEN` ones are digests.
    """

    values: Mapping[Setting, str]
    unread: Mapping[Pattern, str]  # what was not read -> why, in words
    documents: Mapping[Setting, str] = field(default_factory=dict, repr=False)
    """What this version does not know, as JSON. Its values are shown to nobody."""


HIDDEN: Final = tuple(map(pattern, ("tags.*", "policy", "unknown.*")))
"""Settings whose values nobody is shown: they may hold names of people and accounts."""


def read(side: Side, table: Table) -> TableSettings:
    """
    Ask for everything about a table that DescribeTable does not say.

    What AWS refuses to show stands in `TableSettings.unread`, with the permission that it takes. An
    emulator that knows no such operation has no such setting either; its evidence is marked as such.
    """
    client = aws.client(side, "dynamodb", region=table.region)
    values = described(table)
    unread: dict[Pattern, str] = {}
    calls: dict[str, tuple[str, Callable[[], Mapping[Setting, str]]]] = {
        "pitr": ("dynamodb:DescribeContinuousBackups", lambda: _backups(client, table)),
        "tags.*": ("dynamodb:ListTagsOfResource", lambda: _tags(client, table)),
        "policy": ("dynamodb:GetResourcePolicy", lambda: _policy(client, table)),
        "contributor_insights": ("dynamodb:DescribeContributorInsights", lambda: _insights(client, table)),
        "kinesis": ("dynamodb:DescribeKinesisStreamingDestination", lambda: _kinesis(client, table)),
    }
    if Setting.own("capacity.read") in values:  # the autoscaling of an on-demand table does nothing
        needed = "application-autoscaling:DescribeScalableTargets and DescribeScalingPolicies"
        calls["autoscaling.*"] = (needed, lambda: _autoscaling(side, table))
        if table.reference != table.name:  # autoscaling goes by name: that would be our own table's
            del calls["autoscaling.*"]
            unread[pattern("autoscaling.*")] = (
                f"{table.name} is in another account than these credentials, and autoscaling is not shown to "
                "other accounts"
            )
    for name, (permission, ask) in calls.items():
        try:
            with aws.translated(f"read the settings of the table {table.name} ({permission})"):
                values |= ask()
        except AccessError:
            unread[pattern(name)] = f"it takes the permission {permission} on {table.name}"
        except EngineError as error:
            if not _is_unknown_there(client, error):
                unread[pattern(name)] = error.message.rstrip(".")
    return TableSettings(values, unread, unknown_settings(table.raw))


def _is_unknown_there(client: DynamoDBClient, error: EngineError) -> bool:
    return aws.code_of(error) == "UnknownOperationException" and aws.is_emulator(client)


def described(table: Table) -> dict[Setting, str]:
    """What DescribeTable and DescribeTimeToLive say, unknown members of the answer included. Pure."""
    raw, provisioned = table.raw, table.billing_mode == "PROVISIONED"
    own = {
        "billing": "provisioned" if provisioned else "on demand",
        "table_class": (raw.get("TableClassSummary") or {}).get("TableClass", "STANDARD"),
        **_encryption(raw.get("SSEDescription") or {}),
        **{f"capacity.{rate}": value for rate, value in _capacity(raw, provisioned=provisioned).items()},
    }
    if raw.get("DeletionProtectionEnabled"):
        own["deletion_protection"] = _ON
    if table.stream_view is not None:
        own["stream"] = table.stream_view
    if table.ttl_attribute is not None:
        own["ttl"] = f"by the attribute {table.ttl_attribute}"
    replicas = sorted(str(one.get("RegionName")) for one in raw.get("Replicas") or ())
    if replicas:
        own["replicas"] = ", ".join(replicas)
    values = {Setting.own(name): value for name, value in own.items()}
    types = types_of(raw)
    for kind, index in indexes_of(raw):
        values |= _index(kind, index, types)
        if kind == "global":
            values |= {
                Setting(Kind.INDEX_CAPACITY, str(index["IndexName"]), rate): value
                for rate, value in _capacity(index, provisioned=provisioned).items()
            }
    return values | {setting: _digest(value) for setting, value in unknown_settings(raw).items()}


def _index(kind: str, index: Mapping[str, Any], types: Mapping[str, str]) -> dict[Setting, str]:
    projection = index.get("Projection") or {}
    extra = ", ".join(map(shown, sorted(projection.get("NonKeyAttributes") or ())))
    about = {
        "": kind,
        "keys": keys_in_words(index, types),
        "projection": f"{projection.get('ProjectionType', 'ALL')}{extra and f' of {extra}'}",
        # A local index has no state of its own: it is there with its table.
        "status": str(index.get("IndexStatus", "ACTIVE")),
    }
    return {Setting(Kind.INDEX, str(index["IndexName"]), field): value for field, value in about.items()}


def _capacity(raw: Mapping[str, Any], *, provisioned: bool) -> dict[str, str]:
    """Of a table or a global index: provisioned, or the ceiling on demand; and what it is warm for."""
    found: dict[str, str] = {}
    throughput = raw.get("ProvisionedThroughput") or {}
    ceiling = raw.get("OnDemandThroughput") or {}
    warm = raw.get("WarmThroughput") or {}
    for way, kind in (("read", "Read"), ("write", "Write")):
        if provisioned:
            found[way] = str(throughput.get(f"{kind}CapacityUnits", 0))
        most = ceiling.get(f"Max{kind}RequestUnits", -1)
        if most != -1:  # -1: no ceiling
            found[f"max_{way}"] = str(most)
        if warm.get(f"{kind}UnitsPerSecond"):
            found[f"warm_{way}"] = str(warm[f"{kind}UnitsPerSecond"])
    return found


def _encryption(description: Mapping[str, Any]) -> dict[str, str]:
    # Without a description the key is DynamoDB's own; AWS's managed key and a customer's look alike here.
    if description.get("Status") in (None, "DISABLED"):
        return {"encryption": "with a key that DynamoDB owns"}
    key = {"encryption.key": str(description["KMSMasterKeyArn"])} if "KMSMasterKeyArn" in description else {}
    return {"encryption": f"with {description.get('SSEType', 'KMS')}", **key}


def _backups(client: DynamoDBClient, table: Table) -> dict[Setting, str]:
    answer = client.describe_continuous_backups(TableName=table.reference)["ContinuousBackupsDescription"]
    recovery = answer.get("PointInTimeRecoveryDescription") or {}
    if recovery.get("PointInTimeRecoveryStatus") != "ENABLED":
        return {}
    days = recovery.get("RecoveryPeriodInDays")
    period = {} if days is None else {Setting.own("pitr.days"): str(days)}
    return {Setting.own("pitr"): _ON, **period}


def _tags(client: DynamoDBClient, table: Table) -> dict[Setting, str]:
    pages = client.get_paginator("list_tags_of_resource").paginate(ResourceArn=table.arn)
    tags = {str(tag["Key"]): tag["Value"] for page in pages for tag in page.get("Tags") or ()}
    # Tags of AWS's own, such as CloudFormation's, cannot be set by anybody else.
    settable = {key: value for key, value in tags.items() if not key.startswith("aws:")}
    return {Setting(Kind.TAG, key): _digest(value) for key, value in settable.items()}


def _policy(client: DynamoDBClient, table: Table) -> dict[Setting, str]:
    try:
        with aws.translated(f"read the resource policy of the table {table.name}"):
            text = client.get_resource_policy(ResourceArn=table.arn)["Policy"]
    except NotFoundError:
        return {}
    # What the policy says about this very table has to be said about the other one, too.
    policy = json.loads(text.replace(table.arn, "<this table>"))
    statements = _listed(policy.get("Statement", []))
    kept = [statement for statement in statements if statement.get("Sid") not in FENCE_SIDS]
    return {Setting.own("policy"): _digest(_in_order(kept))} if kept else {}


def _insights(client: DynamoDBClient, table: Table) -> dict[Setting, str]:
    status = client.describe_contributor_insights(TableName=table.reference).get("ContributorInsightsStatus")
    return {Setting.own("contributor_insights"): _ON} if status in ("ENABLED", "ENABLING") else {}


def _kinesis(client: DynamoDBClient, table: Table) -> dict[Setting, str]:
    answer = client.describe_kinesis_streaming_destination(TableName=table.reference)
    streams = sorted(
        str(one["StreamArn"])
        for one in answer.get("KinesisDataStreamDestinations") or ()
        if one.get("DestinationStatus") in ("ACTIVE", "ENABLING", "UPDATING")
    )
    return {Setting.own("kinesis"): ", ".join(streams)} if streams else {}


def _autoscaling(side: Side, table: Table) -> dict[Setting, str]:
    client = aws.client(side, "application-autoscaling", region=table.region)
    indexes = [str(index["IndexName"]) for kind, index in indexes_of(table.raw) if kind == "global"]
    resources = {f"table/{table.name}": ""} | {f"table/{table.name}/index/{name}": name for name in indexes}
    ranges = {
        (one["ResourceId"], one["ScalableDimension"]): _range(one)
        for names in _in_batches(list(resources))
        for page in client.get_paginator("describe_scalable_targets").paginate(
            ServiceNamespace="dynamodb", ResourceIds=names
        )
        for one in page["ScalableTargets"]
    }
    aims: dict[tuple[str, str], list[str]] = {}
    for resource in sorted({resource for resource, _ in ranges}):
        for page in client.get_paginator("describe_scaling_policies").paginate(
            ServiceNamespace="dynamodb", ResourceId=resource
        ):
            for one in page["ScalingPolicies"]:
                aims.setdefault((one["ResourceId"], one["ScalableDimension"]), []).append(_aim(one, table))
    return {
        _autoscaled(resources[resource], _AUTOSCALED[dimension.rpartition(":")[2]]): (
            bounds + " and".join(sorted(aims.get((resource, dimension), [])))
        )
        for (resource, dimension), bounds in ranges.items()
    }


def _autoscaled(index: str, rate: str) -> Setting:
    return Setting(Kind.INDEX_AUTOSCALING, index, rate) if index else Setting.own(f"autoscaling.{rate}")


def _range(target: Mapping[str, Any]) -> str:
    state = target.get("SuspendedState") or {}
    suspended = ", ".join(sorted(name.removesuffix("Suspended") for name, is_on in state.items() if is_on))
    return f"{target['MinCapacity']} to {target['MaxCapacity']}" + (
        f" (suspended: {suspended})" if suspended else ""
    )


def _aim(policy: Mapping[str, Any], table: Table) -> str:
    """A policy in words; what has none of its own is told by a digest, so that no two compare as equal."""
    aim = dict(policy.get("TargetTrackingScalingPolicyConfiguration") or {})
    shown = f" at {aim.pop('TargetValue'):g} %" if "TargetValue" in aim else f" by {policy.get('PolicyType')}"
    cooldowns = [
        f"{aim.pop(f'Scale{way}Cooldown')} s {way.lower()}"
        for way in ("Out", "In")
        if f"Scale{way}Cooldown" in aim
    ]
    if cooldowns:
        shown += f", cooling down for {' and '.join(cooldowns)}"
    if aim.pop("DisableScaleIn", False):
        shown += ", never scaling in"
    if aim.get("PredefinedMetricSpecification") in _USUAL_METRICS:
        del aim["PredefinedMetricSpecification"]
    rest = [aim] if aim else []
    rest += [
        policy[name]
        for name in ("StepScalingPolicyConfiguration", "PredictiveScalingPolicyConfiguration")
        if policy.get(name)
    ]
    if rest:  # a metric of the user's own can name the table
        text = json.dumps(rest, sort_keys=True).replace(json.dumps(table.name), '"<this table>"')
        shown += f", with more (sha256 {_digest(json.loads(text))[:12]})"
    return shown


def _in_batches(names: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(names), _RESOURCES_AT_ONCE):
        yield names[start : start + _RESOURCES_AT_ONCE]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _in_order(value: Any) -> Any:
    """A policy in one spelling: the order of a list means nothing in it, and a list of one is its element."""
    if isinstance(value, dict):
        return {key: _in_order(one) for key, one in value.items()}
    if isinstance(value, list):
        ordered = sorted((_in_order(one) for one in value), key=lambda one: json.dumps(one, sort_keys=True))
        return ordered[0] if len(ordered) == 1 else ordered
    return value


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
