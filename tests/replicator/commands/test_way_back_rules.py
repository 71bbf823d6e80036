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


class Follower:
    """A way back by a clock of its own; *come* is what the follower's stream shows, each look a list."""

    def __init__(self, tmp_path, monkeypatch, *come):
        self.now, self.looks, self.stood = float(FIXED), list(come), 0
        turned = migration(tmp_path).turned(1)
        turned.server_time = lambda: self.now
        turned._client = lambda *_: None
        turned.resources = lambda _: {"stream_arn": "arn"}
        turned.__dict__["pace"] = SimpleNamespace(poll_seconds=0.25)
        (pair,) = turned.config.tables
        self.state = State.of_pair(FakeDynamoDB(), STATE, pair.id)
        turned.state = lambda _: self.state
        monkeypatch.setattr(way_back, "Tail", self._tail)
        monkeypatch.setattr(way_back.time, "sleep", self.pass_by)
        plan = SimpleNamespace(pair=pair, source=SimpleNamespace(name="orders-v2", keys=KEYS))
        self.ahead = way_back.Ahead(turned, (plan,))

    def _tail(self, *_):
        self.stood += 1
        return SimpleNamespace(read=lambda: iter(self.looks.pop(0) if self.looks else []))

    def pass_by(self, seconds):
        self.now += seconds

    def fixed(self, *, quiet_seconds):
        """The boundary, once the consumers are off: so long behind the fence."""
        self.ahead.watch()
        self.now += quiet_seconds
        self.ahead.fix()
        return self.ahead.boundary

    def need_still(self, *, shows=True):
        step = SimpleNamespace(at=lambda _: None)
        self.ahead.await_boundary(lambda _: None, step)
        self.ahead.need_still(lambda _: None, step, shows=shows)
        assert self.state.get(Fact.BOUNDARY)["boundary_epoch"] == self.ahead.boundary
        assert self.now >= self.ahead.boundary + way_back.APART_SECONDS
        return self.ahead.boundary


OURS = [
    record(canary_key(KEYS), FIXED + 20),
    record(marker_key(KEYS, 7), FIXED + 20),
    record(THEIRS, FIXED + 20, by_ttl=True),
]


def test_the_boundary_is_a_moment_in_the_quiet_and_nobody_waits_for_it(tmp_path, monkeypatch):
    follower = Follower(tmp_path, monkeypatch)
    assert follower.fixed(quiet_seconds=10) == FIXED + 2
    assert follower.need_still() == FIXED + 2
    assert follower.now == FIXED + 10


@pytest.mark.parametrize("last", [0, 3, 10])
def test_the_boundary_is_2_s_behind_what_the_consumer_wrote_last(tmp_path, monkeypatch, last):
    """By the date of its record, which is of the second that it ends; ours and TTL move nothing."""
    come = [*OURS, record(THEIRS, FIXED + last), record(THEIRS, FIXED)]
    follower = Follower(tmp_path, monkeypatch, come)
    assert follower.fixed(quiet_seconds=10) == FIXED + last + 1 + way_back.APART_SECONDS
    follower.need_still()


@pytest.mark.parametrize("come", [[], OURS])
def test_the_boundary_passes_by_before_anybody_goes_on(tmp_path, monkeypatch, come):
    follower = Follower(tmp_path, monkeypatch, [], come)
    assert follower.fixed(quiet_seconds=1) == FIXED + way_back.APART_SECONDS
    follower.need_still()
    assert follower.now == follower.ahead.boundary + way_back.APART_SECONDS


def test_what_shows_late_of_the_consumers_moves_the_boundary(tmp_path, monkeypatch):
    """A record may become readable once the boundary was fixed before it."""
    follower = Follower(tmp_path, monkeypatch, [], [record(THEIRS, FIXED + 9)])
    assert follower.fixed(quiet_seconds=10) == FIXED + 2
    assert follower.need_still() == FIXED + 10 + way_back.APART_SECONDS


def test_where_it_may_not_show_the_boundary_is_behind_the_consumers_end(tmp_path, monkeypatch):
    """A full pass reads no stream to its end."""
    follower = Follower(tmp_path, monkeypatch)
    assert follower.fixed(quiet_seconds=10) == FIXED + 2
    assert follower.need_still(shows=False) == FIXED + 10 + way_back.APART_SECONDS


@pytest.mark.parametrize("at", [FIXED + 10, FIXED + 13])
def test_since_the_consumers_are_off_nobody_writes_the_follower_but_time_to_live_and_we(
    tmp_path, monkeypatch, at
):
    """What was written there could be the direction's before, or the application's."""
    follower = Follower(tmp_path, monkeypatch, [record(THEIRS, FIXED + 1)], [*OURS, record(THEIRS, at)])
    follower.fixed(quiet_seconds=10)
    with pytest.raises(EngineError, match="Somebody else writes to orders-v2: 1 since"):
        follower.need_still()


@pytest.mark.parametrize(("seconds", "stood"), [(600, 1), (601, 2)])
def test_a_follower_that_was_watched_for_long_is_watched_anew(tmp_path, monkeypatch, seconds, stood):
    """AWS forgets an iterator after 15 minutes, and `--hold` may take as long."""
    follower = Follower(tmp_path, monkeypatch)
    follower.fixed(quiet_seconds=seconds)
    assert follower.stood == stood
    follower.need_still()


@pytest.mark.parametrize(
    ("table", "cycle", "left", "said"),
    [
        ("between", 0, {}, "interrupted at its flip"),
        ("between", 1, {}, "interrupted at its flip"),
        ("a word of another version", 0, {}, "interrupted at its flip"),
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
