"""A fence that stands is told from the facts of the state table."""

from __future__ import annotations

import pytest

from ddbverify.names import Fact
from ddbverify.pipeline.fence import standing

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
