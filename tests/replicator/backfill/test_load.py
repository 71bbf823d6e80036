"""The load from a staging table."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError

from ddbverify.errors import EngineError, Refused, ThrottledError
from ddbverify.items.transform import Transform, key_hash
from ddbverify.names import canary_key, marker_key
from replicator.backfill import load, pages
from replicator.backfill.load import LOADERS, Load, ReadPace
from replicator.backfill.share import Share, load_of
from replicator.handlers.ledger import Write
from replicator.handlers.records import NO_NUMBER, pad
from replicator.handlers.state import State
from tests.replicator.fakes import KEYS, LEDGER, STATE, TARGET, FakeDynamoDB, ledger_on, refusal
from tests.replicator.wired import Wire

STAGING = "staging"


def hashed(key):
    return key_hash({"id": {"S": key}}, KEYS)


class FakeLock:
    """Counts who asks; loses its lease after *times*."""

    def __init__(self, times=10**9):
        self.asked, self.times = 0, times

    def check(self):
        self.asked += 1
        if self.asked > self.times:
            raise Refused("the lease is lost.", "run it again.")


def upper(item):
    if item.get("v") == "bad":
        raise LookupError
    if item.get("v") == "unwanted":
        return None
    return {**item, "v": item.get("v", "").upper()}


class Bench:
    def __init__(self, items, function=upper, *, rekeys=False, lock=None):
        self.database = FakeDynamoDB(staging=KEYS)
        self.notebook = State.of_pair(self.database, STATE, "pair")
        for key, value in items.items():
            self.database.seed(STAGING, {"id": {"S": key}, "v": {"S": value}})
        self.lock, self.guard, self.seen = lock or FakeLock(), threading.Lock(), []
        self.load = Load(
            self.database,
            STAGING,
            self.database,
            TARGET,
            Transform("shop:upper", function, KEYS, KEYS, rekeys),
            ledger_on(self.database, self.notebook),
            self.notebook,
            self.lock,
            lambda read, units: self.seen.append(read),
        )

    @property
    def target(self):
        return {item["id"]["S"]: item["v"]["S"] for item in self.database.items(TARGET).values()}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(load.time, "sleep", lambda seconds: None)


ITEMS = {f"k{number}": f"v{number}" for number in range(60)}


@pytest.mark.parametrize("rekeys", [False, True])
def test_every_item_goes_through_the_transform_and_a_second_run_changes_nothing(rekeys):
    bench = Bench(ITEMS, rekeys=rekeys)

    assert bench.load.run() == {"read": 60, "written": 60, "quarantined": 0}
    first = dict(bench.target)
    assert first == {key: value.upper() for key, value in ITEMS.items()}
    bench.load.run()
    assert bench.target == first
    assert max(bench.seen) == 60


def test_unprocessed_items_are_written_in_the_end():
    bench = Bench(ITEMS)
    bench.database.unprocessed = 8

    assert bench.load.run()["written"] == 60
    assert len(bench.target) == 60


def test_a_target_that_takes_nothing_is_an_error_and_never_called_written():
    bench = Bench(ITEMS)
    bench.database._split = lambda members: ([], members)

    with pytest.raises(ThrottledError, match="throttled"):
        bench.load.run()
    assert bench.target == {}


@pytest.mark.parametrize("rekeys", [False, True])
def test_what_the_transform_or_dynamodb_refuses_is_put_aside_under_zero_and_the_rest_is_written(rekeys):
    def poisoned(item):
        made = upper(item)
        return {**made, "poison": "x"} if item["id"] == "k7" else made

    bench = Bench({**ITEMS, "k8": "bad"}, poisoned, rekeys=rekeys)
    counts = bench.load.run()

    assert set(bench.target) == set(ITEMS) - {"k7", "k8"}
    assert set(bench.notebook.quarantined()) == {hashed("k7"), hashed("k8")}
    assert {entry.number for entry in bench.notebook.quarantined().values()} == {NO_NUMBER}
    assert counts == {"read": 60, "written": 58, "quarantined": 2}


@pytest.mark.parametrize("emulator", [True, False])
def test_a_page_without_a_checksum_is_an_emulators(emulator):
    """DynamoDB's have one: what has none was made by something in between."""
    bench = Bench({})
    whole = Share("", "pair", STAGING, TARGET, KEYS, KEYS, "", LEDGER, "r", (0,), 1, None)
    origin = SimpleNamespace(scan=lambda **_: {pages._BODY: b'{"Items":[],"Count":0}', pages._CHECKSUM: None})
    context = SimpleNamespace(
        emulator=emulator,
        source_side="source",
        target_side="target",
        state=lambda _: bench.notebook,
        config=SimpleNamespace(replicated=SimpleNamespace(write_units=None)),
        own_client=lambda side, *_, **__: (
            origin if side == "source" else Wire("dynamodb", bench.database).client
        ),
    )
    made = load_of(context, "pair", whole, bench.load.transform, bench.lock, print, threading.Event())

    if emulator:
        assert made.run()["read"] == 0
        return
    with pytest.raises(EngineError, match="has no CRC32"):
        made.run()


