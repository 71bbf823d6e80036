"""
The load of a table through a transform, as one would write it with boto3 on an afternoon.

The yardstick of `python -m benchmarks`: a scan, the transform, and boto3's own batch writer, in one thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3


def load(
    source_url: str,
    target_url: str,
    region: str,
    source: str,
    target: str,
    transform: Callable[[dict[str, Any]], dict[str, Any]],
) -> int:
    """Write what every item of *source* becomes into *target*; says how many items were written."""

    def table(url: str, name: str) -> Any:
        return boto3.resource("dynamodb", endpoint_url=url, region_name=region).Table(name)

    written = 0
    start: dict[str, Any] = {}
    origin = table(source_url, source)
    with table(target_url, target).batch_writer() as batch:
        while True:
            page = origin.scan(ConsistentRead=True, **start)
            for item in page["Items"]:
                batch.put_item(Item=transform(item))
                written += 1
            if "LastEvaluatedKey" not in page:
                return written
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
