"""What a fence in a table's policy has put, kept beyond the end of the process: it is lifted by that."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Protocol

from ddbverify.names import Fact
from ddbverify.tables.aws import translated
from replicator.aws.policies import Policy, text_of
from replicator.context.tables import TableFacts
from replicator.handlers.state import State, now_text


@dataclass(frozen=True, slots=True)
class Standing:
    """
    A fence that stands, or may.

    Args:
        rest: The policy without the fence, to be put back; ``None``: the table had none.
        revision: Of the policy with the fence; ``None``: it was asked for, and there was no answer yet.
        until: Seconds since the epoch; ``None``: until it is lifted.
        begins: Seconds since the epoch, behind which it denies; ``None``: from the moment it was put.
        shown: Whether a read has shown it.
    """

    rest: Policy | None
    revision: str | None
    until: int | None
    begins: int | None = None
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
class StateNotes:
    """What was put, in the migration's state table: one fact per source table."""

    state: State

    def get(self, table: TableFacts) -> Standing | None:
        """What was put to a table; ``None``: nothing."""
        with translated(f"read what is noted of the fence of {table.name}"):
            found = self.state.get(Fact.FENCE + table.name)
        if found is None:
            return None
        until, begins = found.get("until_epoch"), found.get("begin_epoch")
        return Standing(
            json.loads(found["rest"]) if found.get("rest") else None,
            found.get("revision"),
            None if until is None else int(until),
            None if begins is None else int(begins),
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
                begin_epoch=standing.begins,
                shown=standing.shown,
            )

    def remove(self, table: TableFacts) -> None:
        """Forget it."""
        with translated(f"forget the fence of {table.name}"):
            self.state.delete(Fact.FENCE + table.name)
