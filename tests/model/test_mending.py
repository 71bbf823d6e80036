"""A repair from findings, at any moment beside the consumer, loses nothing and brings nothing stale back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from replicator.handlers.ledger import Ledger
from replicator.handlers.records import NO_NUMBER
from replicator.repairs.writing import UnderTheLedger
from tests.model.mending import Mending, replay
from tests.model.search import search
from tests.model.world import install


def overtaken(reads):
    """A write is applied between what a repair has read, so many requests, and the rest of it."""
    return [
        ("begin", {"stage": "live", "groups": 1}),
        ("write", {"key": "a"}),
        ("flow", {}),
        ("mend", {"key": "a", "steps": reads}),
        ("write", {"key": "a"}),
        ("flow", {}),
        ("go_on_repairing", {"steps": 5}),
    ]


@pytest.fixture(autouse=True)
def world(monkeypatch):
    install(monkeypatch)


def numbers_last(self, entries):
    """The plain variant: the number is asked for when everything else has been read."""

    real = self.ledger

    class Late:
        def apply(self, writes):
            numbers = real.numbers([one.source_hash for one in writes])
            return real.apply(
                [replace(one, number=numbers.get(one.source_hash, NO_NUMBER)) for one in writes]
            )

        def numbers(self, hashes):
            return {}

    return guarded(replace(self, ledger=Late()), entries)


guarded = UnderTheLedger.repair


def unguarded(self, write):
    """The plain variant: nobody asks whether a later change was applied."""
    put = guard(self, write)["Put"]
    return {"Put": {name: put[name] for name in ("TableName", "Item")}}


guard = Ledger._guard


@pytest.mark.parametrize("seed", range(2))
def test_no_history_breaks_a_promise(seed):
    search(Mending, 40, seed=seed)


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_none_of_many_histories_breaks_a_promise():
    search(Mending, 2_500, seed=0)


@pytest.mark.parametrize("reads", range(5))
def test_what_was_overtaken_is_not_written(reads):
    replay(overtaken(reads))


def test_a_number_that_is_read_last_lets_a_stale_item_stay(monkeypatch):
    monkeypatch.setattr(UnderTheLedger, "repair", numbers_last)
    with pytest.raises(AssertionError):
        replay(overtaken(2))  # both tables are read by then


def test_a_write_without_the_guard_lets_a_stale_item_stay(monkeypatch):
    monkeypatch.setattr(Ledger, "_guard", unguarded)
    with pytest.raises(AssertionError):
        replay(overtaken(3))  # the numbers and both tables are
