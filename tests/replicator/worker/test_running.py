"""What a worker's process does about its readers: one that died or hangs is named, and holds nothing back."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from replicator.worker import running
from replicator.worker.running import Worker

PAIR = SimpleNamespace(id="orders")


class Reading:
    """A forwarder of which each turn is the test's."""

    def __init__(self, turn):
        self.turn, self.abandoned, self.released = turn, 0, 0

    def abandon(self):
        self.abandoned += 1

    def release(self):
        self.released += 1


class Bench:
    """A worker of one pair that reads only."""

    def __init__(self, monkeypatch, *turns):
        self.made, self.told, self.stop = [], [], threading.Event()
        direction = SimpleNamespace(cycle=0, config=SimpleNamespace(tables=[PAIR]), target_identity="arn")
        self.directions = [direction]
        waiting = iter(turns)

        def forwarding(*_):
            self.made.append(Reading(next(waiting)))
            return self.made[-1]

        monkeypatch.setattr(running, "Forwarding", forwarding)
        monkeypatch.setattr(running.live, "around", lambda _: self.directions)
        context = SimpleNamespace(emulator=True, begun=lambda: True)
        self.worker = Worker(context, (running.FORWARDER,), self.stop, self.told.append)


def dies():
    raise SystemExit


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_reader_that_died_is_named_and_started_anew(monkeypatch):
    bench = Bench(monkeypatch, dies, lambda: bench.stop.set() or False)
    bench.worker._refresh()
    (first,) = bench.worker._readers.values()
    first.thread.join()
    bench.worker._refresh()

    (second,) = bench.worker._readers.values()
    second.thread.join()
    assert [one.abandoned for one in bench.made] == [1, 0]
    assert any(text.startswith("forwarder-orders has died") for text in bench.told)


@pytest.fixture
def hanging():
    free = threading.Event()
    yield free
    free.set()


def test_a_reader_that_hangs_is_left_when_the_worker_ends(monkeypatch, hanging):
    monkeypatch.setattr(running, "_END_WITHIN", 0.0)
    at_it = threading.Event()

    def hangs():
        at_it.set()
        hanging.wait()
        return False

    bench = Bench(monkeypatch, hangs)
    bench.worker._refresh()
    assert at_it.wait(10)
    bench.stop.set()

    assert bench.worker.run() == ["forwarder-orders"]
    assert bench.made[0].abandoned == 1
    assert any("forwarder-orders hangs" in text for text in bench.told)


def test_a_pair_that_ended_does_not_wait_for_a_reader_that_hangs(monkeypatch, hanging):
    monkeypatch.setattr(running, "_END_WITHIN", 0.0)
    bench = Bench(monkeypatch, hanging.wait)
    bench.worker._refresh()
    bench.directions.clear()
    bench.worker._refresh()

    assert bench.worker._readers == {}
    assert bench.made[0].abandoned == 1


def test_a_reader_that_ends_gives_back_what_it_has(monkeypatch):
    bench = Bench(monkeypatch, lambda: False)
    bench.worker._refresh()
    bench.stop.set()

    assert bench.worker.run() == []
    assert (bench.made[0].released, bench.made[0].abandoned) == (1, 0)
