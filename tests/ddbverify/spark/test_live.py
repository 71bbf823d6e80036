"""Live tables by tasks: what one machine finds, one receipt for each segment, and no limit passed."""

from __future__ import annotations

import pickle
import random
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import msgspec
import pytest

from ddbverify.errors import AccessError, ConfigurationError, EngineError, ThrottledError
from ddbverify.names import canary_key, marker_key
from ddbverify.spark import lanes, live, segments, shares
from ddbverify.spark.cluster import SparkCluster
from ddbverify.spark.live_receipts import SegmentRead
from ddbverify.spark.rows import Row
from ddbverify.tables.pace import CalledOff
from ddbverify.tables.wire import TableReader
from tests.ddbverify import generated
from tests.ddbverify.spark.lively import REGIONS, SCHEMA, Tables
from tests.ddbverify.spark.pretending import PretendedLiveCluster
from tests.ddbverify.spark.test_scan import MODULE

pytestmark = pytest.mark.engine("ministack")


@pytest.fixture
def cluster(monkeypatch):
    """What runs the tasks; a test may put another one here."""
    held = [PretendedLiveCluster()]
    monkeypatch.setattr(SparkCluster, "found_or_made", classmethod(lambda _: held[0]))
    return held


@pytest.fixture
def tables(aws, unique, monkeypatch):
    """Makes two tables."""
    for name, value in aws.variables(REGIONS[0]).items():
        monkeypatch.setenv(name, value)
    return lambda schema=None: Tables(aws, unique("live"), schema)


def numbered(count, **more):
    return [
        {"pk": {"S": f"key-{number}"}, "sk": {"N": "1"}, "v": {"S": "x"}} | more for number in range(count)
    ]


def read_by(cluster):
    """The segments that tasks were given, in their order."""
    return [unit for unit, step in cluster.steps if isinstance(step, segments.ReadSegment)]


# --- the same as one machine ----------------------------------------------------------------


@pytest.mark.parametrize("schema", [SCHEMA, {"h": "N"}, {"h": "B", "r": "S"}], ids=str)
def test_it_finds_what_one_machine_finds_in_items_of_every_type(tables, cluster, schema):
    chance = random.Random(3)
    items = generated.items(chance, schema, 150)
    copy = [dict(one) for one in items]
    for place in range(0, 150, 9):
        copy[place]["planted"] = generated.any_value(chance)
    findings, summary, code = tables(schema).fill(items, copy[3:]).both("--segments", "5")
    assert code == 1
    assert len(findings) + summary["matched"] == 150
    assert len(findings) > 15
    assert sorted(read_by(cluster[0])) == [*range(5)]


def test_what_a_task_is_given_does_not_grow_with_the_number_of_segments(tables, cluster):
    pair, sizes = tables().fill(numbered(1), numbered(1)), []
    for count in ("1", "40"):
        cluster[0] = PretendedLiveCluster()
        assert pair.diff("--engine", "spark", "--segments", count)[2] == 0
        sizes.append(len(pickle.dumps(cluster[0].steps[-1][1])))
    assert abs(sizes[1] - sizes[0]) < 10


def test_of_equal_tables_no_item_leaves_its_task_but_for_controls(tables, cluster):
    made = []
    cluster[0] = PretendedLiveCluster(slots=1, losing=lambda _, rows: made.extend(rows) or rows)
    items = numbered(60)
    findings, summary, code = tables().fill(items, items[::-1]).both("--segments", "4")
    assert (findings, summary["matched"], code) == ([], 60, 0)
    assert [row.kind for row in made] == [segments.RECEIPT] * 5  # one is that of the first look
    assert sum(b"key-" in row.content for row in made) == 1  # the first that had any


@pytest.mark.parametrize("name", ["spelt", "raises", "drops", "renames"])
def test_transforms_do_the_same_in_a_task(tables, cluster, tmp_path, monkeypatch, name):
    module = f"live_{name}_{time.time_ns()}"
    (tmp_path / f"{module}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    items = [
        {"pk": {"S": f"{number}"}, "sk": {"N": "1"}, "n": {"N": "1"}, "when": {"B": "AQI="}}
        for number in range(40)
    ]
    made = [dict(one) for one in items[1:]]
    for one in made:
        one |= {"n": {"N": "3"}} if name == "spelt" else {"seen": {"S": "yes"}} if name == "renames" else {}
    pair = tables().fill(items, made)
    _, summary, _ = pair.both("--segments", "3", "--transform", f"{module}:{name}")
    assert summary["verdict"] != "equal"


