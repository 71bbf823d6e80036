"""Checks on items that see equal ones, called in tasks: what one machine says, and nothing unseen counts."""

from __future__ import annotations

import pickle
import sys
import time
import warnings
from dataclasses import replace

import msgspec
import pytest

from ddbverify import config as configuration
from ddbverify.compare.inspection import ItemCheck
from ddbverify.errors import ConfigurationError, Inconclusive
from ddbverify.spark import live, segments
from ddbverify.spark.cluster import SparkCluster
from ddbverify.spark.item_checks import TaskChecks, learned, require_all_told, seen_by_all
from ddbverify.spark.live_receipts import SegmentRead
from ddbverify.spark.receipts import Judged
from ddbverify.spark.rows import Kind, Row
from ddbverify.suite.pair import Pair as SuitePair
from ddbverify.suite.pair import shared_pass
from tests.ddbverify.exports.exporting import AT, changes, deleted, put
from tests.ddbverify.exports.test_in_a_suite import ITEMS, export_of, settings, tables
from tests.ddbverify.fakes import item
from tests.ddbverify.spark.pretending import PretendedCluster, PretendedLiveCluster

__all__ = ["tables"]


def is_small(source, target):
    print("a value:", source["id"], file=sys.stderr)
    assert int(source["id"].rpartition("-")[2]) % 3, source["id"]
    assert source["id"] == target["id"]


def breaks(expected):
    if expected["id"] == "key-4":
        raise SystemExit(expected["id"])


def warns(source):
    warnings.warn(source["id"], DeprecationWarning, stacklevel=1)


def returns(source, target, expected):
    assert (source["id"] == expected["id"] and expected["v"] == target["v"]) or target["id"] == "key-9"
    return source["id"] == "key-5" or None


def only_different(source, target):
    assert source["v"] == target["v"]


CHECKS = [
    ItemCheck(
        one.__name__,
        f"test_item_checks.py::{one.__name__}",
        one,
        wants,
        __file__,
        only_different=one is only_different,
        stateless=one is not only_different,
    )
    for one, wants in (
        (is_small, ("source", "target")),
        (breaks, ("expected",)),
        (warns, ("source",)),
        (returns, ("source", "target", "expected")),
        (only_different, ("source", "target")),
    )
]
TRANSFORM = 'def made(item): return {**item, "v": "2"} if item["id"] != "key-8" else None\n'


class Both:
    """One machine, and tasks: what is seen of one pair by the checks."""

    def __init__(self, tables, folder, monkeypatch):
        self.tables, self.folder, self.more = tables, folder, ""
        self.cluster, self.live = PretendedCluster(), PretendedLiveCluster()
        self.exports = {}
        monkeypatch.setattr(SparkCluster, "found_or_made", classmethod(lambda _: self._cluster()))

    def _cluster(self):
        made = self.cluster if self.exports else self.live
        made.name = "spark (pretended)"
        return made

    def on(self, engine, checks=CHECKS):
        text = settings(self.tables, **self.exports)
        text = text.replace("\n[verification]\n", f'{self.more}\n[verification]\nengine = "{engine}"\n')
        config = configuration.parse(text, self.folder)
        refuted = []
        seen = SuitePair(
            config,
            config.tables[0],
            secret=b"secret",
            found=lambda pair, one, key: refuted.append((pair, str(one), key)),
        )
        for check in checks:
            seen.subscribe(check)
        return plain(shared_pass(seen), sorted(refuted), seen)

    def agree(self):
        here = self.on("here")
        there = self.on("spark")
        assert there["inspected"] == here["inspected"]
        for name in here:
            assert (name, there[name]) == (name, here[name])
        return there


def plain(comparison, refuted, seen):
    """Without what no two passes share."""
    verdicts = {one.name: seen.inspected(one) for one in CHECKS if one.id in comparison.inspected}
    return {
        "counts": dict(comparison.counts),
        "differences": sorted(map(str, comparison.differences)),
        "unexamined": comparison.unexamined,
        "refuted": refuted,
        "inspected": {
            name: (
                one.calls,
                one.examined,
                one.missed,
                one.refuted,
                sorted(map(str, one.examples)),
                one.places,
                one.raised,
            )
            for name, one in comparison.inspected.items()
        },
        "verdicts": {
            name: replace(one, findings=tuple(sorted(one.findings, key=str)))
            for name, one in verdicts.items()
        },
    }


