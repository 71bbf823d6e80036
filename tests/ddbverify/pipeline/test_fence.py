"""A fence that stands is told from the facts of the state table."""

from __future__ import annotations

import pytest

from ddbverify.names import Fact
from ddbverify.pipeline.fence import keeps_consumer_off, moved, standing

NOW = 1_800_000_000.0
ENDS = {"until_epoch": NOW + 60}


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (
            {Fact.CUTOVER: {"fenced": True}, Fact.FENCE + "orders": ENDS},
            "nobody writes there, until 2",
        ),
        ({Fact.CUTOVER: {"flipping": True}}, "the source: nobody writes there"),
        ({Fact.CUTOVER: {"fenced": True}}, "the source: nobody writes there, until it is lifted"),
        (
            {Fact.CUTOVER: {"fenced": True}, Fact.FENCE + "orders": {}},
            "nobody writes there, until it",
        ),
        ({Fact.CUTOVER: {"steps": {}}, Fact.FENCE + "orders": ENDS}, "fenced orders:"),
        (
            {Fact.FENCE + "b": ENDS, Fact.FENCE + "a": {}},
            "fenced a, b: nobody writes there, until it",
        ),
        (
            {Fact.CUTOVER: {"fenced": True}, Fact.FENCE + "orders": {**ENDS, "begin_epoch": NOW}},
            "is to fence orders: nobody writes there behind 2027-01-15 08:00:00 UTC, until 2027",
        ),
        (
            {Fact.CUTOVER: {"fenced": True}, Fact.FENCE + "orders": {**ENDS, "begin_epoch": NOW - 1}},
            "has fenced orders: nobody writes there, until 2",
        ),
        (
            {Fact.FENCE + "a": {**ENDS, "begin_epoch": NOW + 9}, Fact.FENCE + "b": ENDS},
            "has fenced a, b: nobody writes there, until 2",
        ),
    ],
)
def test_a_fence_that_stands_is_told_with_its_end_and_what_to_do(facts, said):
    found = standing(facts, NOW)

    assert said in found
    assert "replicator cutover" in found


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {Fact.CUTOVER: {"steps": {"lifted": "now"}}},
        {Fact.CUTOVER: {"flipped": True}, Fact.FENCE + "orders": {}},
        {Fact.CUTOVER: {"fenced": True}, Fact.FENCE + "orders": {"until_epoch": NOW}},
    ],
    ids=["no cutover", "lifted", "flipped", "ended by itself"],
)
def test_no_fence_is_told_where_none_keeps_anybody_off(facts):
    assert standing(facts, NOW) is None


OFF = {"fence": "now", "consumer": "now"}


@pytest.mark.parametrize(
    ("cut", "note", "off"),
    [
        ({"fenced": True, "steps": OFF}, ENDS, True),
        ({"fenced": True, "flipping": True, "steps": OFF}, {}, True),
        ({"fenced": True, "steps": OFF}, {"until_epoch": NOW}, False),
        ({"fenced": True, "steps": {"fence": "now"}}, ENDS, False),
        ({"steps": {**OFF, "lifted": "now"}}, ENDS, False),
        ({"flipped": True, "steps": OFF}, {}, False),
        ({}, ENDS, False),
    ],
    ids=["under way", "flipping", "ended by itself", "not yet", "lifted, its note stayed", "flipped", "none"],
)
def test_the_consumer_is_to_be_off_only_behind_a_fence_that_stands(cut, note, off):
    assert keeps_consumer_off({Fact.CUTOVER: cut, Fact.FENCE + "orders": note}, NOW) is off


@pytest.mark.parametrize(
    ("cut", "begins"),
    [
        ({"flipped": True, "steps": {"flip": "2026-01-01"}}, "This migration was cut over at 2026-01-01: "),
        ({"flipped": True}, "This migration was cut over: the application writes to the target"),
        ({"flipping": True, "fenced": True, "steps": {"flip-asked": "x"}}, None),
        (None, None),
    ],
)
def test_a_flip_is_told_with_what_it_means(cut, begins):
    said = moved({Fact.CUTOVER: cut} if cut else {})
    assert (said is None) if begins is None else said.startswith(begins)
