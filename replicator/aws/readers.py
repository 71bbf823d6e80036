"""
Who else reads a source's stream: functions of the application, which get the canary, too.

DynamoDB Streams serves two readers a shard, and throttles them all above that.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ddbverify.errors import EngineError
from ddbverify.names import KeySchema, TypedItem, canary_key, marker_key
from ddbverify.tables.aws import translated
from ddbverify.words import number_of
from replicator.aws.canary import canary_item
from replicator.context.context import Context
from replicator.context.tables import TableFacts

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

MOST_READERS: Final = 2

_FORWARDER: Final = re.compile(r"replicator-.+-capture-Forwarder-\w+")
"""A forwarder of another migration: it knows the canary."""

_MISSING: Final = object()


@dataclass(frozen=True, slots=True)
class Reader:
    """
    A function of somebody else's that a stream is mapped to.

    Args:
        is_reached: Whether its filters let what we write through, as far as they are understood.
    """

    function: str
    reads: bool  # the mapping is not switched off
    is_reached: bool


def warnings(context: Context, source: TableFacts, ours: Sequence[str], forwarders: int) -> Iterator[str]:
    """
    What an operator has to know of the other readers of a source's stream, in sentences.

    Args:
        ours: UUIDs of the mappings of this migration.
        forwarders: How many of ours read this stream, or will.
    """
    if source.stream_arn is None:
        return  # nobody can read it yet
    try:
        others = look(context.source_client("lambda"), source, ours)
    except EngineError as error:
        yield f"who else reads the stream of {source.name} is not known: {error.message}"
        return
    reading = [one.function for one in others if one.reads]
    if len(reading) + forwarders > MOST_READERS:
        yield (
            f"{', '.join(reading)} read the stream of {source.name}; with "
            f"{number_of(forwarders, 'forwarder')} that makes {len(reading) + forwarders} readers, and above "
            f"{MOST_READERS} DynamoDB throttles them all: the forwarder and your functions fall behind"
        )
    disturbed = [one.function for one in others if one.is_reached and not is_forwarder(one)]
    if disturbed and context.config.replicated.canary:
        yield (
            f"{', '.join(disturbed)} will get the canary from the stream of {source.name}: an item with its "
            "key and the attribute `replicator`, and no other. A function that fails on it stops its shard. "
            "To leave it out, put this into each of the function's filter patterns: "
            f"{filter_pattern(source.keys)}; or go without it: [replication] canary = false. Ctrl-C stops "
            "here, before it flies"
        )
    elif reading:
        yield f"the stream of {source.name} has other readers: {', '.join(reading)}"


def look(functions: LambdaClient, source: TableFacts, ours: Sequence[str]) -> list[Reader]:
    """
    The functions of others that a source's stream is mapped to, and whether the canary reaches them.

    Args:
        functions: Of the table's account and region.
        ours: UUIDs of the mappings of this migration.

    Raises:
        EngineError: AWS does not say who reads the stream.
    """
    if source.stream_arn is None:
        return []  # nobody can read it yet
    return list(_others(functions, source, source.stream_arn, ours, list(_canary_events(source.keys))))


def is_forwarder(reader: Reader) -> bool:
    """Whether a function is the forwarder of a migration: it knows the canary."""
    return _FORWARDER.fullmatch(reader.function) is not None


def who_get_markers(functions: LambdaClient, table: TableFacts, ours: Sequence[str]) -> Iterator[str]:
    """
    The functions of others that markers would reach, as far as their filters are understood.

    Args:
        functions: Of the table's account and region.
        ours: UUIDs of the mappings of this migration.

    Raises:
        EngineError: AWS does not say who reads the stream.
    """
    if table.stream_arn is None:
        return
    key = marker_key(table.keys, 0)
    events = list(_events(key, {**key, "replicator": {"S": "marker"}}))
    for one in _others(functions, table, table.stream_arn, ours, events):
        if one.reads and one.is_reached:  # by a forwarder of an earlier build, too: it would send them on
            yield one.function


def filter_pattern(keys: KeySchema) -> str:
    """The part of a filter pattern that leaves the canary out, and nothing else."""
    name, kind = next(iter(keys.items()))
    content = canary_key(keys)[name][kind]
    return json.dumps({"dynamodb": {"Keys": {name: {kind: [{"anything-but": [content]}]}}}})


def _others(
    functions: LambdaClient,
    table: TableFacts,
    stream_arn: str,
    ours: Sequence[str],
    events: Sequence[Mapping[str, Any]],
) -> Iterator[Reader]:
    """The functions of others, and whether one of these events reaches them."""
    with translated(f"list the functions that read the stream of {table.name}"):
        pages = functions.get_paginator("list_event_source_mappings")
        mappings = [
            mapping
            for page in pages.paginate(EventSourceArn=stream_arn)
            for mapping in page["EventSourceMappings"]
        ]
    for mapping in mappings:
        if mapping["UUID"] in ours:
            continue
        filters = (mapping.get("FilterCriteria") or {}).get("Filters") or ()
        patterns = [json.loads(one["Pattern"]) for one in filters if one.get("Pattern")]
        function = str(mapping["FunctionArn"])
        function = function.partition(":function:")[2] or function
        lets_through = not patterns or any(may_match(one, event) for one in patterns for event in events)
        yield Reader(
            function,
            reads=mapping.get("State") not in ("Disabled", "Disabling"),
            is_reached=lets_through,
        )


def _canary_events(keys: KeySchema) -> Iterator[Mapping[str, Any]]:
    """The records of a canary, with the images that a stream may have."""
    return _events(canary_key(keys), canary_item(keys))


def _events(key: TypedItem, image: TypedItem) -> Iterator[Mapping[str, Any]]:
    for name, images in (
        ("INSERT", ({}, {"NewImage": image})),
        ("MODIFY", ({}, {"NewImage": image}, {"OldImage": image}, {"NewImage": image, "OldImage": image})),
        ("REMOVE", ({}, {"OldImage": image})),
    ):
        for shown in images:
            yield {"eventName": name, "eventSource": "aws:dynamodb", "dynamodb": {"Keys": key, **shown}}


def may_match(pattern: Any, event: Any) -> bool:
    """
    Whether an event may match a filter pattern; True for a rule that is not understood.

    https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
    """
    if isinstance(pattern, dict):
        return all(
            name.startswith("$")
            or may_match(part, event.get(name, _MISSING) if isinstance(event, Mapping) else _MISSING)
            for name, part in pattern.items()
        )
    if isinstance(pattern, list):
        return any(_obeys(event, rule) for rule in pattern)
    return True


def _obeys(value: Any, rule: Any) -> bool:
    if not isinstance(rule, dict):
        return bool(value == rule)
    if rule.get("exists") is False:
        return value is _MISSING
    if value is _MISSING:
        return False
    if "anything-but" in rule:
        but = rule["anything-but"]
        return isinstance(but, dict) or value not in (but if isinstance(but, list) else [but])
    if isinstance(rule.get("prefix"), str) and isinstance(value, str):
        return value.startswith(rule["prefix"])
    if isinstance(rule.get("suffix"), str) and isinstance(value, str):
        return value.endswith(rule["suffix"])
    return True
