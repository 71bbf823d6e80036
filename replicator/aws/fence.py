"""
The fence: no more writes to the source, so that the last change can be the last.

Either a deny statement in the table's own policy, or the operator's command, called with
``on`` or ``off``. Both are idempotent, and both are lifted when a cutover fails.
"""

from __future__ import annotations

import json
import shlex
import subprocess
from dataclasses import dataclass
from typing import ClassVar, Protocol

from ddbverify.errors import EngineError
from ddbverify.names import Fact
from ddbverify.tables.aws import translated
from replicator.aws.policies import Policies, text_of
from replicator.aws.policy_fence import InMemory, PolicyFence, Standing
from replicator.context.context import Context
from replicator.context.tables import TableFacts
from replicator.handlers.state import State, now_text


class Fence(Protocol):
    """Keeps writers off the source tables."""

    @property
    def ends(self) -> bool:
        """Whether it ends by itself, unless it is fastened."""

    def check(self) -> None:
        """Refuse what would keep it from being put up."""

    def raise_(self, until: float) -> None:
        """Put the fence up; nothing happens if it is up. It ends *until* then (epoch seconds) if it can."""

    def fasten(self) -> None:
        """Let it stand until it is lifted."""

    def lift(self) -> None:
        """Take the fence down; nothing happens if it is down."""


@dataclass(frozen=True, slots=True)
class CommandFence:
    """The operator's own command, run by the shell's rules of quoting but without a shell."""

    command: str
    folder: str
    timeout_seconds: float = 120.0

    ends: ClassVar[bool] = False

    def check(self) -> None:
        """Nothing is known of a command before it is run."""

    def raise_(self, until: float) -> None:
        """Run the command with ``on``. It knows no end."""
        del until
        self._run("on")

    def fasten(self) -> None:
        """It stands until it is lifted already."""

    def lift(self) -> None:
        """Run the command with ``off``."""
        self._run("off")

    def _run(self, word: str) -> None:
        hint = "run it by hand to see why; it has to succeed with `on` and with `off`, twice in a row too."
        try:
            done = subprocess.run(
                [*shlex.split(self.command), word],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=self.timeout_seconds,
                check=False,
            )
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            raise EngineError(f"The fence's command could not be run: {error}", hint) from error
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["nothing"]
            raise EngineError(
                f"The fence's command ended with {done.returncode} for `{word}`, saying: {said[0]}", hint
            )


@dataclass(frozen=True, slots=True)
class StateNotes:
    """What was put, in the migration's state table: one fact per source table."""

    state: State

    def get(self, table: TableFacts) -> Standing | None:
        """What was put to a table; ``None``: nothing."""
        with translated(f"read what is noted of the fence of {table.name}"):
            found = self.state.get(Fact.FENCE + table.name)
        if found is None:
            return None
        until = found.get("until_epoch")
        return Standing(
            json.loads(found["rest"]) if found.get("rest") else None,
            found.get("revision"),
            None if until is None else int(until),
            shown=bool(found.get("shown")),
        )

    def put(self, table: TableFacts, standing: Standing) -> None:
        """Keep it."""
        with translated(f"note the fence of {table.name}"):
            self.state.put(
                Fact.FENCE + table.name,
                at=now_text(),
                rest=None if standing.rest is None else text_of(standing.rest),
                revision=standing.revision,
                until_epoch=standing.until,
                shown=standing.shown,
            )

    def remove(self, table: TableFacts) -> None:
        """Forget it."""
        with translated(f"forget the fence of {table.name}"):
            self.state.delete(Fact.FENCE + table.name)


def of(context: Context) -> Fence:
    """The fence that ``[cutover] fence`` asks for, of all sources of the migration."""
    setting = context.config.cutover.fence
    if setting.startswith("command:"):
        return CommandFence(setting.removeprefix("command:"), str(context.config.folder))
    with translated("ask who we are"):
        identity = context.source_client("sts").get_caller_identity()["Arn"]
    sources = {source.arn: source for source in map(context.source_table, context.config.tables)}
    return PolicyFence(
        Policies(context.source, context.console.warn),
        tuple(sources.values()),
        role_of(identity),
        context.server_time,
        context.pace.fence_margin,
        StateNotes(context.whole) if context.begun() else InMemory(),
    )


def role_of(identity: str) -> tuple[str, ...]:
    """
    What ``aws:PrincipalArn`` may say for a caller: the role behind an assumed-role session.

    Two patterns, since a role's path is not part of the session's ARN.
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
    """
    if ":assumed-role/" not in identity:
        return (identity,)
    head, _, rest = identity.partition(":assumed-role/")
    account = head.rpartition(":")[2]
    partition = identity.split(":", 2)[1]
    name = rest.partition("/")[0]
    return (f"arn:{partition}:iam::{account}:role/{name}", f"arn:{partition}:iam::{account}:role/*/{name}")