def test_samples_strata_and_ignored_attributes(tables, cluster, tmp_path):
    items = numbered(400)
    pair = tables().fill(items, [one | {"seen": {"S": "1"}} for one in items[1:]])
    (tmp_path / "keys").write_text('{"pk": {"S": "key-0"}, "sk": {"N": "1"}}\n')
    sampled = ("--sample", "25%", "--segments", "16", "--seed", "7", "--stratum", str(tmp_path / "keys"))
    findings, summary, _ = pair.both(*sampled, "--ignore", "seen")
    assert len(findings) == 1
    assert summary["segments"] == {"planned": 4, "finished": 4, "total": 16}


def test_canary_and_markers_are_nobodys_items(tables, cluster):
    reserved = [canary_key(SCHEMA), marker_key(SCHEMA, 0), marker_key(SCHEMA, 1)]
    pair = tables().fill([*numbered(3), *reserved], [*numbered(3), reserved[0]])
    findings, summary, code = pair.both("--segments", "2")
    assert (findings, code, summary["excluded"], summary["matched"]) == ([], 0, 1, 3)


# --- attempts, and tables that move ---------------------------------------------------------


def test_a_later_attempt_counts_once_and_costs_twice(tables, cluster):
    items = numbered(60)
    pair = tables().fill(items, items[1:])
    here = pair.diff("--segments", "3", "--processes", "1")
    cluster[0] = PretendedLiveCluster(attempts=2)
    there = pair.diff("--segments", "3", "--engine", "spark")
    assert there[0] == here[0]
    scanned = sum(here[1]["requests"].values())
    assert scanned < sum(there[1]["requests"].values()) <= 2 * scanned
    assert sum(here[1]["read_units"].values()) < sum(there[1]["read_units"].values())
    (note,) = [one for one in there[1]["notes"] if "by a later attempt" in one]
    assert note.startswith("Spark has read 3 segments by a later attempt than the first (1, 2, 3); 3 earlier")


def test_tables_that_move_between_two_attempts_lose_and_double_nothing(tables, cluster):
    items = numbered(60)
    pair = tables().fill(items, items)

    def move(unit, attempt):
        if attempt == 1:
            changed = [one | {"v": {"S": f"moved in {unit}"}} for one in items[::2]]
            pair.fill(changed, changed)
            for client in (pair.source, pair.target):
                client.delete_item(TableName=pair.name, Key={"pk": {"S": f"key-{unit}"}, "sk": {"N": "1"}})

    cluster[0] = PretendedLiveCluster(attempts=2, before=move)
    findings, summary, code = pair.diff("--segments", "4", "--engine", "spark")
    assert (findings, code, summary["complete"]) == ([], 0, True)
    assert 56 <= summary["matched"] <= 60


def test_what_moves_between_the_scan_and_the_look_converges(tables, cluster):
    items = numbered(20)
    pair = tables().fill(items, items[1:])

    def follow(_, rows):
        if any(row.kind == segments.LEFT for row in rows):
            pair.fill([], items[:1])
        return rows

    cluster[0] = PretendedLiveCluster(losing=follow)
    findings, summary, code = pair.diff("--segments", "1", "--engine", "spark", "--settle", "1s")
    assert (findings, code, summary["matched"], summary["complete"]) == ([], 0, 20, True)
    assert summary["converged"] == 1


def test_a_table_that_throttles_is_asked_again(tables, cluster, monkeypatch):
    items = numbered(20)
    pair = tables().fill(items, items[1:])
    called, refused = TableReader._call, []

    def call(self, operation, *arguments):
        if operation == "scan" and isinstance(self, segments._SegmentReader) and len(refused) < 3:
            refused.append(self.table.name)
            raise ThrottledError("AWS refused: ThrottlingException", "wait")
        return called(self, operation, *arguments)

    monkeypatch.setattr(TableReader, "_call", call)
    findings, summary, _ = pair.both("--segments", "2")
    assert (len(refused), len(findings), summary["complete"]) == (3, 1, True)


def test_a_segment_that_cannot_be_read_on_is_named_as_on_one_machine(tables, cluster, monkeypatch):
    items = numbered(20)
    pair = tables().fill(items, items[1:])
    scan_page = TableReader.scan_page

    def breaks(self, segment, total_segments, start):
        if segment == 1 and self.table.region == REGIONS[1]:
            raise EngineError("AWS refused to scan: InternalServerError", "again")
        return scan_page(self, segment, total_segments, start)

    monkeypatch.setattr(TableReader, "scan_page", breaks)
    _, summary, _ = pair.both("--segments", "3")
    assert (summary["complete"], summary["segments"]["finished"]) == (False, 2)
    assert any("segment 2 of 3 of the target" in reason for reason in summary["reasons"])


