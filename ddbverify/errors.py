"""
What can go wrong, and what to do about it.

::

    DdbVerifyError
    ├── ConfigurationError     the run could not start: fix migration.toml or the command line
    ├── EngineError            AWS refused a call
    │   ├── NotFoundError      ... the thing asked for does not exist
    │   ├── AccessError        ... credentials or permissions
    │   ├── ThrottledError     ... and the same call may work later
    │   └── BudgetSpentError   it was not even sent: the budget is spent
    ├── TransformError         the user's transform raised, or returned what it must not
    ├── Inconclusive           a check ran, and could not decide
    │   └── PluginError        ... because of a plugin: it raised, hung or answered what makes no sense
    ├── CheckFailed            a check's claim is refuted
    └── Refused                a step that must not be taken now (gate closed, wrong order)

No message holds the value of an item, or a raw key.
"""

from __future__ import annotations


class DdbVerifyError(Exception):
    """An expected failure: *message* says what happened, *hint* what to do now."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message, hint)  # both, so that the error survives pickling
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  Try: {self.hint}"


class ConfigurationError(DdbVerifyError):
    """The run could not start; the hint names the table and key to change."""


class EngineError(DdbVerifyError):
    """AWS (or the emulator in its place) refused a call."""


class NotFoundError(EngineError):
    """The table, queue, stack or parameter asked for does not exist."""


class AccessError(EngineError):
    """Credentials are missing, expired, or lack a permission."""


class ThrottledError(EngineError):
    """AWS asked for patience and the retries are used up; the same call may work later."""


class UnreadableKeyError(EngineError):
    """An item of an answer has no key that can be read; which table it is of, the answer's reader knows."""


class BudgetSpentError(EngineError):
    """The call was not sent, and none will be: the pass may cost no more."""


class TransformError(DdbVerifyError):
    """The user's transform raised, or returned something that is not an item of the target."""


class Inconclusive(DdbVerifyError):
    """The check ran, and could not decide. Never "equal"."""


class PluginError(Inconclusive):
    """A plugin raised, did not come back, or answered what makes no sense; it is named."""


class CheckFailed(DdbVerifyError, AssertionError):
    """The claim of a check is refuted."""


class Refused(DdbVerifyError):
    """A step that must not be taken now: the gate is closed, or an earlier step is missing."""
