"""
The defects that other tools have, each as a whole pass.

What the parts do about them stands with the parts, under names with ``regression_`` and the number.
"""

from __future__ import annotations

import functools
import json
import struct
import subprocess
import sys
import zlib

import pytest

from benchmarks.page_server import REGION, Fault, Listed, page_server
from ddbverify.errors import EngineError
from ddbverify.items.states import State
from ddbverify.suite.verdicts import Outcome, comparison_verdict
from tests.ddbverify import projects
from tests.ddbverify.fakes import Clock, FakeTable, item
from tests.ddbverify.prepared import PreparedTable, plain, run

REFUTING = (State.MISSING, State.EXTRANEOUS, State.DIFFERENT)
REFUSED = EngineError("the connection was reset", "try again.")


def found(comparison):
    return sorted((str(one.state), one.key["id"]["S"]) for one in comparison.differences)


def outcome(comparison):
    return comparison_verdict(comparison, refuting=REFUTING).outcome


def table(content, **more):
    return FakeTable([item(key, v=value) for key, value in content.items()], **more)


def numbered(numbers, schema=None, **attributes):
    items = [{"id": {"S": "k"}, "n": {"N": number}, **attributes} for number in numbers]
    return PreparedTable(plain(items), schema or {"id": "S", "n": "N"}, page_size=50)


# --- 11: "Numeric sort keys compared as text: one missing item reported as 161 differences. Sets
# compared in order."


def test_11_numeric_sort_keys_are_numbers():
    """A merge of two ordered scans that compares 9 and 10 as text loses its place."""
    numbers = [str(number) for number in range(200)]
    comparison = run(numbered(numbers), numbered([one for one in numbers if one != "9"]))
    (difference,) = comparison.differences
    assert difference.state is State.MISSING
    assert difference.key == {"id": {"S": "k"}, "n": {"N": "9"}}
    assert comparison.counts[State.MATCHED] == 199


def test_11_a_numeric_key_is_the_same_in_every_spelling():
    comparison = run(
        numbered(["-1", "0", "0.5", "9", "10", "1E2"]), numbered(["-1.0", "-0", "0.50", "9", "100"])
    )
    (difference,) = comparison.differences
    assert (difference.state, difference.key["n"]) == (State.MISSING, {"N": "10"})
    assert comparison.counts[State.MATCHED] == 5


def test_11_sets_have_no_order():
    sets = {"SS": ["b", "a", "c"], "NS": ["10", "9", "1"], "BS": ["Yg==", "YQ=="]}
    source = FakeTable([item("k") | {kind: {kind: members} for kind, members in sets.items()}])
    target = FakeTable([item("k") | {kind: {kind: members[::-1]} for kind, members in sets.items()}])
    comparison = run(source, target)
    assert comparison.counts[State.MATCHED] == 1
    assert outcome(comparison) is Outcome.PASSED


# --- 12: "A shard or segment error swallowed; a read error taken as 'no more rows' (vitess#19008): a
# partial scan reported as complete."


@pytest.mark.parametrize("side", ["source", "target"])
@pytest.mark.parametrize("page", [0, 1])
def test_12_a_segment_that_fails_is_unexamined_and_the_rest_goes_on(side, page):
    content = {f"k{number}": "x" for number in range(40)}
    tables = {"source": table(content), "target": table(content)}
    tables[side].fails_in[1, page] = REFUSED
    comparison = run(tables["source"], tables["target"], segments=4)
    assert outcome(comparison) is Outcome.INCONCLUSIVE
    assert len(comparison.unexamined) == 1
    assert f"segment 2 of 4 of the {side}" in comparison.unexamined[0]
    assert "connection was reset" in comparison.unexamined[0]
    assert comparison.segments_finished == 3
    assert found(comparison) == []
    tables["target"].delete(("k7",))
    again = run(tables["source"], tables["target"], segments=4)
    assert found(again) == [("missing", "k7")]
    assert outcome(again) is Outcome.FAILED


