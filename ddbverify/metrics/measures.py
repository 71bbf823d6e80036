"""
What is measured: each metric once, with its unit and its meaning, and the numbers of what has ended. Pure.

Labels are few and bounded: a migration, a pair, a side, and words of ours. No key, no value, no account and
no name of an attribute is in one, since names below a map can be data.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from ddbverify.evidence.cutover import Outcome
from ddbverify.evidence.evidence import Evidence, PairEvidence
from ddbverify.evidence.record import CheckState
from ddbverify.gate.gate import Decision

CAUSES: Final = ("missing", "extraneous", "removed", "added", "type", "value", "other")
"""How an item can differ; ``other`` is what none of these words says."""

VERDICTS: Final = ("passed", "failed", "inconclusive")
_PREFIX: Final = "ddbverify"
OUTCOMES: Final = ("flipped", "rolled-back")


@dataclass(frozen=True, slots=True)
class Metric:
    """
    One metric.

    Args:
        key: Its name here.
        meaning: In a sentence.
        unit: ``s`` for seconds (a moment is seconds since the epoch), else ``1``.
    """

    key: str
    meaning: str
    unit: str = "1"

    @property
    def name(self) -> str:
        """As OpenTelemetry and statsd have it."""
        return f"{_PREFIX}.{self.key}"

    @property
    def prometheus(self) -> str:
        """
        The name by Prometheus' conventions.

        Source:
            https://prometheus.io/docs/practices/naming/
        """
        return self.name.replace(".", "_") + ("_seconds" if self.unit == "s" else "")


@dataclass(frozen=True, slots=True)
class Measured:
    """A number, and what it is of."""

    metric: str  # one of `METRICS`
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


METRICS: Final = {
    one.key: one
    for one in (
        Metric("run.verdict", "1 for the verdict of the run, 0 for the others."),
        Metric("run.complete", "Whether the run did all that it should."),
        Metric("run.duration", "How long the run took.", "s"),
        Metric("run.end.timestamp", "When the run ended.", "s"),
        Metric("run.findings", "Keys by the state that makes them findings."),
        Metric("run.differences", "Places in which items differ, and items without a partner, by how."),
        Metric("run.items", "Items that were read."),
        Metric("run.read_units", "Read units that were consumed."),
        Metric("run.converged_keys", "Keys that differed at first, and then did not."),
        Metric("run.checks", "Checks by their state."),
        Metric("run.unclaimed_keys", "Keys that differ, and that no check has answered for."),
        Metric("gate.open", "Whether the gate was open when it was asked last."),
        Metric("gate.reasons", "Reasons that keep the gate closed, by their code."),
        Metric("gate.judged.timestamp", "When the gate was asked last.", "s"),
        Metric("replication.lag", "Age of the newest change that was applied.", "s"),
        Metric("replication.oldest_message", "How long the oldest message waits.", "s"),
        Metric("replication.stream_behind", "How far the forwarder is behind the stream.", "s"),
        Metric("replication.backlog_messages", "Messages in the queue."),
        Metric("replication.dead_letters", "Messages that were delivered too often."),
        Metric("replication.quarantined_keys", "Keys in the quarantine."),
        Metric("replication.gap", "Whether changes may be lost."),
        Metric("replication.canary_lag", "What a share of all canaries took at most.", "s"),
        Metric("replication.cost_usd", "What following has cost so far, an estimate in US dollars."),
        Metric("cutover.outcome", "1 for what the latest attempt came to, 0 for the other."),
        Metric("cutover.refused", "For how long the fence refused writes.", "s"),
        Metric("cutover.fence_limit", "For how long it might have.", "s"),
        Metric("cutover.step.timestamp", "When a step of the latest attempt was done.", "s"),
    )
}

_COUNTED: Final = ("missing", "extraneous", "different", "uncomparable", "churning", "undecided")


def of_run(found: Evidence, migration: str) -> list[Measured]:
    """The numbers of a run, from its evidence."""
    whole = {"migration": migration}
    made = [
        *_states("run.verdict", "verdict", found.verdict, VERDICTS, whole),
        Measured("run.complete", float(found.complete), whole),
        Measured("run.duration", max(0.0, found.ended_epoch - found.started_epoch), whole),
        Measured("run.end.timestamp", found.ended_epoch, whole),
    ]
    states = Counter(str(check.state) for check in found.checks)
    made += [
        Measured("run.checks", states[state], {**whole, "state": state}) for state in map(str, CheckState)
    ]
    unclaimed: Counter[tuple[str, str]] = Counter()
    for one in found.unclaimed:
        unclaimed[one.pair, one.state] += 0 if one.allowed else one.keys
    for pair in found.pairs:
        labels = {**whole, "pair": pair.id}
        made += _of_pair(pair, labels)
        for state in ("missing", "extraneous", "different"):
            keys = unclaimed[pair.id, state]
            made.append(Measured("run.unclaimed_keys", keys, {**labels, "state": state}))
    return made


def _of_pair(pair: PairEvidence, labels: Mapping[str, str]) -> Iterator[Measured]:
    found = pair.comparison
    if found is None:  # nothing was read: a nought would say that nothing differs
        return
    yield from _findings({state: found.counts.get(state, 0) for state in _COUNTED}, labels)
    causes = {"missing": found.counts.get("missing", 0), "extraneous": found.counts.get("extraneous", 0)}
    for one in found.different_in:
        causes[str(one.kind)] = causes.get(str(one.kind), 0) + one.keys
    yield from _causes(causes, labels)
    yield from _sides("run.items", found.source_items, found.target_items, labels)
    yield from _sides("run.read_units", found.source_read_units, found.target_read_units, labels)
    yield Measured("run.converged_keys", found.converged, labels)


def of_diff(
    summary: Mapping[str, Any], causes: Mapping[str, int], source: str, target: str, exit_code: int
) -> list[Measured]:
    """
    The numbers of a diff, from its summary; what a diff that was cut short does not know is left out.

    Args:
        causes: Kind -> findings, as `Causes.kinds` has them.
        source: Name of the table.
        target: Likewise.
        exit_code: Of the command: a diff whose outcome could not be kept has not passed.
    """
    whole = {"migration": "", "pair": f"{source} {target}"}
    verdict = {0: "passed", 1: "failed"}.get(exit_code, "inconclusive")
    began, ended = (datetime.fromisoformat(summary[moment]).timestamp() for moment in ("started", "ended"))
    made = [
        *_states("run.verdict", "verdict", verdict, VERDICTS, whole),
        Measured("run.complete", float(bool(summary["complete"])), whole),
        Measured("run.duration", max(0.0, ended - began), whole),
        Measured("run.end.timestamp", ended, whole),
        *_findings({state: number for state, number in summary.items() if number is not None}, whole),
    ]
    made += _causes(causes, whole)
    for name, key in (("run.items", "items"), ("run.read_units", "read_units")):
        sides = summary[key]
        if sides["source"] is not None and sides["target"] is not None:
            made += _sides(name, sides["source"], sides["target"], whole)
    if summary["converged"] is not None:
        made.append(Measured("run.converged_keys", summary["converged"], whole))
    return made


def of_gate(decision: Decision, migration: str, now: float) -> list[Measured]:
    """
    What the gate said.

    Args:
        now: Seconds since the epoch.
    """
    whole = {"migration": migration}
    reasons = Counter(reason.code for reason in decision.reasons)
    return [
        Measured("gate.open", float(decision.open), whole),
        Measured("gate.judged.timestamp", now, whole),
        *(
            Measured("gate.reasons", number, {**whole, "code": code})
            for code, number in sorted(reasons.items())
        ),
    ]


def of_replication(migration: str, pairs: Mapping[str, Mapping[str, float | None]]) -> list[Measured]:
    """
    How the target follows; what is not known is left out, never nought.

    Args:
        pairs: Id -> the last part of a metric's name, with the share of a canary's behind a space -> number.
    """
    made = []
    for pair, numbers in pairs.items():
        for name, value in numbers.items():
            metric, _, share = name.partition(" ")
            labels = {"migration": migration, "pair": pair, **({"quantile": share} if share else {})}
            if value is not None:
                made.append(Measured(f"replication.{metric}", float(value), labels))
    return made


def of_cutover(
    migration: str, outcome: Outcome, steps: Mapping[str, str], *, fence_limit: float
) -> list[Measured]:
    """
    What an attempt came to.

    Args:
        steps: Name -> ISO 8601 time at which it was done.
        fence_limit: In seconds.
    """
    whole = {"migration": migration}
    moments = {name: datetime.fromisoformat(at).timestamp() for name, at in steps.items()}
    made = [
        *_states("cutover.outcome", "outcome", outcome, OUTCOMES, whole),
        Measured("cutover.fence_limit", fence_limit, whole),
        *(Measured("cutover.step.timestamp", at, {**whole, "step": name}) for name, at in moments.items()),
    ]
    # A fence that was put ahead holds later. Behind the flip the other table takes writes.
    begun, over = moments.get("fence-holds", moments.get("fence")), moments.get("flip", moments.get("lifted"))
    if begun is not None and over is not None:
        made.append(Measured("cutover.refused", max(0.0, over - begun), whole))
    return made


def _states(
    metric: str, label: str, held: str, every: Iterable[str], labels: Mapping[str, str]
) -> Iterator[Measured]:
    """A word as numbers: 1 for the one that holds, so that an alert needs no text."""
    return (Measured(metric, float(one == held), {**labels, label: one}) for one in every)


def _findings(counts: Mapping[str, int], labels: Mapping[str, str]) -> Iterator[Measured]:
    for state, number in counts.items():
        if state in _COUNTED:
            yield Measured("run.findings", number, {**labels, "state": str(state)})


def _causes(counts: Mapping[str, int], labels: Mapping[str, str]) -> Iterator[Measured]:
    known = Counter({cause: counts.get(cause, 0) for cause in CAUSES})
    known["other"] += sum(number for cause, number in counts.items() if cause not in CAUSES)
    for cause in CAUSES:
        yield Measured("run.differences", known[cause], {**labels, "cause": cause})


def _sides(metric: str, source: float, target: float, labels: Mapping[str, str]) -> Iterator[Measured]:
    yield Measured(metric, source, {**labels, "side": "source"})
    yield Measured(metric, target, {**labels, "side": "target"})
