"""What the policy of a target was asked to say, kept beyond the end of the process."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from ddbverify.names import Fact
from ddbverify.tables.aws import translated
from replicator.aws.target_deny import Window
from replicator.handlers.state import State, now_text


@dataclass(frozen=True, slots=True)
class Asked:
    """
    What a target's policy was asked to say.

    Args:
        exempt: ARNs of the identities that may write at any time.
        revision: Of the policy; ``None``: there was no answer yet.
        window: When everybody may write; ``None``: never.
        opened: The fence is taken out, since the application is about to move, or has.
        at_epoch: When it was asked, by this machine's clock.
    """

    exempt: tuple[str, ...]
    revision: str | None = None
    window: Window | None = None
    opened: bool = False
    at_epoch: float = 0.0


class Notes(Protocol):
    """Keeps what was asked, by the target's name."""

    def get(self, name: str) -> Asked | None: ...
    def put(self, name: str, asked: Asked) -> None: ...
    def remove(self, name: str) -> None: ...


class InMemory:
    """Notes that end with the process."""

    def __init__(self) -> None:
        self.kept: dict[str, Asked] = {}

    def get(self, name: str) -> Asked | None:
        """What was asked of a target's policy; ``None``: nothing."""
        return self.kept.get(name)

    def put(self, name: str, asked: Asked) -> None:
        """Keep it."""
        self.kept[name] = asked

    def remove(self, name: str) -> None:
        """Forget it."""
        self.kept.pop(name, None)


@dataclass(frozen=True, slots=True)
class StateNotes:
    """What was asked, in the migration's state table: one fact per target table."""

    state: State

    def get(self, name: str) -> Asked | None:
        """What was asked of a target's policy; ``None``: nothing."""
        with translated(f"read what is noted of the fence of {name}"):
            found = self.state.get(Fact.TARGET_FENCE + name)
        return None if found is None else asked_of(found)

    def put(self, name: str, asked: Asked) -> None:
        """Keep it."""
        window = asked.window
        with translated(f"note the fence of {name}"):
            self.state.put(
                Fact.TARGET_FENCE + name,
                at=now_text(),
                exempt=list(asked.exempt),
                revision=asked.revision,
                opens_epoch=None if window is None else window.opens,
                closes_epoch=None if window is None else window.closes,
                opened=asked.opened,
            )

    def remove(self, name: str) -> None:
        """Forget it."""
        with translated(f"forget the fence of {name}"):
            self.state.delete(Fact.TARGET_FENCE + name)


def asked_of(fact: dict[str, Any]) -> Asked:
    """What a fact of the state table says."""
    opens, closes = fact.get("opens_epoch"), fact.get("closes_epoch")
    return Asked(
        tuple(fact["exempt"]),
        fact.get("revision"),
        None if opens is None or closes is None else Window(int(opens), int(closes)),
        bool(fact.get("opened")),
        datetime.fromisoformat(fact["at"]).timestamp(),
    )
