"""
The plain diff of two tables, as one would write it with boto3 on an afternoon.

The yardstick of `python -m benchmarks`: nothing in it is slower than it has to be, and nothing
is cleverer than the documentation's own examples.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import boto3


def diff(endpoint_url: str, region: str, source: str, target: str) -> Counter[str]:
    """
    Compare two tables, item by item.

    Returns:
        How many keys are ``matched``, ``different``, ``missing`` and ``extraneous``.
    """
    client = boto3.client("dynamodb", endpoint_url=endpoint_url, region_name=region)
    described = client.describe_table(TableName=source)["Table"]
    key_names = [part["AttributeName"] for part in described["KeySchema"]]

    def items(table: str) -> Iterator[tuple[tuple[Any, ...], str]]:
        for page in client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
            for item in page["Items"]:
                key = tuple(value for name in key_names for value in item[name].values())
                yield key, json.dumps(item, sort_keys=True, default=_binary)

    expected = dict(items(source))
    counts: Counter[str] = Counter()
    for key, found in items(target):
        wanted = expected.pop(key, None)
        if wanted is None:
            counts["extraneous"] += 1
        else:
            counts["matched" if wanted == found else "different"] += 1
    counts["missing"] = len(expected)
    return counts


def _binary(value: bytes) -> str:
    return base64.b64encode(value).decode()
