"""
What a pipeline shows of a run or of the gate: the job's summary, and annotations. Pure but for one file.

GitHub's formats: https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from ddbverify.evidence.evidence import Evidence
from ddbverify.gate.gate import Decision
from ddbverify.reports.summary import (
    MOST_BYTES,
    cut,
    empty_in_words,
    escaped,
    known_in_words,
    printable,
    unclaimed_in_words,
)
from ddbverify.words import number_of

MOST_ANNOTATIONS: Final = 10
"""GitHub shows no more of a kind for a step."""


def annotations_of_run(found: Evidence) -> list[str]:
    """One line for each check that has not passed, and for each reason why the run is not complete."""
    bad = [
        (
            "error" if check.counts else "warning",
            f"{check.name} {check.pair or ''}".strip(),
            f"{check.state}, {number_of(check.findings, 'finding')} in {check.examined} examined"
            + (f": {check.why}" if check.why else ""),
        )
        for check in sorted(found.checks, key=lambda check: not check.counts)
        if check.is_open
    ]
    unclaimed = [("error", "unclaimed", str(one)) for one in found.unclaimed if not one.allowed]
    return _limited([*bad, *(("error", "not complete", one) for one in found.shortcomings), *unclaimed])


def annotations_of_gate(decision: Decision) -> list[str]:
    """One line for each reason."""
    return _limited([("error", f"gate closed: {reason.code}", reason.message) for reason in decision.reasons])


def shows_annotations(environment: Mapping[str, str]) -> bool:
    """Whether this is a job that understands them."""
    return environment.get("GITHUB_ACTIONS") == "true"


def append_summary(text: str, environment: Mapping[str, str]) -> str | None:
    """
    Add to the job's summary, where there is one, as much as there is room for.

    Returns:
        Why that was not possible, in words; the job's outcome does not depend on it.
    """
    place = environment.get("GITHUB_STEP_SUMMARY")
    if not place:
        return None
    path = Path(place)
    try:
        room = MOST_BYTES - (path.stat().st_size if path.exists() else 0)
        with path.open("ab") as file:
            file.write(cut(text, room))
    except OSError as error:
        return f"the job's summary could not be written: {error.strerror}"
    return None


def gate_markdown(decision: Decision) -> str:
    """The gate's answer, for the job's summary."""
    head = f"## Gate {'open' if decision.open else 'closed'}\n\n"
    run = f"Run `{decision.evidence.run_id}`.\n" if decision.evidence else ""
    reasons = (f"* **{reason.code}**: {escaped(reason.message)}\n" for reason in decision.reasons)
    known = (f"* {escaped(known_in_words(one))}\n" for one in decision.known)
    allowed = (f"* {escaped(unclaimed_in_words(one))}\n" for one in decision.unclaimed)
    empty = (f"* {escaped(empty_in_words(one))}\n" for one in decision.empty)
    return head + run + "".join((*reasons, *known, *allowed, *empty))


def _limited(found: Sequence[tuple[str, str, str]]) -> list[str]:
    """At most ten; the last one then says how many there are more."""
    if len(found) > MOST_ANNOTATIONS:
        more = len(found) - MOST_ANNOTATIONS + 1
        found = [*found[: MOST_ANNOTATIONS - 1], ("error", "and more", f"{more} more; see the summary")]
    return [f"::{kind} title={_property(title)}::{_data(message)}" for kind, title, message in found]


def _data(text: str) -> str:
    # One line, since `printable` leaves no line ends: the escapes of those are for whoever changes it.
    return printable(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