def test_what_a_task_saw_counts_from_when_it_came_back():
    """Its clock may be off: no key may be decided before it has held still for the settle time."""
    from ddbverify.compare.entries import Left
    from ddbverify.compare.sides import Role
    from ddbverify.compare.suspects import Suspect

    suspect = Suspect(key=("a",), owners={("a",)}, expected=b"1", target=b"2", expected_since=5.0)
    left = Left(
        suspects=[(suspect, None)],
        waiting=[(Role.SOURCE, ("b",), (b"{}", 5.0, 1))],
        pairs=[(("c",), (b"{}", 5.0, 1), (b"{}", 6.0, 1))],
    )
    seen = lanes.seen_at(left, 100.0)
    assert (suspect.expected_since, suspect.target_since, suspect.moved_at) == (100.0, 100.0, 100.0)
    assert seen.waiting == [(Role.SOURCE, ("b",), (b"{}", 100.0, 1))]
    assert seen.pairs == [(("c",), (b"{}", 100.0, 1), (b"{}", 100.0, 1))]


# --- proof ----------------------------------------------------------------------------------


def lose(rows, kind):
    places = [number for number, row in enumerate(rows) if row.kind == kind][:1]
    return [row for number, row in enumerate(rows) if number not in places]


def double(rows, kind):
    return rows + [row for row in rows if row.kind == kind][:1]


def flip(rows, kind):
    return [
        Row(row.bucket, row.kind, row.content[:-1] + bytes([row.content[-1] ^ 1]))
        if row.kind == kind
        else row
        for row in rows
    ]


@pytest.mark.parametrize(
    ("alter", "kind"),
    [
        *((alter, segments.LEFT) for alter in (lose, double, flip)),
        *((alter, segments.RECEIPT) for alter in (lose, double)),
    ],
)
def test_what_is_lost_or_doubled_on_the_way_is_never_equal(tables, cluster, alter, kind):
    def losing(_, rows):
        return alter(rows, kind) if any(row.kind == segments.LEFT for row in rows) else rows

    cluster[0] = PretendedLiveCluster(losing=losing)
    findings, summary, code = (
        tables().fill(numbered(20), numbered(21)[1:]).diff("--segments", "2", "--engine", "spark")
    )
    assert (findings, code, summary["complete"]) == ([], 3, False)
    assert "lost or doubled" in str(summary["reasons"])


@pytest.mark.parametrize("name", ["matched", "excluded"])
def test_every_item_that_was_read_has_to_be_accounted_for(tables, cluster, name):
    def losing(_, rows):
        made = []
        for row in rows:
            content = row.content
            if row.kind == segments.RECEIPT and (receipt := _receipt(content)) is not None:
                said = pickle.loads(receipt.word)
                word = pickle.dumps(replace(said, **{name: getattr(said, name) + 1}))
                content = msgspec.msgpack.encode(msgspec.structs.replace(receipt, word=word))
            made.append(Row(row.bucket, row.kind, content))
        return made

    cluster[0] = PretendedLiveCluster(losing=losing)
    _, summary, code = tables().fill(numbered(20), numbered(20)).diff("--segments", "2", "--engine", "spark")
    assert code == 3
    assert "accounted for" in str(summary["reasons"])


def _receipt(content):
    try:
        return msgspec.msgpack.decode(content, type=SegmentRead)
    except msgspec.DecodeError:
        return None  # of the first look


def test_the_receipt_of_another_segment_is_none(tables, cluster):
    cluster[0] = PretendedLiveCluster()
    once = cluster[0].once
    cluster[0].once = lambda unit, read, group: once(0, read, group)
    _, summary, code = tables().fill(numbered(9), numbered(9)).diff("--segments", "2", "--engine", "spark")
    assert (code, "lost or doubled" in str(summary["reasons"])) == (3, True)


# --- rate and budget ------------------------------------------------------------------------


def test_the_rate_is_divided_by_the_tasks_that_run_at_once(tables, cluster):
    pair = tables().fill(numbered(9), numbered(9))
    options = ("--segments", "6", "--engine", "spark", "--processes", "5")
    assert pair.diff(*options, "--read-units", "1000")[2] == 0
    steps = [step for _, step in cluster[0].steps if isinstance(step, segments.ReadSegment)]
    assert {rate for step in steps for rate in step._share.rates.values()} == {1000 / 3}
    assert live.at_once(8, 100, [1000.0, None]) == 3  # each has a page a second
    assert live.at_once(8, 100, [10.0]) == 1
    assert live.at_once(8, 2, [None]) == 2
    assert live.at_once(10_000, 10_000, []) == live.MOST_AT_ONCE


