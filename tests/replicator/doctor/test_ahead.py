"""What a later command would refuse: the way back, and a fence that ends too early."""

from __future__ import annotations

import pytest

from replicator.doctor.ahead import Budget, fence_budget, way_back
from replicator.doctor.findings import State
from replicator.doctor.looking import Known, Unknown

OFF, ON, DENIED = Known(None), Known("expires"), Unknown("AWS refused", "allow it.")


@pytest.mark.parametrize(
    ("asked", "why_not", "ttl", "state"),
    [
        (True, "", OFF, State.OK),
        (True, "the transform makes keys of its own.", OFF, State.PROBLEM),
        (True, "", ON, State.WARNING),
        (True, "", DENIED, State.NOT_CHECKED),
        (True, "the transform makes keys of its own.", DENIED, State.PROBLEM),
        (None, "", OFF, State.OK),
        (None, "the transform makes keys of its own.", OFF, State.WARNING),
        (None, "", ON, State.WARNING),
        (False, "", OFF, State.OK),
        (False, "the transform makes keys of its own.", OFF, State.WARNING),
        (False, "", ON, State.OK),
        (False, "the transform makes keys of its own.", ON, State.WARNING),
    ],
)
def test_a_way_back_that_cannot_be_had_is_told_before_the_flip(asked, why_not, ttl, state):
    (found,) = way_back("shop", asked=asked, why_not=why_not, ttl={"orders": ttl})
    assert (found.check, found.state) == ("way-back", state)


def budget(limit, quiet=60.0, *, margin=30.0):
    return Budget(limit, {"quiet": quiet, "consumer off": 30.0}, ("the drain",), margin)


@pytest.mark.parametrize(
    ("made", "state"),
    [
        (budget(900.0), State.OK),
        (budget(180.0), State.OK),
        (budget(179.0), State.WARNING),
        (budget(121.0), State.WARNING),
        (budget(120.0), State.PROBLEM),
        (budget(121.0, quiet=62.0), State.PROBLEM),
        (budget(121.0, margin=31.0), State.PROBLEM),
    ],
)
def test_a_fence_that_ends_before_its_cutover_does_is_a_problem(made, state):
    (found,) = fence_budget("shop", made)

    assert found.state is state
    assert "quiet" in found.what
    assert ("the drain" in found.what) is (state is not State.PROBLEM)