def test_12_keys_of_a_failed_segment_that_cannot_be_read_either_are_undecided():
    content = {f"k{number}": "x" for number in range(12)}
    target = table(content)
    target.fails_in[0, 0] = REFUSED
    target.unreadable = {(key,) for key in content}
    comparison = run(table(content), target, settle=1.0)
    assert comparison.counts[State.UNDECIDED] == 12
    assert comparison.examined == 0
    assert {one.reason for one in comparison.differences} == {"throttled"}
    assert outcome(comparison) is Outcome.INCONCLUSIVE


# --- 13: "Keys checked in one direction only: extra items in the target never seen."


def test_13_extra_items_of_the_target_are_seen():
    comparison = run(table({}), table({"ghost": "x"}))
    assert found(comparison) == [("extraneous", "ghost")]
    assert outcome(comparison) is Outcome.FAILED


# --- 14: "Counts within 0.5 % accepted; an empty source passes 'vacuously'; equal counts with 5 lost
# and 5 ghost items pass."


def test_14_one_lost_item_among_thousands_is_a_failure():
    content = {f"k{number}": "x" for number in range(2_000)}
    source = PreparedTable(plain([item(key, v="x") for key in content]), {"id": "S"})
    target = PreparedTable(plain([item(key, v="x") for key in content if key != "k7"]), {"id": "S"})
    comparison = run(source, target)
    assert found(comparison) == [("missing", "k7")]
    assert outcome(comparison) is Outcome.FAILED


def test_14_equal_counts_do_not_hide_five_lost_and_five_ghosts():
    source = {f"k{number}": "x" for number in range(100)}
    target = dict(list(source.items())[5:]) | {f"ghost{number}": "x" for number in range(5)}
    comparison = run(table(source), table(target))
    assert comparison.source.items == comparison.target.items == 100
    assert comparison.counts[State.MISSING] == comparison.counts[State.EXTRANEOUS] == 5
    assert outcome(comparison) is Outcome.FAILED


def test_14_two_empty_tables_have_examined_nothing():
    comparison = run(table({}), table({}))
    assert comparison.examined == 0
    assert outcome(comparison) is Outcome.INCONCLUSIVE


# --- 15: "Decimals compared as float32: 123456789.01 equals 123456790.99. CRC32 with XOR: 1,000 rows
# that all differ give the same checksum."


@pytest.mark.parametrize(
    ("one", "other", "as_float"),
    [
        ("123456789.01", "123456790.99", "f"),
        ("9007199254740993", "9007199254740992", "d"),
        ("1" * 38, "1" * 37 + "2", "d"),
    ],
)
def test_15_every_digit_counts(one, other, as_float):
    assert struct.pack(as_float, float(one)) == struct.pack(as_float, float(other))
    source, target = (FakeTable([item("k") | {"n": {"N": number}}]) for number in (one, other))
    comparison = run(source, target)
    assert found(comparison) == [("different", "k")]
    assert comparison.differences[0].paths == ("n: value",)


def test_15_a_thousand_rows_that_all_differ_under_one_checksum():
    """The same bit flipped in an even number of rows of one length: a XOR of their CRCs never moves."""
    sides = [[item(f"{number:04}", v=value) for number in range(1_000)] for value in ("aaaa", "aaac")]
    rows = [plain(items) for items in sides]
    checksums = [functools.reduce(lambda sum_, row: sum_ ^ zlib.crc32(row[1]), side, 0) for side in rows]
    assert checksums[0] == checksums[1]
    comparison = run(*(PreparedTable(side, {"id": "S"}) for side in rows))
    assert comparison.counts[State.DIFFERENT] == 1_000
    assert comparison.counts[State.MATCHED] == 0


# --- 16: "Differences found, exit code 0 (seven of the tools read)."

ITEMS = [item(f"k{number}", v="x") for number in range(30)]
ALTERED = [ITEMS[0], item("k1", v="y"), *ITEMS[2:]]


