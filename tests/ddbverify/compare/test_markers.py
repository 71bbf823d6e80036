"""Markers are nobody's items: a pass over tables that hold some says and counts what it would without."""

from __future__ import annotations

import pytest

from ddbverify.compare.request import PassRequest
from ddbverify.items.keys import join_key, marker_keys
from ddbverify.items.states import State
from ddbverify.names import MARKERS, RESERVED, canary_key, is_marker, is_ours, marker_key
from tests.ddbverify.fakes import SCHEMA, FakeTable, item, make_judge
from tests.ddbverify.prepared import run

SCHEMAS = [{"id": kind} for kind in "SNB"] + [{"id": "S", "at": "N"}, {"id": "B", "at": "B"}]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_each_marker_is_known_by_its_key_and_no_other_key_is(schema):
    keys = [marker_key(schema, number) for number in range(MARKERS)]

    assert all(is_marker(key, schema) for key in keys)
    assert {join_key(key, schema) for key in keys} == marker_keys(schema)
    assert len(marker_keys(schema)) == MARKERS
    canary = canary_key(schema)
    assert not is_marker(canary, schema)
    assert is_ours(canary, schema)
    name, kind = next(iter(schema.items()))
    for key in (canary, *keys):
        assert key[name][kind].startswith(RESERVED[kind])
    near = {**keys[7], name: {kind: keys[7][name][kind][:-1] + "Z"}}
    for other in (near, {**keys[7], name: keys[8][name]} if len(schema) > 1 else near, {}, {name: {kind: 7}}):
        assert not is_marker(other, schema)


def marker(number):
    return {**marker_key(SCHEMA, number), "replicator": {"S": "marker"}}


@pytest.mark.parametrize("where", ["source", "target", "both"])
def test_a_full_pass_does_not_see_them(where):
    source, target = (FakeTable([item(f"k{number}", v="1") for number in range(40)]) for _ in range(2))
    plain = run(source, target)
    for side, table in (("source", source), ("target", target)):
        for number in range(30) if where in (side, "both") else ():
            table.put(marker(number))
    found = run(source, target)

    assert found.counts == plain.counts
    assert found.counts[State.MATCHED] == 40
    assert not found.differences
    assert not found.unexamined


@pytest.mark.parametrize("where", ["source", "target", "both"])
def test_a_pass_over_a_rekeyed_pair_does_not_see_them(where):
    """Another migration of the same source, whose cutover was killed, may have left some."""
    judge = make_judge(lambda one: [{"id": "n" + one["id"], "v": one["v"]}], rekeys=True)
    source = FakeTable([item(f"k{number}", v="1") for number in range(40)])
    target = FakeTable([item(f"nk{number}", v="1") for number in range(39)] + [item("nk99", v="1")])
    plain = run(source, target, judge=judge)
    for side, table in (("source", source), ("target", target)):
        for number in range(30) if where in (side, "both") else ():
            table.put(marker(number))
    found = run(source, target, judge=judge)

    assert found.counts == plain.counts
    assert found.counts[State.MATCHED] == 39
    assert (found.counts[State.MISSING], found.counts[State.EXTRANEOUS]) == (1, 1)


def test_tables_that_hold_markers_only_hold_nothing():
    source, target = FakeTable([marker(1)]), FakeTable([marker(2)])
    found = run(source, target, request=PassRequest(changed=[("gone",)]))

    assert any("both tables hold no item any more" in why for why in found.unexamined)
