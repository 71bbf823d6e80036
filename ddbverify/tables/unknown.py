"""
Members of a table's description that this version does not know. Pure.

AWS adds settings, and the target could lack one that nothing here looks at. So every member of
DescribeTable's answer that is neither known here nor listed as volatile is compared as it stands.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from ddbverify.setting_names import Kind, Setting
from ddbverify.tables.indexes import KINDS

_SEEN: Final = True
"""Compared by its meaning (`ddbverify.tables.settings`), or volatile: it differs between any two tables."""

_CAPACITY: Final[Any] = {
    "LastIncreaseDateTime": _SEEN,
    "LastDecreaseDateTime": _SEEN,
    "NumberOfDecreasesToday": _SEEN,
    "ReadCapacityUnits": _SEEN,
    "WriteCapacityUnits": _SEEN,
}
_ON_DEMAND: Final[Any] = {"MaxReadRequestUnits": _SEEN, "MaxWriteRequestUnits": _SEEN}
_WARM: Final[Any] = {"ReadUnitsPerSecond": _SEEN, "WriteUnitsPerSecond": _SEEN, "Status": _SEEN}
_TABLE_CLASS: Final[Any] = {"TableClass": _SEEN, "LastUpdateDateTime": _SEEN}
_INDEX: Final[Any] = {
    "IndexName": _SEEN,
    "KeySchema": {"AttributeName": _SEEN, "KeyType": _SEEN},
    "Projection": {"ProjectionType": _SEEN, "NonKeyAttributes": _SEEN},
    "IndexStatus": _SEEN,
    "Backfilling": _SEEN,
    "ProvisionedThroughput": _CAPACITY,
    "OnDemandThroughput": _ON_DEMAND,
    "WarmThroughput": _WARM,
    "IndexSizeBytes": _SEEN,
    "ItemCount": _SEEN,
    "IndexArn": _SEEN,
}
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TableDescription.html
_TABLE: Final[dict[str, Any]] = {
    "AttributeDefinitions": {"AttributeName": _SEEN, "AttributeType": _SEEN},
    "TableName": _SEEN,
    "KeySchema": {"AttributeName": _SEEN, "KeyType": _SEEN},
    "TableStatus": _SEEN,
    "CreationDateTime": _SEEN,
    "ProvisionedThroughput": _CAPACITY,
    "TableSizeBytes": _SEEN,
    "ItemCount": _SEEN,
    "TableArn": _SEEN,
    "TableId": _SEEN,
    "BillingModeSummary": {"BillingMode": _SEEN, "LastUpdateToPayPerRequestDateTime": _SEEN},
    "StreamSpecification": {"StreamEnabled": _SEEN, "StreamViewType": _SEEN},
    "LatestStreamLabel": _SEEN,
    "LatestStreamArn": _SEEN,
    "GlobalTableVersion": _SEEN,  # comes and goes with the replicas
    "Replicas": {
        "RegionName": _SEEN,
        "ReplicaStatus": _SEEN,
        "ReplicaArn": _SEEN,
        "ReplicaStatusDescription": _SEEN,
        "ReplicaStatusPercentProgress": _SEEN,
        "ReplicaInaccessibleDateTime": _SEEN,
        "WarmThroughput": _WARM,
    },
    "RestoreSummary": _SEEN,
    "SSEDescription": {
        "Status": _SEEN,
        "SSEType": _SEEN,
        "KMSMasterKeyArn": _SEEN,
        "InaccessibleEncryptionDateTime": _SEEN,
    },
    "ArchivalSummary": _SEEN,
    "TableClassSummary": _TABLE_CLASS,
    "DeletionProtectionEnabled": _SEEN,
    "OnDemandThroughput": _ON_DEMAND,
    "WarmThroughput": _WARM,
}
_IDENTIFYING: Final = ("IndexName", "RegionName")  # kept beside what is unknown of one in a list
_VOLATILE_ANYWHERE: Final = {"IndexArn", "IndexSizeBytes", "ItemCount"}
_NOTHING: Final = object()

PLACES_SHOWN: Final = 5


def unknown_settings(description: Mapping[str, Any]) -> dict[Setting, str]:
    """
    Each member of a description that this version does not know, with its value as JSON.

    Args:
        description: What stands under ``Table`` in DescribeTable's answer, as it came over the wire.
            Its own ARN is left out of the values: the other table has another one.
    """
    found: dict[Setting, str] = {}
    own_arn = str(description.get("TableArn", ""))

    def note(setting: Setting, value: Any) -> None:
        if value is not _NOTHING and value not in (None, [], {}):  # empty: not set
            text = json.dumps(_as_it_stands(value), sort_keys=True, ensure_ascii=False, default=str)
            found[setting] = text.replace(own_arn, "<this table>") if own_arn else text

    for member, value in description.items():
        if member not in KINDS.values():
            note(Setting(Kind.UNKNOWN, member), _unknown_part(value, _TABLE.get(member)))
            continue
        for index in value or ():
            for field, of_index in index.items():
                setting = Setting(Kind.INDEX_UNKNOWN, str(index["IndexName"]), field)
                note(setting, _unknown_part(of_index, _INDEX.get(field)))
    return found


def _unknown_part(value: Any, known: Any) -> Any:
    if known is _SEEN:
        return _NOTHING
    if known is None or not isinstance(value, dict | list):
        return _NOTHING if known is not None and value is None else value
    if isinstance(value, list):
        parts = [part for one in value if (part := _unknown_part(one, known)) is not _NOTHING]
        return parts or _NOTHING
    unknown = {
        member: part
        for member, one in value.items()
        if (part := _unknown_part(one, known.get(member))) is not _NOTHING
    }
    if not unknown:
        return _NOTHING
    return {member: value[member] for member in _IDENTIFYING if member in value} | unknown


def _as_it_stands(value: Any) -> Any:
    """A value without what differs between any two tables; named things in the order of their names."""
    if isinstance(value, dict):
        return {
            member: _as_it_stands(one)
            for member, one in value.items()
            # An index that was added later says that it is not being filled, another one says nothing.
            if member not in _VOLATILE_ANYWHERE and not (member == "Backfilling" and one is False)
        }
    if isinstance(value, list):
        kept = [_as_it_stands(one) for one in value]
        for name in _IDENTIFYING:
            if kept and all(isinstance(one, dict) and name in one for one in kept):
                return sorted(kept, key=lambda one: str(one[name]))
        return kept
    return value


def places_that_differ(one: str, other: str) -> tuple[str, ...]:
    """
    Where two values of `unknown_settings` differ: paths such as ``[0].Dimensions``, and no value.

    At most `PLACES_SHOWN`, then one that counts the rest. Empty if the two are no documents but plain
    values, or if they are equal.
    """
    from deepdiff import DeepDiff  # a fifth of a second, which only what nobody knows has to wait for

    found = DeepDiff(
        json.loads(one),
        json.loads(other),
        view="tree",
        zip_ordered_iterables=True,  # place by place, as they are compared
        threshold_to_diff_deeper=0,  # always name the member itself, however little the two share
        ignore_private_variables=False,  # a member may be called __x
    )
    paths = {tuple(node.path(output_format="list")) for nodes in found.values() for node in nodes}
    shown = sorted(_shown(path) for path in paths if path)
    more = len(shown) - PLACES_SHOWN
    return (*shown[:PLACES_SHOWN], f"{more} more places") if more > 0 else tuple(shown)


def _shown(path: tuple[str | int, ...]) -> str:
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return "".join(steps).removeprefix(".")
