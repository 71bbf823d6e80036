"""Names that a running migration has in AWS already: a build that spells one otherwise does not find it."""

from __future__ import annotations

from ddbverify import names
from ddbverify.names import Fact


def test_the_canary_keeps_its_key_across_versions():
    """A deployed forwarder and consumer know it by equality, and may be older than the command."""
    assert names.canary_key({"s": "S", "n": "N", "b": "B"}) == {
        "s": {"S": "~replicator.canary~"},
        "n": {"N": "-31415926535897932384626433832795028841"},
        "b": {"B": "fnJlcGxpY2F0b3IuY2FuYXJ5fg=="},
    }


def test_the_state_table_keeps_its_names_across_versions():
    facts = {name: value for name, value in vars(Fact).items() if not name.startswith("_")}

    assert facts == {
        "AUDIT_DUE": "audit-due",
        "BOUND": "bound",
        "BOUNDARY": "boundary",
        "CANARY_ARRIVED": "canary#arrived",
        "CANARY_GROUPS": "canary#groups",
        "CANARY_LAGS": "canary#lags",
        "CANARY_SENT": "canary#sent",
        "CEILING": "ceiling",
        "CONSUMER": "consumer",
        "CONTROL": "control",
        "COST": "cost#",
        "COUNTERS": "counters",
        "CUTOVER": "cutover",
        "FENCE": "fence#",
        "FOLLOWING": "following",
        "GAP": "gap",
        "HAND": "hand#",
        "LATE": "late#",
        "LIVE": "live",
        "LOADED": "load#",
        "MARKED": "marked",
        "MOVED": "moved",
        "NEWEST_RUN": "newest-run",
        "PROGRESS": "at#",
        "QUARANTINE": "quarantine#",
        "RESOURCES": "resources",
        "RESTART": "restart",
        "RESTARTING": "restarting",
        "SHARD": "shard#",
        "STEP": "step#",
        "STREAM_ENABLED_BY_US": "stream-enabled-by-us",
        "SWITCH": "switch#",
        "TARGET_FENCE": "target-fence#",
        "WORKER": "worker#",
    }
    assert (names.SOURCE, names.TARGET, names.BETWEEN) == ("source", "target", "between")
    assert (names.MIGRATION, names.pair_pk("p")) == ("migration", "pair#p")
    assert names.state_table("shop") == "replicator-shop-state"
    assert names.FENCE_SID == "ReplicatorFence"
    assert names.TARGET_FENCE_SIDS == ("ReplicatorTargetFence", "ReplicatorTargetFenceAgain")
