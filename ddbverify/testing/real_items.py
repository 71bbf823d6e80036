"""A real table as tests of a transform want it: keys, indexes, and a few of its items. Reads only."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ddbverify.config import Side
from ddbverify.items.raw import decode_item
from ddbverify.items.values import item_from_typed
from ddbverify.names import KeySchema
from ddbverify.tables.segments import MOST_SEGMENTS
from ddbverify.tables.table import Table, describe
from ddbverify.tables.wire import TableReader

_ITEMS_PER_SEGMENT: Final = 20
_EMPTY_IN_A_ROW: Final = 20  # segments; sizes are hours old, and the table may have lost its items


@dataclass(frozen=True, slots=True)
class RealTable:
    """What a table is made of. Its items are real: they are not shown by `repr`."""

    keys: KeySchema
    indexes: Mapping[str, KeySchema]
    items: list[dict[str, Any]] = field(repr=False)  # Python's own values


def read_table(
    name_or_arn: str,
    *,
    items: int = 100,
    region: str | None = None,
    profile: str | None = None,
    endpoint_url: str | None = None,
    seed: int | None = None,
) -> RealTable:
    """
    Describe a table and draw some of its items, from random places of the key space.

    It costs what small pages cost: about one read unit for 4 KB.

    Args:
        name_or_arn: The table.
        items: How many at most.
        region: Of the table; by default an ARN's own, else the ordinary AWS chain.
        profile: AWS profile.
        endpoint_url: Another endpoint, an emulator's for instance.
        seed: Of the draw; another one each time by default.

    Raises:
        EngineError: AWS refused, or there is no such table.
    """
    side = Side(region=region, profile=profile, endpoint_url=endpoint_url)
    table = describe(side, name_or_arn)
    total = min(max(1, math.ceil(table.item_count / _ITEMS_PER_SEGMENT)), MOST_SEGMENTS)
    reader, found, empty = TableReader(side, table), list[dict[str, Any]](), 0
    order = random.Random(seed)  # noqa: S311 - a draw of segments, no secret
    for segment in order.sample(range(total), min(total, items + _EMPTY_IN_A_ROW)):
        raws = reader.scan_page(segment, total, None).items
        empty = 0 if raws else empty + 1
        if empty == _EMPTY_IN_A_ROW or len(found) >= items:
            break
        chosen = order.sample(range(len(raws)), min(len(raws), items - len(found)))
        found += [item_from_typed(decode_item(raws[number])) for number in sorted(chosen)]
    return RealTable(table.key_schema, _indexes(table), found)


def _indexes(table: Table) -> dict[str, KeySchema]:
    types = {one["AttributeName"]: one["AttributeType"] for one in table.raw["AttributeDefinitions"]}
    return {
        index["IndexName"]: {
            part["AttributeName"]: types[part["AttributeName"]]
            for part in sorted(index["KeySchema"], key=lambda part: str(part["KeyType"]))  # HASH first
        }
        for kind in ("GlobalSecondaryIndexes", "LocalSecondaryIndexes")
        for index in table.raw.get(kind) or ()
    }
