"""
The fence in the source tables' own resource policies: a statement that denies every write.

It is lifted from what was put, not from what a read says: a read may be some seconds late, and would then
show a table without a fence that has one. It has an end of its own until it is fastened, so that no
operator's death keeps an application from writing for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, Final, Protocol

from ddbverify.errors import EngineError, Refused
from ddbverify.names import FENCE_SID
from replicator.aws.policies import (
    LAG_SECONDS,
    LIMIT_BYTES,
    PATIENCE_SECONDS,
    Changed,
    Policies,
    Policy,
    size_of,
)
from replicator.context.tables import TableFacts

# Every action that changes an item. https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazondynamodb.html
_WRITES: Final = [
    "dynamodb:BatchWriteItem",
    "dynamodb:DeleteItem",
    "dynamodb:PartiQLDelete",
    "dynamodb:PartiQLInsert",
    "dynamodb:PartiQLUpdate",
    "dynamodb:PutItem",
    "dynamodb:UpdateItem",
]

_EMPTY: Final[Policy] = {"Version": "2012-10-17", "Statement": []}


@dataclass(frozen=True, slots=True)
class Standing:
    """
    A fence that stands, or may.

    Args:
        rest: The policy without the fence, to be put back; ``None``: the table had none.
        revision: Of the policy with the fence; ``None``: it was asked for, and there was no answer yet.
        until: Seconds since the epoch; ``None``: until it is lifted.
        shown: Whether a read has shown it.
    """

    rest: Policy | None
    revision: str | None
    until: int | None
    shown: bool = False


class Notes(Protocol):
    """Keeps what was put, beyond the end of this process."""

    def get(self, table: TableFacts) -> Standing | None: ...
    def put(self, table: TableFacts, standing: Standing) -> None: ...
    def remove(self, table: TableFacts) -> None: ...


class InMemory:
    """Notes that end with the process."""

    def __init__(self) -> None:
        self._kept: dict[str, Standing] = {}

    def get(self, table: TableFacts) -> Standing | None:
        """What was put to a table; ``None``: nothing."""
        return self._kept.get(table.arn)

    def put(self, table: TableFacts, standing: Standing) -> None:
        """Keep it."""
        self._kept[table.arn] = standing

    def remove(self, table: TableFacts) -> None:
        """Forget it."""
        self._kept.pop(table.arn, None)


@dataclass(frozen=True, slots=True)
class PolicyFence:
    """
    A deny statement in the resource policy of each source table.

    Args:
        policies: Of the sources' account and region.
        tables: The source tables, each once.
        exempt: ARNs of the identities that may still write: the operator, who flies canaries.
        notes: Where is kept what was put.
        now: Seconds since the epoch, DynamoDB's clock.
        margin_seconds: It is fastened this long before its end at the latest: a change needs seconds until it
            holds everywhere.
    """

    policies: Policies
    tables: tuple[TableFacts, ...]
    exempt: tuple[str, ...]
    now: Callable[[], float]
    margin_seconds: float
    notes: Notes = field(default_factory=InMemory)
    ends: ClassVar[bool] = True

    def check(self) -> None:
        """
        Refuse tables whose policies have no room for the fence, before anything is done.

        Raises:
            Refused: One would have more bytes than AWS takes.
        """
        for table in self.tables:
            policy, _ = self.policies.read(table.arn)
            size = size_of(self._fenced(table, policy, int(self.now())))
            if size > LIMIT_BYTES:
                raise Refused(
                    f"The resource policy of {table.name} has no room for the fence: with it, it would have "
                    f"{size:,} bytes, and AWS takes {LIMIT_BYTES:,}.",
                    'shorten that policy, or fence with a command of yours: [cutover] fence = "command:…".',
                )

    def raise_(self, until: float) -> None:
        """
        Add the statement to each table's policy, keeping what else is in it, and wait until reads show it.

        Args:
            until: When it ends by itself unless it is fastened, in seconds since the epoch.
        """
        for table in self.tables:
            self._raise(table, int(until))

    def fasten(self) -> None:
        """
        Let the fence stand until it is lifted.

        Raises:
            EngineError: It is not the one that was put, or it would end within ``margin_seconds`` of the
                moment in which reads show the change: writes may come through the gap.
        """
        for table in self.tables:
            self._fasten(table)

    def lift(self) -> None:
        """
        Take the statement out of each table's policy, and wait until reads show that it is gone.

        A policy that held nothing else is removed.

        Raises:
            EngineError: The first that was met, once every table has been tried.
        """
        errors = []
        for table in self.tables:
            try:
                self._lift(table)
            except EngineError as error:  # the other tables' writers must not wait for this one
                errors.append(error)
        if errors:
            raise errors[0]

    # --- up -----------------------------------------------------------------------------------

    def _raise(self, table: TableFacts, until: int) -> None:
        doing = f"fence {table.name}"
        deadline = self.policies.seconds() + PATIENCE_SECONDS
        put = None
        while put is None:
            policy, revision = self.policies.read(table.arn)
            rest, fenced = _without(policy), self._fenced(table, policy, until)
            if policy == fenced:  # ours, since no other ends in that second: its answer was lost
                put = revision
                break
            self.notes.put(table, Standing(rest, None, until))  # before: from here on it may be up
            try:
                put = self.policies.change(table.arn, fenced, revision, doing=doing)
            except Changed:  # the read was late, or somebody else changes it
                if self.policies.seconds() >= deadline:
                    raise
                self.policies.pause()
        self.notes.put(table, Standing(rest, put, until))
        self._await(table, lambda _, revision: revision == put, doing)
        self.notes.put(table, Standing(rest, put, until, shown=True))

    def _fasten(self, table: TableFacts) -> None:
        doing = f"fasten the fence of {table.name}"
        standing = self.notes.get(table)
        if standing is None or standing.revision is None or standing.until is None:
            raise EngineError(
                f"The fence of {table.name} is not the one that was put.", "run `replicator cutover` again."
            )
        self._need_margin(table, standing.until)
        fenced = self._fenced(table, standing.rest, None)
        put = self.policies.change(table.arn, fenced, standing.revision, doing=doing)
        self.notes.put(table, Standing(standing.rest, put, None, shown=True))
        self._await(table, lambda _, revision: revision == put, doing)
        self._need_margin(table, standing.until)

    def _fenced(self, table: TableFacts, policy: Policy | None, until: int | None) -> Policy:
        condition: dict[str, Any] = {"ArnNotLike": {"aws:PrincipalArn": list(self.exempt)}}
        if until is not None:  # both have to hold, so that it denies nothing from then on
            condition["DateLessThan"] = {"aws:CurrentTime": _iso(until)}
        statement = {
            "Sid": FENCE_SID,
            "Effect": "Deny",
            "Principal": "*",
            "Action": _WRITES,
            "Resource": table.arn,
            "Condition": condition,
        }
        kept = _without(policy) or _EMPTY
        return {**kept, "Statement": [*kept["Statement"], statement]}

    def _need_margin(self, table: TableFacts, until: float) -> None:
        left = until - self.now()
        if left < self.margin_seconds:
            raise EngineError(
                f"The fence of {table.name} ends by itself in {max(left, 0):.0f} s, too soon to make it "
                "last: a write could come through in between.",
                "raise [cutover] fence_limit, then run `replicator cutover` again.",
            )

    # --- down ---------------------------------------------------------------------------------

    def _lift(self, table: TableFacts) -> None:
        doing = f"lift the fence from {table.name}"
        standing = self._noted(table)
        if standing is None:  # nothing of this migration was put: a read that is late shows no less
            self._lift_what_is_read(table, doing, late=False)
        elif standing.revision is None:
            self._lift_what_is_read(table, doing, late=True)
        else:
            try:
                put = self._take_out(table, standing.rest, standing.revision, doing)
            except Changed:  # by somebody, or by us, without an answer
                self._lift_what_is_read(table, doing, late=True)
            else:
                self._await_lifted(table, standing, put, doing)
        try:
            self.notes.remove(table)
        except EngineError as error:
            self.policies.tell(f"the fence of {table.name} is lifted; its note stays: {error.message}")

    def _noted(self, table: TableFacts) -> Standing | None:
        """What was put, as far as it can be known: without its note, it may be anything."""
        try:
            return self.notes.get(table)
        except EngineError:
            return Standing(None, None, None)

    def _lift_what_is_read(self, table: TableFacts, doing: str, *, late: bool) -> None:
        """Lift the fence that a read shows; that it shows none counts once it cannot be *late* any more."""
        began = self.policies.seconds()
        while True:
            policy, revision = self.policies.read(table.arn)
            if revision is not None and is_fenced(policy):
                try:
                    put = self._take_out(table, _without(policy), revision, doing)
                except Changed:
                    if self.policies.seconds() - began >= PATIENCE_SECONDS:
                        raise
                    late = True  # the read was: what it showed has gone, or is another one by now
                else:
                    self._await_lifted(table, Standing(None, revision, None, shown=True), put, doing)
                    return
            elif not late or self.policies.seconds() - began >= LAG_SECONDS:
                return
            self.policies.pause()

    def _take_out(self, table: TableFacts, rest: Policy | None, revision: str, doing: str) -> str:
        return self.policies.change(table.arn, rest, revision, doing=doing, insist=True)

    def _await_lifted(self, table: TableFacts, fence: Standing, put: str, doing: str) -> None:
        """
        Wait until a read shows what was put in the place of *fence*.

        A read may be so late that it shows what was there before the fence. It counts once one has shown the
        fence, or cannot be that late any more.
        """
        began, seen = self.policies.seconds(), fence.shown

        def shows(policy: Policy | None, revision: str | None) -> bool:
            nonlocal seen
            seen = seen or revision == fence.revision
            sure = seen or self.policies.seconds() - began >= LAG_SECONDS
            return (put != "" and revision == put) or (sure and not is_fenced(policy))

        self._await(table, shows, doing)

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


def is_fenced(policy: Policy | None) -> bool:
    """Whether a policy has the fence's statement in it, whether that has ended or not."""
    return any(one.get("Sid") == FENCE_SID for one in _statements(policy))


def end_of(policy: Policy | None) -> int | None:
    """When the fence in a policy ends, in seconds since the epoch; ``None``: when it is lifted."""
    ends = [
        one.get("Condition", {}).get("DateLessThan", {}).get("aws:CurrentTime")
        for one in _statements(policy)
        if one.get("Sid") == FENCE_SID
    ]
    known = [int(datetime.fromisoformat(end).timestamp()) for end in ends if end]
    return max(known) if known and len(known) == len(ends) else None


def _without(policy: Policy | None) -> Policy | None:
    """A policy without the fence; ``None`` where nothing else is in it."""
    others = [one for one in _statements(policy) if one.get("Sid") != FENCE_SID]
    return {**policy, "Statement": others} if policy is not None and others else None


def _statements(policy: Policy | None) -> Iterable[dict[str, Any]]:
    return policy["Statement"] if policy is not None else ()


def _iso(epoch: int) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
