"""What the replicator's commands tell collectors, and that nothing waits for it or fails by it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ddbverify.config import parse
from ddbverify.evidence import cutover as cutover_evidence
from replicator.commands import cutover_record, status

FILE = 'name = "shop"\n[[tables]]\nsource = "orders"\ntarget = "orders-v2"\n[metrics]\ntextfile = "."\n'
STEPS = {"fence": "2026-11-30T10:00:00+00:00", "fence-holds": "2026-11-30T10:01:00+00:00"}
FACTS = {
    "last_applied_seconds_ago": 4,
    "metrics": {"oldest_message_seconds": None, "iterator_age_seconds": 7.5},
    "queue": {"waiting": 3, "in_flight": 2, "delayed": 0},
    "dead_letters": 1,
    "quarantined": {"poison": 2, "contested": 1},
    "gap": "trimmed",
    "canary_lag_seconds": {"p50": 1, "p99": 3, "canaries": 9},
    "cost": {"usd": 0.25},
}


@pytest.mark.parametrize(
    ("outcome", "last", "refused"),
    [
        ("flipped", {"flip": "2026-11-30T10:03:30+00:00"}, 150),
        ("rolled-back", {"lifted": "2026-11-30T10:02:00+00:00"}, 60),
    ],
)
def test_a_cutover_leaves_its_seconds_of_refusal(tmp_path, monkeypatch, outcome, last, refused):
    monkeypatch.setattr(cutover_record, "_evidence", lambda *_: None)
    monkeypatch.setattr(cutover_evidence, "write", lambda *_: None)
    said = []
    context = SimpleNamespace(config=parse(FILE, tmp_path), console=SimpleNamespace(warn=said.append))
    cutover_record.leave(context, outcome, None, STEPS | last, None, None)
    text = (tmp_path / "replicator_cutover_shop.prom").read_text()
    assert f'ddbverify_cutover_refused_seconds{{migration="shop"}} {refused}.0' in text
    assert f'ddbverify_cutover_outcome{{migration="shop",outcome="{outcome}"}} 1.0' in text
    assert said == []


def test_a_cutover_whose_evidence_cannot_be_kept_is_told_of_all_the_same(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cutover_record, "_evidence", full)
    said = []
    context = SimpleNamespace(config=parse(FILE, tmp_path), console=SimpleNamespace(warn=said.append))
    cutover_record.leave(context, "flipped", None, STEPS, None, None)
    assert len(said) == 1
    assert (tmp_path / "replicator_cutover_shop.prom").exists()


def test_a_cutover_without_metrics_leaves_none(tmp_path, monkeypatch):
    monkeypatch.setattr(cutover_record, "_evidence", lambda *_: None)
    monkeypatch.setattr(cutover_evidence, "write", lambda *_: None)
    config = parse(FILE.partition("[metrics]")[0], tmp_path)
    cutover_record.leave(
        SimpleNamespace(config=config, console=SimpleNamespace(warn=pytest.fail)),
        "flipped",
        None,
        STEPS,
        None,
        None,
    )
    assert list(tmp_path.iterdir()) == []


def test_status_tells_what_is_known_of_a_pair():
    assert status.numbers_of(FACTS) == {
        "lag": 4,
        "oldest_message": None,
        "stream_behind": 7.5,
        "backlog_messages": 5,
        "dead_letters": 1,
        "quarantined_keys": 3,
        "gap": 1.0,
        "canary_lag 0.5": 1,
        "canary_lag 0.99": 3,
        "cost_usd": 0.25,
    }
    begun = {**FACTS, "metrics": None, "last_applied_seconds_ago": None, "gap": None}
    del begun["queue"], begun["dead_letters"]
    found = status.numbers_of(begun)
    assert [name for name, number in found.items() if number is None] == [
        *("lag", "oldest_message", "stream_behind", "backlog_messages", "dead_letters"),
    ]
    assert found["gap"] == 0


def test_status_writes_them_where_metrics_are_wanted(tmp_path):
    said = []
    root = parse(FILE, tmp_path)
    (pair,) = root.tables
    context = SimpleNamespace(
        config=root, root=SimpleNamespace(config=root), console=SimpleNamespace(warn=said.append)
    )
    status.send_numbers(context, {str(pair): FACTS})
    text = (tmp_path / "replicator_status_shop.prom").read_text()
    assert said == []
    assert f'ddbverify_replication_backlog_messages{{migration="shop",pair="{pair.id}"}} 5.0' in text
    assert (
        f'ddbverify_replication_canary_lag_seconds{{migration="shop",pair="{pair.id}",quantile="0.99"}} 3.0'
        in text
    )
    assert "oldest_message" not in text
    assert len(list(text_string_to_metric_families(text))) == 8