def test_a_lane_waits_until_what_it_has_read_is_paid_for(tables, cluster, monkeypatch):
    """A task knows nothing of the one before it, and would begin at once."""
    now, waits = [1000.0], []
    monkeypatch.setattr(shares.time, "monotonic", lambda: now[0])
    stop = SimpleNamespace(wait=waits.append)
    lane = shares.Lane({"source": 10.0, "target": None})
    lane.wait(stop)
    assert waits == []
    lane.pay((50.0, 900.0), 2, 999.0)
    lane.wait(stop)
    assert waits == [9.0]  # 100 units at 10 a second, since it began
    now[0] += 20
    lane.wait(stop)
    assert len(waits) == 1
    lane.pay((10.0, 0.0), 1, 1020.0)
    with pytest.raises(CalledOff):
        lane.wait(SimpleNamespace(wait=lambda _: True))


def test_every_segment_is_paid_for_in_its_lane(tables, cluster, monkeypatch):
    paid = []
    monkeypatch.setattr(shares.Lane, "pay", lambda _, units, times, began: paid.append((*units, times)))
    cluster[0] = PretendedLiveCluster(attempts=2)
    assert tables().fill(numbered(9), numbered(9)).diff("--segments", "3", "--engine", "spark")[2] == 0
    assert len(paid) == 3
    assert all(source > 0 and target > 0 and times == 2 for source, target, times in paid)


def test_the_budget_is_a_hard_limit_over_all_tasks(tables, cluster):
    items = numbered(300, w={"S": "y" * 2000})
    pair = tables().fill(items, items)
    whole = pair.diff("--segments", "10", "--engine", "spark")[1]["read_units"]
    limit = int(sum(whole.values()) * 0.6)
    _, summary, code = pair.diff("--segments", "10", "--engine", "spark", "--max-read-units", str(limit))
    page = max(whole.values()) / 10 * 1.5
    assert sum(summary["read_units"].values()) <= limit + 3 * page
    assert (code, summary["complete"]) == (3, False)
    assert any("budget" in reason for reason in summary["reasons"])
    assert 0 < summary["segments"]["finished"] < 10
    assert pair.diff("--segments", "10", "--engine", "spark", "--max-read-units", "100000")[2] == 0


def test_under_a_budget_a_second_attempt_reads_under_a_share_of_its_own(tables, cluster):
    pair = tables().fill(numbered(9), numbered(9))
    once, failed = cluster[0].once, []

    def fails_once(unit, read, group):
        if isinstance(read, segments.ReadSegment) and not failed:
            failed.append(unit)
            return list(pickle.loads(pickle.dumps(read))(iter([unit]), 1))
        return once(unit, read, group)

    cluster[0].once = fails_once
    _, summary, code = pair.diff("--segments", "3", "--engine", "spark", "--max-read-units", "1000")
    assert (code, summary["matched"]) == (0, 9)
    assert any("1 segment by a later attempt" in note for note in summary["notes"])
    failed.clear()
    # A task that runs alone has all of it: what that took is not known, so nothing is left.
    _, summary, code = pair.diff("--segments", "1", "--engine", "spark", "--max-read-units", "1000")
    assert (code, summary["matched"]) == (3, 0)
    assert "The read budget of 1,000 units is spent" in str(summary["reasons"])


# --- resuming -------------------------------------------------------------------------------


def test_a_run_is_resumed_with_the_segments_that_are_left(tables, cluster, tmp_path):
    items = numbered(300, w={"S": "y" * 2000})
    pair = tables().fill(items, items[1:])
    out = ("--segments", "10", "--engine", "spark", "--out", str(tmp_path / "out"))
    limit = int(sum(pair.diff("--segments", "10", "--processes", "1")[1]["read_units"].values()) * 0.6)
    first = pair.diff(*out, "--max-read-units", str(limit))[1]
    before = first["segments"]["finished"]
    assert 0 < before < 10
    cluster[0] = PretendedLiveCluster()
    findings, summary, code = pair.diff(*out, "--resume")
    assert (len(findings), summary["matched"], summary["complete"], code) == (1, 299, True, 1)
    assert len(read_by(cluster[0])) == 10 - before


