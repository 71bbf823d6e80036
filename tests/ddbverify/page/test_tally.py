"""Findings in aggregates: all are counted, some are kept, and keys are nowhere unless asked for."""

from __future__ import annotations

import dataclasses
import json
import os
import tracemalloc

import pytest

from ddbverify.compare.causes import Causes
from ddbverify.errors import ConfigurationError
from ddbverify.items.states import State
from ddbverify.page import tally
from tests.ddbverify.pages import HOSTILE, LONG, TOKEN, every_kind, finding, write_findings


def test_what_it_counts_is_what_stands_there(tmp_path):
    lines = list(every_kind("orders"))
    expected = Causes()
    for line in lines:
        if line["finding"] in set(State):
            paths = ["info: value" if TOKEN in path else path for path in line["paths"]]
            expected.add(State(line["finding"]), paths, line["reason"])

    found = tally.read(write_findings(tmp_path, lines))

    assert found is not None
    assert found.findings == len(lines) == 94
    assert (found.of("orders", "different"), found.of("orders", "missing")) == (60, 30)
    counted = {text: count for (_, state, text), count in found.causes.items() if state != "refuted"}
    assert counted == {cause.text: cause.findings for cause in expected.most_common(100)}
    assert sum(found.slices["orders"]) == 94
    assert found.damage == ""


def test_no_key_and_nothing_below_an_attribute_is_kept_unless_it_is_asked_for(tmp_path):
    path = write_findings(tmp_path, every_kind("orders"))

    assert TOKEN not in repr(tally.read(path))
    assert TOKEN in repr(tally.read(path, keys=True))


def test_items_are_kept_with_keys_only_and_never_whole_if_they_are_large(tmp_path):
    item = {"id": {"S": "7"}, "note": {"S": f"{TOKEN}{'y' * 400_000}"}}
    line = {"finding": "different", "key": {"id": {"S": "7"}}, "paths": ["note: value"]}
    path = write_findings(tmp_path, [line | {"items": {"read_at": "now", "source": item, "target": None}}])

    without, shown = tally.read(path), tally.read(path, keys=True)

    assert without is not None
    assert without.shown[0].items == ()
    assert shown is not None
    (source, target) = shown.shown[0].items
    assert (source[0], target) == ("source", ("target", "null"))
    assert TOKEN in source[1]
    assert len(source[1]) < 1_100


def test_some_of_each_way_are_shown_however_rare_it_is(tmp_path):
    lines = [finding(number) for number in range(5_000)]
    lines += [finding(9_000, "missing"), finding(9_001, paths=("size: removed",))]

    found = tally.read(write_findings(tmp_path, lines))

    assert found is not None
    assert len(found.shown) == tally.MOST_SHOWN
    assert {one.state for one in found.shown} == {"different", "missing"}
    assert [one.line for one in found.shown[:4]] == [1, 5_002, 5_001, 2]


def test_long_names_shorten_the_list_and_not_the_counts(tmp_path):
    lines = [
        finding(number, paths=tuple(f"{LONG}{number}-{place}: value" for place in range(9)))
        for number in range(600)
    ]

    found = tally.read(write_findings(tmp_path, lines))

    assert found is not None
    assert found.findings == 600
    assert 50 < len(found.shown) < tally.MOST_SHOWN
    assert sum(len(way) for one in found.shown for way in one.ways) <= tally.MOST_TEXT


def test_any_number_of_ways_is_counted_in_bounded_memory(tmp_path):
    path = write_findings(
        tmp_path, (finding(number, paths=(f"a{number}: value",)) for number in range(40_000))
    )

    tracemalloc.start()
    found = tally.read(path)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert found is not None
    assert found.findings == found.of("orders", "different") == sum(found.causes.values()) == 40_000
    assert len(found.causes) <= 4_001
    assert most < 12e6


@pytest.mark.parametrize(
    "end",
    ['{"finding": "missing", "ke', '{"finding": "missing", "key": {}}', "[]\n", '{"finding": 7}\n', "\n"],
)
def test_a_file_that_is_cut_is_said_to_be(tmp_path, end):
    path = write_findings(tmp_path, [finding(1), finding(2)])
    with path.open("a") as file:
        file.write(end)

    found = tally.read(path)

    assert found is not None
    assert (found.findings, found.damage) == (2, "line 3 is cut, or is no finding")


def test_what_stands_behind_the_damage_counts_for_the_digest_and_for_nothing_else(tmp_path):
    path = write_findings(tmp_path, [finding(1), {"pair": "orders"}, finding(2)])
    damaged = tally.read(path)
    with path.open("a") as file:
        file.write(json.dumps(finding(3)) + "\n")
    longer = tally.read(path)

    assert damaged is not None
    assert longer is not None
    assert (damaged.findings, longer.findings) == (1, 1)
    assert damaged.sha256 != longer.sha256


def test_keys_that_share_their_first_attribute_are_in_one_slice(tmp_path):
    tricky = 'a"}, "b'
    lines = [
        finding(number, key={"customer": {"S": tricky}, "id": {"S": str(number)}}) for number in range(100)
    ]

    found = tally.read(write_findings(tmp_path, lines))

    assert found is not None
    assert sorted(found.slices["orders"])[-2:] == [0, 100]


def test_keys_of_one_attribute_are_spread(tmp_path):
    lines = [finding(number, key={"id": {"S": f"order-{number}"}}) for number in range(6_400)]

    found = tally.read(write_findings(tmp_path, lines))

    assert found is not None
    assert min(found.slices["orders"]) > 50
    assert max(found.slices["orders"]) < 160


def test_no_file_is_no_tally_and_an_empty_one_is_one(tmp_path):
    assert tally.read(tmp_path / "findings.jsonl") is None
    assert tally.read(write_findings(tmp_path, [])) == tally.Tally()
    assert dataclasses.replace(tally.Tally()).sha256 == tally.NOTHING


def test_what_is_no_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "findings.jsonl")

    with pytest.raises(ConfigurationError, match="it is no file"):
        tally.read(tmp_path / "findings.jsonl")


def test_hostile_names_are_kept_as_text(tmp_path):
    found = tally.read(write_findings(tmp_path, [finding(1, paths=(f"{HOSTILE}: removed",))]))

    assert found is not None
    assert found.shown[0].attributes == (HOSTILE,)
