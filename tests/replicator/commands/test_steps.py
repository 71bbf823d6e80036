"""Steps are taken once, and by nobody who has lost the lease."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from ddbverify.errors import Refused
from ddbverify.names import Fact
from replicator.commands.steps import Steps
from replicator.handlers.state import State
from tests.replicator.fakes import STATE, FakeDynamoDB


class Lease:
    """A lease that is lost after so many checks."""

    def __init__(self, checks):
        self.left = checks

    def check(self):
        if not self.left:
            raise Refused("lost", "run it again")
        self.left -= 1


class Bench:
    def __init__(self, checks):
        self.state, self.taken, self.told = State.of_pair(FakeDynamoDB(), STATE, "pair"), [], []
        console = SimpleNamespace(
            step=lambda title: nullcontext(SimpleNamespace()), already=self.told.append, warn=self.told.append
        )
        context = SimpleNamespace(state=lambda pair: self.state, console=console)
        self.steps = Steps(context, None, "up", Lease(checks))

    def run(self):
        self.steps.run("backup", "the backup", lambda step: self.taken.append(1) or {"made": "x"})


def test_a_step_is_recorded_and_not_taken_again():
    bench = Bench(2)
    bench.run()
    bench.run()

    assert bench.taken == [1]
    assert bench.told == ["the backup"]
    assert bench.state.get(Fact.STEP + "backup")["made"] == "x"


@pytest.mark.parametrize(("checks", "taken"), [(0, []), (1, [1])])
def test_without_the_lease_no_step_begins_and_none_is_recorded(checks, taken):
    bench = Bench(checks)
    with pytest.raises(Refused):
        bench.run()

    assert bench.taken == taken
    assert bench.state.get(Fact.STEP + "backup") is None
