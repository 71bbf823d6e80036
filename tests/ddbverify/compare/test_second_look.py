"""Many suspects that look alike: a sample is settled key by key, the others are looked at once more."""

from __future__ import annotations

from collections import Counter

import pytest

from ddbverify.compare import groups, second_look
from ddbverify.compare.groups import FEWEST, SAMPLE, Groups
from ddbverify.compare.inspection import ItemCheck
from ddbverify.compare.request import PassRequest
from ddbverify.compare.suspects import Suspect
from ddbverify.errors import EngineError
from ddbverify.items.states import State
from tests.ddbverify.fakes import Clock, FakeTable, item, make_judge
from tests.ddbverify.prepared import run

MANY = 5 * FEWEST
SETTLE = 10.0


def table(content, **more):
    return FakeTable([item(key, v=value) for key, value in content.items()], page_size=50, **more)


def keys(count=MANY):
    return [f"k{number}" for number in range(count)]


def counted(comparison):
    return {str(state): count for state, count in comparison.counts.items() if count}


def compared(source, target, **more):
    return run(source, target, **({"segments": 4, "settle": SETTLE} | more))


@pytest.mark.parametrize(
    ("source", "target", "state"),
    [
        (dict.fromkeys(keys(), "x"), dict.fromkeys(keys(), "y"), "different"),
        (dict.fromkeys(keys(), "x"), {}, "missing"),
        ({}, dict.fromkeys(keys(), "x"), "extraneous"),
    ],
)
def test_all_are_found_and_listed_and_it_is_said_how_each_was_established(source, target, state):
    told = table(source), table(target)
    comparison = compared(*told)

    assert counted(comparison) == {state: MANY}
    assert {one.key["id"]["S"] for one in comparison.differences} == set(keys())
    assert comparison.different_by_cause == sum(one.by_cause for one in comparison.differences)
    assert comparison.different_by_cause == MANY - SAMPLE
    assert len({one.paths for one in comparison.differences}) == 1
    said = f"at most {MANY - SAMPLE} differences established by cause"
    assert any(said in note for note in comparison.notes)
    assert comparison.unexamined == ()


def test_it_costs_a_second_pass_and_the_looks_of_a_sample():
    source, target = table(dict.fromkeys(keys(), "x")), table(dict.fromkeys(keys(), "y"))
    compared(source, target)

    pages = MANY / source.page_size + 2 * 4  # every segment's end is asked for twice, and may begin a page
    assert source.read_units <= 2 * (pages + 4)
    assert source.requests - source.read_units < 2 * 12  # the sample: two reads a look, all keys of it in one


def test_where_they_are_few_they_are_read_by_key():
    content = dict.fromkeys(keys(20 * MANY), "x")
    changed = {**content, **dict.fromkeys(keys(FEWEST), "y")}
    source, target = table(content), table(changed)
    source.page_size = target.page_size = 5  # items to a unit
    comparison = compared(source, target)

    assert counted(comparison) == {"matched": 19 * MANY + MANY - FEWEST, "different": FEWEST}
    assert comparison.different_by_cause == FEWEST - SAMPLE
    assert source.scans == 1


def test_a_few_that_look_alike_are_settled_one_by_one():
    comparison = compared(
        table(dict.fromkeys(keys(FEWEST - 1), "x")), table(dict.fromkeys(keys(FEWEST - 1), "y"))
    )

    assert counted(comparison) == {"different": FEWEST - 1}
    assert comparison.different_by_cause == 0


def test_two_causes_have_a_sample_each():
    content = dict.fromkeys(keys(), "x")
    changed = {
        key: item(key, v="y") if number % 2 else {**item(key), "w": {"N": "1"}}
        for number, key in enumerate(keys())
    }
    comparison = compared(table(content), FakeTable(changed.values(), page_size=50))

    assert counted(comparison) == {"different": MANY}
    assert comparison.different_by_cause == MANY - 2 * SAMPLE


def test_a_late_replica_is_no_difference_however_many_keys_are_under_way():
    clock = Clock()
    target = table(dict.fromkeys(keys(), "old"), clock=clock)
    for number, key in enumerate(keys()):
        clock.at(3.0 + number / 500, lambda key=key: target.put(item(key, v="new")))
    comparison = compared(table(dict.fromkeys(keys(), "new"), clock=clock), target, clock=clock)

    assert counted(comparison) == {"matched": MANY}
    assert comparison.converged == MANY


@pytest.mark.parametrize("late", [0.5, SETTLE - 1])
def test_one_that_arrives_late_among_many_that_never_do_is_no_difference(late):
    """It may be in the sample or not: then the second look sees it moved."""
    for number in range(12):
        clock, one = Clock(), f"k{number * 37}"
        target = table(dict.fromkeys(keys(), "old"), clock=clock)
        clock.at(late, lambda target=target, one=one: target.put(item(one, v="new")))
        comparison = compared(table(dict.fromkeys(keys(), "new"), clock=clock), target, clock=clock)

        assert counted(comparison) == {"matched": 1, "different": MANY - 1}
        assert one not in {found.key["id"]["S"] for found in comparison.differences}


