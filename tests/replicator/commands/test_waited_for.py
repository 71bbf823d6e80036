"""What a command finds once it has the lease: another's `restart` may have begun, and been interrupted."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from ddbverify.config import parse
from ddbverify.errors import Refused
from ddbverify.names import Fact
from replicator.commands import cutover, repair, restore, up
from replicator.context.context import Context
from replicator.handlers.state import State
from tests.replicator.fakes import STATE, FakeDynamoDB, Rooted


class Waiting(Rooted):
    """A migration that follows, as far as commands look before they have the lease."""

    def __init__(self, folder):
        self.config = parse('[[tables]]\nsource = "orders"\ntarget = "orders-v2"\n', folder)
        (self.pair,) = self.config.tables
        self.console = SimpleNamespace(line=lambda text: None, warn=lambda text: None)
        self.kept = State.of_pair(FakeDynamoDB(), STATE, self.pair.id)
        self.kept.put(Fact.STEP + "backup", at="now")
        self.waited = False
        self.whole = State.whole(FakeDynamoDB(), STATE)

    def state(self, _):
        return self.kept

    def begun(self):
        return True

    def need_begun(self):
        pass

    def need_no_restart(self):
        Context.need_no_restart(self)

    @contextmanager
    def locked(self, _):
        """Another's `restart` had it, and was interrupted."""
        self.kept.put(Fact.RESTARTING, number=1, backup="", at="now")
        self.waited = True
        yield SimpleNamespace(token=1)

    def resources(self, _):
        raise AssertionError("it goes on in the middle of a restart")


@pytest.mark.parametrize("command", [up.up, restore.restore, repair.repair, cutover.cutover])
def test_no_command_goes_on_in_a_restart_that_began_while_it_waited(command, tmp_path, monkeypatch):
    """It switched the consumer on while the backfill wrote without the guard."""
    context = Waiting(tmp_path)
    plans = [SimpleNamespace(pair=context.pair, target_arn="arn")]
    pointer = SimpleNamespace()
    for module, name, found in [
        (up, "check", plans),
        (up, "base_stack", {}),
        (restore, "check", plans),
        (restore, "bind", None),
        (restore, "base_stack", {}),
        (up.passage, "warnings", ()),
        (up.cutover_preflight, "check", pointer),
        (up.cutover_preflight, "foresee", None),
        (up.bundle, "build", None),
        (up.taken, "remember", None),  # reads who deployed the stacks, which a restart leaves as it is
        (up, "transforms_of", {}),
        (restore, "transforms_of", {}),
    ]:
        monkeypatch.setattr(module, name, lambda *_, _found=found: _found)

    def begun(*_):
        raise AssertionError("it goes on in the middle of a restart")

    for module in (up, restore):
        monkeypatch.setattr(module, "deployed", begun)
    monkeypatch.setattr(cutover._Attempt, "run", begun)

    with pytest.raises(Refused, match=r"A restart of .* is under way"):
        command(context)
    assert context.waited
