"""The join: exact whatever the page size, the order, the segments and the memory."""

from __future__ import annotations

import errno
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddbverify.compare import spill
from ddbverify.compare.claims import ClaimJoin, Orphans
from ddbverify.compare.coscan import KeyJoin
from ddbverify.compare.memory import Memory
from ddbverify.compare.sides import Role
from ddbverify.compare.tally import Tally
from ddbverify.errors import Inconclusive
from ddbverify.items.states import State
from ddbverify.names import canary_key
from tests.ddbverify.fakes import SCHEMA, item, make_judge, page_of

NOW = 1_800_000_000.0
PLENTY = 10**9


def states(join, tally, *, source_complete=True, target_complete=True):
    """Which keys are suspects, by the side that lacks them, and the counts."""
    suspects = join.finish(NOW, source_complete=source_complete, target_complete=target_complete)
    return {suspect.key[0]: (suspect.expected, suspect.target) for suspect in suspects}, tally.counts


def key_join(judge=None, limit=PLENTY):
    judge = judge or make_judge()
    tally = Tally(judge)
    return KeyJoin(judge, tally, Memory(limit)), tally, judge


@given(st.data())
def test_the_result_does_not_depend_on_pages_order_or_segments(data):
    values = st.sampled_from(["x", "y"])
    keys = st.sampled_from("abcdefgh")
    source = data.draw(st.dictionaries(keys, values))
    target = data.draw(st.dictionaries(keys, values))
    judge = make_judge()
    tally, memory = Tally(judge), Memory(PLENTY)
    whole = KeyJoin(judge, tally, memory)
    segments = [KeyJoin(judge, tally, memory) for _ in range(3)]
    arrivals = [(Role.SOURCE, key, source[key]) for key in source]
    arrivals += [(Role.TARGET, key, target[key]) for key in target]
    arrivals = data.draw(st.permutations(arrivals))
    while arrivals:
        size = data.draw(st.integers(1, 4))
        role, segment = arrivals[0][0], data.draw(st.sampled_from(segments))
        some = [one for one in arrivals[:size] if one[0] is role]
        arrivals = [one for one in arrivals if one not in some]
        add = data.draw(st.sampled_from([segment.add, whole.add_in_no_order]))
        add(role, page_of([item(key, v=value) for _, key, value in some]), NOW)
    for segment in segments:
        whole.take_over(segment)
    suspects = {one.key[0]: one for one in whole.finish(NOW, source_complete=True, target_complete=True)}

    def state(key, side):
        return judge.state(item(key, v=side[key]) if key in side else None)

    differing = {key for key in source.keys() | target.keys() if source.get(key) != target.get(key)}
    assert suspects.keys() == differing
    assert all(suspects[key].expected == state(key, source) for key in differing)
    assert all(suspects[key].target == state(key, target) for key in differing)
    assert tally.counts[State.MATCHED] == len(source.keys() | target.keys()) - len(differing)
    assert tally.counts.total() == tally.counts[State.MATCHED]
    assert memory._used == 0


def test_equal_by_meaning_is_matched():
    join, tally, _ = key_join()
    join.add(Role.SOURCE, page_of([{"id": {"S": "a"}, "n": {"NS": ["1", "2.0"]}}]), NOW)
    join.add(Role.TARGET, page_of([{"n": {"NS": ["2", "1"]}, "id": {"S": "a"}}]), NOW)
    assert states(join, tally) == ({}, {State.MATCHED: 1})


@pytest.mark.parametrize("sides", [[Role.SOURCE], [Role.TARGET], [Role.SOURCE, Role.TARGET]])
def test_the_canary_is_one_excluded_key_wherever_it_stands(sides):
    join, tally, _ = key_join()
    for number, role in enumerate(sides):
        join.add(role, page_of([{**canary_key(SCHEMA), "v": {"N": str(number)}}]), NOW)
    assert states(join, tally) == ({}, {State.EXCLUDED: 1, State.MATCHED: 0})
    assert tally.target_items == tally.expected_items == 0


