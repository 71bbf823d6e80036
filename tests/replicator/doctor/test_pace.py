"""Whether a target keeps up with what is written, and with what queue and stream keep."""

from __future__ import annotations

import pytest

from replicator.commands.doctor_pace import pace_of
from replicator.commands.plan import Planned
from replicator.doctor.findings import State
from replicator.doctor.looking import Known, Unknown
from replicator.doctor.pace import LOOK_SECONDS, QUEUE_SECONDS, Pace, pace
from tests.replicator.estimate.test_costs import moved


def told(*, looks_at_changes=True, **changed):
    facts = {
        "filling_seconds": 3600.0,
        "pass_seconds": 600.0,
        "needed": 100.0,
        "unknown": "",
        "ceiling": None,
        "capacity": None,
        "capacity_needed": 50.0,
    }
    found = pace("films -> movies", Known(Pace(**(facts | changed))), looks_at_changes=looks_at_changes)
    return {one.check: one.state for one in found}


def test_a_pair_without_limits_has_none_to_keep():
    assert told() == {"filling": State.OK, "verification": State.OK}


@pytest.mark.parametrize(
    ("seconds", "state"),
    [
        (QUEUE_SECONDS / 2 - 1, State.OK),
        (QUEUE_SECONDS / 2, State.WARNING),
        (QUEUE_SECONDS, State.PROBLEM),
    ],
)
def test_a_filling_ends_before_the_queue_forgets(seconds, state):
    assert told(filling_seconds=seconds)["filling"] is state


def test_a_verification_that_others_are_to_go_on_from_ends_within_a_streams_day():
    assert told(pass_seconds=LOOK_SECONDS - 1)["verification"] is State.OK
    assert told(pass_seconds=LOOK_SECONDS)["verification"] is State.WARNING
    assert "verification" not in told(pass_seconds=LOOK_SECONDS, looks_at_changes=False)


@pytest.mark.parametrize(
    ("limit", "needed", "state"),
    [
        (150, 100.0, State.OK),
        (149, 100.0, State.WARNING),
        (100, 100.0, State.WARNING),
        (99, 100.0, State.PROBLEM),
        (1, 0.0, State.OK),
        (99, None, State.NOT_CHECKED),
    ],
)
def test_a_ceiling_and_a_capacity_are_more_than_following_takes(limit, needed, state):
    why = {"unknown": "AWS refused to say how much is written"}

    assert told(ceiling=limit, needed=needed, **why)["write-ceiling"] is state
    assert told(capacity=limit, capacity_needed=needed, **why)["target-capacity"] is state


def test_tables_that_may_not_be_described_have_no_pace():
    (found,) = pace("films -> movies", Unknown("AWS refused", "allow it."), looks_at_changes=True)
    assert (found.check, found.state) == ("pace", State.NOT_CHECKED)


def of(**changed):
    verification = type("Verification", (), {"seconds": 42.0})()
    return pace_of(Planned(moved(**changed), None, verification, "why", 1))


def test_following_takes_the_units_of_transactions_on_item_and_ledger():
    found = of(writes_per_second=10.0, ceiling=7)

    assert (found.needed, found.capacity_needed) == (40.0, 20.0)
    assert (found.pass_seconds, found.ceiling, found.unknown) == (42.0, 7, "why")
    assert of(writes_per_second=None).needed is None
    assert found.filling_seconds == 3600.0
    assert of(transforms=True, ceiling=100).filling_seconds == 3600.0 + 10_000.0


def test_the_capacity_of_a_table_that_is_yet_to_be_made_is_no_limit():
    assert of(capacity=5).capacity is None
    assert of(capacity=5, target_exists=True).capacity == 5
