"""The benchmark on Spark: what it judges. It runs in `make bench-spark`, where Spark is."""

from __future__ import annotations

import json

import pytest

from benchmarks.on_spark import Run, _shuffled, judged, shown, slope


def run(workers, items, cpu, **more):
    found = {"matched": items, "worker_bytes": 200_000_000, "jvm_bytes": 700_000_000, "shuffled": 80 * items}
    return Run(workers=workers, items=items, cpu_seconds=cpu, wall_seconds=1.0, **found | more)


GOOD = [run(0, 1_000, 1.0), run(0, 2_000, 1.1), run(1, 1_000, 30.0), run(1, 2_000, 30.09)]


def missed(runs):
    return [name for name, _, _, is_met in judged(runs) if not is_met]


def test_of_an_item_the_slope_is_told_and_not_what_a_jvm_takes_to_begin():
    assert slope(GOOD, 0) == pytest.approx(50.0)
    assert slope(GOOD, 1) == pytest.approx(45.0)
    assert slope(GOOD, 2) is None
    assert missed(GOOD) == []


@pytest.mark.parametrize(
    ("last", "name"),
    [
        (run(1, 2_000, 30.11), "CPU per item, local[1]"),
        (
            run(1, 2_000, 29.0),
            "CPU per item, local[1]",
        ),  # what a JVM takes to begin varies by more than the items
        (run(1, 2_000, 30.09, shuffled=129 * 2_000), "bytes shuffled per item that matches"),
        (run(1, 2_000, 30.09, shuffled=0), "bytes shuffled per item that matches"),
        (run(1, 2_000, 30.09, worker_bytes=401_000_000), "memory of a worker"),
        (run(1, 2_000, 30.09, worker_bytes=0, jvm_bytes=2 * 10**9), "memory of a JVM"),
        (run(1, 2_000, 30.09, matched=1_999), "everything matches"),
    ],
)
def test_what_is_too_much_or_was_not_seen_is_missed(last, name):
    assert missed([*GOOD[:3], last]) == [name]


def test_one_size_says_nothing_of_an_item():
    assert missed([GOOD[0], GOOD[2]]) == ["CPU per item, local[1]"]
    assert "local[1]" in shown(GOOD)


def test_what_was_shuffled_is_read_in_the_event_log(tmp_path):
    ended = {
        "Event": "SparkListenerTaskEnd",
        "Task Metrics": {"Shuffle Write Metrics": {"Shuffle Bytes Written": 7}},
    }
    lines = [ended, ended, {"Event": "SparkListenerTaskEnd"}, {"Event": "SparkListenerJobEnd"}]
    (tmp_path / "log").write_text("".join(json.dumps(one) + "\n" for one in lines))
    assert sum(_shuffled(tmp_path)) == 14
