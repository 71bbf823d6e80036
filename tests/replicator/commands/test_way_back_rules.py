"""Rules of the way back that nothing else holds alone: its boundary, who may end what, what it costs."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ddbverify.errors import EngineError, Refused
from ddbverify.names import Fact, canary_key, marker_key
from replicator.aws import sight
from replicator.commands import down, restart, way_back, way_back_seen
from replicator.context import live
from replicator.context.context import Context
from replicator.handlers.state import State, text_of
from tests.replicator.commands.test_way_back import migration
from tests.replicator.fakes import STATE, FakeDynamoDB

KEYS = {"id": "S"}
FIXED = 1_000


def record(key, at, *, by_ttl=False):
    return SimpleNamespace(change=SimpleNamespace(keys=key, created_at=at), by_ttl=by_ttl)


THEIRS = {"id": {"S": "k1"}}


@pytest.mark.parametrize(
    ("come", "theirs"),
    [
        ([], False),
        ([record(THEIRS, FIXED + 1)], True),
        ([record(THEIRS, FIXED - 2)], True),
        ([record(THEIRS, FIXED - 3)], False),
        ([record(THEIRS, FIXED + 1, by_ttl=True)], False),
        ([record(canary_key(KEYS), FIXED + 1), record(marker_key(KEYS, 7), FIXED + 1)], False),
        ([record(canary_key(KEYS), FIXED + 1), record(THEIRS, FIXED + 1)], True),
    ],
)
def test_around_the_boundary_nobody_writes_the_follower_but_time_to_live_and_we(tmp_path, come, theirs):
    """2 s on either side: what was written there could be the direction's before, or the application's."""
    turned = migration(tmp_path).turned(1)
    turned.server_time = lambda: FIXED + 2.0
    plan = SimpleNamespace(source=SimpleNamespace(name="orders-v2", keys=KEYS))
    ahead = way_back.Ahead(turned, (plan,), FIXED)
    ahead._tails = [(plan, SimpleNamespace(read=lambda: iter(come)))]

    if theirs:
        with pytest.raises(EngineError, match="Somebody else writes to orders-v2: 1 since"):
            ahead.await_boundary(lambda _: None, SimpleNamespace())
    else:
        ahead.await_boundary(lambda _: None, SimpleNamespace())


def test_the_boundary_passes_by_before_anybody_goes_on(tmp_path, monkeypatch):
    turned, now = migration(tmp_path).turned(1), [FIXED - 0.5]
    turned.server_time = lambda: now[0]
    turned.__dict__["pace"] = SimpleNamespace(poll_seconds=0.25)
    monkeypatch.setattr(way_back.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    ahead = way_back.Ahead(turned, ())
    ahead.fix()
    assert ahead.boundary == FIXED + way_back.APART_SECONDS
    ahead.await_boundary(lambda _: None, SimpleNamespace(at=lambda _: None))
    assert now[0] >= ahead.boundary + way_back.APART_SECONDS


@pytest.mark.parametrize(
    ("table", "cycle", "left", "said"),
    [
        ("between", 0, {}, "interrupted at its flip"),
        ("between", 1, {}, "interrupted at its flip"),
        ("target", 1, {}, "way back is open"),
        ("source", 0, {"fenced": True}, "left its fence up"),
        ("target", 1, {"fenced": True}, "left its fence up"),
    ],
)
def test_down_ends_nothing_whose_tables_may_both_be_needed(tmp_path, monkeypatch, table, cycle, left, said):
    made = migration(tmp_path, table=table, cycle=cycle)
    monkeypatch.setattr(Context, "begun", lambda _: True)
    if left:
        made.turned(cycle).whole.put(Fact.CUTOVER, steps={}, **left)
    with pytest.raises(Refused, match=said):
        down._need_decided(made)


@pytest.mark.parametrize(
    ("table", "cycle"), [("between", 0), ("target", 0), ("target", 1), ("source", 2), ("between", 1)]
)
def test_no_restart_removes_a_table_that_the_application_uses_or_may_use(tmp_path, table, cycle):
    with pytest.raises(Refused, match="would remove its table"):
        restart._need_no_cutover(migration(tmp_path, table=table, cycle=cycle))


@pytest.mark.parametrize(("hours", "usd"), [(0.5, None), (12, 3.0), (48, 0.75)])
def test_what_a_way_back_costs_a_day_is_told_behind_its_first_hour(tmp_path, monkeypatch, hours, usd):
    made = migration(tmp_path, table="target", cycle=1)
    turned, now = made.turned(1), 1_800_000_000.0
    made.whole.put(Fact.CUTOVER, steps={"flip": text_of(now - hours * 3600)}, flipped=True)
    turned.server_time = lambda: now
    state = State.of_pair(FakeDynamoDB(), STATE, turned.config.tables[0].id)
    state.put(Fact.FOLLOWING, since="now")
    turned.state = lambda pair: state
    monkeypatch.setattr(sight, "cost", lambda _: {"usd": 1.5})

    seen = way_back_seen.look(turned, live.read(made))
    assert seen["usd_per_day"] == usd
    assert any("a day so far" in line for line in way_back_seen.lines(seen)) is (usd is not None)
