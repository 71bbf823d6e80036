"""What a diff came to: the comparison, or how far it was, added up to a verdict and a summary."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from ddbverify.compare.causes import Causes
from ddbverify.compare.comparison import Comparison
from ddbverify.compare.point_values import PointValues
from ddbverify.compare.request import Progress
from ddbverify.diff.findings import FINDING_STATES, REFUTING, STATES, Findings
from ddbverify.diff.request import Work
from ddbverify.errors import Inconclusive
from ddbverify.items.states import State
from ddbverify.suite.verdicts import comparison_verdict
from ddbverify.tables.table import Table
from ddbverify.words import number_of, were

EXIT_CODES: Final = {"equal": 0, "different": 1, "inconclusive": 3}

OPEN: Final = (State.UNCOMPARABLE, State.CHURNING, State.UNDECIDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a diff came to."""

    source: Table
    target: Table
    summary: Mapping[str, Any]  # as it is printed
    shown: tuple[Mapping[str, Any], ...]  # the first findings
    causes: Causes
    findings_file: Path | None
    repair: Path | None = None  # the folder with what can be repaired, if anything can
    unwritten: Inconclusive | None = None  # why the folder does not hold the outcome

    @property
    def findings(self) -> int:
        """How many there are."""
        return sum(self.summary[state] for state in FINDING_STATES)

    @property
    def exit_code(self) -> int:
        """0 equal, 1 different, 3 inconclusive, or equal and the folder does not say so."""
        code = EXIT_CODES[self.summary["verdict"]]
        return EXIT_CODES["inconclusive"] if self.unwritten is not None and code == 0 else code


@dataclass(frozen=True, slots=True)
class Ended:
    """A comparison that did not come to its end, and how far it was."""

    reason: str
    progress: Progress | None


def verdict_of(comparison: Comparison) -> tuple[str, tuple[str, ...]]:
    """
    ``equal``, ``different`` or ``inconclusive``, and every reason why it is not complete.

    A difference stands whatever else went wrong; ``equal`` needs everything to have been read
    and decided, so a sample is never equal.
    """
    judged = comparison_verdict(comparison, refuting=REFUTING)
    reasons = list(judged.unexamined)
    for stratum in comparison.strata:
        undecided = sum(stratum.counts.get(state, 0) for state in OPEN)
        if undecided:
            reasons.append(f"{number_of(undecided, 'key')} of {stratum.name} were not decided")
    if judged.churning:
        reasons.append(f"{number_of(judged.churning, 'key')} never held still long enough to be decided")
    if comparison.is_sample:
        reasons.append(
            f"it is a sample: {comparison.segments_planned:,} of {comparison.segments_total:,} segments "
            "were to be read"
        )
    if judged.examined == 0:
        reasons.append("no key was compared, and nothing proves nothing")
    counts = (comparison.counts, *(stratum.counts for stratum in comparison.strata))
    if any(one.get(state) for state in REFUTING for one in counts):
        return "different", tuple(reasons)
    return "inconclusive" if reasons else "equal", tuple(reasons)


def summary_of(work: Work, outcome: Comparison | Ended, findings: Findings) -> dict[str, Any]:
    """
    The summary as ``--format jsonl`` and ``summary.json`` have it (docs/commands.md).

    Args:
        work: What was compared.
        outcome: The comparison, or why it did not come to its end.
        findings: All that were taken.
    """
    if isinstance(outcome, Ended):
        summary = _unfinished(outcome, findings, work.options.seed)
    else:
        summary = _finished(outcome, findings)
    return _with_values_read(summary, work.values) | _about(work, findings)


def _finished(comparison: Comparison, findings: Findings) -> dict[str, Any]:
    verdict, reasons = verdict_of(comparison)
    notes = list(comparison.notes)
    counted = sum(comparison.counts.get(state, 0) for state in FINDING_STATES)
    counted += sum(stratum.listed for stratum in comparison.strata)
    if findings.total != counted:
        # A defect of ours if it ever happens; then the list must not look like all there is.
        reasons = (
            *reasons,
            f"{number_of(counted, 'finding')} {were(counted)} counted, {findings.total:,} listed",
        )
    if comparison.converged:
        notes.append(
            f"{number_of(comparison.converged, 'key')} differed at first and converged, the slowest "
            f"within {comparison.slowest_convergence_seconds:.1f} s"
        )
    sides = {"source": comparison.source, "target": comparison.target}
    return {
        "verdict": "inconclusive" if verdict == "equal" and reasons else verdict,
        "complete": not reasons,
        "finished": comparison.segments_finished == comparison.segments_planned
        and not comparison.unexamined
        and not comparison.counts.get(State.UNDECIDED),
        "reasons": list(reasons),
        **{str(state): comparison.counts.get(state, 0) for state in STATES},
        "read_units": {name: side.read_units for name, side in sides.items()},
        "requests": {name: side.requests for name, side in sides.items()},
        "items": {name: side.items for name, side in sides.items()},
        "segments": {
            "planned": comparison.segments_planned,
            "finished": comparison.segments_finished,
            "total": comparison.segments_total,
        },
        "seed": comparison.seed,
        "strata": [stratum.as_json() for stratum in comparison.strata],
        "converged": comparison.converged,
        "notes": notes,
    }


def _unfinished(ended: Ended, findings: Findings, seed: int | None) -> dict[str, Any]:
    """What is known of a comparison that was cut short: its findings, and how far it was."""
    progress = ended.progress
    differs = any(findings.counts[state] for state in REFUTING)
    return {
        "verdict": "different" if differs else "inconclusive",
        "complete": False,
        "finished": False,
        "reasons": [ended.reason],
        **{str(state): findings.counts[state] if state in FINDING_STATES else None for state in STATES},
        "read_units": {"source": None, "target": None, "both": progress.read_units if progress else 0.0},
        "requests": {"source": None, "target": None},
        "items": {"source": None, "target": None},
        "segments": {
            "planned": progress.segments_planned if progress else None,
            "finished": progress.segments_finished if progress else 0,
            "total": None,
        },
        "seed": seed,
        "strata": [],
        "converged": None,
        "notes": [],
    }


def _with_values_read(summary: dict[str, Any], values: PointValues | None) -> dict[str, Any]:
    """What ``--values`` has read is on the same bill."""
    if values is None:
        return summary
    units = dict(summary["read_units"])
    for name, reader in (("source", values.source), ("target", values.target)):
        if units[name] is not None:
            units[name] += reader.read_units
        else:
            units["both"] += reader.read_units
    return summary | {"read_units": units}


def _about(work: Work, findings: Findings) -> dict[str, Any]:
    return {
        "causes": [
            {"finding": str(cause.state), "cause": cause.text, "findings": cause.findings}
            for cause in findings.causes.most_common()
        ],
        "tables": {"source": work.source.arn, "target": work.target.arn},
        "exports": {role: export.as_json() for role, export in work.exports.items()},
        "started": _moment(work.started_epoch),
        "ended": _moment(time.time()),
    }


def _moment(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="seconds")
