"""
The keys of a table's indexes, as DescribeTable shows them. Pure.

A key has up to four HASH and four RANGE attributes. Their order counts, and so do their types: DynamoDB
refuses an item in which an index attribute has another type than the table says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

KINDS: Final = {"global": "GlobalSecondaryIndexes", "local": "LocalSecondaryIndexes"}
"""Kind of an index -> where descriptions list it."""

_PLAIN: Final = re.compile(r"[\w.-]+")


def indexes_of(description: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Kind and description of each index of a table."""
    for kind, member in KINDS.items():
        for index in description.get(member) or ():
            yield kind, index


def types_of(description: Mapping[str, Any]) -> dict[str, str]:
    """Type (``S``, ``N``, ``B``) of each attribute that is a key of the table or of an index."""
    return {
        str(one["AttributeName"]): str(one["AttributeType"])
        for one in description.get("AttributeDefinitions") or ()
    }


def keys_in_words(index: Mapping[str, Any], types: Mapping[str, str]) -> str:
    """``HASH region (S) + RANGE day (N)``; equal exactly when roles, order, names and types are."""
    # HASH before RANGE; within each the order is as AWS gives it, and means something.
    in_order = sorted(index["KeySchema"], key=lambda part: str(part["KeyType"]))
    return " + ".join(
        f"{part['KeyType']} {shown(str(part['AttributeName']))} "
        f"({types.get(str(part['AttributeName']), 'of unknown type')})"
        for part in in_order
    )


def shown(name: str) -> str:
    """A name of an attribute in a list: in quotation marks if it could be read as more than one."""
    return name if _PLAIN.fullmatch(name) else json.dumps(name, ensure_ascii=False)


def other_types(source: Mapping[str, Any], target: Mapping[str, Any]) -> Iterator[str]:
    """Each attribute that is a key on both sides and has another type in each, in words."""
    ours, theirs = types_of(source), types_of(target)
    for name in sorted(ours.keys() & theirs.keys()):
        if ours[name] != theirs[name]:
            yield f"{shown(name)} is {ours[name]} in the source and {theirs[name]} in the target"


def other_keys(source: Mapping[str, Any], target: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each index that is on both sides and has other keys: its name, and both keys in words."""
    ours = {str(one["IndexName"]): keys_in_words(one, types_of(source)) for _, one in indexes_of(source)}
    for _, index in indexes_of(target):
        name, there = str(index["IndexName"]), keys_in_words(index, types_of(target))
        if name in ours and ours[name] != there:
            yield name, f"{ours[name]} in the source, {there} in the target"
