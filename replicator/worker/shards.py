"""
Which shards of a stream a worker may read, and from where. Pure.

Parents are read to their end before their children (docs/aws.md T24), by whichever worker: a shard's place
stands beside its lease.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from replicator.aws import workers

ENDED: Final = workers.ENDED

KEEPS_SECONDS: Final = 24 * 3600
"""A record older than this is trimmed."""


def label_of(stream_arn: str) -> str:
    """What tells a stream from the other ones of its table."""
    return stream_arn.rpartition("/")[2]


def readable(shards: Sequence[Mapping[str, Any]], kept: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """
    Ids of the shards that are not forwarded to their ends, and whose parents are.

    A parent that is not listed any more has ended long ago; whether all of it was read says `lost`.

    Args:
        shards: As DescribeStream lists them.
        kept: Shard id -> what stands beside its lease.
    """
    listed = {shard["ShardId"] for shard in shards}
    for shard in shards:
        parent = shard.get("ParentShardId")
        if kept.get(shard["ShardId"], {}).get("place") == ENDED:
            continue
        if parent is None or parent not in listed or kept.get(parent, {}).get("place") == ENDED:
            yield shard["ShardId"]


def lost(shards: Sequence[Mapping[str, Any]], kept: Mapping[str, Mapping[str, Any]], now: float) -> list[str]:
    """
    Shards that the stream has forgotten, and of which not all is known to have been read.

    A stream forgets a record after 24 hours: what was read to its end later than that had nothing older left.
    """
    listed = {shard["ShardId"] for shard in shards}
    return sorted(
        name
        for name, one in kept.items()
        if name not in listed and one.get("place") != ENDED and forgot(one, now)
    )


def forgot(kept: Mapping[str, Any], now: float) -> bool:
    """Whether the stream may have forgotten what was not read of a shard."""
    return now - float(kept.get("read_epoch", -math.inf)) >= KEEPS_SECONDS


def read_before(
    name: str,
    shards: Sequence[Mapping[str, Any]],
    kept: Mapping[str, Mapping[str, Any]],
    since: float,
) -> float:
    """
    The moment up to which nothing of a shard can be missing.

    What is in a shard that nobody has read yet was written behind its parent's end.

    Args:
        since: When capture began: what was written before is in the backup.
    """
    parent = next((one.get("ParentShardId") for one in shards if one["ShardId"] == name), None)
    for known in (name, parent):
        if known is not None and "read_epoch" in kept.get(known, {}):
            return float(kept[known]["read_epoch"])
    return since


def forgettable(shards: Sequence[Mapping[str, Any]], kept: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Shards that nothing has to be known of any more: read to their ends, and nobody's parent."""
    named = {name for shard in shards for name in (shard["ShardId"], shard.get("ParentShardId"))}
    return sorted(name for name, one in kept.items() if one.get("place") == ENDED and name not in named)