@pytest.mark.parametrize(
    ("expires", "excluded"),
    [
        (str(NOW - 1), True),
        (str(NOW + 1), False),
        (str(NOW - 6 * 365 * 86_400), False),  # so old that TTL leaves it alone
        ("9.9E+99", False),
    ],
)
@pytest.mark.parametrize("role", list(Role))
def test_an_item_past_its_ttl_may_be_on_one_side(role, expires, excluded):
    join, tally, _ = key_join(make_judge(ttl=["expires"]))
    join.add(role, page_of([{**item("a"), "expires": {"N": expires}}]), NOW)
    suspects, counts = states(join, tally)
    assert bool(suspects) is not excluded
    assert counts[State.EXCLUDED] == excluded


def test_an_item_past_its_ttl_is_compared_when_both_sides_have_it():
    join, tally, _ = key_join(make_judge(ttl=["expires"]))
    for role, value in zip(Role, "xy", strict=True):
        join.add(role, page_of([{**item("a", v=value), "expires": {"N": "1799999999"}}]), NOW)
    assert set(states(join, tally)[0]) == {"a"}


def test_a_ttl_attribute_that_is_no_number_excludes_nothing():
    join, tally, _ = key_join(make_judge(ttl=["expires"]))
    join.add(Role.SOURCE, page_of([{**item("a"), "expires": {"S": "1799999999"}}]), NOW)
    assert set(states(join, tally)[0]) == {"a"}


def test_a_side_that_was_not_read_to_its_end_proves_no_absence():
    join, tally, _ = key_join()
    join.add(Role.SOURCE, page_of([item("a")]), NOW)
    join.add(Role.TARGET, page_of([item("b")]), NOW)
    suspects, _ = states(join, tally, source_complete=False, target_complete=False)
    assert suspects["a"][1] is None
    assert suspects["b"][0] is None


def test_what_does_not_fit_into_memory_waits_on_disk_and_changes_nothing():
    join, tally, judge = key_join(limit=5_000)
    items = {str(n): "x" * 300 for n in range(200)}
    changed = dict(reversed((items | {"7": "y"}).items()))
    del changed["9"]
    for role, content in ((Role.SOURCE, items), (Role.TARGET, changed)):
        made = [item(key, v=value) for key, value in content.items()]
        for start in range(0, len(made), 10):
            join.add(role, page_of(made[start : start + 10]), NOW)
    assert join.spilled
    assert join._memory._used <= 5_000
    suspects, counts = states(join, tally)
    assert suspects == {
        "7": (judge.state(item("7", v=items["7"])), judge.state(item("7", v="y"))),
        "9": (judge.state(item("9", v=items["9"])), b""),
    }
    assert counts == {State.MATCHED: 198}
    assert join._memory._used == 0


def test_a_full_disk_is_inconclusive_and_says_what_to_do(monkeypatch):
    def full(*_args, **_more):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(spill.tempfile, "TemporaryFile", full)
    join, _, _ = key_join(limit=5_000)
    join.add(Role.SOURCE, page_of([item(str(n), v="x" * 500) for n in range(20)]), NOW)
    with pytest.raises(Inconclusive, match="No space left") as caught:
        join.ended(Role.TARGET)
    assert "`memory` under [verification]" in caught.value.hint


def test_a_value_of_an_unknown_type_is_uncomparable_unless_the_bytes_agree():
    join, tally, _ = key_join()
    odd = {"id": {"S": "a"}, "x": {"FUTURE": "secret"}}
    same = {"id": {"S": "b"}, "x": {"FUTURE": "1"}}
    join.add(Role.SOURCE, page_of([odd, same]), NOW)
    join.add(Role.TARGET, page_of([{**odd, "y": {"S": ""}}, same]), NOW)
    assert states(join, tally) == ({}, {State.MATCHED: 1, State.UNCOMPARABLE: 1})
    assert tally.differences[0].key == {"id": {"S": "a"}}
    assert "FUTURE" in tally.differences[0].reason
    assert "secret" not in tally.differences[0].reason


def reshape(one):
    if one.get("v") == "poison":
        raise ValueError(one["v"])
    return None if one.get("v") == "drop" else {"key": one["id"], "w": one["v"]}


