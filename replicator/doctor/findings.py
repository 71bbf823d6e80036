"""What a check has found: a state, a sentence, and what to do about it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

VERSION: Final = 1
"""Of the JSON document; a member that changes its meaning makes it another."""

EXIT_PROBLEMS: Final = 1
EXIT_NOT_CHECKED: Final = 3


class State(StrEnum):
    """How a check ended. There is no state for "probably"."""

    OK = "ok"
    WARNING = "warning"
    NOT_CHECKED = "not checked"
    PROBLEM = "problem"


MARKS: Final = {State.OK: "✓", State.WARNING: "!", State.NOT_CHECKED: "?", State.PROBLEM: "✗"}


@dataclass(frozen=True, slots=True)
class Finding:
    """
    One thing that was looked at, or that could not be.

    Args:
        check: Its stable name, as docs/commands.md lists them.
        about: The table, account or stack.
        what: What is so, in a sentence.
        hint: What to do; only what is in order needs none.
    """

    check: str
    about: str
    state: State
    what: str
    hint: str = ""

    def __post_init__(self) -> None:
        if self.state is not State.OK and not self.hint:
            raise ValueError(f"{self.check}: a finding that is not ok says what to do")

    def as_json(self) -> dict[str, str]:
        """For ``--json``."""
        return {
            "check": self.check,
            "about": self.about,
            "state": str(self.state),
            "what": self.what,
            "try": self.hint,
        }


def ok(check: str, about: str, what: str) -> Finding:
    """It was looked at, and is in order."""
    return Finding(check, about, State.OK, what)


def warning(check: str, about: str, what: str, hint: str) -> Finding:
    """The migration can go on, but somebody has to know."""
    return Finding(check, about, State.WARNING, what, hint)


def problem(check: str, about: str, what: str, hint: str) -> Finding:
    """The migration would stop there, or harm somebody."""
    return Finding(check, about, State.PROBLEM, what, hint)


def not_checked(check: str, about: str, what: str, hint: str) -> Finding:
    """It could not be looked at. That is never ok."""
    return Finding(check, about, State.NOT_CHECKED, what, hint)


def exit_code(findings: Sequence[Finding]) -> int:
    """1 with a problem; 3 where nothing, or not everything, was looked at; else 0."""
    states = {one.state for one in findings}
    if State.PROBLEM in states:
        return EXIT_PROBLEMS
    if State.NOT_CHECKED in states or not states:
        return EXIT_NOT_CHECKED
    return 0


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """As they are printed: what matters most stands last, where an operator looks first."""
    order = list(State)
    return sorted(findings, key=lambda one: order.index(one.state))


def summary(findings: Sequence[Finding]) -> str:
    """How many there are of each state: ``1 problem, 0 warnings, 1 not checked, 14 ok.``."""
    found = Counter(one.state for one in findings)
    words = [
        _counted(found[State.PROBLEM], "problem"),
        _counted(found[State.WARNING], "warning"),
        f"{found[State.NOT_CHECKED]} not checked",
        f"{found[State.OK]} ok",
    ]
    return ", ".join(words) + "."


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def as_json(name: str, findings: Sequence[Finding]) -> dict[str, Any]:
    """The answer for machines."""
    code = exit_code(findings)
    return {
        "ok": code == 0,
        "command": "doctor",
        "version": VERSION,
        "name": name,
        "exit_code": code,
        "counts": {str(state): sum(one.state is state for one in findings) for state in State},
        "findings": [one.as_json() for one in findings],
    }
