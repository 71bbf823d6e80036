"""A check has to notice what it says that it covers; one that does not is named, and decides nothing."""

from __future__ import annotations

import contextlib
import time

import msgspec
import pytest

from ddbverify import Pair, State, Verdict, check, each_item, require
from ddbverify.compare.alterations import ControlKind
from ddbverify.compare.one_pass import Pass
from ddbverify.compare.request import PassRequest, Running
from ddbverify.config import Duration, Verification, parse
from ddbverify.suite.blindness import claims_of, covered_attributes, unnoticed_by
from ddbverify.suite.marks import SETTINGS
from ddbverify.tables.segments import Plan
from tests.ddbverify import projects
from tests.ddbverify.fakes import FakeTable, make_judge
from tests.ddbverify.hired import InThreads
from tests.ddbverify.suite.test_pair import _default_suite

ORDERS = [
    {"id": {"S": str(number)}, "total": {"N": f"{number}"}, "cents": {"N": f"{number}00"}, "by": {"S": "me"}}
    for number in range(1, 6)
]
COVERING = {
    name: getattr(one, SETTINGS).covers for name, one in _default_suite().items() if hasattr(one, SETTINGS)
}


JUDGES = {
    "as it is": make_judge(),
    "reshaped": make_judge(lambda one: {**one, "extra": 1}),
    "mostly dropped": make_judge(lambda one: None if one["id"] in ("1", "2", "3") else dict(one)),
    "re-keyed": make_judge(
        lambda one: [{**one, "id": "x" + one["id"]}, {**one, "id": "y" + one["id"]}], rekeys=True
    ),
}


def _pair(tmp_path, *item_checks, content=ORDERS, judge=None, attributes=(), hired=0):
    """A pair of tables in memory whose shared pass has been made, with *hired* others to read for it."""
    config = parse(projects.TOML, tmp_path)
    pair = Pair(config, config.tables[0], secret=b"of this run")
    judge = judge or make_judge()
    source = FakeTable(content)
    target = FakeTable([claim.item for item in content for claim in judge.claims(item)])
    plan, running = Plan(3, (0, 1, 2)), Running(threads=1)
    crew = InThreads(source, target, judge, plan, running=running, members=hired, covered=attributes)
    comparison = Pass(
        "pair",
        source,
        target,
        judge,
        plan,
        Verification(settle=Duration(0)),
        request=PassRequest(item_checks=[one.ddb_item_check for one in item_checks], covered=attributes),
        running=running,
        crew=crew if hired else None,
    ).run()
    assert comparison.unexamined == ()
    return pair.seeing(comparison)


def _blind(function, pair):
    """Of a pair about which the check has something of its own to say."""
    if "transform" in function.__name__:
        pair.settings = msgspec.structs.replace(pair.settings, transform="shop:one")
    pair._fraction = 0.5 if "sampled" in function.__name__ else None
    return unnoticed_by(function, getattr(function, SETTINGS).covers, pair)


def test_the_checks_of_the_shared_pass_say_what_they_cover():
    assert len(COVERING) == 8
    assert set().union(*COVERING.values()) == set(ControlKind)


@pytest.mark.parametrize("name", sorted(COVERING))
@pytest.mark.parametrize(
    ("rules", "hired"),
    [
        *((rules, hired) for rules in ("as it is", "reshaped", "mostly dropped") for hired in (0, 2)),
        ("re-keyed", 0),
    ],
)
def test_every_check_of_the_default_suite_notices_what_it_covers(tmp_path, name, rules, hired):
    assert _blind(_default_suite()[name], _pair(tmp_path, judge=JUDGES[rules], hired=hired)) == ""


@pytest.mark.parametrize("name", sorted(COVERING))
def test_a_check_of_the_default_suite_that_looks_away_is_found_out(tmp_path, monkeypatch, name):
    pair = _pair(tmp_path)
    verdict = Pair.verdict
    monkeypatch.setattr(Pair, "verdict", lambda pair, *_, **__: verdict(pair))
    function = _default_suite()[name]
    for of_the_shared_pass in ("comparison_verdict", "drift_verdict"):
        monkeypatch.setitem(function.__globals__, of_the_shared_pass, lambda *_, **__: Verdict(examined=1))

    blind = _blind(function, pair)

    assert blind.startswith("altered on purpose, it did not notice: ")
    assert set(blind.rpartition(": ")[2].split(", ")) == COVERING[name]


@check(covers={"missing"})
def looks_at_the_wrong_side(pair):
    require(pair.verdict(State.EXTRANEOUS))