class Text(str):
    """What some libraries give as text."""


@pytest.mark.parametrize("rekeys", [False, True])
def test_one_item_that_a_fast_encoder_does_not_take_does_not_end_the_load(rekeys):
    """Whether it can be written is DynamoDB's to say, as it is for the consumer."""

    def odd(item):
        return {**item, "v": {"k1": Text("x"), "k7": "\ud800 secret"}.get(item["id"], item["v"])}

    bench = Bench(ITEMS, odd, rekeys=rekeys)
    bench.database.poison = lambda item: "\ud800" in item.get("v", {}).get("S", "")

    assert bench.load.run() == {"read": 60, "written": 59, "quarantined": 1}
    assert bench.target == {key: value for key, value in {**ITEMS, "k1": "x"}.items() if key != "k7"}
    assert [entry.reason for entry in bench.notebook.quarantined().values()] == ["refused by DynamoDB"]


class Told:
    """A ceiling that admits everything, and keeps what it is told."""

    most_units = 100.0

    def __init__(self):
        self.admitted, self.used = [], []

    def admit(self, estimate):
        self.admitted.append(estimate)
        return True

    def consumed(self, estimate, units):
        self.used.append((estimate, units))


def test_what_each_write_did_consume_is_told_to_the_ceiling():
    bench = Bench(ITEMS, lambda item: {**item, "poison": "x"} if item["id"] == "k7" else item)
    bench.load.ceiling, bench.database.units_an_item = Told(), 3.0  # with two indexes
    counts = bench.load.run()

    assert counts == {"read": 60, "written": 59, "quarantined": 1}
    told = bench.load.ceiling
    assert all(units == 3.0 * estimate for estimate, units in told.used)
    # But the batch that was refused, and of its items the one: nobody knows what these did consume.
    refused = sum(told.admitted) - sum(estimate for estimate, _ in told.used)
    assert len(told.admitted) - len(told.used) == 2
    assert refused == 4.0, "a page has three items: a batch of them and one by itself"
    assert bench.load.units == 3.0 * 59


def test_items_of_the_target_are_counted_as_such_where_one_source_item_makes_many():
    """All of them are written, or none."""

    def many(item):
        made = [{**item, "id": f"{item['id']}-{at}"} for at in range(5)]
        return [{**made[0], "poison": "x"}, *made[1:]] if item["id"] == "k7" else made

    bench = Bench(dict(list(ITEMS.items())[:10]), many, rekeys=True)

    assert bench.load.run() == {"read": 10, "written": 9 * 5, "quarantined": 1}
    assert len(bench.target) == 9 * 5


def test_what_the_transform_does_not_want_is_not_written():
    bench = Bench({"a": "x", "b": "unwanted"})

    assert bench.load.run() == {"read": 2, "written": 1, "quarantined": 0}
    assert bench.target == {"a": "X"}


def test_the_canary_is_not_loaded():
    bench = Bench({"a": "x"})
    bench.database.seed(STAGING, {**canary_key(KEYS), "v": {"S": "canary"}})
    bench.database.seed(STAGING, {**marker_key(KEYS, 7), "v": {"S": "marker"}})

    assert bench.load.run()["read"] == 1
    assert bench.target == {"a": "X"}


def test_an_item_that_wants_a_taken_target_key_is_contested_under_zero():
    bench = Bench({"a": "x", "b": "x"}, lambda item: {"id": item["v"], "v": item["id"]}, rekeys=True)
    counts = bench.load.run()

    assert len(bench.target) == 1
    assert len(bench.notebook.quarantined()) == 1
    assert (counts["written"], counts["quarantined"]) == (1, 1)


