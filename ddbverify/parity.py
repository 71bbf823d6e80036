"""How two tables differ in the settings that a migration has to carry over. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ddbverify.tables import Table


def key_differences(source: Table, target: Table, *, reshaped: bool, rekeys: bool) -> Iterator[str]:
    """
    Name each way in which the target's key schema is not what the pair demands.

    Args:
        source: As DynamoDB describes it.
        target: Likewise.
        reshaped: A transform may rename key attributes; their types still go one to one.
        rekeys: The transform makes keys of its own, so nothing is demanded.
    """
    ours, theirs = list(source.key_schema.items()), list(target.key_schema.items())
    if rekeys or ours == theirs:
        return
    if not reshaped or [kind for _, kind in ours] != [kind for _, kind in theirs]:
        yield f"keys are {_keys(source)} in the source, {_keys(target)} in the target"


def index_differences(source: Table, target: Table) -> Iterator[str]:
    """Name each index of one table that the other lacks or has in another form."""
    ours, theirs = _indexes(source), _indexes(target)
    for name in sorted(ours.keys() | theirs.keys()):
        here, there = ours.get(name), theirs.get(name)
        if there is None:
            yield f"index {name} ({here}) is not in the target"
        elif here is None:
            yield f"index {name} ({there}) is in the target only"
        elif here != there:
            yield f"index {name} is {here} in the source, {there} in the target"


def _keys(table: Table) -> str:
    return ", ".join(f"{name} ({kind})" for name, kind in table.key_schema.items())


def _indexes(table: Table) -> dict[str, str]:
    """Index name -> kind, keys and projection, in comparable words."""
    return {
        index["IndexName"]: _in_words(kind, index)
        for kind, field in (("global", "GlobalSecondaryIndexes"), ("local", "LocalSecondaryIndexes"))
        for index in table.raw.get(field) or ()
    }


def _in_words(kind: str, index: Mapping[str, Any]) -> str:
    in_order = sorted(index["KeySchema"], key=lambda part: str(part["KeyType"]))  # HASH before RANGE
    keys = "+".join(part["AttributeName"] for part in in_order)
    projection = index.get("Projection") or {}
    extra = ",".join(sorted(projection.get("NonKeyAttributes") or ()))
    return f"{kind} on {keys}, {projection.get('ProjectionType', 'ALL')}" + (f" {extra}" if extra else "")