@pytest.mark.parametrize("side", ["source", "target"])
def test_one_that_moves_and_differs_still_is_settled_by_itself(side):
    clock = Clock()
    tables = {name: table(dict.fromkeys(keys(), name), clock=clock) for name in ("source", "target")}
    for key in keys()[::10]:
        clock.at(SETTLE / 2, lambda key=key: tables[side].put(item(key, v="moved")))
    comparison = compared(tables["source"], tables["target"], clock=clock)

    assert counted(comparison) == {"different": MANY}
    moved = {found.key["id"]["S"]: found.by_cause for found in comparison.differences}
    assert not any(moved[key] for key in keys()[::10])


def test_a_segment_that_cannot_be_read_again_is_settled_key_by_key():
    source, target = table(dict.fromkeys(keys(), "x")), table(dict.fromkeys(keys(), "y"))
    scan_page, scanned = source.scan_page, []

    def refused_later(segment, total, start):
        if start is None and segment == 2:
            scanned.append(segment)
        if segment == 2 and len(scanned) > 1:
            raise EngineError("the connection was reset", "try again.")
        return scan_page(segment, total, start)

    source.scan_page = refused_later
    comparison = compared(source, target)

    assert counted(comparison) == {"different": MANY}
    assert 0 < comparison.different_by_cause < MANY - SAMPLE
    assert comparison.unexamined == ()


def test_what_the_pipeline_has_not_passed_is_not_decided_by_its_cause():
    comparison = compared(
        table(dict.fromkeys(keys(), "x")),
        table(dict.fromkeys(keys(), "y")),
        pipeline_passed=lambda _: False,
    )

    assert counted(comparison) == {"undecided": MANY}


@pytest.mark.parametrize("held", [7, 10**6])
@pytest.mark.parametrize("memory", [1_000, 10**9])
def test_what_waits_may_wait_on_the_disk(monkeypatch, held, memory):
    monkeypatch.setattr(second_look, "SUSPECTS_HELD", held)
    comparison = compared(table(dict.fromkeys(keys(), "x")), table(dict.fromkeys(keys(), "y")), memory=memory)

    assert counted(comparison) == {"different": MANY}
    assert {one.key["id"]["S"] for one in comparison.differences} == set(keys())
    assert comparison.different_by_cause > MANY / 2


def test_of_what_waits_on_the_disk_few_segments_are_taken_back_at_once(monkeypatch):
    monkeypatch.setattr(second_look, "SUSPECTS_HELD", 7)
    monkeypatch.setattr(second_look, "TAKEN_BACK_AT_ONCE", 25)
    waiting = second_look.Waiting()
    sizes = {None: 3, **dict.fromkeys(range(500), 10), 500: 60}
    for segment, size in sizes.items():
        for number in range(size):
            key = (f"{segment}-{number}",)
            waiting.add(
                Suspect(
                    key=key,
                    owners={key},
                    expected=b"",
                    target=b"",
                    expected_since=0.0,
                    target_since=0.0,
                    first_seen=0.0,
                    segment=segment,
                )
            )

    parts = [[one.segment for one in part] for part in waiting.parts()]

    assert Counter(segment for part in parts for segment in part) == sizes
    assert all(len(part) <= 25 or set(part) == {500} for part in parts)
    assert sum(len(set(part)) for part in parts) == len(sizes), "those of one segment together"
    assert any(len(set(part)) > 1 for part in parts)


@pytest.mark.parametrize("function", [None, lambda one: {**one, "v": one["v"].upper()}])
def test_checks_on_items_see_each_of_them_once(function):
    seen = []

    def check_both(source, target):
        seen.append((source["id"], target["v"]))

    check = ItemCheck("x", "x", check_both, ("source", "target"))
    comparison = compared(
        table(dict.fromkeys(keys(), "x")),
        table(dict.fromkeys(keys(), "y")),
        judge=make_judge(function),
        request=PassRequest(item_checks=[check]),
    )

    assert counted(comparison) == {"different": MANY}
    asked = comparison.inspected["x"]
    assert asked.missed == 0
    assert sorted(key for key, _ in seen) == sorted(keys())


