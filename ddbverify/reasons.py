"""What keeps a gate closed, one thing at a time, and the exit code that it stands for."""

from __future__ import annotations

from dataclasses import dataclass

# Exit codes of docs/commands.md; the highest of all reasons wins.
FAILED, INCOMPLETE, STALE, NOT_TRUSTED, AWS_REFUSED = 1, 3, 4, 5, 6


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that keeps the gate closed."""

    code: str  # stable, for machines
    exit_code: int
    message: str  # what is wrong, and what to do

    def __str__(self) -> str:
        return self.message
