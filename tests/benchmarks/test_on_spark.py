"""The benchmark on Spark: what it judges and takes off. It runs in `make bench-spark`, where Spark is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from benchmarks import process_tree
from benchmarks.on_spark import Bench, Measure, chosen, tables
from benchmarks.page_server import Generated, page_server
from benchmarks.process_tree import DRIVER, JVM, WORKER
from benchmarks.spark_budgets import (
    EMPTY,
    EQUAL,
    EXPORTS,
    LIVE,
    REKEYED,
    REKEYED_TABLES,
    SAME_ORDER,
    SCAN_ORDER,
    THEIR_FILES,
    THEIR_PAGES,
    Row,
    judge,
    row_of,
    shown,
)
from benchmarks.spark_session import Took, shuffled

ITEMS = 1_000


def row(case, microseconds, workers=2, **more):
    found = {
        "matched": ITEMS,
        "others": 0,
        "peak": {WORKER: 200_000_000, JVM: 700_000_000},
        "shuffled": 80 * ITEMS,
    }
    cpu = {DRIVER: 0.0, JVM: 0.0, WORKER: microseconds * 2 * ITEMS / 1e6}
    return Row(case=case, workers=workers, items=ITEMS, cpu=cpu, wall_seconds=1.0, **found | more)


GOOD = {
    EXPORTS: row(EXPORTS, 10.0),
    SAME_ORDER: row(SAME_ORDER, 10.0),
    REKEYED: row(REKEYED, 14.0),
    SCAN_ORDER: row(SCAN_ORDER, 10.1, 0),
    REKEYED_TABLES: row(REKEYED_TABLES, 20.1, 0),
    LIVE: row(LIVE, 3.0),
    EQUAL: row(EQUAL, 2.1, 0),
    THEIR_FILES: row(THEIR_FILES, 80.1),
    THEIR_PAGES: row(THEIR_PAGES, 80.1),
}


def missed(*changed):
    rows = GOOD | {one.case: one for one in changed}
    return [one.name for one in judge([*rows.values()]) if not one.met]


def test_all_is_met():
    assert missed() == []


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        (row(SCAN_ORDER, 9.9, 0), "CPU per item, exports, local[2]"),
        (row(SCAN_ORDER, 10.1, 0, matched=999), "CPU per item, exports, local[2]"),
        (row(SCAN_ORDER, 0.0, 0), "CPU per item, exports, local[2]"),
        (row(REKEYED, 14.2), "CPU per item, re-keyed exports, local[2]"),
        (row(REKEYED, 0.0, matched=0, refused="not on Spark"), "CPU per item, re-keyed exports, local[2]"),
        (row(THEIR_FILES, 79.9), f"CPU per item, exports beside {THEIR_FILES}"),
        (row(THEIR_FILES, 80.1, others=1), f"CPU per item, exports beside {THEIR_FILES}"),
        (row(EQUAL, 1.9, 0), "workers' CPU per item, tables in one order"),
        (row(THEIR_PAGES, 79.9), f"CPU per item, exports beside {THEIR_PAGES}"),
        (row(EXPORTS, 10.0, shuffled=129 * ITEMS), "bytes shuffled per row (one item of one side)"),
        (row(EXPORTS, 10.0, shuffled=0), "bytes shuffled per row (one item of one side)"),
        (row(EXPORTS, 10.0, peak={WORKER: 401_000_000, JVM: 1}), "memory of a worker"),
        (row(EXPORTS, 10.0, peak={WORKER: 1, JVM: 1_001_000_000}), "memory of a JVM"),
        (row(EXPORTS, 10.0, peak={WORKER: 1}), "memory of a JVM"),
    ],
)
def test_what_is_too_much_or_was_not_measured_is_missed(changed, name):
    assert missed(changed) == [name]


def test_where_live_tables_are_refused_both_of_their_budgets_are_missed():
    refused = row(LIVE, 0.0, matched=0, refused="a side is a live table")
    assert missed(refused) == [
        "workers' CPU per item, tables in one order",
        f"CPU per item, tables beside {THEIR_PAGES}",
    ]
    jvm = msgspec.structs.replace(GOOD[LIVE], cpu=GOOD[LIVE].cpu | {JVM: 1.0})
    assert missed(jvm) == [f"CPU per item, tables beside {THEIR_PAGES}"]  # the first is of the workers


def test_less_than_nothing_is_no_measurement():
    budgets = {one.name: one for one in judge([*(GOOD | {EXPORTS: row(EXPORTS, -3.0)}).values()])}
    assert not budgets["CPU per item, exports, local[2]"].met
    assert budgets["CPU per item, exports, local[2]"].found == "not measured"


def test_what_does_not_match_is_named():
    wrong = [*(GOOD | {EXPORTS: row(EXPORTS, 10.0, others=1, matched=ITEMS - 1)}).values()]
    assert [one.name for one in judge(wrong) if not one.met] == [
        "CPU per item, exports, local[2]",
        "everything matches",
    ]
    assert "NOT exact" in shown(wrong)


def test_nothing_measured_meets_nothing():
    assert not any(one.met for one in judge([]))


def test_a_row_and_a_pair_are_told_apart():
    (found,) = [one.found for one in judge([*GOOD.values()]) if one.name.startswith("bytes")]
    assert found == "40.0; 80.0 per pair of items that match, which is two rows"


def took(cpu, **more):
    found = {"peak": {}, "shuffled": 0, "matched": 0, "others": 0}
    return Took(cpu=dict.fromkeys((DRIVER, JVM), 0.0) | {WORKER: cpu}, wall_seconds=1.0, **found | more)


def test_what_an_empty_pair_takes_is_taken_off():
    rounds = [took(3.0), took(2.0), took(9.0)]
    assert row_of(EXPORTS, 1, ITEMS, rounds, [took(1.0), took(1.5), took(0.5)]).microseconds == 1_000
    assert row_of(EXPORTS, 1, ITEMS, rounds, []).microseconds == 1_500


def test_of_several_rounds_the_worst_answer_counts():
    rounds = [took(1.0, matched=5), took(1.0, matched=4, others=1), took(1.0, matched=5, refused="why")]
    found = row_of(EXPORTS, 1, 5, rounds, [])
    assert (found.matched, found.others, found.refused) == (4, 1, "why")


def test_cases_are_measured_in_turn_each_behind_its_empty_pair(tmp_path):
    asked = []

    def once(name, cpu):
        return lambda: asked.append(name) or took(cpu)

    cases = [Measure(EMPTY, 1, 0, once("empty", 1.0)), Measure(EXPORTS, 1, 2, once("some", 5.0), EMPTY)]
    with page_server({"empty": Generated(items=0)}) as server:
        rows = Bench(server, tmp_path, lambda _: None).rows(cases, 2)
    assert asked == 2 * ["empty", "empty", "empty", "some"]
    assert [one.cpu[WORKER] for one in rows] == [1.0, 4.0]


def test_a_case_is_chosen_with_what_is_taken_off_it():
    def once():
        return took(1.0)

    empty, some = Measure("some, empty", 1, 0, once), Measure("some", 1, 2, once, "some, empty")
    cases = [Measure(SCAN_ORDER, 0, 2, once), empty, some, Measure("other", 1, 2, once)]
    assert chosen(cases, ["scan"]) == cases[:1]
    assert chosen(cases, ["other", "some"]) == cases[1:]
    assert chosen(cases[2:], ["some"]) == [some]
    assert chosen(cases, []) == cases


def test_all_sizes_have_tables():
    assert {"empty", "void", "same", "source-5", "other-5", "source-10", "other-10"} <= tables([5, 10]).keys()


def test_what_was_shuffled_is_read_in_the_event_log(tmp_path):
    def ended(at, **more):
        return {"Event": "SparkListenerTaskEnd", "Task Info": {"Launch Time": at}} | more

    metrics = {"Task Metrics": {"Shuffle Write Metrics": {"Shuffle Bytes Written": 7}}}
    lines = [ended(4_999, **metrics), ended(5_000, **metrics), ended(6_000, **metrics), ended(6_000)]
    (tmp_path / "log").write_text("".join(json.dumps(one) + "\n" for one in [*lines, {"Event": "Other"}]))
    assert shuffled(tmp_path, 5.0) == 14


BUSY = """
import subprocess, sys, time
def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end: pass
if sys.argv[1] == "driver":
    held = bytearray(60_000_000)
    del held
    subprocess.run([sys.executable, __file__, "brief"])
    child = subprocess.Popen([sys.executable, __file__, "org.apache.spark"], stdout=subprocess.PIPE)
    child.stdout.readline()
    print("ready", flush=True)
    sys.stdin.read()
    child.kill()
