"""The writers alone, against a table in memory."""

from __future__ import annotations

import time

import pytest

from tests.history.journal import Journal, Said, read
from tests.history.writers import Writers


class Table:
    """What the writers ask of a table."""

    def __init__(self, items):
        self.items = items

    def put_item(self, **asked):
        item = asked["Item"]
        self.items[item["id"]] = item

    def delete_item(self, **asked):
        self.items.pop(asked["Key"]["id"], None)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("unanswered", [0.0, 0.5])
def test_no_poison_is_left_in_the_source(tmp_path, unanswered, seed):
    items = {}
    journal = Journal(tmp_path / "journal.jsonl")
    writers = Writers(lambda: Table(items), journal, seed=seed, rate=4_000, keys=40, poison=0.3)
    writers.unanswered = unanswered
    writers.start()
    time.sleep(0.3)
    writers.finish()
    journal.close()
    assert not writers.errors
    assert sum(entry.said is Said.UNKNOWN for entry in read(journal.path)) > 0 or not unanswered
    assert items
    assert [key for key, item in items.items() if "poison" in item] == []
