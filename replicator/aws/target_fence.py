"""
The fence in the target tables' own resource policies: nobody writes there but the replicator.

It stands from `restore` until the flip, so that at any moment at most one of the two tables takes the
application's writes. A cutover writes a window into it together with the source's fence, long before either
counts: the target opens at a known second behind the one in which the source closes, and closes again before
the source could open by itself. So whatever dies on the way, never are both open.

Behind a flip that has left a way back, what follows is closed by the fence of that flip. The next flip
opens it by such a window, too.

Others may change the policy for as long as the target follows: whatever they put stays. Between the moment in
which the window is put and the flip they may not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from ddbverify.config import Pair
from ddbverify.errors import EngineError, Refused
from ddbverify.names import Fact, table_name
from ddbverify.tables.aws import translated
from replicator.aws import workers
from replicator.aws.policies import (
    LAG_SECONDS,
    LIMIT_BYTES,
    PATIENCE_SECONDS,
    Changed,
    Policies,
    Policy,
    size_of,
)
from replicator.aws.policy_deny import what_changed
from replicator.aws.roles import replication_of, role_of
from replicator.aws.target_deny import (
    OF_FOLLOWER,
    OF_TARGET,
    Sids,
    Window,
    closed,
    exempt_in,
    ours_in,
    unclosed,
)
from replicator.aws.target_notes import Asked, InMemory, Notes, StateNotes
from replicator.context.context import Context
from replicator.context.tables import TableFacts

CLOSES_BEFORE_SECONDS: Final = 5
"""The target closes so long before the source's fence ends by itself: clocks of AWS's hosts may differ."""

_SWITCH_OFF: Final = "[cutover] fence_target = false leaves it open to everybody"


@dataclass(frozen=True, slots=True)
class TargetFence:
    """
    Deny statements in the resource policy of each target table.

    Args:
        policies: Of the targets' account and region.
        tables: The target tables, each once.
        exempt: ARNs of the identities that may write, beside those that are noted.
        now: Seconds since the epoch, DynamoDB's clock.
        spread_seconds: How much has to be left of a window's lead once AWS has taken it.
        notes: Keep what was asked.
        by_flip: The tables follow behind a flip, and it is the fence of that flip that closes them.
        command: That is to open them, for what the operator is told.
    """

    policies: Policies
    tables: tuple[TableFacts, ...]
    exempt: tuple[str, ...]
    now: Callable[[], float]
    spread_seconds: float = 0.0
    notes: Notes = field(default_factory=InMemory)
    by_flip: bool = False
    command: str = "cutover"

    @property
    def sids(self) -> Sids:
        """Of the statements that keep writers off."""
        return OF_FOLLOWER if self.by_flip else OF_TARGET

    def check(self) -> None:
        """
        Refuse tables whose policies have no room for the fence.

        Raises:
            Refused: A policy would have more bytes than AWS takes.
        """
        moment = int(self.now())
        for table in self.tables:
            policy, _ = self.policies.read(table.arn)
            size = size_of(
                self._closed(table, policy, Asked(self._exempt(table), window=Window(moment, moment)))
            )
            if size > LIMIT_BYTES:
                raise _no_room(table, size)

    def rehearse(self) -> list[str]:
        """
        Find out whether AWS lets us change each policy, without changing one.

        Raises:
            AccessError: It does not.
        """
        return self.policies.need_permitted(
            (table.arn for table in self.tables), lambda policy: unclosed(policy, self.sids) is None
        )

    def close(self) -> list[str]:
        """
        Let nobody write but who is exempt, and wait until reads show it; those who were exempt stay so.

        Returns:
            Names of the tables whose policies were changed: the others are closed already.

        Raises:
            EngineError: AWS does not take it, or does not show it.
        """
        changed = [(table, asked) for table in self.tables if (asked := self.put_closed(table)) is not None]
        for table, asked in changed:
            self._await(table, asked, f"close {table.name}")
        return [table.name for table, _ in changed]

    def put_closed(self, table: TableFacts) -> Asked | None:
        """Close a table without waiting for reads to show it; ``None`` where it is closed already."""
        noted, exempt = self.notes.get(table.name), self._exempt(table)
        if noted is None and self.by_flip:
            return None  # nobody has opened it since
        if noted is not None and noted.revision and noted.window is None and not noted.opened:
            policy, _ = self.policies.read(table.arn)
            # Only behind a note that says the same: a read may be of before a window was put.
            if noted.exempt == exempt and policy == self._closed(table, policy, noted):
                return None
        return self._put(table, Asked(exempt), f"close {table.name}")

    def schedule(self, window: Window) -> None:
        """
        Let everybody write in *window*, and only in it, and wait until reads show that.

        Raises:
            EngineError: AWS took it too late for it to hold everywhere when the window opens.
        """
        put = []
        for table in self.tables:
            asked = Asked(self._exempt(table), window=window)
            put.append((table, self._put(table, asked, f"schedule the opening of {table.name}")))
            left = window.opens - self.now()
            if self.spread_seconds and left < self.spread_seconds:
                raise EngineError(
                    f"AWS took the opening of {table.name} {max(left, 0):.0f} s before its moment, and "
                    f"it needs {self.spread_seconds:.0f} s until it holds everywhere.",
                    f"run `replicator {self.command}` again; AWS takes the next change of a policy 15 s "
                    "after the last.",
                )
        for table, asked in put:
            self._await(table, asked, f"schedule the opening of {table.name}")

    def need_standing(self) -> None:
        """
        Refuse to go on behind a policy that is not, or no longer, the one with the window.

        Raises:
            EngineError: Somebody else has changed a table's policy; what they made of it is named.
        """
        for table in self.tables:
            self._need_shown(table, self.notes.get(table.name))

    def open(self) -> None:
        """
        Take the fence out for good, right before the flip.

        Reads are not waited for: the window is open by now, and its end has to be farther than AWS needs.

        Raises:
            EngineError: The window has not begun, somebody else has changed a policy, or AWS does not take
                the change.
        """
        for table in self.tables:
            asked = self.notes.get(table.name)
            self._need_shown(table, asked)
            if asked is not None and asked.window is not None and self.now() < asked.window.opens:
                raise EngineError(
                    f"{table.name} does not take writes yet, and the application was to move to it.",
                    f"run `replicator {self.command}` again.",
                )
        for table in self.tables:
            self._take_out(table)

    def lift(self) -> None:
        """Take the fence out of each table's policy, and forget it."""
        for table in self.tables:
            self._take_out(table)
            self.notes.remove(table.name)

    def close_left_open(self) -> list[str]:
        """
        Close those that an attempt before has opened and could not close again.

        Returns:
            Their names.
        """
        noted = {table.arn: self.notes.get(table.name) for table in self.tables}
        left = [
            table
            for table in self.tables
            if (one := noted[table.arn]) is not None and (one.opened or one.window or one.revision is None)
        ]
        return replace(self, tables=tuple(left)).close() if left else []

    def take_out_opened(self) -> list[TableFacts]:
        """
        Take out what may be left of the fence of tables that a flip was to open, behind that flip.

        Returns:
            The tables whose opening was scheduled: of the others nothing is known here.
        """
        known = [table for table in self.tables if self.notes.get(table.name) is not None]
        for table in known:
            self._take_out(table)
        return known

    # --- one table ------------------------------------------------------------------------------

    def _exempt(self, table: TableFacts) -> tuple[str, ...]:
        noted = self.notes.get(table.name)
        if noted is None and self.by_flip:  # long since put, so that no read of it is late
            kept = exempt_in(self.policies.read(table.arn)[0], self.sids)
        else:
            kept = noted.exempt if noted else ()
        return tuple(dict.fromkeys([*kept, *self.exempt]))

    def _closed(self, table: TableFacts, policy: Policy | None, asked: Asked) -> Policy:
        return closed(policy, table.arn, asked.exempt, asked.window, self.sids)

    def _put(self, table: TableFacts, asked: Asked, doing: str) -> Asked:
        """Change the policy that a read shows; another one's change meanwhile is read again, and kept."""
        deadline = self.policies.seconds() + self.policies.patience_seconds
        while True:
            policy, revision = self.policies.read(table.arn)
            wanted = self._closed(table, policy, asked)
            if (size := size_of(wanted)) > LIMIT_BYTES:
                raise _no_room(table, size)
            self.notes.put(table.name, asked)  # before: from here on the policy may say so
            try:
                put = self.policies.change(table.arn, wanted, revision, doing=doing)
                break
            except Changed:  # the read was late, or somebody else changes it
                if self.policies.seconds() >= deadline:
                    raise
                self.policies.pause()
        asked = replace(asked, revision=put)
        self.notes.put(table.name, asked)
        return asked

    def _take_out(self, table: TableFacts) -> None:
        noted = self.notes.get(table.name)
        if noted is None or (noted.opened and noted.revision is not None):
            return
        opened = replace(noted, revision=None, window=None, opened=True)
        began = self.policies.seconds()
        while True:
            policy, revision = self.policies.read(table.arn)
            now = self.policies.seconds()
            if ours_in(policy, self.sids):
                self.notes.put(table.name, opened)
                try:
                    put = self.policies.change(
                        table.arn,
                        unclosed(policy, self.sids),
                        revision,
                        doing=f"open {table.name}",
                        insist=True,
                    )
                    break
                except Changed:
                    if now - began >= PATIENCE_SECONDS:
                        raise
            elif now - began >= LAG_SECONDS:  # it cannot be that late: somebody else has taken it out
                put = revision or ""
                break
            self.policies.pause()
        self.notes.put(table.name, replace(opened, revision=put))

    def _need_shown(self, table: TableFacts, asked: Asked | None) -> None:
        if asked is None or asked.revision is None:
            raise EngineError(
                f"The policy of {table.name} is not the one that was put.",
                f"run `replicator {self.command}` again.",
            )
        began = self.policies.seconds()
        while True:
            policy, revision = self.policies.read(table.arn)
            if revision == asked.revision:
                return
            # A read may be late, though one has shown it before.
            if self.policies.seconds() - began >= LAG_SECONDS:
                put = self._closed(table, policy, asked)
                raise EngineError(
                    f"Somebody else has changed the resource policy of {table.name} during the cutover: "
                    f"{what_changed(policy, put, self.sids)}.",
                    "find out which tool writes that policy, hold it, then run "
                    f"`replicator {self.command}` again.",
                )
            self.policies.pause()

    def _await(self, table: TableFacts, asked: Asked, doing: str) -> None:
        deadline = self.policies.seconds() + PATIENCE_SECONDS
        while self.policies.read(table.arn)[1] != asked.revision:
            if self.policies.seconds() >= deadline:
                raise EngineError(
                    f"Could not {doing}: AWS took the change, and {PATIENCE_SECONDS:.0f} s later it shows "
                    "another policy.",
                    f"look at the resource policy of {table.name}; somebody else may be changing it.",
                )
            self.policies.pause()