else:
    burn(0.3)
    print("done", flush=True)
    if sys.argv[1] != "brief":
        time.sleep(600)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs /proc as Linux has it")
def test_cpu_and_memory_are_those_of_a_session_by_kind_of_process(tmp_path):
    (tmp_path / "busy.py").write_text(BUSY)
    command = [sys.executable, str(tmp_path / "busy.py"), "driver"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, start_new_session=True, **pipes) as child:
        while child.stdout.readline() != b"ready\n":
            assert child.poll() is None
        cpu, peak = process_tree.cpu_seconds(child.pid), process_tree.peak_bytes(child.pid)
        process_tree.forget_peaks(child.pid)
        later = process_tree.peak_bytes(child.pid)
        child.stdin.close()
    assert cpu[DRIVER] >= 0.3  # with that of a child that has ended
    assert cpu[JVM] >= 0.3
    assert cpu[WORKER] == 0
    assert peak[DRIVER] >= 60_000_000 > later[DRIVER] > 0
    assert 0 < peak[JVM] < 60_000_000


def test_a_session_without_processes_has_taken_nothing():
    assert sum(process_tree.cpu_seconds(2**30).values()) == 0


def test_what_a_session_answers_is_read_as_it_was_written():
    assert msgspec.json.decode(msgspec.json.encode(took(1.0)), type=Took) == took(1.0)
