"""The fences of source and target as one, in an order in which never both tables take writes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from ddbverify.errors import AccessError, DdbVerifyError
from replicator.aws.policy_fence import PolicyFence
from replicator.aws.target_deny import Window
from replicator.aws.target_fence import CLOSES_BEFORE_SECONDS, TargetFence
from replicator.context.lock import LeaseLost
from replicator.context.tables import TableFacts

CLOSING_PATIENCE_SECONDS: Final = 20.0
"""How long the closing of a target is tried while the application waits for its source: AWS refuses a change
for 15 s after the last."""


@dataclass(frozen=True, slots=True)
class BothFences:
    """
    A fence of the sources whose targets are fenced, too.

    Args:
        source: Keeps writers off the sources.
        target: Keeps all but the replicator off the targets.
        quiet_seconds: So long behind the fence of the sources the targets open: no flip comes sooner.
    """

    source: PolicyFence
    target: TargetFence
    quiet_seconds: float
    ends: ClassVar[bool] = True

    @property
    def lead_seconds(self) -> float:
        """How long before its beginning it is to be put."""
        return self.source.lead_seconds

    def check(self) -> None:
        """Refuse what would keep one of them from being put up."""
        self.source.check()
        self.target.check()

    def rehearse(self) -> list[str]:
        """Refuse what would keep us from changing them, and say what was not tried."""
        return [*self.source.rehearse(), *self.target.rehearse()]

    def raise_(self, begins: float | None, until: float) -> None:
        """
        Fence the sources, and schedule the opening of the targets.

        In this order: killed in between, a source is fenced whose target stays closed.
        """
        since = self.source.now() if begins is None else begins
        self.source.raise_(begins, until)
        opens = max(math.ceil(since + self.quiet_seconds), int(since) + 1)  # it denies behind that second
        self.target.schedule(Window(opens, int(until) - CLOSES_BEFORE_SECONDS))

    def need_standing(self) -> None:
        """Refuse to go on where one of them is not the one that was put."""
        self.source.need_standing()
        self.target.need_standing()

    def fasten(self) -> None:
        """Let the sources' fence stand until it is lifted, then take the targets' out, for the flip."""
        self.source.fasten()
        self.target.open()

    def lift(self) -> None:
        """
        Close the targets again, then lift the fence of the sources.

        Where AWS does not let a target be closed, that is told, and the source opens nevertheless: its
        application waits, and nobody has pointed one at the target.

        Raises:
            LeaseLost: Another operator may be moving the application; nothing is opened.
        """
        for table in self.target.tables:
            self._close_again(table)
        self.source.lift()

    def _close_again(self, table: TableFacts) -> None:
        """Close a target, or tell; for one request that is refused both tables are not to take writes."""
        policies = self.target.policies
        closes = self.target.command if self.target.by_flip else "restore"
        hurried = replace(self.target, policies=replace(policies, patience_seconds=CLOSING_PATIENCE_SECONDS))
        deadline, slept = policies.seconds() + CLOSING_PATIENCE_SECONDS, False
        while True:
            try:
                hurried.put_closed(table)
            except DdbVerifyError as error:
                if isinstance(error, LeaseLost) and not slept:  # whatever renews the lease wakes up as well
                    deadline, slept = policies.seconds() + CLOSING_PATIENCE_SECONDS, True
                if not isinstance(error, AccessError) and policies.seconds() < deadline:
                    policies.pause()
                    continue
                if isinstance(error, LeaseLost):
                    raise
                policies.tell(
                    f"{table.name} could not be closed again, `replicator {closes}` does: {error.message}"
                )
            return