# --- what is refused ------------------------------------------------------------------------


def test_speculation_is_refused(tables, cluster):
    cluster[0] = PretendedLiveCluster(speculates=True)
    _, summary, code = tables().diff("--engine", "spark")
    assert code == 2
    assert "spark.speculation is on" in summary["error"]["message"]


def test_a_session_of_spark_connect_is_refused():
    with pytest.raises(ConfigurationError, match="Spark Connect"):
        SparkCluster(object()).require_one_attempt_at_a_time()


def test_rekeyed_pairs_are_refused_by_name(tables, cluster):
    _, summary, code = tables().diff("--engine", "spark", "--transform", "a:b", "--rekeys")
    assert code == 2
    assert "live tables of a re-keyed pair" in summary["error"]["message"]


def test_credentials_that_are_not_in_the_tasks_are_refused_by_name(tables, cluster, monkeypatch):
    def refused(*_):
        raise AccessError("There are no usable AWS credentials to describe the table x: none.", "log in")

    monkeypatch.setattr(segments, "describe", refused)
    _, summary, code = tables().fill(numbered(1), numbered(1)).diff("--engine", "spark")
    assert code == 2
    assert summary["error"]["message"].startswith("--engine spark: There are no usable AWS credentials")
    assert "those of the executors' role" in summary["error"]["message"]
    assert "a profile or a login of this machine is not there" in summary["error"]["hint"]
    assert read_by(cluster[0]) == []


def test_another_table_of_that_name_is_refused(tables, cluster, monkeypatch):
    pair, other = (tables().fill(numbered(1), numbered(1)) for _ in range(2))
    describe = segments.describe
    monkeypatch.setattr(
        segments, "describe", lambda side, arn: describe(side, arn.replace(pair.name, other.name))
    )
    _, summary, code = pair.diff("--engine", "spark")
    assert code == 2
    assert "another table than this process does" in summary["error"]["message"]


def test_an_endpoint_that_the_environment_names_is_that_of_the_tasks(tables, cluster, aws):
    pair = tables().fill(numbered(1), numbered(1))
    assert pair.diff("--engine", "spark")[2] == 0
    step = cluster[0].steps[-1][1]
    assert {side.endpoint_url for side in step._live.sides.values()} == {aws.endpoint_url}


@pytest.mark.parametrize(
    ("module", "name"), [(lanes, "MOST_OPEN_KEYS"), (segments, "OPEN_BYTES")], ids=["keys", "bytes"]
)
def test_more_than_one_process_should_join_is_not_carried_to_it(tables, cluster, monkeypatch, module, name):
    monkeypatch.setattr(module, name, 5)
    items = numbered(20)
    pair = tables().fill(items, [one | {"v": {"S": "y"}} for one in items])
    findings, summary, code = pair.diff("--engine", "spark")
    assert (findings, code) == ([], 3)
    assert "compare exports of the tables" in str(summary["reasons"])


def test_tasks_that_nobody_waits_for_are_ended(tables, cluster):
    """The first of two is refused; the other one is still at it."""
    pair = tables().fill(numbered(9), numbered(9))
    began, done = threading.Event(), threading.Event()
    once, cancel = cluster[0].once, cluster[0].cancel

    def waits(unit, read, group):
        if isinstance(read, segments.Look):
            return once(unit, read, group)
        if unit == 0:
            began.wait()
            raise AccessError("AWS refused.", "try")
        began.set()
        done.wait()
        raise AccessError("ended", "")

    def ended(group):
        cancel(group)
        done.set()

    cluster[0].once, cluster[0].cancel = waits, ended
    _, summary, code = pair.diff("--engine", "spark", "--segments", "2")
    assert (code, len(cluster[0].cancelled)) == (6, 1)
    assert summary["error"]["message"] == "AWS refused."
    cluster[0] = PretendedLiveCluster()
    assert pair.diff("--engine", "spark", "--segments", "2")[2] == 0
    assert cluster[0].cancelled == []  # Spark would complain that there is nothing to cancel


def test_a_task_that_has_failed_for_good_is_told_by_its_type_and_place(tables, cluster, monkeypatch):
    def broken(*_, **__):
        raise KeyError("telltale")

    monkeypatch.setattr(segments, "read_segment", broken)
    findings, summary, code = tables().fill(numbered(1), numbered(1)).diff("--engine", "spark")
    assert (findings, code) == ([], 3)
    assert "A task of Spark failed with KeyError in " in str(summary["reasons"])
    assert "telltale" not in str(summary)
