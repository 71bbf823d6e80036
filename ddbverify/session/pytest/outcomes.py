"""
What one phase of a check comes to, and what may be shown of it.

The message of our own exceptions, or the place in the check's source; never a traceback, an
operand, a warning or captured output, because those hold the values of items.
"""

from __future__ import annotations

import traceback
from typing import Final

import msgspec
import pytest

from ddbverify.compare.inspection import kind_of
from ddbverify.errors import CheckFailed, DdbVerifyError, EngineError, Inconclusive, TransformError
from ddbverify.evidence.record import CheckRecord, CheckState
from ddbverify.session.pytest.items import CHECKING, blank_record, item_check_of, pair_of, place, settings_of
from ddbverify.suite.blindness import claims_of
from ddbverify.suite.marks import Severity
from ddbverify.suite.verdicts import UNDECIDED, NotApplicable, Outcome, StillChurning, Verdict, without_hashes
from ddbverify.words import plain

CAUSES_SHOWN: Final = 5
"""Of a check, in evidence; the pair's own have more."""

VERDICTS = pytest.StashKey[list[Verdict]]()
"""Of an item: what it has learned."""

SEES = pytest.StashKey[bool]()
"""Of an item: whether it has noticed, on altered copies, all that it covers."""

SECONDS = pytest.StashKey[float]()
"""Of an item: how long its own code has taken."""

_REFUSED = (CheckState.FAILED, CheckState.INCONCLUSIVE, CheckState.ERRORED)

_UNDECIDED = (Inconclusive, EngineError, TransformError)


_NOT_AWAITED: Final = "it is async, and nothing here awaits it"


class OwnInterrupt(Exception):
    """A check has raised KeyboardInterrupt itself; nobody has pressed Ctrl-C."""


def state_of(
    report: pytest.TestReport,
    call: pytest.CallInfo[None],
    verdicts: list[Verdict],
    *,
    is_shipped: bool = False,
) -> CheckState | None:
    """
    What one phase of a check says about it; ``None`` when it says nothing new.

    Args:
        report: As pytest has made it.
        call: How the phase ended.
        verdicts: What was required.
        is_shipped: It is a check of the default suite as it came with us.
    """
    if hasattr(report, "wasxfail") or (report.failed and call.excinfo is None):
        return CheckState.XFAILED  # also one that was expected to fail and passed
    if report.skipped:
        return CheckState.SKIPPED
    if report.when != "call":
        return CheckState.ERRORED if report.failed else None
    outcomes = {verdict.outcome for verdict in verdicts}
    error = call.excinfo.value if call.excinfo else None
    if _is_not_awaited(error):
        return CheckState.ERRORED
    # The verdict counts, not what the function did with the exception that it got for it.
    if isinstance(error, AssertionError | pytest.fail.Exception) or Outcome.FAILED in outcomes:
        return CheckState.FAILED
    if isinstance(error, NotApplicable) and is_shipped:
        return CheckState.NOT_APPLICABLE
    if isinstance(error, _UNDECIDED) or (error is None and Outcome.INCONCLUSIVE in outcomes):
        return CheckState.INCONCLUSIVE
    return CheckState.PASSED if error is None else CheckState.ERRORED


def _is_not_awaited(error: BaseException | None) -> bool:
    """Whether pytest has failed a check because it is async: its code was not run."""
    frames = traceback.walk_tb(error.__traceback__ if isinstance(error, pytest.fail.Exception) else None)
    return any(
        frame.f_code.co_name == "async_fail" and frame.f_globals["__name__"] == "_pytest.python"
        for frame, _ in frames
    )


def message_of(state: CheckState, call: pytest.CallInfo[None], item: pytest.Item) -> str:
    """What may be shown: our own words, or the place; other messages could hold values."""
    if call.excinfo is None:
        swallowed = state in (CheckState.FAILED, CheckState.INCONCLUSIVE)
        return "the check went on after a verdict that had not passed" if swallowed else ""
    error = call.excinfo.value
    if state is CheckState.NOT_APPLICABLE:
        return str(getattr(error, "message", ""))
    if isinstance(error, DdbVerifyError):
        return str(error)
    if _is_not_awaited(error):
        return (
            f"{state}: {_NOT_AWAITED}; make it `def`, or name a plugin that does in [checks] pytest_plugins"
        )
    if item.config.stash[CHECKING].reveal:
        return f"{state}: {call.excinfo.getrepr(style='short', showlocals=True)}"
    name = "KeyboardInterrupt" if isinstance(error, OwnInterrupt) else kind_of(type(error))
    return f"{state}: {name} {place(call.excinfo, item.path)}"


