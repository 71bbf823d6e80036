"""
The fence in the source tables' own resource policies: a statement that denies every write.

It is put ahead of the moment in which it begins to deny, since AWS needs time until every request is held
against a new policy: it spreads while the application still writes, and bites everywhere at once.

It is lifted from what was put, not from what a read says: a read may be some seconds late, and then shows
a table without its fence. It ends by itself until it is fastened, so that an application can write again
when the operator's machine dies.

Several tables take each change first and are waited for together: AWS needs seconds for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import ClassVar

from ddbverify.errors import EngineError, Refused
from ddbverify.names import FENCE_SID
from replicator.aws.fence_notes import InMemory, Notes, Standing
from replicator.aws.policies import (
    LAG_SECONDS,
    LIMIT_BYTES,
    PATIENCE_SECONDS,
    Changed,
    Policies,
    Policy,
    size_of,
)
from replicator.aws.policy_deny import end_of, fenced, is_fenced, what_changed, without
from replicator.context.tables import TableFacts


@dataclass(frozen=True, slots=True)
class PolicyFence:
    """
    A deny statement in the resource policy of each source table.

    Args:
        policies: Of the sources' account and region.
        tables: The source tables, each once.
        exempt: ARNs of the identities that may still write: the operator, who flies canaries.
        notes: Keep what was put.
        now: Seconds since the epoch, DynamoDB's clock.
        margin_seconds: The fence is fastened this long before its end at the latest, because a change needs
            seconds until it holds everywhere.
        lead_seconds: How long before its beginning a fence is to be put; 0: it has none, and denies at once.
        spread_seconds: How much of that has to be left once AWS has taken it.
        command: That puts it up, for what the operator is told.
    """

    policies: Policies
    tables: tuple[TableFacts, ...]
    exempt: tuple[str, ...]
    now: Callable[[], float]
    margin_seconds: float
    notes: Notes = field(default_factory=InMemory)
    lead_seconds: float = 0.0
    spread_seconds: float = 0.0
    command: str = "cutover"
    ends: ClassVar[bool] = True

    def check(self) -> None:
        """
        Refuse tables that another fence keeps writers off, or whose policies have no room for ours.

        Raises:
            Refused: One is fenced by another migration, or its policy would have more bytes than AWS takes.
        """
        for table in self.tables:
            policy = self._read_unfenced(table)
            now = int(self.now())
            size = size_of(self._fenced(table, policy, now, now))
            if size > LIMIT_BYTES:
                raise Refused(
                    f"The resource policy of {table.name} has no room for the fence: with it, it would have "
                    f"{size:,} bytes, and AWS takes {LIMIT_BYTES:,}.",
                    'shorten that policy, or fence with a command of yours: [cutover] fence = "command:…".',
                )

    def rehearse(self) -> list[str]:
        """
        Find out whether AWS lets us change each policy, without changing one.

        Raises:
            AccessError: It does not.
        """
        return self.policies.need_permitted(table.arn for table in self.tables)

    def raise_(self, begins: float | None, until: float) -> None:
        """
        Add the statement to each table's policy, keeping what else is in it, and wait until reads show it.

        Args:
            begins: Behind which moment it denies, in seconds since the epoch; ``None``: at once.
            until: When it ends by itself unless it is fastened, likewise.

        Raises:
            EngineError: AWS took it, or showed it, too late for it to hold everywhere when it begins.
        """
        first = None if begins is None else int(begins)
        put = {table.arn: self._put(table, first, int(until)) for table in self.tables}
        for table in self.tables:
            standing = put[table.arn]
            self._await_revision(table, standing, f"fence {table.name}")
            self.notes.put(table, replace(standing, shown=True))
        if begins is not None and self.spread_seconds and self.now() >= begins:
            raise EngineError(
                "AWS took the fence, and did not show it before it began.",
                f"run `replicator {self.command}` again.",
            )

    def need_standing(self) -> None:
        """
        Refuse to go on behind a fence that is not, or no longer, the one that was put.

        Raises:
            EngineError: Somebody else has changed a table's policy; what they made of it is named.
        """
        for table in self.tables:
            standing = self.notes.get(table)
            if standing is None or standing.revision is None:
                raise _not_ours(table, self.command)
            self._need_shown(table, standing)

    def fasten(self) -> None:
        """
        Let the fence stand until it is lifted.

        Raises:
            EngineError: It is not the one that was put, or it would end within ``margin_seconds`` of the
                moment in which reads show the change: writes may come through the gap.
        """
        fastened = [(table, *self._fasten(table)) for table in self.tables]
        for table, standing, until in fastened:
            self._await_revision(table, standing, f"fasten the fence of {table.name}")
            self._need_margin(table, until)

    def lift(self) -> None:
        """
        Take the statement out of each table's policy, and wait until reads show that it is gone.

        A policy that held nothing else is removed.

        Raises:
            EngineError: The first that was met, once every table has been tried.
        """
        errors: list[EngineError] = []
        began, noted = self.policies.seconds(), {table.arn: self._noted(table) for table in self.tables}
        lifted = []
        # Where it is known what was put, nothing has to be waited for: those first.
        for table in sorted(self.tables, key=lambda table: _is_unknown(noted[table.arn])):
            with _collected(errors):  # the other tables' writers must not wait for this one
                lifted.append((table, self._take_out(table, noted[table.arn], began)))
        for table, change in lifted:
            with _collected(errors):
                self._await_lifted(table, change)
                self._forget(table)
        if errors:
            raise errors[0]

    # --- up -----------------------------------------------------------------------------------

    def _read_unfenced(self, table: TableFacts) -> Policy | None:
        """A table's policy, in which no fence stands but our own: nobody else's is to be lifted by us."""
        began = self.policies.seconds()
        while True:
            policy, _ = self.policies.read(table.arn)
            end = end_of(policy)
            ended = end is not None and end <= self.now()
            if not is_fenced(policy) or ended or self.notes.get(table) is not None:
                return policy
            # A read may show what has been lifted a moment ago.
            if self.policies.seconds() - began >= LAG_SECONDS:
                raise Refused(
                    f"{table.name} is fenced already, by another migration that moves its application.",
                    f"if none has, take {FENCE_SID} out of its resource policy, and run the command again.",
                )
            self.policies.pause()

    def _put(self, table: TableFacts, begins: int | None, until: int) -> Standing:
        doing = f"fence {table.name}"
        deadline = self.policies.seconds() + PATIENCE_SECONDS
        while True:
            policy, revision = self.policies.read(table.arn)
            standing = Standing(without(policy), None, until, begins)
            put = self._fenced(table, policy, begins, until)
            if policy == put:  # ours, since no other ends in that second: its answer was lost
                break
            self.notes.put(table, standing)  # before: from here on it may be up
            try:
                revision = self.policies.change(table.arn, put, revision, doing=doing)
                break
            except Changed:  # the read was late, or somebody else changes it
                if self.policies.seconds() >= deadline:
                    raise
                self.policies.pause()
        standing = replace(standing, revision=revision)
        self.notes.put(table, standing)
        left = None if begins is None or not self.spread_seconds else begins - self.now()
        if left is not None and left < self.spread_seconds:
            raise EngineError(
                f"AWS took the fence of {table.name} {max(left, 0):.0f} s before it was to begin, and it "
                f"needs {self.spread_seconds:.0f} s until it holds everywhere.",
                f"run `replicator {self.command}` again; AWS takes the next change of a policy 15 s "
                "after the last.",
            )
        return standing

    def _need_shown(self, table: TableFacts, standing: Standing) -> None:
        began = self.policies.seconds()
        while True:
            policy, revision = self.policies.read(table.arn)
            if revision == standing.revision:
                return
            # A read may be late, though one has shown it before.
            if self.policies.seconds() - began >= LAG_SECONDS:
                put = self._fenced(table, standing.rest, standing.begins, standing.until)
                raise EngineError(
                    f"Somebody else has changed the resource policy of {table.name} behind the fence: "
                    f"{what_changed(policy, put)}.",
                    "find out which tool writes that policy, hold it, then run "
                    f"`replicator {self.command}` again.",
                )
            self.policies.pause()

    def _fasten(self, table: TableFacts) -> tuple[Standing, int]:
        """What stands now, and when what stood before would have ended."""
        standing = self.notes.get(table)
        if standing is None or standing.revision is None or standing.until is None:
            raise _not_ours(table, self.command)
        self._need_margin(table, standing.until)
        lasting = self._fenced(table, standing.rest, None, None)
        doing = f"fasten the fence of {table.name}"
        put = self.policies.change(table.arn, lasting, standing.revision, doing=doing)
        fastened = replace(standing, revision=put, until=None, begins=None)
        self.notes.put(table, fastened)
        return fastened, standing.until

    def _await_revision(self, table: TableFacts, standing: Standing, doing: str) -> None:
        self._await(table, lambda _, revision: revision == standing.revision, doing)

    def _fenced(
        self, table: TableFacts, policy: Policy | None, begins: int | None, until: int | None
    ) -> Policy:
        return fenced(policy, table.arn, self.exempt, begins, until)

    def _need_margin(self, table: TableFacts, until: float) -> None:
        left = until - self.now()
        if left < self.margin_seconds:
            raise EngineError(
                f"The fence of {table.name} ends by itself in {max(left, 0):.0f} s, too soon to make it "
                "last: a write could come through in between.",
                f"raise [cutover] fence_limit, then run `replicator {self.command}` again.",
            )

    # --- down ---------------------------------------------------------------------------------

    def _noted(self, table: TableFacts) -> Standing | None:
        """What was put, as far as it can be known: without its note, it may be anything."""
        try:
            return self.notes.get(table)
        except EngineError:
            return Standing(None, None, None)

    def _forget(self, table: TableFacts) -> None:
        try:
            self.notes.remove(table)
        except EngineError as error:
            self.policies.tell(f"the fence of {table.name} is lifted; its note stays: {error.message}")

    def _take_out(self, table: TableFacts, standing: Standing | None, began: float) -> _Lifted | None:
        """Replace the fence by what was there before; ``None`` where there is none."""
        if standing is None:  # nothing of this migration was put: a read that is late shows no less
            return self._take_out_what_is_read(table, None)
        if standing.revision is None:
            return self._take_out_what_is_read(table, began)
        try:
            return self._replace(table, standing, standing.revision)
        except Changed:  # by somebody, or by us, without an answer
            return self._take_out_what_is_read(table, self.policies.seconds())

    def _take_out_what_is_read(self, table: TableFacts, put_before: float | None) -> _Lifted | None:
        """
        Replace the fence that a read shows.

        Args:
            put_before: When it was put at the latest, on the clock of waiting: until reads cannot be that
                late, one without a fence shows nothing. ``None``: none was put.
        """
        began = self.policies.seconds()
        while True:
            policy, revision = self.policies.read(table.arn)
            now = self.policies.seconds()
            if revision is not None and is_fenced(policy):
                shown = Standing(without(policy), revision, None, shown=True)
                try:
                    return self._replace(table, shown, revision)
                except Changed:
                    if now - began >= PATIENCE_SECONDS:
                        raise
                    # The read was late: what it showed has gone, or is another one by now.
                    put_before = began if put_before is None else put_before
            elif put_before is None or now - put_before >= LAG_SECONDS:
                return None
            self.policies.pause()

    def _replace(self, table: TableFacts, fence: Standing, revision: str) -> _Lifted:
        doing = f"lift the fence from {table.name}"
        put = self.policies.change(table.arn, fence.rest, revision, doing=doing, insist=True)
        return _Lifted(fence, put, self.policies.seconds())

    def _await_lifted(self, table: TableFacts, lifted: _Lifted | None) -> None:
        """
        Wait until a read shows what was put in the place of the fence.

        A read may be so late that it shows what was there before the fence. It counts once one has shown the
        fence, or cannot be that late any more.
        """
        if lifted is None:
            return
        fence, put, at = lifted.fence, lifted.put, lifted.at
        seen = fence.shown

        def shows(policy: Policy | None, revision: str | None) -> bool:
            nonlocal seen
            seen = seen or revision == fence.revision
            sure = seen or self.policies.seconds() - at >= LAG_SECONDS
            return (put != "" and revision == put) or (sure and not is_fenced(policy))

        self._await(table, shows, f"lift the fence from {table.name}")

    def _await(
        self, table: TableFacts, shows: Callable[[Policy | None, str | None], bool], doing: str
    ) -> None:
        deadline = self.policies.seconds() + PATIENCE_SECONDS
        while not shows(*self.policies.read(table.arn)):
            if self.policies.seconds() >= deadline:
                raise EngineError(
                    f"Could not {doing}: AWS took the change, and {PATIENCE_SECONDS:.0f} s later it shows "
                    "another policy.",
                    f"look at the resource policy of {table.name}; somebody else may be changing it.",
                )
            self.policies.pause()


@dataclass(frozen=True, slots=True)
class _Lifted:
    """A *fence* in the place of which the revision *put* stands (empty: no policy), since *at*."""

    fence: Standing
    put: str
    at: float


def _not_ours(table: TableFacts, command: str) -> EngineError:
    return EngineError(
        f"The fence of {table.name} is not the one that was put.", f"run `replicator {command}` again."
    )


@contextmanager
def _collected(errors: list[EngineError]) -> Iterator[None]:
    try:
        yield
    except EngineError as error:
        errors.append(error)


def _is_unknown(standing: Standing | None) -> bool:
    return standing is not None and standing.revision is None
