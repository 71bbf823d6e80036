"""What a worker does once, and not in each of its tasks. Batches of Arrow are tried in `tests/spark`."""

from __future__ import annotations

import pytest

from ddbverify.spark import arrow
from ddbverify.spark.arrow import TaskFailed, of_rows

UNPACKED = []


class Step:
    """Notes each unpacking and each call, and makes nothing."""

    def __init__(self):
        self.calls = 0

    def __setstate__(self, state):
        self.__dict__.update(state)
        UNPACKED.append(self)

    def __call__(self, rows):
        self.calls += 1
        assert list(rows) == []
        return iter(())


class Unreadable:
    def __getstate__(self):
        return {"any": 1}

    def __setstate__(self, state):
        raise ValueError("telltale")


@pytest.fixture
def collected(monkeypatch):
    """What is asked of the collector, in a process that has run no task."""
    asked = []
    monkeypatch.setattr(arrow.gc, "collect", lambda: asked.append("collect"))
    monkeypatch.setattr(arrow.gc, "freeze", lambda: asked.append("freeze"))
    arrow._spare_what_is_loaded.cache_clear()
    arrow._unpacked.cache_clear()
    UNPACKED.clear()
    yield asked
    arrow._spare_what_is_loaded.cache_clear()  # it was not done


def test_a_step_is_unpacked_once_for_all_tasks_of_a_worker(collected):
    runs = [of_rows(Step()) for _ in range(3)]  # alike, as each task gets it
    for run in runs:
        assert list(run(iter(()))) == []
    assert [one.calls for one in UNPACKED] == [3]


def test_what_is_loaded_is_left_out_of_collections_once_and_behind_the_first_task(collected):
    run = of_rows(Step())
    batches = run(iter(()))
    assert collected == []
    list(batches)
    list(run(iter(())))
    assert collected == ["collect", "freeze"]


def test_a_step_that_cannot_be_unpacked_fails_without_a_value(collected):
    with pytest.raises(TaskFailed) as failed:
        list(of_rows(Unreadable())(iter(())))
    assert "telltale" not in str(failed.value)
    assert failed.value.__suppress_context__
