"""What a finding says that both sides held is what they held: a repair holds items against it."""

from __future__ import annotations

import pytest
from hypothesis import given

from ddbverify.items.form import ABSENT
from ddbverify.items.states import Seen, State
from tests.ddbverify.compare.test_never_wrongly_equal import judge, mostly_alike
from tests.ddbverify.fakes import FakeTable, item
from tests.ddbverify.prepared import run

REPAIRABLE = {State.MISSING, State.EXTRANEOUS, State.DIFFERENT}


def upper(one):
    return one | ({"v": "made"} if "v" in one else {})


def held_against(comparison, rules, source, target):
    here, there = ({one["id"]["S"]: one for one in items} for items in (source, target))
    for one in comparison.differences:
        if one.state not in REPAIRABLE:
            continue
        key = one.key["id"]["S"]
        expected = rules.form.digest(rules.expected(here[key])) if key in here else ABSENT
        assert one.seen == Seen(expected, rules.form.digest(there[key]) if key in there else ABSENT)


@pytest.mark.parametrize("function", [None, upper])
@pytest.mark.parametrize("hired", [0, 2])
@given(mostly_alike())
def test_every_repairable_finding_says_what_both_sides_held(function, hired, both):
    rules = judge(function)
    comparison = run(*map(FakeTable, both), judge=rules, hired=hired)
    held_against(comparison, rules, *both)


def test_findings_by_cause_say_it_too():
    rules = judge()
    source = [item(f"k{number:04}", v="x") for number in range(600)]
    target = [one | {"v": {"S": "y"}} for one in source]
    comparison = run(FakeTable(source, page_size=100), FakeTable(target, page_size=100), judge=rules)
    assert any(one.by_cause for one in comparison.differences)
    assert all(one.seen is not None for one in comparison.differences)
    held_against(comparison, rules, source, target)
