"""
The policy of an operator where others deploy, action by action, through whole commands.

Each action is refused alone, from the moment in which it is first asked for: the command that asks ends, and
names it. What is asked for at all is what docs/permissions.md lists for that command.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import botocore.client
import pytest
from botocore.exceptions import ClientError

from ddbverify.errors import DdbVerifyError, Refused
from ddbverify.gate import gate
from ddbverify.tables.aws import translated
from replicator.aws import policy_fence, switch, target_fence
from replicator.stack import bundle
from tests.replicator import verified
from tests.replicator.commands.test_cutback import OPEN
from tests.replicator.commands.test_deployed import SMALL, Team, action_of, begun, permitted, refused

__all__ = ("begun",)  # a fixture
pytestmark = pytest.mark.engine("ministack")

# Without these a command goes on, and says so where it matters.
UP_GOES_ON = {"dynamodb:GetResourcePolicy", "dynamodb:Query", "lambda:ListEventSourceMappings"}
RESTORE_GOES_ON = {"dynamodb:UpdateTable"}
DOWN_GOES_ON: set[str] = set()
CUTOVER_GOES_ON: frozenset[str] = frozenset()
EVERY = ("### Every command",)
OF_COMMAND = {
    "up": (*EVERY, "### Phase 1"),
    "restore": (*EVERY, "### Phase 2", "### The target's fence"),
    "cutover": (
        *EVERY,
        "### Audit",
        "### Repair",
        "### Cutover",
        "### The target's fence",
        "## The verifier",
    ),
    "down": (*EVERY, "### Down", "### The target's fence"),
}


def error_of(command: Callable[[], Any]) -> DdbVerifyError | None:
    """What a command ends with; its own edge translates what nobody in it has (`invocation.execute`)."""
    try:
        with translated("do what the command asked for"):
            command()
    except DdbVerifyError as error:
        return error
    return None


class Guard:
    """IAM in the way of each request: refuses one action, and notes all that are asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.listening = False
        self.without: str | None = None  # the one action that is refused
        self.known: set[str] = set()  # those whose first request has been refused already, or may not be
        self.asked: set[str] = set()
        self.first = ""  # the one that was refused because it was new
        call = botocore.client.BaseClient._make_api_call

        def guarded(client: Any, operation: str, arguments: Any) -> Any:
            if self.listening:
                self._need(action_of(client.meta.service_model.service_name, operation), operation)
            return call(client, operation, arguments)

        monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", guarded)

    def _need(self, action: str, operation: str) -> None:
        if action == "sts:GetCallerIdentity":
            return
        self.asked.add(action)
        new = not self.first and action not in self.known
        if new:
            self.first = action
        if new or action in (self.first, self.without):
            said = f"User: arn:aws:sts::123456789012:assumed-role/me/x is not authorized to perform: {action}"
            code = "AccessDenied" if action.startswith("s3:") else "AccessDeniedException"
            raise ClientError({"Error": {"Code": code, "Message": said}}, operation)

    def each_refused_once(
        self, command: Callable[[], Any], allowed: frozenset[str] = frozenset()
    ) -> set[str]:
        """
        Run *command* until nothing is kept from it any more, each time without one more action.

        Never without one of *allowed*: what it goes on without would be done then, and not come again.

        The first request for each action is refused with every later one of that run, so that the command
        has to end by it, and goes on from there the next time. Says which actions it can do without.
        """
        self.listening, self.known, self.asked = True, set(allowed), set()
        goes_on: set[str] = set()
        while True:
            self.first = ""
            error = error_of(command)
            if not self.first:
                assert error is None, f"refused, though nothing was kept from it: {error}"
                break
            self.known.add(self.first)
            if error is None:
                goes_on.add(self.first)
                continue
            assert self.first in str(error), f"{self.first} is not named: {error}"
            assert error.hint
        self.listening = False
        return goes_on


@pytest.fixture
def guard(monkeypatch):
    code = bundle.build()  # once, since there is no transform: each run would build and prove the same
    monkeypatch.setattr(bundle, "build", lambda transforms: code if not transforms else None)
    return Guard(monkeypatch)


@pytest.fixture
def team(begun, guard, tmp_path):
    made = Team(begun, guard, tmp_path / "stacks")
    yield made
    made.remove("dashboard", "apply", "target", "capture")
    guard.listening = False
    begun.down()
    made.remove("base")


@pytest.mark.timeout(600)
def test_each_action_that_a_command_asks_for_is_named_where_it_is_missing(begun, guard, team):
    def deploy() -> None:
        team.deploy()
        guard.listening = False

    refused(begun.up, match="is not deployed")
    deploy()
    refused(begun.up, match="-capture is not deployed")
    deploy()
    asked_by = {}
    assert guard.each_refused_once(begun.up) == UP_GOES_ON
    asked_by["up"] = guard.asked
    deploy()
    assert guard.each_refused_once(begun.restore) == RESTORE_GOES_ON
    asked_by["restore"] = guard.asked
    team.remove("dashboard", "apply", "target", "capture")
    guard.listening = False
    assert guard.each_refused_once(begun.down) == DOWN_GOES_ON
    asked_by["down"] = guard.asked

    for name, asked in asked_by.items():
        allowed = SMALL | permitted(*OF_COMMAND[name])
        assert asked <= allowed, f"{name} asks for what the page does not list for it: {asked - allowed}"
        assert not [action for action in asked if action.startswith("iam:")]
    asked = set().union(*asked_by.values())
    assert SMALL - asked == {"cloudformation:DescribeStackResourceDrifts"}, "asked for where there is drift"


@pytest.mark.full
@pytest.mark.timeout(600)
def test_each_action_that_a_cutover_asks_for_is_named_where_it_is_missing(begun, guard, team, monkeypatch):
    """Its fence is lifted each time: the application is where it was, and the next attempt begins anew."""
    monkeypatch.setattr(gate, "judge", lambda *_, **__: OPEN)
    verified.stand_in(monkeypatch)
    for module in (policy_fence, target_fence):
        monkeypatch.setattr(module, "LAG_SECONDS", 1.0)  # an emulator's reads are never late
    path = begun.folder / "migration.toml"
    path.write_text(path.read_text().replace("ssm:/shop/orders", f"ssm:/{begun.name}/orders"))
    for command, match in ((begun.up, "-base is not"), (begun.up, "-capture is not")):
        refused(command, match=match)
        team.deploy()
        guard.listening = False
    begun.up()
    team.deploy()
    guard.listening = False
    begun.restore()

    assert guard.each_refused_once(begun.cutover, CUTOVER_GOES_ON) == set()

    allowed = SMALL | permitted(*OF_COMMAND["cutover"])
    assert guard.asked <= allowed, guard.asked - allowed
    assert guard.asked >= CUTOVER_GOES_ON
    assert begun.context().whole.get(switch.CUTOVER)["flipped"]


def test_the_guard_itself_sees_what_goes_on_without_an_action(guard):
    """Else a command that swallows a refusal would look as if it had named it."""

    kept = iter(("s3:PutObject", ""))

    def swallows() -> None:
        guard.first = next(kept)

    def names_nothing() -> None:
        guard.first = "s3:PutObject"
        raise Refused("Something went wrong.", "try again.")

    assert guard.each_refused_once(swallows) == {"s3:PutObject"}
    with pytest.raises(AssertionError, match="s3:PutObject is not named"):
        guard.each_refused_once(names_nothing)
