"""What a run came to: for the command that shows it, and as ``--json`` prints it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from ddbverify.evidence import folders, links, signing
from ddbverify.evidence.evidence import Evidence, PairEvidence


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run came to, and where it lies."""

    folder: Path
    evidence: Evidence
    exit_code: int
    unreported: tuple[str, ...] = ()  # what went wrong with plugins that report; the evidence stands
    new_key: signing.FileKey | None = None
    trusted: bool = True  # whether this configuration believes what it has just signed

    def as_json(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        found, changed = self.evidence, links.changed_in(self.evidence)
        return {
            "command": "run",
            "run_id": found.run_id,
            "folder": str(self.folder),
            "evidence": str(self.folder / folders.EVIDENCE),
            "verdict": found.verdict,
            "exit_code": self.exit_code,
            "complete": found.complete,
            "shortcomings": list(found.shortcomings),
            "unclaimed": [msgspec.to_builtins(one) for one in found.unclaimed],
            "only_churning": found.only_churning,
            "trusted": self.trusted,
            "unreported": list(self.unreported),
            "coverage": found.coverage,
            "since": link.since if (link := links.link_of(found)) else None,
            "full_pass": links.why_full(found),
            "checks": [
                {
                    "name": check.name,
                    "pair": check.pair,
                    "state": str(check.state),
                    "examined": check.examined,
                    "findings": check.findings,
                    "tolerated": check.tolerated,
                    "severity": str(check.severity),
                    "seconds": check.seconds,
                    "accepted": list(check.accepted),
                    "only_churning": check.only_churning,
                    "why": check.why,
                }
                for check in found.checks
            ],
            "pairs": [
                {
                    "id": pair.id,
                    "source": pair.source.arn,
                    "target": pair.target.arn,
                    "counts": dict(pair.comparison.counts) if pair.comparison else {},
                    "changed": changed.get(pair.id),
                    "empty": pair.id in found.empty_pairs,
                    "converged": pair.comparison.converged if pair.comparison else 0,
                    "read_units": _read_units(pair),
                    "causes": [
                        cause
                        for fact in found.facts
                        if fact.name == "causes" and fact.about == pair.id and isinstance(fact.value, tuple)
                        for cause in fact.value
                    ],
                }
                for pair in found.pairs
            ],
        }


def _read_units(pair: PairEvidence) -> float:
    if pair.comparison is None:
        return 0.0
    return pair.comparison.source_read_units + pair.comparison.target_read_units
