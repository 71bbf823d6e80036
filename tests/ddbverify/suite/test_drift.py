"""Type drift is told by attribute, types and number of items, and never from less than everything."""

from __future__ import annotations

from ddbverify import Outcome, drift_verdict
from tests.ddbverify import projects


def _comparison(*paths, **spec):
    differences = [
        {"state": "different", "key": {"id": {"S": str(number)}}, "paths": one}
        for number, one in enumerate(paths)
    ]
    counts = {"matched": 3, "different": len(paths)}
    return projects.comparison(**({"counts": counts, "differences": differences} | spec))


def test_each_change_of_a_type_is_one_finding_the_most_frequent_first():
    verdict = drift_verdict(
        _comparison(
            ["price: N -> S", "total: value"],
            ["price: N -> S", "info.scores[0]: N -> S", "info.scores[1]: N -> S"],
            ["price: N -> NULL"],
        )
    )

    assert [str(one) for one in verdict.findings] == [
        "price: S where N is expected, in 2 items",
        "price: NULL where N is expected, in 1 item",
        "within info: S where N is expected, in 1 item",
    ]


def test_other_differences_are_no_drift():
    verdict = drift_verdict(_comparison(["price: value"], ["a -> b: removed"], ["(x: added"]))

    assert verdict.outcome is Outcome.PASSED


def test_what_was_not_noted_leaves_it_undecided():
    assert drift_verdict(_comparison(["(and 3 more)", "a: value"])).outcome is Outcome.INCONCLUSIVE
    assert drift_verdict(_comparison(counts={"different": 1})).outcome is Outcome.INCONCLUSIVE
    assert drift_verdict(_comparison(unexamined=["a segment"])).outcome is Outcome.INCONCLUSIVE
    assert drift_verdict(_comparison(counts={})).outcome is Outcome.INCONCLUSIVE