@check(covers={"missing", "value"})
def swallows_its_verdict(pair):
    with contextlib.suppress(Exception):
        require(pair.verdict(State.MISSING, State.DIFFERENT))


@check(covers={"missing"})
def exits(pair):
    if pair.comparison.counts[State.MISSING]:
        raise SystemExit(0)


@check(covers={"missing"})
def wants_many_items(pair):
    assert pair.comparison.source.items > 4


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (looks_at_the_wrong_side, "altered on purpose, it did not notice: missing"),
        (swallows_its_verdict, ""),
        (exits, ""),
        (wants_many_items, "it does not even pass on unaltered copies of a few items"),
    ],
)
def test_checks_of_a_pair_are_run_on_altered_copies(tmp_path, function, said):
    assert _blind(function, _pair(tmp_path)) == said


@check(covers={"value:cents", "removed:cents", "type:cents"})
@each_item
def check_cents(source, target):
    assert target["cents"] == source["total"] * 100


@check(covers={"value:by"})
@each_item
def check_nothing_of_by(source, target):
    assert target["by"]


@check(covers={"removed:by"})
@each_item
def check_by(target):
    assert target.get("by")


@check(covers={"value:discount"})
@each_item
def check_a_rare_attribute(target):
    assert target.get("discount", 0) < 90


@check(covers={"value:id"})
@each_item
def check_the_key(target):
    assert target["id"]


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (check_cents, ""),
        (check_by, ""),
        (check_nothing_of_by, "altered on purpose, it did not notice: value:by"),
        (check_a_rare_attribute, "no item at hand could be altered for: value:discount"),
        (check_the_key, "no item at hand could be altered for: value:id"),
    ],
)
def test_checks_on_items_are_run_on_altered_copies(tmp_path, function, said):
    attributes = covered_attributes(getattr(function, SETTINGS).covers)
    pair = _pair(tmp_path, function, attributes=attributes)

    assert _blind(function, pair) == said


@pytest.mark.parametrize("hired", [0, 2])
def test_an_item_that_has_a_covered_attribute_is_looked_for(tmp_path, hired):
    rare = {"id": {"S": "rare"}, "discount": {"N": "10"}}
    many = [{"id": {"S": f"{number:04}"}} for number in range(500)]

    @check(covers={"removed:discount"})
    def check_it(pair):
        require(pair.verdict(State.DIFFERENT))

    pair = _pair(tmp_path, content=[*many, rare], attributes={"discount"}, hired=hired)
    assert _blind(check_it, pair) == ""


def test_what_no_item_allows_says_nothing_about_a_check(tmp_path):
    """Items with nothing but a key cannot have an attribute of another type."""
    pair = _pair(tmp_path, content=[{"id": {"S": "1"}}, {"id": {"S": "2"}}])

    assert _blind(_default_suite()["check_every_item_is_equal"], pair) == ""
    assert _blind(_default_suite()["check_no_attribute_changes_its_type"], pair) == ""


def test_an_item_past_its_time_to_live_is_no_control(tmp_path):
    judge = make_judge(ttl=["expires"])
    expired = [
        {"id": {"S": str(number)}, "expires": {"N": str(int(time.time()) - 1000)}} for number in range(2)
    ]

    pair = _pair(tmp_path, content=[*expired, ORDERS[-1]], judge=judge)

    assert _blind(_default_suite()["check_every_source_key_is_in_the_target"], pair) == ""


def test_without_items_nothing_is_proven(tmp_path):
    assert (
        _blind(looks_at_the_wrong_side, _pair(tmp_path, content=[])) == "there was no pair of items to alter"
    )


def test_the_items_of_controls_are_in_no_text(tmp_path):
    pair = _pair(tmp_path, content=[{"id": {"S": "SENTINEL"}}])

    assert "SENTINEL" not in repr(pair.comparison)


@pytest.mark.parametrize(
    ("covers", "claims"),
    [
        ((), ()),
        (("missing", "extraneous"), ("extraneous", "missing")),
        (("value", "type", "added", "removed"), ("different",)),
        (("value", "type", "added", "removed", "missing", "value:n"), ("different", "missing", "value:n")),
        (("value", "type", "added", "removed:n"), ("added", "removed:n", "type", "value")),
    ],
)
def test_only_who_covers_every_difference_in_any_attribute_claims_different(covers, claims):
    assert claims_of(covers) == claims


def test_the_default_suite_claims_every_state_that_closes_the_gate():
    assert {name for covers in COVERING.values() for name in claims_of(covers)} >= {
        *("missing", "extraneous", "different"),
    }
