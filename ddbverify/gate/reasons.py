"""What keeps a gate closed, one thing at a time, and the exit code that it stands for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

# Exit codes of docs/commands.md; the highest of all reasons wins.
FAILED, INCOMPLETE, STALE, NOT_TRUSTED, AWS_REFUSED = 1, 3, 4, 5, 6


CODES: Final = (
    # The application cannot write, now; or it has moved, and the tables part from then on;
    *("fenced", "cut-over"),
    # the tables differ,
    *("failed", "known"),
    # the evidence is none, or of something else,
    *("evidence", "contradiction", "tables", "changed", "emulator", "future"),
    # the replication cannot be relied on, or AWS does not say,
    *("pipeline", "aws", "before-following", "too-early"),
    # the run has left something open,
    *("incomplete", "errored", "inconclusive", "undecided", "churning", "coverage", "chain"),
    *("exports", "vacuous", "unclaimed", "missing", "not-run", "deselected", "skipped", "xfailed"),
    # and a new run is all that it needs, or somebody's word.
    *("superseded", "stale", "base", "clean-runs", "veto"),
)
"""Every code of a reason, the worst first: the order in which a gate gives its reasons."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that keeps the gate closed."""

    code: str  # stable, for machines
    exit_code: int
    message: str  # what is wrong, and what to do

    def __str__(self) -> str:
        return self.message


def in_order(reasons: Iterable[Reason]) -> tuple[Reason, ...]:
    """Each reason once, the worst first; of one code as they came."""
    return tuple(sorted(dict.fromkeys(reasons), key=lambda reason: CODES.index(reason.code)))