def test_a_transform_that_fails_in_between_costs_its_key_and_not_the_pass(monkeypatch):
    scanned = []
    last = max(keys(), key=lambda key: FakeTable.hashed((key,)))  # none of those that the sample begins with
    monkeypatch.setattr(groups.random, "random", lambda: 0.999_999)  # and none takes the place of these

    def function(one):
        if scanned and one["id"] == last:
            raise RuntimeError(f"secret of {one['v']}")
        return {**one, "v": one["v"].upper()}

    unmoved = second_look.SecondLook.unmoved

    def fails_from_now(self, suspects):
        found = unmoved(self, suspects)
        scanned.append(True)
        return found

    monkeypatch.setattr(second_look.SecondLook, "unmoved", fails_from_now)
    check = ItemCheck("x", "x", lambda source, target: None, ("source", "target"))
    comparison = compared(
        table(dict.fromkeys(keys(), "x")),
        table(dict.fromkeys(keys(), "y")),
        judge=make_judge(function),
        request=PassRequest(item_checks=[check]),
    )

    assert counted(comparison) == {"different": MANY - 1, "uncomparable": 1}
    (one,) = (one for one in comparison.differences if one.state is State.UNCOMPARABLE)
    assert one.key == {"id": {"S": last}}
    assert "secret" not in one.reason


class CutElsewhere(FakeTable):
    """Its keys lie in other segments: no document of AWS says that two tables are cut alike."""

    @staticmethod
    def hashed(key):
        return FakeTable.hashed((*key, "elsewhere"))


def test_what_arrived_in_a_segment_of_another_number_is_not_called_missing(monkeypatch):
    clock, sample = Clock(), set()
    waits = Groups.wait_for_the_sample

    def note_the_sample(self, suspect):
        found = waits(self, suspect)
        sample.update(self._groups[suspect.group].sample)
        return found

    monkeypatch.setattr(Groups, "wait_for_the_sample", note_the_sample)
    target = CutElsewhere([], page_size=50, clock=clock)

    def arrive():
        for key in keys()[::2]:
            if (key,) not in sample:  # else the cause would not be proven
                target.put(item(key, v="x"))

    clock.at(SETTLE - 1, arrive)
    comparison = compared(table(dict.fromkeys(keys(), "x"), clock=clock), target, clock=clock)

    here = {key for (key,) in target.items}
    assert here
    assert counted(comparison) == {"matched": len(here), "missing": MANY - len(here)}
    assert not {one.key["id"]["S"] for one in comparison.differences} & here


def test_a_sample_is_drawn_from_all_of_a_group():
    made, picked = [Groups() for _ in range(200)], set()
    for one in made:
        suspects = [
            Suspect(key=(key,), owners=set(), expected=None, target=None, group=0) for key in keys(FEWEST)
        ]
        for suspect in suspects:
            one.add(suspect.key, State.DIFFERENT, ["v: value"])
        drawn = [suspect.key[0] for suspect in suspects if not one.wait_for_the_sample(suspect)]
        assert len(drawn) == SAMPLE
        picked |= set(drawn)
    assert picked == set(keys(FEWEST))  # each with one chance in five, 200 times


def test_groups_beyond_the_most_are_settled_one_by_one(monkeypatch):
    monkeypatch.setattr(groups, "MOST_GROUPS", 1)
    made = Groups()
    assert made.add(("a",), State.DIFFERENT, ["v: value"]) == 0
    assert made.add(("b",), State.DIFFERENT, ["w: value"]) is None


def test_what_its_sample_has_proven_a_group_loses_by_one_that_turns_out_otherwise():
    made = Groups()
    suspects = [
        Suspect(key=(key,), owners=set(), expected=None, target=None, group=0) for key in keys(FEWEST)
    ]
    for one in suspects:
        made.add(one.key, State.MISSING, ())
    for one in suspects[:SAMPLE]:
        assert made.proven(one) is None
        made.settled(one, State.MISSING)
    assert made.proven(suspects[-1]) is State.MISSING
    made.settled(suspects[SAMPLE], State.MATCHED)
    assert made.proven(suspects[-1]) is None


class Slow(FakeTable):
    """Takes half a second for a page of the scan, and none for later ones; *then* happens after the scan."""

    then = None

    def scan_page(self, *asked):
        page = super().scan_page(*asked)
        if page.last_key is None and not page.items and self.seconds_per_page:
            self.seconds_per_page = 0.0
            if self.then is not None:
                self.then()
        return page


def test_the_second_look_waits_for_the_last_that_was_seen():
    """The sample may have been scanned long before the last page, and be settled when that is still young."""
    for _ in range(5):
        clock = Clock()
        source, target = (
            Slow([item(key, v=value) for key in keys()], page_size=5, clock=clock, seconds_per_page=0.5)
            for value in ("new", "old")
        )
        (last,) = max(source.items, key=FakeTable.hashed)

        def arrive(last=last, target=target):
            target.put(item(last, v="new"))

        target.then = lambda clock=clock, arrive=arrive: clock.at(SETTLE - 2, arrive)
        comparison = compared(source, target, clock=clock, segments=1)

        assert counted(comparison) == {"matched": 1, "different": MANY - 1}
