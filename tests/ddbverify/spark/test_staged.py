"""Live tables whose orders part: items are written once, joined from there, and removed."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from ddbverify.compare.sides import Role
from ddbverify.config import Side
from ddbverify.errors import ConfigurationError, EngineError
from ddbverify.spark import bound, segments, staged
from ddbverify.spark.rows import Kind
from ddbverify.spark.staging import Staging
from tests.ddbverify import generated
from tests.ddbverify.spark.lively import REGIONS, SCHEMA
from tests.ddbverify.spark.pretending import PretendedCluster, PretendedLiveCluster
from tests.ddbverify.spark.test_live import cluster, numbered, tables
from tests.ddbverify.spark.test_scan import double, flip, lose, planted

__all__ = ["cluster", "tables"]

pytestmark = pytest.mark.engine("ministack")


@pytest.fixture
def parted(monkeypatch):
    """The target's items come in other segments than the source's."""
    scan_page = segments._SegmentReader.scan_page

    def turned(self, segment, total_segments, start):
        if self._role is Role.TARGET:
            segment = (segment + 1) % total_segments
        return scan_page(self, segment, total_segments, start)

    monkeypatch.setattr(segments._SegmentReader, "scan_page", turned)


@pytest.fixture(params=["folder", "bucket"])
def place(request, aws, unique, tmp_path):
    """Where items wait, and what lies there."""
    if request.param == "folder":
        folder = tmp_path / "staged"
        return f"file://{folder}", lambda: [str(path) for path in folder.rglob("*") if path.is_file()]
    bucket = unique("staged")
    s3 = aws.client("s3", REGIONS[0])
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGIONS[0]})
    return f"s3://{bucket}/below", lambda: s3.list_objects_v2(Bucket=bucket).get("Contents", [])


def test_where_orders_part_nothing_is_carried_and_the_findings_are_the_same(
    tables, cluster, parted, place, monkeypatch
):
    address, lying = place
    monkeypatch.setattr(segments, "OPEN_BYTES", 1_000)  # an item more would be too much
    monkeypatch.setattr(staged, "OPEN_ITEMS_PER_TASK", 40)
    chance = random.Random(2)
    items = generated.items(chance, SCHEMA, 150)
    copy, differing = planted(chance, items)
    made, seen = [], []
    cluster[0] = PretendedLiveCluster(
        losing=lambda _, rows: made.extend(rows) or seen.append(lying()) or rows
    )
    pair = tables().fill(items, copy)
    findings, summary, _ = pair.both("--segments", "4", "--spark-staging", address)
    assert (len(findings), summary["matched"]) == (differing, 120)
    assert {row.kind for row in made} == {segments.RECEIPT}
    assert len(seen[-1]) >= 4  # one of each segment, and one that tried the place out
    assert lying() == []
    assert pair.diff("--segments", "4", "--engine", "spark")[2] == 3  # without it


@pytest.mark.parametrize(
    ("alter", "kind"),
    [
        *((alter, Kind.ITEMS) for alter in (lose, double, flip)),
        *((alter, Kind.FETCHED) for alter in (lose, double)),
    ],
)
def test_what_is_lost_or_doubled_behind_the_staging_is_never_equal(
    tables, cluster, parted, tmp_path, alter, kind
):
    cluster[0].joining = PretendedCluster(losing=alter("joined", kind))
    pair = tables().fill(numbered(20), numbered(20))
    options = ("--segments", "2", "--engine", "spark", "--spark-staging", f"file://{tmp_path}")
    _, summary, code = pair.diff(*options)
    assert code == 3
    assert any(words in str(summary["reasons"]) for words in ("lost or doubled", "task of Spark failed"))
    assert [one for one in tmp_path.rglob("*") if one.is_file()] == []


def test_a_staged_file_that_was_cut_is_noticed(tables, cluster, parted, tmp_path):
    def cut(_, rows):
        for path in tmp_path.rglob("segment-0-*"):
            path.write_bytes(path.read_bytes()[:-3])
        return rows

    cluster[0].losing = cut
    pair = tables().fill(numbered(20), numbered(20))
    options = ("--segments", "2", "--engine", "spark", "--spark-staging", f"file://{tmp_path}")
    _, summary, code = pair.diff(*options)
    assert (code, summary["complete"]) == (3, False)
    assert "A task of Spark failed with Inconclusive" in str(summary["reasons"])


def test_only_the_attempt_that_counts_is_joined(tables, cluster, parted, tmp_path):
    cluster[0] = PretendedLiveCluster(attempts=2)
    pair = tables().fill(numbered(20), numbered(21)[1:])
    findings, summary, _ = pair.diff(
        "--segments", "2", "--engine", "spark", "--spark-staging", f"file://{tmp_path}"
    )
    assert (len(findings), summary["matched"], summary["complete"]) == (2, 19, True)


def test_what_a_segment_has_staged_is_not_noted_as_done(tables, cluster, tmp_path):
    cluster[0] = PretendedLiveCluster(slots=1, losing=lambda unit, rows: [] if unit == 1 else rows)
    pair = tables().fill(numbered(20), numbered(21)[1:])
    options = ("--segments", "2", "--engine", "spark", "--out", str(tmp_path / "out"))
    staging = ("--spark-staging", f"file://{tmp_path}")
    assert pair.diff(*options, *staging)[1]["verdict"] == "inconclusive"
    _, summary, code = pair.diff(*options, "--resume", *staging)
    assert (code, "--resume" in summary["error"]["message"]) == (2, True)
    cluster[0] = PretendedLiveCluster()
    findings, summary, _ = pair.diff(*options, "--resume")
    assert (len(findings), summary["matched"], summary["complete"]) == (2, 19, True)


def test_too_many_open_keys_behind_the_staging_are_refused(tables, cluster, tmp_path, monkeypatch):
    monkeypatch.setattr("ddbverify.spark.lanes.MOST_OPEN_KEYS", 5)
    pair = tables().fill(numbered(20), [])
    options = ("--segments", "2", "--engine", "spark", "--spark-staging", f"file://{tmp_path}")
    findings, _, code = pair.diff(*options)
    assert (findings, code) == ([], 3)


@pytest.mark.parametrize("text", ["here", "http://a/b", "s3:///x", "file://host/x", "s3://bucket/a?b"])
def test_a_place_that_is_none_is_refused(text):
    with pytest.raises(ConfigurationError, match="no place that items"):
        Staging.of(text, Side())


@pytest.mark.parametrize(
    "options", [("--sample", "10%", "--engine", "spark"), ()], ids=["sample", "this machine"]
)
def test_it_is_for_whole_live_tables_on_spark(tables, cluster, options):
    _, summary, code = tables().diff(*options, "--spark-staging", "file:///tmp/x")
    assert code == 2
    assert "--spark-staging is for whole live tables" in summary["error"]["message"]


def test_a_place_that_tasks_cannot_write_to_is_refused_before_anything_is_read(tables, cluster, tmp_path):
    (tmp_path / "file").write_text("")
    _, summary, code = tables().diff("--engine", "spark", "--spark-staging", f"file://{tmp_path}/file")
    assert code != 0
    assert "What a task has to stage could not be written" in summary["error"]["message"]
    assert len(cluster[0].steps) == 1


def test_what_cannot_be_removed_is_told(tables, cluster, tmp_path, monkeypatch):
    def refused(_):
        raise EngineError("AWS refused to remove it.", "")

    monkeypatch.setattr(Staging, "remove", refused)
    pair = tables().fill(numbered(2), numbered(2))
    _, summary, code = pair.diff("--engine", "spark", "--spark-staging", f"file://{tmp_path}")
    assert code == 0
    assert any("still there, and holds items" in note for note in summary["notes"])
    assert Path(tmp_path).exists()


def test_what_tasks_that_join_have_loaded_is_taken_for_loaded_here(tables, cluster, tmp_path, monkeypatch):
    """Items without a partner in their segment meet the transform in these tasks for the first time."""
    taken = []
    monkeypatch.setattr(bound, "seen", lambda *_: b"what it has seen")
    monkeypatch.setattr(bound, "take", taken.append)
    pair = tables().fill(numbered(20), [])
    told = pair.diff("--segments", "2", "--engine", "spark", "--spark-staging", f"file://{tmp_path}")
    assert told[2] == 1
    assert taken == [b"what it has seen"] * 3  # of two segments, and of one task that joins