def of(context: Context) -> TargetFence:
    """The fence of those targets of a direction whose policies were asked to keep writers off."""
    if not context.begun():
        return made(context, ())
    with translated("read what is noted of the targets' fences"):
        noted = {name for name, _ in context.whole.all(Fact.TARGET_FENCE)}
        if context.cycle and (before := context.turned(context.cycle - 1)).begun():
            noted |= {name for name, _ in before.whole.all(Fact.FENCE)}
    pairs = [pair for pair in context.config.tables if table_name(pair.target) in noted]
    found = [context.target_table(pair) for pair in pairs]
    exempt = [role for pair in pairs if context.cycle for role in _writers(context, pair)]
    # One that is gone has taken its policy with it.
    return made(context, tuple(table for table in found if table is not None), tuple(exempt))


def _writers(context: Context, pair: Pair) -> tuple[str, ...]:
    """ARNs of the roles that the consumer of a way back writes with; none where they are not known."""
    resources = context.resources(pair)
    if workers.is_worker(context, pair, workers.CONSUMER):
        return workers.roles(context, pair)
    role = resources.get("writer_role") or resources.get("consumer_role")
    return (str(role),) if role else ()


def made(context: Context, tables: tuple[TableFacts, ...], exempt: tuple[str, ...] = ()) -> TargetFence:
    """
    A fence of these targets.

    Args:
        exempt: ARNs of the identities that may write, beside the operator's and those that are noted.
    """
    operator = (*role_of(us := context.target_identity), replication_of(us)) if tables else ()
    return TargetFence(
        Policies(context.target, context.console.warn),
        tables,
        (*operator, *exempt),
        context.server_time,
        context.pace.fence_spread,
        StateNotes(context.whole),
        by_flip=context.cycle > 0,
        command=context.flips_with,
    )


def _no_room(table: TableFacts, size: int) -> Refused:
    return Refused(
        f"The resource policy of {table.name} has no room for the target's fence: with it, it would have "
        f"{size:,} bytes, and AWS takes {LIMIT_BYTES:,}.",
        f"shorten that policy; {_SWITCH_OFF}.",
    )
