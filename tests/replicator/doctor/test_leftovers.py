"""What `up` would meet of an earlier attempt, of another build, or of somebody else."""

from __future__ import annotations

import pytest

from replicator.doctor.findings import State
from replicator.doctor.leftovers import Seen, leftovers
from replicator.doctor.looking import Known, Unknown

BASE, CAPTURE, STATE = "replicator-shop-base", "replicator-shop-orders-capture", "replicator-shop-state"
DENIED = Unknown("AWS refused to describe it: AccessDenied", "allow it.")


def seen(status="CREATE_COMPLETE", *, migration="shop", protected=False, version="2"):
    return Known(Seen(status, migration, is_protected=protected, version=version, wanted="2"))


def told(base=Known(None), capture=Known(None), *, state=None):  # noqa: B008
    there = Known(base != Known(None)) if state is None else state
    return list(leftovers("shop", [(BASE, base), (CAPTURE, capture)], STATE, there))


def test_nothing_there_is_ok():
    (found,) = told()
    assert (found.state, found.what) == (State.OK, "none of its 2 stacks is there yet")


@pytest.mark.parametrize(
    ("stack", "states"),
    [
        (seen(), [State.OK]),
        (seen("UPDATE_COMPLETE"), [State.OK]),
        (seen(migration=None), [State.PROBLEM]),
        (seen(migration="another"), [State.PROBLEM]),
        (seen("UPDATE_ROLLBACK_FAILED"), [State.PROBLEM]),
        (seen("UPDATE_IN_PROGRESS"), [State.WARNING]),
        (seen(version="1"), [State.WARNING]),  # by an older build
        (seen(version=None), [State.WARNING]),
        (seen(protected=True), [State.OK, State.WARNING]),
    ],
)
def test_a_stack_that_is_there_is_ours_and_sound_or_it_is_told(stack, states):
    assert [one.state for one in told(stack)] == states


@pytest.mark.parametrize("status", ["ROLLBACK_COMPLETE", "CREATE_FAILED", "REVIEW_IN_PROGRESS"])
def test_one_that_was_never_made_is_made_anew(status):
    (found,) = told(seen(status), state=Known(False))

    assert found.state is State.WARNING
    assert status in found.what


def test_a_stack_that_may_not_be_described_is_not_called_absent():
    assert [one.state for one in told(DENIED, state=Known(False))] == [State.NOT_CHECKED]
    assert [one.state for one in told(capture=DENIED)] == [State.NOT_CHECKED]
    assert [one.state for one in told(state=DENIED)] == [State.NOT_CHECKED, State.OK]


def test_a_state_table_without_its_stack_and_the_other_way_round_are_problems():
    without_stack = told(state=Known(True))
    without_table = told(seen(), state=Known(False))

    assert [one.state for one in without_stack] == [State.PROBLEM, State.OK]
    assert State.PROBLEM in [one.state for one in without_table]
    assert all(one.about == STATE for one in (without_stack[0], without_table[-1]))
