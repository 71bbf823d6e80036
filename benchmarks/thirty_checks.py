"""
Thirty checks on items, and the loop that one would write by hand for the same thirty comparisons.

The yardstick decodes both items with boto3's `TypeDeserializer`, once, and compares; it reads nothing,
while the checks' figure has the whole pass in it.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

import boto3
from boto3.dynamodb.types import TypeDeserializer

from ddbverify.compare.inspection import ItemCheck

NUMBER: Final = 30
ATTRIBUTES: Final = ("pk", "sk", "address", "lines", "note", "paid", "tags", "token", "total", "updated")
PREPARED: Final = 200
"""Items that the loop by hand goes over again and again: it has no pages to wait for."""

TOUCHED: Final = tuple(itertools.islice(itertools.combinations(ATTRIBUTES, 2), NUMBER))
"""The two attributes that each check touches, on both sides."""


def item_checks() -> list[ItemCheck]:
    """The checks, as a user would write them."""
    return [
        ItemCheck(
            id=f"check_{one}_{other}",
            name=f"check_{one}_{other}",
            function=_check(one, other),
            wants=("source", "target"),
            file=__file__,
        )
        for one, other in TOUCHED
    ]


def _check(one: str, other: str) -> Callable[..., object]:
    def check(source: Mapping[str, Any], target: Mapping[str, Any]) -> None:
        assert source[one] == target[one]
        assert source[other] == target[other]

    return check


def by_hand(endpoint_url: str, region: str, source: str, target: str) -> tuple[int, Counter[str]]:
    """
    As many pairs of items as the source has, each decoded once and compared thirty times.

    Returns:
        How many pairs there were, and how many of each comparison failed.
    """
    client = boto3.client("dynamodb", endpoint_url=endpoint_url, region_name=region)
    count = client.describe_table(TableName=source)["Table"]["ItemCount"]
    items = client.scan(TableName=target, Limit=PREPARED)["Items"]
    deserialize, failed = TypeDeserializer().deserialize, Counter[str]()
    for number in range(count):
        item = items[number % PREPARED]
        ours = {name: deserialize(value) for name, value in item.items()}
        theirs = {name: deserialize(value) for name, value in item.items()}
        for one, other in TOUCHED:
            if ours[one] != theirs[one] or ours[other] != theirs[other]:
                failed[f"{one}, {other}"] += 1
    return count, failed
