"""The log of a run's passes: few lines, in order, whatever becomes of the disk."""

from __future__ import annotations

import errno
import os
import stat
import threading

import pytest

from ddbverify.compare.request import Progress
from ddbverify.evidence import events
from ddbverify.evidence.events import EventLog


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
    with EventLog(path, clock).passing("orders") as note:
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
    with EventLog(tmp_path / "e", clock).passing("orders") as note:
        note(progress(1))
        clock.now -= 3600
        note(progress(2))

    found = events.read(tmp_path / "e")
    assert found is not None
    assert len(found.events) == 3


def test_a_pass_that_raises_has_an_end_and_one_that_said_nothing_has_none(tmp_path):
    def fail() -> None:
        with EventLog(tmp_path / "e").passing("orders") as note:
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
    with EventLog(path, clock).passing("orders") as note:
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
    with EventLog(tmp_path / "e", clock).passing("orders") as note:

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
    with EventLog(path).passing("orders") as note:
        note(progress(1))
    with path.open("a") as file:
        file.write(end)

    found = events.read(path)
    assert found is not None
    assert (len(found.events), found.damage) == (2, "line 3 is cut, or is no event")


def test_what_is_no_file_has_no_events(tmp_path):
    os.mkfifo(tmp_path / "e")

    found = events.read(tmp_path / "e")
    assert found is not None
    assert (found.events, found.damage) == ((), "line 1 is cut, or is no event")
