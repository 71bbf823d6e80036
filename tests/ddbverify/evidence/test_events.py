"""The log of a run's passes: few lines, in order, whatever becomes of the disk."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import stat
import threading
import time

import pytest

from ddbverify.compare.request import Progress
from ddbverify.evidence import events
from ddbverify.evidence.events import EventLog
from ddbverify.evidence.record import CheckRecord, CheckState
from ddbverify.items.states import State


def began(path, clock=time.time):
    log = EventLog(path, clock)
    log.begin("run", "20261118T110000Z-1")
    return log


def progress(items: int = 0, phase: str = "scan", *, suspects: int = 0) -> Progress:
    return Progress(phase, 1, 4, items, items, 1.25, suspects)


class Clock:
    def __init__(self) -> None:
        self.now = 1_795_000_000.0

    def __call__(self) -> float:
        return self.now


def test_a_line_a_second_each_change_of_phase_and_the_end(tmp_path):
    clock = Clock()
    path = tmp_path / "events.jsonl"
    with began(path, clock).passing("orders") as note:
        for number in range(80):
            note(progress(number))
            clock.now += 0.125
        note(progress(80, "settle", suspects=7))
        note(progress(80, "settle", suspects=6))

    found = events.read(path)

    assert found is not None
    assert [one.phase for one in found.events] == ["scan"] * 10 + ["settle", "ended"]
    assert [one.open_suspects for one in found.events[-2:]] == [7, 6]
    assert [one.source_items for one in found.events[:3]] == [0, 8, 16]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert found.damage == ""


def test_a_clock_that_is_set_back_silences_nothing(tmp_path):
    clock = Clock()
    with began(tmp_path / "e", clock).passing("orders") as note:
        note(progress(1))
        clock.now -= 3600
        note(progress(2))

    found = events.read(tmp_path / "e")
    assert found is not None
    assert len(found.events) == 3


def test_a_pass_that_raises_has_an_end_and_one_that_said_nothing_has_none(tmp_path):
    def fail() -> None:
        with began(tmp_path / "e").passing("orders") as note:
            note(progress(3))
            raise ValueError("so")

    with pytest.raises(ValueError, match="so"):
        fail()
    with EventLog(tmp_path / "none").passing("orders"):
        pass

    found = events.read(tmp_path / "e")
    assert found is not None
    assert [one.phase for one in found.events] == ["scan", "ended"]
    assert events.read(tmp_path / "none") is None


def test_a_full_disk_ends_the_log_and_not_the_pass(tmp_path, monkeypatch):
    clock = Clock()
    path = tmp_path / "e"
    with began(path, clock).passing("orders") as note:
        note(progress(1))
        whole = os.write

        def full(descriptor: int, data: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left")

        monkeypatch.setattr(os, "write", full)
        clock.now += 5
        note(progress(2))
        monkeypatch.setattr(os, "write", whole)
        clock.now += 5
        note(progress(3))  # behind a gap nothing follows

    found = events.read(path)
    assert found is not None
    assert [one.source_items for one in found.events] == [1]


def test_lines_of_many_threads_are_whole(tmp_path):
    clock = Clock()
    with began(tmp_path / "e", clock).passing("orders") as note:

        def report() -> None:
            for number in range(50):
                clock.now += 2
                note(progress(number))

        threads = [threading.Thread(target=report) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    found = events.read(tmp_path / "e")
    assert found is not None
    assert found.damage == ""
    assert len(found.events) > 100


@pytest.mark.parametrize("end", ["{", '{"at": 1}\n', "\n", '{"at": -1, "pair": 3}\n'])
def test_a_file_that_is_cut_says_so(tmp_path, end):
    path = tmp_path / "e"
    with began(path).passing("orders") as note:
        note(progress(1))
    with path.open("a") as file:
        file.write(end)

    found = events.read(path)
    assert found is not None
    assert (len(found.events), found.damage) == (2, "line 4 is cut, or is no event")


def test_what_is_no_file_has_no_events(tmp_path):
    os.mkfifo(tmp_path / "e")

    found = events.read(tmp_path / "e")
    assert found is not None
    assert (found.events, found.damage) == ((), "line 1 is cut, or is no event")


def test_counts_lag_money_checks_and_verdict_stand_in_it_and_no_key(tmp_path):
    path = tmp_path / "e"
    log = began(path, Clock())
    counts = {State.MATCHED: 7, State.MISSING: 2, State.DIFFERENT: 0}
    with log.passing("orders", usd_per_unit=0.5) as note:
        note(dataclasses.replace(progress(9), counts=counts, converged=3, slowest_convergence_seconds=1.5))
    log.check(CheckRecord("c.py::a[orders]", "c.py::a", "orders", CheckState.FAILED, examined=9, findings=2))
    log.verdict("failed", complete=True)

    first, passing, ended, check, verdict = [json.loads(line) for line in path.read_text().splitlines()]
    at = 1_795_000_000.0
    assert first == {"event": "begun", "schema": 1, "at": at, "of": "run", "name": "20261118T110000Z-1"}
    assert passing["counts"] == {"matched": 7, "missing": 2}
    assert (passing["converged"], passing["lag_seconds"], passing["usd"]) == (3, 1.5, 0.625)
    assert ended == passing | {"phase": "ended"}
    assert check == {
        "event": "check",
        "at": at,
        "check": "c.py::a",
        "pair": "orders",
        "state": "failed",
        "counts": True,
        "examined": 9,
        "findings": 2,
        "seconds": 0.0,
    }
    assert verdict == {"event": "verdict", "at": at, "verdict": "failed", "complete": True}


def test_a_long_pass_leaves_few_thousand_lines(tmp_path):
    clock = Clock()
    path = tmp_path / "e"
    with began(path, clock).passing("orders") as note:
        for _ in range(7 * 24 * 360):
            note(progress(1))
            clock.now += 10

    found = events.read(path)
    assert found is not None
    assert 1_000 < len(found.events) < 25_000


def test_a_log_that_is_full_stays_as_it_is(tmp_path):
    clock = Clock()
    path = tmp_path / "e"
    log = EventLog(path, clock, most_bytes=1_000)
    log.begin("run", "one")
    with log.passing("orders") as note:
        for number in range(100):
            note(progress(number))
            clock.now += 5

    found = events.read(path)
    assert found is not None
    assert path.stat().st_size <= 1_000
    assert len(found.events) in (2, 3)
    assert found.damage == ""


def test_what_goes_on_cuts_off_the_half_line_that_a_crash_has_left(tmp_path):
    path = tmp_path / "e"
    with began(path).passing("orders") as note:
        note(progress(1))
    with path.open("a") as file:
        file.write('{"event": "pa')

    with began(path).passing("orders") as note:
        note(progress(2))

    found = events.read(path)
    assert found is not None
    assert found.damage == ""
    assert [one.source_items for one in found.events] == [1, 1, 2, 2]


@pytest.mark.parametrize(
    "first",
    [
        {"at": 1.0, "pair": "a", "phase": "scan"},
        {"event": "begun", "schema": 2, "at": 1.0, "of": "run", "name": "a"},
        {"event": "later"},
    ],
)
def test_a_log_of_another_version_says_so(tmp_path, first):
    (tmp_path / "e").write_text(json.dumps(first) + "\n")

    found = events.read(tmp_path / "e")
    assert found is not None
    assert (found.lines, found.damage) == ((), "it was written by another version of ddbverify")


def test_nothing_is_kept_where_nobody_asks():
    log = EventLog(None)
    log.begin("diff", "")
    with log.passing("orders") as note:
        note(progress(1))
    log.verdict("equal", complete=True)