def test_with_a_transform_the_expected_items_are_compared():
    judge = make_judge(reshape, target_schema={"key": "S"})
    tally = Tally(judge)
    join = KeyJoin(judge, tally, Memory(PLENTY))
    source = {"same": "x", "other": "x", "lost": "x", "drop": "drop", "kept": "drop", "bad": "poison"}
    target = {"same": "x", "other": "y", "kept": "x", "bad": "x"}
    join.add(Role.SOURCE, page_of([item(key, v=value) for key, value in source.items()]), NOW)
    made = [{"key": {"S": key}, "w": {"S": value}} for key, value in target.items()]
    join.add(Role.TARGET, page_of(made, {"key": "S"}), NOW)
    suspects, counts = states(join, tally)
    assert set(suspects) == {"other", "lost", "kept"}
    assert counts == {State.MATCHED: 1, State.EXCLUDED: 1, State.UNCOMPARABLE: 1}
    assert tally.dropped == 1
    assert tally.differences[0].key == {"key": {"S": "bad"}}
    assert "poison" not in json.dumps(tally.differences[0].reason)


def split(one):
    """One target item per letter of ``to``."""
    return [{"id": key, "of": one["id"]} for key in one["to"]]


def claim_join(source, target, *, source_complete=True, target_complete=True):
    judge = make_judge(split, rekeys=True)
    tally = Tally(judge)
    join = ClaimJoin(judge, tally, Memory(PLENTY))
    join.add_target(page_of([item(key, of=of) for key, of in target]), NOW)
    join.add_source(page_of([item(key, to=to) for key, to in source]), NOW)
    suspects = join.finish(NOW, source_complete=source_complete, target_complete=target_complete)
    return {one.key[0]: one for one in suspects}, tally, judge


class TestRekeyed:
    def test_every_claim_and_every_target_item_is_one_key(self):
        source = [("s1", "ab"), ("s2", "c"), ("s3", ""), ("s4", "e")]
        target = [("a", "s1"), ("b", "s1"), ("c", "other"), ("d", "s9")]
        suspects, tally, judge = claim_join(source, target)
        assert tally.counts == {State.MATCHED: 2, State.EXCLUDED: 1}
        assert set(suspects) == {"c", "d", "e"}
        assert suspects["c"].owners == {("s2",)}
        assert suspects["d"].owners == set()
        assert suspects["d"].expected == b""
        assert suspects["e"].target == b""
        assert suspects["e"].expected == judge.state(item("e", of="s4"))

    @pytest.mark.parametrize("held", ["s1", "s2", "s9", None])
    def test_a_key_that_two_source_items_claim_is_never_matched(self, held):
        target = [("a", held)] if held else []
        suspects, tally, _ = claim_join([("s1", "a"), ("s2", "a")], target)
        assert not tally.counts[State.MATCHED]
        assert suspects["a"].owners == {("s1",), ("s2",)}
        assert suspects["a"].history == ()

    def test_without_the_whole_source_nothing_is_extraneous(self):
        suspects, tally, _ = claim_join([], [("a", "s1")], source_complete=False)
        assert not suspects
        assert tally.differences[0].state is State.UNDECIDED

    def test_an_item_that_cannot_be_transformed_may_own_what_nobody_claims(self):
        judge = make_judge(split, rekeys=True)
        tally = Tally(judge)
        join = ClaimJoin(judge, tally, Memory(PLENTY))
        join.add_target(page_of([item("a", of="s1")]), NOW)
        join.add_source(page_of([item("s1")]), NOW)
        assert not list(join.finish(NOW, source_complete=True, target_complete=True))
        assert [one.state for one in tally.differences] == [State.UNCOMPARABLE, State.UNDECIDED]

    def test_the_canary_of_either_side_is_one_excluded_key(self):
        judge = make_judge(split, rekeys=True)
        tally = Tally(judge)
        join = ClaimJoin(judge, tally, Memory(PLENTY))
        join.add_target(page_of([canary_key(SCHEMA)]), NOW)
        join.add_source(page_of([canary_key(SCHEMA)]), NOW)
        assert not list(join.finish(NOW, source_complete=True, target_complete=True))
        assert tally.counts == {State.EXCLUDED: 1}

    def test_a_second_pass_finds_owners(self):
        suspects, _, judge = claim_join([], [("a", "s1"), ("b", "s2")])
        search = Orphans(judge, list(suspects.values()))
        search.add_source(page_of([item("s1", to="a"), item("s3", to="z")]), NOW)
        assert suspects["a"].owners == {("s1",)}
        assert suspects["a"].target in suspects["a"].history
        assert suspects["b"].owners == set()