@pytest.fixture
def both(tables, tmp_path, monkeypatch):
    return Both(tables, tmp_path, monkeypatch)


def exported(both, ours, theirs):
    cut = len(ours) // 2
    both.exports = {
        "source_export": export_of(both.folder / "a", both.tables[0], ours[:cut], ours[cut:]),
        "target_export": export_of(both.folder / "b", both.tables[1], theirs),
    }


def transformed(both, monkeypatch):
    module = f"items_{time.time_ns()}"
    (both.folder / f"{module}.py").write_text(TRANSFORM)
    monkeypatch.syspath_prepend(str(both.folder))
    both.more = f'transform = "{module}:made"\n'


@pytest.mark.parametrize("is_exported", [False, True], ids=["tables", "exports"])
def test_they_learn_what_they_learn_on_one_machine(both, is_exported, capfd):
    client, name = both.tables[1]
    client.put_item(TableName=name, Item=item("key-9", v="2"))
    client.delete_item(TableName=name, Key=item("key-0"))
    if is_exported:
        exported(both, ITEMS, [*ITEMS[1:9], item("key-9", v="2")])
    said = both.agree()
    calls, examined, _, refuted, *_ = said["inspected"]["is_small"]
    assert (calls, examined, refuted) == (9, 9, 3)  # one of them is different, and was settled here
    assert [*said["inspected"]["breaks"][-1].values()] == [1]
    assert [*said["inspected"]["warns"][-1].values()] == [
        9
    ]  # an error by these tests' settings, in tasks, too
    assert [*said["inspected"]["returns"][-1].values()] == [1]
    assert said["inspected"]["only_different"][:2] == (1, 1)
    assert len(said["refuted"]) == 3 + 1 + 2  # two differences, two checks


def test_what_incremental_exports_hold_is_shown_and_what_they_stand_for_is_not(both):
    exported(both, ITEMS, [item("key-0", v="7"), *ITEMS[2:]])
    lines = [put(item("key-0", v="7"), "id"), deleted(item("key-1"))]
    on_top = export_of(both.folder / "a", both.tables[0], lines, AT, AT + 900, make=changes)
    both.exports["source_changes"] = [on_top]
    client, name = both.tables[0]
    client.put_item(TableName=name, Item=item("key-0", v="7"))
    said = both.agree()
    assert said["inspected"]["returns"][:2] == (9, 9)
    assert said["inspected"]["returns"][3] == 0


@pytest.mark.parametrize("is_exported", [False, True], ids=["tables", "exports"])
def test_through_a_transform_too(both, is_exported, monkeypatch):
    client, name = both.tables[1]
    made = [item(f"key-{number}", v="2") for number in range(8)]
    for one in made:
        client.put_item(TableName=name, Item=one)
    client.delete_item(TableName=name, Key=item("key-8"))
    if is_exported:
        exported(both, ITEMS, [*made, ITEMS[9]])
    transformed(both, monkeypatch)
    said = both.agree()
    assert said["inspected"]["returns"][:2] == (9, 9)


@pytest.mark.parametrize("is_exported", [False, True], ids=["tables", "exports"])
def test_a_task_that_runs_twice_counts_once(both, is_exported):
    both.cluster, both.live = PretendedCluster(attempts=3), PretendedLiveCluster(attempts=3)
    if is_exported:
        exported(both, ITEMS, ITEMS)
    assert both.agree()["inspected"]["is_small"][:4] == (10, 10, 0, 4)


def without_refutations(rows, kind):
    return [row for row in rows if row.kind != kind]


def altered(rows, kind, type_, **change):
    return [
        Row(
            row.bucket,
            row.kind,
            msgspec.msgpack.encode(
                msgspec.structs.replace(msgspec.msgpack.decode(row.content, type=type_), **change)
            ),
        )
        if row.kind == kind
        else row
        for row in rows
    ]


NOTHING = pickle.dumps({})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learned": b""}, "not every check has seen"),
        ({"learned": NOTHING}, "not every check has seen"),
    ],
)
def test_what_no_check_has_seen_of_a_segment_is_not_decided(both, change, message):
    both.live = PretendedLiveCluster(
        losing=lambda _, rows: [
            one
            if one.kind != segments.RECEIPT or is_a_look(one)
            else altered([one], segments.RECEIPT, SegmentRead, **change)[0]
            for one in rows
        ]
    )
    with pytest.raises(Inconclusive, match=message):
        both.on("spark")


