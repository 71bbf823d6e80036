"""A comparison that would not have noticed anything is not believed when it finds nothing."""

from __future__ import annotations

import pytest
from hypothesis import given

from ddbverify.compare import at_once, shortcut
from ddbverify.compare.alterations import alterations
from ddbverify.compare.one_pass import Pass
from ddbverify.config import Duration, Verification
from ddbverify.items import form as items
from ddbverify.items.form import Form
from ddbverify.tables.segments import Plan
from tests.ddbverify.fakes import SCHEMA, Clock, FakeTable, make_judge, on
from tests.ddbverify.hired import InThreads
from tests.ddbverify.items.test_form import items as typed_items

EVERY_TYPE = {
    "id": {"S": "a"},
    "s": {"S": "x"},
    "n": {"N": "1.50"},
    "flag": {"BOOL": True},
    "none": {"NULL": True},
    "b": {"B": "AQI="},
    "ns": {"NS": ["1", "2"]},
    "ss": {"SS": ["x"]},
    "bs": {"BS": ["AQI="]},
    "list": {"L": []},
    "map": {"M": {"a": {"S": "x"}}},
}


def run(content, *, judge=None, hired=0):
    source, target = FakeTable(content), FakeTable(content)
    judge, plan, running = judge or make_judge(), Plan(1, (0,)), on(Clock())
    return Pass(
        "pair",
        source,
        target,
        judge,
        plan,
        Verification(settle=Duration(1.0)),
        running=running,
        crew=InThreads(source, target, judge, plan, running=running, members=hired) if hired else None,
    ).run()


def test_every_alteration_is_another_item():
    form = Form()
    made = {one.what: one.item for one in alterations(EVERY_TYPE, SCHEMA, form)}

    assert made.pop("a missing item") is None
    assert len(made) == 1 + 10 + 9 + 2  # one too many; each type gone, altered (but NULL), or turned
    for what, altered in made.items():
        assert altered["id"] == EVERY_TYPE["id"]
        assert not form.same(altered, EVERY_TYPE), what


@given(typed_items)
def test_whatever_the_item_the_engine_notices(made):
    comparison = run([{**made, "id": {"S": "a"}}])
    assert comparison.unexamined == ()


@pytest.mark.parametrize("rekeys", [False, True])
@pytest.mark.parametrize("function", [None, lambda one: {**one, "extra": 1}])
def test_a_sound_engine_passes_under_any_rules(rekeys, function):
    if rekeys:
        shape = function or dict
        judge = make_judge(lambda one: [shape(one), {**shape(one), "id": "other"}], rekeys=True)
    else:
        judge = make_judge(function)
    clock = Clock()
    source = FakeTable([EVERY_TYPE])
    target = FakeTable([claim.item for claim in judge.claims(EVERY_TYPE)])
    comparison = Pass(
        *("pair", source, target, judge, Plan(1, (0,)), Verification(settle=Duration(1.0))),
        running=on(clock),
    ).run()
    assert comparison.unexamined == ()


def test_what_is_ignored_is_not_altered():
    names = [name for name in EVERY_TYPE if name != "id"]
    assert run([EVERY_TYPE], judge=make_judge(ignore=names)).unexamined == ()


def test_an_item_past_its_time_to_live_may_be_missing():
    expired = {"id": {"S": "a"}, "expires": {"N": "1799999999"}}
    assert run([expired], judge=make_judge(ttl=["expires"])).unexamined == ()


@pytest.mark.parametrize(
    ("where", "name", "broken", "missed"),
    [
        (at_once, "surely_equal", lambda one, other: True, "another value of type N"),
        (items, "_number", lambda content: b"0", "another value of type NS"),
        (items, "_bool", lambda content: b"", "another value of type BOOL"),
    ],
)
@pytest.mark.parametrize("hired", [0, 2])
def test_an_engine_that_does_not_look_is_found_out(monkeypatch, where, name, broken, missed, hired):
    monkeypatch.setattr(where, name, broken)
    monkeypatch.setattr(items, "_SETS", {**items._SETS, "NS": items._number})
    monkeypatch.setattr(items, "_SCALARS", {**items._SCALARS, "N": items._number, "BOOL": items._bool})

    (why,) = run([EVERY_TYPE], hired=hired).unexamined

    assert why.startswith("a control failed")
    assert missed in why


@pytest.mark.parametrize(("rekeys", "hired"), [(False, 0), (True, 0), (False, 2)])
def test_a_transform_whose_result_is_not_looked_at_is_found_out(monkeypatch, rekeys, hired):
    monkeypatch.setattr(shortcut.raws, "surely_holds", lambda *_: True)

    (why,) = run([EVERY_TYPE], judge=make_judge(dict, rekeys=rekeys), hired=hired).unexamined

    assert why.startswith("a control failed")
    assert "another value of type N" in why
