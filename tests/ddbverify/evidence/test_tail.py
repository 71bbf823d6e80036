"""A log that is read while it is written: nothing twice, nothing lost, nothing made of half a line."""

from __future__ import annotations

import os

import pytest

from ddbverify.evidence.events import EventLog
from ddbverify.evidence.tail import MOST_KEPT, Tail, Told
from tests.ddbverify.live.logs import RUN, following, migration_log, run_log


def test_it_reads_on_from_where_it_was(tmp_path):
    path = tmp_path / "e"
    tail = Tail(path)
    assert not tail.poll()
    run_log(path, seconds=3)
    assert tail.poll()
    before = tail.place
    assert not tail.poll()
    assert tail.place == before

    assert [one.phase for one in tail.told.passes["orders"]] == ["scan", "scan", "scan", "ended"]
    EventLog(path).verdict("passed", complete=True)
    assert tail.poll()
    assert tail.told.verdict is not None
    assert tail.place != before
    assert tail.place.startswith(f"{RUN}:")
    assert len(tail.told.passes["orders"]) == 4


def test_half_a_line_waits_for_its_end(tmp_path):
    path = tmp_path / "e"
    run_log(path, seconds=2)
    content = path.read_bytes()
    path.write_bytes(content[:-20])
    tail = Tail(path)
    tail.poll()
    place = tail.place
    assert len(tail.told.passes["orders"]) == 2
    assert tail.told.damage == ""

    path.write_bytes(content)
    assert tail.poll()
    assert len(tail.told.passes["orders"]) == 3
    assert tail.place != place


@pytest.mark.parametrize("seconds", [2, 20])
def test_another_log_of_the_same_name_takes_its_place(tmp_path, seconds):
    path = tmp_path / "e"
    run_log(path, seconds=9)
    tail = Tail(path)
    tail.poll()
    run_log(tmp_path / "other", name="another", seconds=seconds)
    (tmp_path / "other").replace(path)

    assert tail.poll()
    assert tail.told.begun is not None
    assert tail.told.begun.name == "another"
    assert len(tail.told.passes["orders"]) == seconds + 1
    assert tail.place.startswith("another:")


def test_a_log_that_was_emptied_begins_anew(tmp_path):
    path = tmp_path / "e"
    run_log(path, seconds=9)
    tail = Tail(path)
    tail.poll()
    os.truncate(path, 0)

    assert tail.poll()
    assert tail.told.begun is None
    run_log(path, name="another", seconds=1)
    assert tail.poll()
    assert len(tail.told.passes["orders"]) == 2


def test_a_damaged_line_ends_it_and_says_so(tmp_path):
    path = tmp_path / "e"
    run_log(path, seconds=2)
    with path.open("a") as file:
        file.write('{"event": "pa\n')
    EventLog(path).verdict("passed", complete=True)
    tail = Tail(path)

    assert tail.poll()
    assert tail.told.damage == "a line is cut, or is no event"
    assert tail.told.verdict is None


@pytest.mark.parametrize(
    "first", ['{"at": 1.0}\n', '{"event":"begun","schema":9,"at":1,"of":"run","name":"a"}\n']
)
def test_another_version_s_log_says_so(tmp_path, first):
    (tmp_path / "e").write_text(first)
    tail = Tail(tmp_path / "e")

    assert tail.poll()
    assert tail.told.damage == "it was written by another version of ddbverify"


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "e")
    tail = Tail(tmp_path / "e")

    assert tail.poll()
    assert tail.told.damage == "it is no file"
    assert not tail.poll()


def test_weeks_of_it_stay_small_and_keep_their_beginning_and_their_end():
    told = Told()
    for number in range(10_000):
        told.add(following(float(number)))

    kept = [one.at for one in told.following["orders -> orders-v2"]]
    assert len(kept) <= MOST_KEPT
    assert (kept[0], kept[-1]) == (0.0, 9_999.0)
    assert kept == sorted(kept)


def test_a_second_watch_goes_on_with_the_log_and_another_migration_begins_anew(tmp_path):
    path = tmp_path / "e"
    migration_log(path, looks=3)
    migration_log(path, looks=2)
    tail = Tail(path)
    tail.poll()
    assert len(tail.told.following["orders -> orders-v2"]) == 5

    migration_log(path, name="other", looks=1)
    tail.poll()
    assert len(tail.told.following["orders -> orders-v2"]) == 1