def is_a_look(row):
    try:
        msgspec.msgpack.decode(row.content, type=SegmentRead)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return True
    return False


def test_a_refutation_that_is_lost_between_a_task_and_here_is_missed(both, monkeypatch):
    both.live = PretendedLiveCluster(losing=lambda _, rows: without_refutations(rows, segments.REFUTED))
    with pytest.raises(Inconclusive, match="are not those that were made"):
        both.on("spark")
    exported(both, ITEMS, ITEMS)
    found = SuiteOfLosses(both.cluster, lambda rows: without_refutations(rows, Kind.REFUTED))
    both.cluster = found
    with pytest.raises(Inconclusive, match="have refuted 4 items, and 0 refutations came back"):
        both.on("spark")


def test_what_no_check_has_seen_of_exports_is_not_decided(both):
    exported(both, ITEMS, ITEMS)
    both.cluster = SuiteOfLosses(both.cluster, lambda rows: altered(rows, Kind.JUDGED, Judged, learned=b""))
    with pytest.raises(Inconclusive, match="not every check has seen"):
        both.on("spark")


class SuiteOfLosses(PretendedCluster):
    """Alters what comes back of the last tasks."""

    def __init__(self, _, losing):
        super().__init__()
        self.at_last = losing

    def shuffled(self, name, rows, step, tasks):
        made = super().shuffled(name, rows, step, tasks)
        return self.at_last(made) if name == "judged" else made


def test_each_check_has_to_have_seen_each_equal_pair():
    made = TaskChecks.of(CHECKS)
    inspector = made.inspector({"id": "S"}, lambda _: None)
    assert seen_by_all(made, learned(inspector), 0).keys() == inspector.results.keys()
    inspector.results["breaks"].examined = 1
    for matched in (0, 1, 2):
        with pytest.raises(Inconclusive, match="not every check has seen all"):
            seen_by_all(made, learned(inspector), matched)


def test_refutations_are_counted():
    require_all_told([], 0)
    with pytest.raises(Inconclusive, match="refuted 0 items, and 2"):
        require_all_told([], 2)


# --- what is refused ------------------------------------------------------------------------


def test_a_check_that_keeps_something_is_refused_by_name(both):
    kept = replace(CHECKS[0], stateless=False)
    with pytest.raises(ConfigurationError, match="is_small is a check on items, and tasks call only such"):
        both.on("spark", [kept])
    made = replace(CHECKS[0], function=lambda source, target: None)
    with pytest.raises(ConfigurationError, match="that no task can find"):
        both.on("spark", [made])


@pytest.mark.parametrize("is_exported", [False, True], ids=["tables", "exports"])
def test_another_check_in_a_task_is_refused_and_quotes_nothing(both, is_exported, monkeypatch):
    if is_exported:
        exported(both, ITEMS, ITEMS)
    of = TaskChecks.of
    other = {__name__: "another"}
    monkeypatch.setattr(
        TaskChecks, "of", lambda checks: replace(of(checks), code=other if of(checks) else {})
    )
    with pytest.raises(ConfigurationError, match="is another one in a task"):
        both.on("spark")


def test_a_check_that_does_not_load_in_a_task_is_told_by_its_type(monkeypatch):
    made = TaskChecks.of(CHECKS)
    monkeypatch.delattr(sys.modules[__name__], "is_small")
    with pytest.raises(ConfigurationError, match=r"is_small does not load in a task .*AttributeError"):
        made.inspector({"id": "S"}, lambda _: None)


def test_items_that_wait_in_a_staging_place_are_not_shown(both):
    request = live.PassRequest(item_checks=CHECKS)
    with pytest.raises(ConfigurationError, match="are not shown to checks on items"):
        live.compare(both.live, None, None, request, staging="file:///nowhere")


def test_too_many_refutations_of_one_segment_are_no_pass(both, monkeypatch):
    monkeypatch.setattr(segments, "OPEN_BYTES", 10)
    with pytest.raises(Inconclusive, match="fail on so many items of one segment"):
        both.on("spark")


def test_nothing_that_a_check_prints_is_shown_and_warnings_are_what_they_are_here(capfd):
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        made = TaskChecks.of(CHECKS)
        warnings.simplefilter("ignore", DeprecationWarning)  # as where a task is
        with made.silently():
            print("a value")
            print("a value", file=sys.stderr)
            with pytest.raises(DeprecationWarning):
                warnings.warn("a value", DeprecationWarning, stacklevel=1)
    assert capfd.readouterr() == ("", "")
