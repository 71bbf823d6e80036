"""
A pass over changed keys only, and what base and links say together.

"Base + changes never says equal where a full pass would not": over histories of writes, a replica that is
late, loses changes or brings old ones back, and somebody who writes to the target. Each rule that this
rests on is switched off once, and the search has to find it out.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace

import pytest

from ddbverify.changes.following import changed_keys, places_at, places_now
from ddbverify.changes.places import ENDED, Kind, Place
from ddbverify.changes.shards import Gap
from ddbverify.compare import settling
from ddbverify.compare.comparison import Comparison
from ddbverify.compare.inspection import ItemCheck
from ddbverify.compare.request import PassRequest
from ddbverify.errors import EngineError
from ddbverify.items.states import State
from ddbverify.names import canary_key
from tests.ddbverify.fakes import SCHEMA, Clock, FakeTable, item
from tests.ddbverify.prepared import run
from tests.ddbverify.streams import FakeStream

EQUAL = {State.MATCHED, State.EXCLUDED}


def compared(source, target, *keys, **more) -> Comparison:
    request = PassRequest(changed=[(key,) for key in keys], **more.pop("request", {}))
    return run(source, target, request=request, **more)


def counts(comparison):
    return {state: count for state, count in comparison.counts.items() if count}


def test_each_key_is_looked_at_and_no_other_is():
    source = FakeTable(
        [item("same", v="1"), item("differs", v="1"), item("missing", v="1"), item("other", v="1")]
    )
    target = FakeTable(
        [item("same", v="1"), item("differs", v="2"), item("ghost", v="1"), item("other", v="9")]
    )

    comparison = compared(source, target, "same", "differs", "missing", "ghost", "gone on both sides")

    assert counts(comparison) == {
        State.MATCHED: 2,
        State.DIFFERENT: 1,
        State.MISSING: 1,
        State.EXTRANEOUS: 1,
    }
    assert comparison.of_changes
    assert (comparison.segments_planned, comparison.segments_finished, comparison.segments_total) == (0, 0, 1)
    assert (source.scans, target.scans) == (0, 0)
    assert not comparison.unexamined


def test_a_million_changed_keys_are_not_all_made_suspects_at_once(monkeypatch):
    """Each is a kilobyte; what waits is its key."""
    monkeypatch.setattr(settling, "SUSPECTS_AT_ONCE", 10)
    made, read_when = [], []
    new = settling.Suspect
    monkeypatch.setattr(settling, "Suspect", lambda **given: made.append(1) or new(**given))
    keys = [f"{number}" for number in range(95)]
    tables = [FakeTable([item(key, v="1") for key in keys]) for _ in range(2)]
    read = tables[1].get_items
    tables[1].get_items = lambda wanted: read_when.append(len(made)) or read(wanted)

    assert counts(compared(*tables, *keys)) == {State.MATCHED: 95}
    assert read_when[0] == 10
    assert read_when[-1] == 95


@pytest.mark.parametrize(
    ("left", "is_empty"), [([], True), ([canary_key(SCHEMA)], True), ([item("z", v="1")], False)]
)
def test_tables_that_were_emptied_prove_nothing(left, is_empty):
    """A full pass over them would be inconclusive; keys of which neither side has an item match."""
    comparison = compared(FakeTable(left), FakeTable(left), "a", "b")

    assert counts(comparison) == {State.MATCHED: 2}
    assert bool(comparison.unexamined) == is_empty
    assert is_empty == any("hold no item any more" in one for one in comparison.unexamined)


def test_an_emptiness_that_cannot_be_looked_at_is_not_decided():
    source = FakeTable()
    source.fails_in[0, 0] = EngineError("AWS refused", "wait")

    assert "AWS refused" in compared(source, FakeTable(), "a").unexamined[0]


def test_where_something_is_left_no_page_is_read():
    tables = [FakeTable([item("b", v="1")]) for _ in range(2)]
    compared(*tables, "a", "b")

    assert [table.scans for table in tables] == [0, 0]


def test_without_a_changed_key_nothing_is_read():
    source, target = FakeTable([item("a", v="1")]), FakeTable([item("a", v="1")])

    comparison = compared(source, target)

    assert counts(comparison) == {}
    assert (source.requests, target.requests) == (0, 0)
    assert not comparison.holds_nothing


def test_the_canary_is_no_key_of_the_tables():
    source, target = FakeTable([canary_key(SCHEMA)]), FakeTable()

    assert counts(compared(source, target, canary_key(SCHEMA)["id"]["S"])) == {State.EXCLUDED: 1}


def test_checks_on_items_see_the_changed_ones():
    source = target = FakeTable([item("a", v="1"), item("b", v="2"), item("c", v="3")])
    seen = []

    def look(source, target):
        seen.append((source["v"], target["v"]))

    check = ItemCheck("check", "check", look, ("source", "target"))

    comparison = compared(source, target, "a", "c", request={"item_checks": [check]})

    assert sorted(seen) == [("1", "1"), ("3", "3")]
    assert comparison.inspected["check"].examined == 2


def test_keys_that_match_cost_a_read_on_either_side():
    keys = [str(number) for number in range(250)]
    tables = [FakeTable([item(key, v="1") for key in keys]) for _ in range(2)]
    asked = []
    for table in tables:
        read = table.get_items
        table.get_items = lambda wanted, read=read: asked.append(len(wanted)) or read(wanted)

    compared(*tables, *keys)

    assert sum(asked) == 2 * 250


# --- base and links ---------------------------------------------------------------------------

LAG = 4.0
LATEST_RECORD = 3.0


@dataclass
class World:
    """Two tables, their streams, a replica between them, and whatever else writes."""

    chance: random.Random
    clock: Clock = field(default_factory=Clock)
    keys: tuple[str, ...] = ("a", "b", "c", "d", "e", "f")
    version: int = 0
    arrived: dict[str, float] = field(default_factory=dict)

    def __post_init__(self):
        self.source, self.target = (
            FakeTable(clock=self.clock, seconds_per_page=1.0, page_size=2) for _ in range(2)
        )
        self.streams = [
            FakeStream(time=self.clock, stream_arn=f"arn:{role}/stream/2026-01-01T00:00:00.000")
            for role in ("source", "target")
        ]
        for key in self.keys[:4]:
            self.write(self.source, key, "v0")
            self.write(self.target, key, "v0")
        self.clock.pass_until(self.clock.now + 100)

    def write(self, table, key, value):
        if value is None:
            table.delete((key,))
        else:
            table.put(item(key, v=value))
        stream = self.streams[table is self.target]
        stream.write(key, late=self.chance.uniform(0, LATEST_RECORD))
        if self.chance.random() < 0.05:
            open_one = next(name for name, one in stream.shards_by_id.items() if one.closed_at is None)
            stream.split(open_one, 1)

    def live(self, seconds, faults):
        """Let things happen for so long, from now on."""
        for _ in range(self.chance.randrange(1, 6)):
            self.clock.at(self.chance.uniform(0, seconds), self._something(faults))

    def _something(self, faults):
        key, fate = self.chance.choice(self.keys), self.chance.random()

        def application():
            self.version += 1
            value = None if self.chance.random() < 0.2 else f"v{self.version}"
            self.write(self.source, key, value)
            if faults and self.chance.random() < 0.1:
                return  # lost on the way
            arrives = max(self.arrived.get(key, 0.0) + 0.01, self.clock.now + self.chance.uniform(0, 3))
            self.arrived[key] = arrives  # in order, for each key
            self.clock.at(arrives - self.clock.now, lambda: self.write(self.target, key, value))

        def outsider():
            self.write(self.target, key, f"outside{self.version}")

        def brought_back():
            self.write(self.target, key, "v0")

        if not faults or fate < 0.8:
            return application
        return outsider if fate < 0.9 else brought_back

    def full(self) -> Comparison:
        return run(self.source, self.target, clock=self.clock, settle=8.0)

    def places(self):
        return [places_now(stream, stream.server_time()) for stream in self.streams]

    def link(self, places, lag=LAG, sides=(0, 1)):
        keys, after = set(), []
        for side, (stream, before) in enumerate(zip(self.streams, places, strict=True)):
            found = changed_keys(
                stream,
                before,
                lag_seconds=lag,
                server_time=stream.server_time,
                clock=stream.clock,
                sleep=stream.sleep,
            )
            keys |= found.keys if side in sides else set()
            after.append(found.places)
        request = PassRequest(changed=sorted(keys))
        return run(self.source, self.target, clock=self.clock, settle=8.0, request=request), after


def is_equal(comparison, *, churning=False):
    allowed = EQUAL | ({State.CHURNING} if churning else set())
    return not comparison.unexamined and set(counts(comparison)) <= allowed


def not_stepped_back(places, now):
    shards = {name: one if one == ENDED else Place.since(int(now)) for name, one in places.shards.items()}
    return replace(places, shards=shards)


RULES = (
    "places before the base",
    "a failed link is no link",
    "the wait",
    "the source's stream",
    "the target's stream",
)


def history(seed, without=None, faults=True):
    """What base and links say at the end, and what a full pass says then; ``None``: the base did not pass."""
    world = World(random.Random(seed))
    world.live(6, faults)
    before = world.places()
    base = world.full()
    if without == "places before the base":
        before = [not_stepped_back(one, world.clock.now + 1) for one in world.places()]
    if not is_equal(base, churning=True):
        return None
    sides = {"the source's stream": (1,), "the target's stream": (0,)}.get(without, (0, 1))
    lag = 0.0 if without == "the wait" else LAG
    for _ in range(world.chance.randrange(3)):
        world.live(8, faults)
        found, after = world.link(before, lag, sides)
        if is_equal(found, churning=True) or without == "a failed link is no link":
            before = after
    world.clock.pass_until(world.clock.now + 12)  # a fence: nothing is written, everything has arrived
    if without == "the wait":
        world.live(0.5, faults)
        world.clock.pass_until(world.clock.now + 1)
    last, _ = world.link(before, lag, sides)
    return is_equal(last), is_equal(world.full())


def test_base_and_changes_say_equal_exactly_where_a_full_pass_does():
    said = [found for seed in range(400) if (found := history(seed)) is not None]

    assert len(said) > 250
    assert {links for links, _ in said} == {True, False}
    assert all(links == full for links, full in said)


def test_without_faults_they_say_equal():
    said = [history(seed, faults=False) for seed in range(60)]

    assert set(said) <= {(True, True), None}
    assert said.count(None) < 10


@pytest.mark.parametrize("rule", RULES)
def test_without_a_rule_something_is_called_equal_that_is_not(rule):
    assert any(history(seed, without=rule) == (True, False) for seed in range(1500))


def test_a_gap_is_no_verdict():
    world = World(random.Random(7))
    before = world.places()
    world.streams[1].stream_arn = "arn:another"

    with pytest.raises(Gap):
        world.link(before)


# --- a base that was read from exports ----------------------------------------------------------


EXPORTED = (
    "places as of the exports",
    "shards that were closed since",
    "the source's stream",
    "the target's stream",
)


def exported_history(seed, without=None, faults=True):
    """
    As `history`, of a base that has read an export of each side, of moments of their own.

    What differed in them is looked at in the tables, as in every comparison of exports.
    """
    world = World(random.Random(seed))
    world.live(6, faults)
    shown = []
    for table, stream in zip((world.source, world.target), world.streams, strict=True):
        world.clock.pass_until(world.clock.now + world.chance.uniform(0, 6))
        shown.append((dict(table.items), world.clock.now, stream))
    world.live(8, faults)
    world.clock.pass_until(world.clock.now + world.chance.uniform(90, 3600))  # an export takes its time
    before = [places_at(stream, moment, stream.server_time()) for _, moment, stream in shown]
    if without == "places as of the exports":
        before = world.places()
    if without == "shards that were closed since":
        before = [
            replace(one, shards={name: ENDED if place.kind is Kind.CLOSED else place for name, place in some})
            for one in before
            for some in [one.shards.items()]
        ]
    ours, theirs = (items for items, _, _ in shown)
    differing = {key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)}
    request = PassRequest(changed=sorted(differing))
    looked_at = run(world.source, world.target, clock=world.clock, settle=8.0, request=request)
    if not is_equal(looked_at, churning=True):
        return None
    sides = {"the source's stream": (1,), "the target's stream": (0,)}.get(without, (0, 1))
    world.live(8, faults)
    world.clock.pass_until(world.clock.now + 12)  # a fence, as above
    last, _ = world.link(before, LAG, sides)
    return is_equal(last), is_equal(world.full())


def test_a_base_of_exports_and_changes_say_equal_only_where_a_full_pass_does():
    said = [found for seed in range(400) if (found := exported_history(seed)) is not None]

    assert len(said) > 200
    assert {links for links, _ in said} == {True, False}
    assert all(links == full for links, full in said)


@pytest.mark.parametrize("rule", EXPORTED)
def test_without_a_rule_of_exports_something_is_called_equal_that_is_not(rule):
    assert any(exported_history(seed, without=rule) == (True, False) for seed in range(1500))
