"""Both tables get markers while the last verification reads the streams; or it is told why they do not."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from ddbverify.config import parse
from ddbverify.errors import EngineError
from ddbverify.evidence import folders
from ddbverify.names import Fact, marker_key
from replicator.aws import markers, readers
from replicator.commands import marking
from replicator.handlers.state import State
from tests.replicator.fakes import KEYS, STATE, TARGET, FakeDynamoDB, Rooted, refusal

FILE = '[[tables]]\nsource = "orders"\ntarget = "target"\n'


class World(Rooted):
    def __init__(self, folder, text=FILE):
        self.config = parse(text, folder)
        self.out = folder / "run"
        self.out.mkdir()
        (pair,) = self.config.tables
        self.pair = pair
        self.source, self.target = FakeDynamoDB(orders=KEYS), FakeDynamoDB()
        self.facts = State.of_pair(FakeDynamoDB(), STATE, pair.id)
        self.known = {"knows_markers": True, "forwarder_mapping": "ours"}
        self.told = []
        self.console = SimpleNamespace(warn=self.told.append, step=self.step)
        self.there = True
        self.whole = State.whole(FakeDynamoDB(), STATE)
        self.next = None  # a direction that is armed

    def step(self, title):
        from contextlib import nullcontext

        self.told.append(title)
        return nullcontext()

    def turned(self, cycle):
        return self.next or SimpleNamespace(cycle=cycle, begun=lambda: False) if cycle else self

    def state(self, _):
        return self.facts

    def resources(self, _):
        return self.known

    def source_table(self, _):
        return SimpleNamespace(name="orders", keys=KEYS, stream_arn="arn:s")

    def target_table(self, _):
        return SimpleNamespace(name=TARGET, keys=KEYS, stream_arn="arn:t") if self.there else None

    def source_client(self, _):
        return None

    target_client = source_client

    @property
    def batches(self):
        return [side.calls["batch_write_item"] for side in (self.source, self.target)]

    @property
    def left(self):
        return len(self.source.tables["orders"]) + len(self.target.tables[TARGET])

    def has_read(self):
        folders.changed_keys(self.out, self.pair.id).write_text("")


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "who_get_markers", lambda *_: iter(()))
    monkeypatch.setattr(markers, "_PAUSE_SECONDS", 0.01)
    return World(tmp_path)


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_both_tables_get_them_until_the_run_has_read_the_streams(world):
    with marking.written(world, world.out) as marked:
        assert marked
        assert world.facts.get(Fact.MARKED) is not None, "noted before the first one"
        until(lambda: min(world.batches) > 8)
        world.has_read()
        until(lambda: world.batches[0] == world.batches[1])
        time.sleep(0.2)
        enough = world.batches
        time.sleep(0.1)
        assert world.batches == enough
    assert world.left == 0
    assert world.facts.get(Fact.MARKED) is None
    assert world.told == []


def test_they_end_with_the_run_whatever_that_has_come_to(world):
    def failing():
        with marking.written(world, world.out):
            until(lambda: min(world.batches) > 4)
            raise EngineError("the run did not end in time", "x")

    with pytest.raises(EngineError):
        failing()
    assert world.left == 0
    assert world.facts.get(Fact.MARKED) is None


@pytest.mark.parametrize("side", ["source", "target"])
def test_where_the_first_is_refused_none_are_written_and_that_is_told(world, side):
    getattr(world, side).faults.append(refusal("AccessDeniedException"))
    with marking.written(world, world.out) as marked:
        assert not marked
    assert world.left == 0
    (said,) = world.told
    assert "no markers are written, so the ends of the streams are assumed: " in said
    assert "AccessDenied" in said
    assert world.facts.get(Fact.MARKED) is None


def test_where_they_are_throttled_later_that_is_told_and_what_may_be_left_is_noted(world):
    with marking.written(world, world.out) as marked:
        assert marked
        until(lambda: min(world.batches) > 4)
        world.target.faults.append(refusal("ProvisionedThroughputExceededException"))
        until(lambda: not world.target.faults)
        time.sleep(0.05)
    (said,) = world.told
    assert "markers were not written, or not removed, to the end" in said
    assert world.facts.get(Fact.MARKED) is not None
    marking.tidy(world, world.pair)
    assert world.facts.get(Fact.MARKED) is None
    assert world.left == 0


def test_those_that_a_killed_cutover_has_left_are_removed_from_both_tables(world):
    for side, name in ((world.source, "orders"), (world.target, TARGET)):
        side.seed(name, {**marker_key(KEYS, 4095), "replicator": {"S": "marker"}})
        side.seed(name, {"id": {"S": "mine"}})
    marking.tidy(world, world.pair)
    assert world.left == 4, "nothing is noted, so nobody looks"
    world.facts.put(Fact.MARKED, at="now")
    marking.tidy(world, world.pair)

    assert world.left == 2
    assert "are removed from the tables of orders -> target" in world.told[0]
    world.facts.put(Fact.MARKED, at="now")
    world.there = False
    marking.tidy(world, world.pair)
    assert world.facts.get(Fact.MARKED) is None


def refuse(*_):
    raise EngineError("AWS refused to list the functions that read the stream of orders", "x")


@pytest.mark.parametrize(
    ("break_", "why"),
    [
        (lambda world, _: world.known.pop("knows_markers"), "is of an earlier build"),
        (
            lambda _, patch: patch.setattr(readers, "who_get_markers", lambda *_: iter(["mailer"])),
            "mailer would get them",
        ),
        (lambda _, patch: patch.setattr(readers, "who_get_markers", refuse), "is not known: AWS refused"),
    ],
)
def test_where_they_would_reach_somebody_none_are_written(world, monkeypatch, break_, why):
    break_(world, monkeypatch)
    with marking.written(world, world.out) as marked:
        assert not marked
    assert world.batches == [0, 0]
    assert why in world.told[0]


def test_where_no_canary_may_fly_no_marker_does(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "who_get_markers", lambda *_: iter(()))
    world = World(tmp_path, FILE + "[replication]\ncanary = false\n")
    with marking.written(world, world.out) as marked:
        assert not marked
    assert world.batches == [0, 0]
    assert "canary = false" in world.told[0]
