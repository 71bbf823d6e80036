"""A run in a table: for a terminal, and in Markdown for a job summary. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from ddbverify.evidence import Evidence
from ddbverify.record import CheckRecord, CheckState, ComparisonRecord

_HEADERS = ("check", "pair", "examined", "findings", "state")


def check_table(checks: Sequence[CheckRecord], *, markdown: bool = False) -> str:
    """One line per check."""
    rows = [
        (check.name, check.pair or "", check.examined, check.findings, check_state(check)) for check in checks
    ]
    # Without disable_numparse a pair named like a number would lose its form.
    return tabulate(rows, _HEADERS, tablefmt="github" if markdown else "simple", disable_numparse=True)


def accepted_lines(checks: Sequence[CheckRecord]) -> list[str]:
    """What differs and refutes nothing: one line for each pair and difference."""
    return [f"accepted: {check.pair or check.name}: {one}" for check in checks for one in check.accepted]


def markdown(evidence: Evidence) -> str:
    """``summary.md`` of a run."""
    lines = [
        f"# Verification {evidence.verdict}",
        "",
        f"Run `{evidence.run_id}`, coverage {evidence.coverage}"
        + (", against an emulator" if evidence.emulator else "")
        + ".",
        "",
        check_table(evidence.checks, markdown=True),
        "",
    ]
    for pair in evidence.pairs:
        lines += [f"* `{pair.source.arn}` -> `{pair.target.arn}`: {_counts(pair.comparison)}"]
    accepted = accepted_lines(evidence.checks)
    if accepted:
        lines += ["", "Differs, and refutes nothing:", "", *(f"* {one}" for one in accepted)]
    if evidence.shortcomings:
        lines += ["", "Not complete:", "", *(f"* {one}" for one in evidence.shortcomings)]
    return "\n".join(lines) + "\n"


def _counts(comparison: ComparisonRecord | None) -> str:
    if comparison is None:
        return "not compared"
    return ", ".join(f"{count} {state}" for state, count in comparison.counts.items() if count) or "no keys"


def check_state(check: CheckRecord) -> str:
    """Where a check stands, in words."""
    if check.state is CheckState.INCONCLUSIVE and check.only_churning:
        return "inconclusive (only churning keys)"
    if check.findings and check.state is CheckState.PASSED:
        return f"passed ({check.tolerated} findings tolerated)"
    if check.state is not CheckState.PASSED and not check.counts:
        return f"{check.state} (warns only)"
    return str(check.state)
