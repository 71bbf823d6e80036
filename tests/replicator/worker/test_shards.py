"""Which shards a worker may read: parents before children, and nothing is forgotten in silence."""

from __future__ import annotations

from replicator.worker import shards

DAY = shards.KEEPS_SECONDS


def shard(name, parent=None):
    return {"ShardId": name, **({"ParentShardId": parent} if parent else {})}


TREE = [shard("a"), shard("b", "a"), shard("c", "a"), shard("d", "gone")]


def test_a_child_is_read_behind_its_parents_end():
    assert list(shards.readable(TREE, {})) == ["a", "d"]
    assert list(shards.readable(TREE, {"a": {"place": "12"}})) == ["a", "d"]
    assert list(shards.readable(TREE, {"a": {"place": "ended"}, "c": {"place": "ended"}})) == ["b", "d"]


def test_a_shard_that_is_gone_is_lost_unless_it_was_read_to_the_end_or_lately():
    kept = {
        "ended": {"place": "ended", "read_epoch": 0},
        "lately": {"place": "7", "read_epoch": 1},
        "old": {"place": "7", "read_epoch": 0},
        "never": {"holder": "somebody"},
        "a": {"place": "7", "read_epoch": 0},
    }

    assert shards.lost(TREE, kept, DAY) == ["never", "old"]


def test_what_nobody_has_read_is_as_old_as_what_is_known_of_its_parent():
    kept = {"a": {"place": "ended", "read_epoch": 50}, "c": {"read_epoch": 70}}

    assert shards.read_before("b", TREE, kept, since=10) == 50
    assert shards.read_before("c", TREE, kept, since=10) == 70
    assert shards.read_before("d", TREE, kept, since=10) == 10


def test_a_place_is_kept_while_a_child_names_it():
    kept = {"a": {"place": "ended"}, "gone": {"place": "ended"}, "older": {"place": "ended"}, "open": {}}

    assert shards.forgettable(TREE, kept) == ["older"]
    assert shards.forgettable(TREE[1:3], kept) == ["gone", "older"]
