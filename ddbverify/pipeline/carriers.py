"""
Who reads a pair's stream and queue: functions by event source mappings, or workers.

Workers are seen by what they and the operator leave in the state table, in the words of a mapping.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ddbverify.config import Config, Pair
from ddbverify.names import WORKER, Fact
from ddbverify.pipeline import mappings
from ddbverify.pipeline.mappings import DISABLED, ENABLED, Source

_LEASES: Final = {"forwarder": Fact.SHARD, "consumer": Fact.HAND}

NOBODY: Final = "not running (start `replicator worker`)"
STILL_HELD: Final = "still at work"


def look(config: Config, pair: Pair, part: str, facts: Mapping[str, Mapping[str, Any]], now: float) -> Source:
    """
    What a part of a pair is.

    Args:
        part: ``forwarder`` or ``consumer``.
        facts: Sort key -> attributes, of the state table.
        now: Seconds since the epoch.

    Raises:
        EngineError: Lambda refused.
    """
    uuid = facts.get(Fact.RESOURCES, {}).get(f"{part}_mapping")
    if uuid == WORKER:
        return of_workers(facts, part, now)
    return mappings.look(config, pair, uuid) if uuid else Source("unknown")


def of_workers(facts: Mapping[str, Mapping[str, Any]], part: str, now: float) -> Source:
    """What a part is that workers do; as `look`."""
    on = facts.get(Fact.SWITCH + part, {}).get("on") is True
    held = any(
        name.startswith(_LEASES[part]) and "holder" in one and float(one.get("until_epoch", 0)) >= int(now)
        for name, one in facts.items()
    )
    states = (ENABLED, NOBODY) if on else (STILL_HELD, DISABLED)
    settings = facts.get(Fact.WORKER + part, {}).get("settings", {})
    if part == "forwarder":
        reads = str(settings.get("STREAM_ARN", ""))
    else:
        reads = str(settings.get("QUEUE_URL", "")).rpartition("/")[2]
    return Source(states[0 if held else 1], reads, by=WORKER)