def test_a_load_never_overwrites_what_a_later_change_of_a_rekeying_pair_wrote():
    """Under the guard a load is number zero, below every change."""
    bench = Bench({"a": "old"}, rekeys=True)
    item = {"id": {"S": "a"}, "v": {"S": "NEW"}}
    bench.load.ledger.apply([Write(hashed("a"), {"id": {"S": "a"}}, pad("5"), [item], None)])
    bench.load.run()

    assert bench.target == {"a": "NEW"}


def test_a_loader_that_lost_its_lease_writes_no_more():
    bench = Bench(ITEMS, lock=FakeLock(times=2))

    with pytest.raises(Refused):
        bench.load.run()
    assert bench.lock.asked > 2
    assert bench.database.calls["batch_write_item"] <= 2


def test_an_error_of_one_segment_is_not_swallowed():
    bench = Bench(ITEMS)
    bench.database.faults.append(refusal("AccessDeniedException"))

    with pytest.raises(EngineError, match="AccessDenied"):
        bench.load.run()


def refuse():
    raise refusal("AccessDeniedException")


def press_ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize(
    ("what", "error"), [(refuse, ClientError), (press_ctrl_c, KeyboardInterrupt)], ids=["error", "Ctrl-C"]
)
def test_whatever_ends_a_load_ends_all_segments_with_the_page_in_hand(what, error, monkeypatch):
    bench = Bench({f"k{number}": "v" for number in range(600)})
    load_page, pages = Load._load_page, itertools.count(1)

    def slowly(self, page, file):
        if next(pages) == 3 * LOADERS:  # all of them are at work
            what()
        threading.Event().wait(0.02)
        return load_page(self, page, file)

    monkeypatch.setattr(Load, "_load_page", slowly)
    with pytest.raises(error):
        bench.load.run()
    assert bench.database.calls["scan"] < 100, "of more than two hundred"


@pytest.mark.parametrize("again", [1, 3])
def test_a_load_that_was_interrupted_is_complete_after_another_run(again):
    bench = Bench(ITEMS)
    bench.database.faults.extend([None] * again + [refusal("InternalServerError")] * 1)
    with pytest.raises(EngineError):
        bench.load.run()
    bench.database.faults.clear()
    bench.load.run()

    assert bench.target == {key: value.upper() for key, value in ITEMS.items()}


def test_a_load_that_was_killed_goes_on_behind_the_pages_it_wrote():
    bench = Bench(ITEMS)
    bench.database.faults.extend([None] * 21 + [refusal("InternalServerError")])
    with pytest.raises(EngineError):
        bench.load.run()
    bench.database.faults.clear()
    read_before = bench.database.calls["scan"]
    assert read_before > 4
    counts = bench.load.run()

    assert counts == {"read": 60, "written": 60, "quarantined": 0}  # of both runs
    whole = Bench(ITEMS)
    whole.load.run()
    assert bench.database.calls["scan"] <= whole.database.calls["scan"] + LOADERS, "a page each, again"
    assert bench.target == {key: value.upper() for key, value in ITEMS.items()}
    pages = bench.database.calls["scan"]
    assert bench.load.run() == counts
    assert bench.database.calls["scan"] == pages, "a load that is complete reads nothing"


def test_a_place_of_another_reading_is_not_used():
    bench = Bench(ITEMS)
    bench.load.run()
    bench.database.tables[TARGET].clear()
    bench.load.reading = "another staging table"

    assert bench.load.run()["read"] == 60
    assert len(bench.target) == 60


def test_a_kept_place_of_binary_keys_is_read_back_as_it_was():
    bench = Bench({})
    bench.load._keep(
        0, {"done": False, "last": {"id": {"B": "AAEC"}}, "read": 1, "written": 1, "quarantined": 0}
    )

    assert bench.load._place(0)["last"] == {"id": {"B": "AAEC"}}


def test_reads_stay_under_the_ceiling_on_average(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(load.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(load.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    monkeypatch.setattr(load, "LOADERS", 1)
    bench = Bench(ITEMS)
    bench.load.pace = ReadPace(5)
    bench.load.run()

    pages = bench.database.calls["scan"]
    assert pages >= 20
    assert now[0] >= (pages - 1) * 10 / 5  # the fake's pages cost 10 units


def test_the_ledger_of_a_simple_pair_stays_empty_until_the_first_change():
    bench = Bench(ITEMS)
    bench.load.run()

    assert bench.database.items(LEDGER) == {}
