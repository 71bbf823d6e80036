"""
The fence: no more writes to the source, so that the last change can be the last.

Either a deny statement in the table's own policy, or the operator's command, called with
``on`` or ``off``. Both are idempotent, and both are lifted when a cutover fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from ddbverify.errors import DdbVerifyError
from ddbverify.tables.aws import translated
from replicator.aws import operators_command, target_fence
from replicator.aws.both_fences import BothFences
from replicator.aws.fence_notes import InMemory, StateNotes
from replicator.aws.policies import Policies
from replicator.aws.policy_fence import PolicyFence
from replicator.aws.roles import replication_of, role_of
from replicator.context import live
from replicator.context.context import Context


class Fence(Protocol):
    """Keeps writers off the source tables."""

    @property
    def ends(self) -> bool:
        """Whether it ends by itself, unless it is fastened."""

    @property
    def lead_seconds(self) -> float:
        """How long before its beginning it is to be put; 0: it begins at once."""

    def check(self) -> None:
        """Refuse what would keep it from being put up."""

    def rehearse(self) -> list[str]:
        """Refuse what would keep us from changing it, and say what was not tried."""

    def raise_(self, begins: float | None, until: float) -> None:
        """
        Put the fence up; nothing happens if it is up.

        Args:
            begins: Behind which moment it keeps writers off (epoch seconds); ``None``: at once.
            until: When it ends by itself, if it can.
        """

    def need_standing(self) -> None:
        """Refuse to go on where it can be seen that it is not the one that was put up."""

    def fasten(self) -> None:
        """Let it stand until it is lifted."""

    def lift(self) -> None:
        """Take the fence down; nothing happens if it is down."""


@dataclass(frozen=True, slots=True)
class CommandFence:
    """The operator's own command, run by the shell's rules of quoting but without a shell."""

    command: str
    folder: str
    timeout_seconds: float = operators_command.TIMEOUT_SECONDS

    ends: ClassVar[bool] = False
    lead_seconds: ClassVar[float] = 0.0

    def check(self) -> None:
        """Nothing is known of a command before it is run."""

    def rehearse(self) -> list[str]:
        """It is run by a cutover only."""
        return ["the fence's command: it is not run"]

    def raise_(self, begins: float | None, until: float) -> None:
        """Run the command with ``on``. It knows neither a beginning nor an end."""
        del begins, until
        self._run("on")

    def need_standing(self) -> None:
        """Nothing is known of a command behind its run."""

    def fasten(self) -> None:
        """It stands until it is lifted already."""

    def lift(self) -> None:
        """Run the command with ``off``."""
        self._run("off")

    def _run(self, word: str) -> None:
        operators_command.run(
            self.command,
            word,
            folder=self.folder,
            whose="The fence's command",
            hint="run it by hand to see why; it has to succeed with `on` and with `off`, twice in a row too.",
            timeout_seconds=self.timeout_seconds,
        )


def of(context: Context, roles: Sequence[str] = (), *, to_lift: bool = False) -> Fence:
    """
    The fence that ``[cutover] fence`` asks for, of all sources of the migration; and that of their targets.

    Args:
        roles: ARNs of roles that it lets through, beside the operator's.
        to_lift: It is only to be lifted: where the targets' side does not answer, that is told, and the
            sources' fence can be lifted nevertheless, since their application waits.
    """
    sources = of_sources(context, roles)
    if not isinstance(sources, PolicyFence):
        return sources
    try:
        of_targets = target_fence.of(context)
    except DdbVerifyError as error:
        if not to_lift:
            raise
        context.console.warn(f"whether the targets are closed is not known: {error.message}")
        return sources
    return BothFences(sources, of_targets, context.config.cutover.quiet) if of_targets.tables else sources


def of_sources(context: Context, roles: Sequence[str] = ()) -> Fence:
    """As `of`, of the sources alone."""
    setting = context.config.cutover.fence
    if setting.startswith("command:"):
        command = setting.removeprefix("command:").replace("{side}", live.leading(context.cycle))
        return CommandFence(command, str(context.config.folder))
    with translated("ask who we are"):
        identity = context.source_client("sts").get_caller_identity()["Arn"]
    sources = {source.arn: source for source in map(context.source_table, context.config.tables)}
    return PolicyFence(
        Policies(context.source, context.console.warn),
        tuple(sources.values()),
        (*role_of(identity), replication_of(identity), *roles),
        context.server_time,
        context.pace.fence_margin,
        StateNotes(context.whole) if context.begun() else InMemory(),
        context.pace.fence_lead,
        context.pace.fence_spread,
        context.flips_with,
    )


def close_left_open(found: Fence) -> list[str]:
    """Close the targets that an attempt before has opened and could not close again; their names."""
    return found.target.close_left_open() if isinstance(found, BothFences) else []


def lift_opened(context: Context) -> None:
    """
    Take the fence of the flip before out of the tables that a direction's own flip has moved to.

    Raises:
        EngineError: AWS does not take it.
    """
    before, opening = context.turned(context.cycle - 1), of(context)
    if isinstance(opening, BothFences):
        for table in opening.target.take_out_opened():
            StateNotes(before.whole).remove(table)
    of_sources(before).lift()  # where no opening was scheduled; else it finds nothing