def why_of(state: CheckState, verdicts: list[Verdict], call: pytest.CallInfo[None], item: pytest.Item) -> str:
    """
    Why a check has not passed, for evidence that others read: in one line, without hashes of keys.

    Of findings it says how they differ (attribute and kind, setting, or line of the check), and how many
    differ so; never which they are, and never a value.
    """
    error = call.excinfo.value if call.excinfo else None
    if state not in (*_REFUSED, CheckState.NOT_APPLICABLE):
        return ""
    if call.excinfo is None:
        return message_of(state, call, item)
    if isinstance(error, CheckFailed):
        return _causes(verdicts, place(call.excinfo, item.path))
    if isinstance(error, DdbVerifyError):
        return (
            without_hashes(error.message).removeprefix(UNDECIDED).removeprefix("Not applicable: ").rstrip(".")
        )
    if _is_not_awaited(error):
        return _NOT_AWAITED
    name = "KeyboardInterrupt" if isinstance(error, OwnInterrupt) else kind_of(type(error))
    # Without the line of source that a terminal shows: a check may compare with a value.
    return f"{name} {place(call.excinfo, item.path).partition(': ')[0]}"


def _causes(verdicts: list[Verdict], where: str) -> str:
    """How findings differ, in one line, behind the line of the check that found them."""
    causes = [cause for verdict in verdicts if verdict.is_refuted for cause in verdict.causes]
    said = "; ".join(causes[:CAUSES_SHOWN])
    if len(causes) > CAUSES_SHOWN:
        said += f"; and {len(causes) - CAUSES_SHOWN} more"
    line = where.removeprefix("at ").partition(": ")[0] if where.startswith("at ") else ""
    return plain(": ".join(one for one in (line, said) if one))


def record_of(
    item: pytest.Item, state: CheckState, verdicts: list[Verdict], call: pytest.CallInfo[None]
) -> CheckRecord:
    """The record of a check that was called, with what it has learned."""
    decided = state in (CheckState.PASSED, CheckState.FAILED)
    error = call.excinfo.value if call.excinfo else None
    refuted = sum(verdict.refuted for verdict in verdicts)
    item_check, pair = item_check_of(item), pair_of(item)
    seconds = item.stash.get(SECONDS, 0.0)
    if item_check is not None and pair is not None and pair.compared is not None:
        inspected = pair.compared.inspected.get(item_check.id)
        seconds = inspected.seconds if inspected else seconds
    return msgspec.structs.replace(
        blank_record(item, state),
        # Without a verdict it has examined the one thing it was given.
        examined=sum(verdict.examined for verdict in verdicts) if verdicts or not decided else 1,
        findings=refuted or int(state is CheckState.FAILED),
        tolerated=sum(verdict.tolerated for verdict in verdicts if verdict.refuted),
        seconds=seconds,
        accepted=tuple(one for verdict in verdicts for one in verdict.accepted),
        only_churning=state is CheckState.INCONCLUSIVE
        and isinstance(error, StillChurning)
        and all(verdict.only_churning or verdict.outcome is Outcome.PASSED for verdict in verdicts),
        claims=_claims(item, state),
        why=why_of(state, verdicts, call, item),
    )


def _claims(item: pytest.Item, state: CheckState) -> tuple[str, ...]:
    """What it covers, proven by its controls; one that has failed has noticed something, and needs none."""
    proven = state is CheckState.PASSED and item.stash.get(SEES, False)
    return claims_of(settings_of(item).covers) if proven or state is CheckState.FAILED else ()


def properties(check: CheckRecord) -> list[tuple[str, object]]:
    """What a JUnit report says about a check, beside how it ended."""
    return [
        ("ddb_pair", check.pair or ""),
        ("ddb_state", str(check.state)),
        ("ddb_severity", str(check.severity)),
        ("ddb_coverage", str(check.coverage)),
        ("ddb_examined", check.examined),
        ("ddb_findings", check.findings),
        ("ddb_tolerated", check.tolerated),
        ("ddb_seconds", round(check.seconds, 6)),
    ]


def show(report: pytest.TestReport, state: CheckState, message: str, item: pytest.Item) -> None:
    """Let *report* say what the state is, and nothing that could hold a value."""
    report.ddb_state = state  # type: ignore[attr-defined]  # read back by pytest_report_teststatus
    refused = state in _REFUSED
    if state is CheckState.NOT_APPLICABLE:
        report.outcome, report.longrepr = "passed", None
    if refused and settings_of(item).severity is Severity.WARN:
        report.ddb_warns = True  # type: ignore[attr-defined]
        # Not "passed" where a fixture has failed: pytest would go on to call the check without it.
        report.outcome = "skipped" if report.when == "setup" else "passed"
        skipped = (str(item.path), item.location[1] or 0, f"Skipped: {message}")
        report.longrepr = skipped if report.when == "setup" else None
    elif refused:
        report.outcome = "failed"  # also where the check swallowed its verdict
        report.longrepr = message
    elif report.when == "call" and state is CheckState.SKIPPED:
        report.longrepr = (str(item.path), item.location[1] or 0, "Skipped: by the check itself")
    elif report.when == "call" and state is CheckState.XFAILED:
        report.longrepr = message
        report.wasxfail = ""  # the reason may be made of values