def diff(source, target, folder, *arguments, faults=()):
    """``ddbverify diff`` of two lists of items, in a process of its own."""
    tables = {
        "orders": Listed(keys={"id": "S"}, items=source, page_items=10),
        "orders-v2": Listed(keys={"id": "S"}, items=target, page_items=10, faults=list(faults)),
    }
    with page_server(tables) as server:
        sides = [
            option
            for side in ("source", "target")
            for option in (f"--{side}-region", REGION, f"--{side}-endpoint-url", server.endpoint_url)
        ]
        return subprocess.run(
            [
                *(sys.executable, "-m", "ddbverify", "diff", "orders", "orders-v2", *sides),
                *("--settle", "0s", "--format", "jsonl", "--quiet", *arguments),
            ],
            cwd=folder,
            env={
                "PATH": "/usr/bin:/bin",
                "HOME": str(folder),
                "PYTHONPATH": str(projects.REPOSITORY),
                "AWS_ACCESS_KEY_ID": "page",
                "AWS_SECRET_ACCESS_KEY": "server",
                "AWS_MAX_ATTEMPTS": "1",
            },
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.mark.parametrize(
    ("target", "faults", "code", "verdict"),
    [
        pytest.param(ITEMS, [], 0, "equal", id="equal"),
        pytest.param(ALTERED, [], 1, "different", id="one altered"),
        pytest.param([*ITEMS, item("ghost")], [], 1, "different", id="one extra"),
        pytest.param(ITEMS, [Fault(kind="json", first=2, times=None)], 3, "inconclusive", id="a page lost"),
        pytest.param(ALTERED, [Fault(kind="json", first=3, times=None)], 1, "different", id="both"),
    ],
)
def test_16_the_exit_code_says_what_was_found(target, faults, code, verdict, tmp_path):
    done = diff(ITEMS, target, tmp_path, faults=faults)
    assert done.returncode == code, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["summary"]["verdict"] == verdict


# --- 17: "In-flight writes reported as differences; or, the other way round, suspects dropped when the
# second look fails."


def test_17_a_change_in_flight_is_not_reported():
    clock = Clock()
    source, target = table({"a": "new", "b": "x"}), table({"a": "old", "c": "x"})
    clock.at(0.4, lambda: target.put(item("a", v="new")))
    clock.at(0.5, lambda: target.put(item("b", v="x")))
    clock.at(0.6, lambda: target.delete(("c",)))
    comparison = run(source, target, clock=clock, settle=1.0)
    assert found(comparison) == []
    assert comparison.converged == 3
    assert comparison.counts[State.MATCHED] == 3
    assert comparison.source.items == comparison.target.items == 2
    assert comparison.slowest_convergence_seconds >= 0.6


@pytest.mark.parametrize("side", ["source", "target"])
def test_17_a_suspect_whose_second_look_fails_is_not_dropped(side):
    content = {f"k{number}": "x" for number in range(10)}
    tables = {"source": table(content), "target": table(content | {"k3": "another", "k4": "another"})}
    tables[side].unreadable = {("k3",)}
    comparison = run(tables["source"], tables["target"], settle=1.0)
    assert found(comparison) == [("different", "k4"), ("undecided", "k3")]
    assert comparison.counts[State.MATCHED] == 8


# --- 18: "Only ten sample rows kept: the operator has to diff again with another tool."


def test_18_every_finding_is_kept(tmp_path):
    """On standard output and in the file, a thousand of a thousand, each with its key."""
    source = [item(f"k{number}", v="x") for number in range(1_000)]
    target = [item(f"k{number}", v="y") for number in range(500)]
    done = diff(source, target, tmp_path, "--out", "found")
    *printed, last = map(json.loads, done.stdout.splitlines())
    kept = list(map(json.loads, (tmp_path / "found" / "findings.jsonl").read_text().splitlines()))
    for lines in (printed, kept):
        assert sorted((line["finding"], line["key"]["id"]["S"]) for line in lines) == sorted(
            [("different", f"k{number}") for number in range(500)]
            + [("missing", f"k{number}") for number in range(500, 1_000)]
        )
        assert all(
            line["paths"] == (["v: value"] if line["finding"] == "different" else []) for line in lines
        )
    assert (last["summary"]["different"], last["summary"]["missing"]) == (500, 500)
