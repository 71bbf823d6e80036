"""What a page shows, section by section: numbers, sentences and marks. Pure; `templates/` lays it out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ddbverify.evidence import links
from ddbverify.evidence.evidence import Evidence, PairEvidence
from ddbverify.evidence.record import CheckRecord, CheckState
from ddbverify.page import plots, told
from ddbverify.page.origin import DiffSummary, Origin
from ddbverify.page.plots import Chart, Mark
from ddbverify.reports.summary import check_state, said_by_plugins
from ddbverify.tables.prices import PER_MILLION_READ_UNITS
from ddbverify.words import duration_in_words, instant_in_words, number_of

MOST_LISTED: Final = 40
MOST_CHECKS: Final = 300
MOST_PAIRS: Final = 40
MOST_CLAIMS: Final = 8
MOST_CAUSES: Final = 15

GLYPHS: Final = {
    **dict.fromkeys(("passed", "equal"), "✓"),
    **dict.fromkeys(("failed", "different"), "✗"),
    "inconclusive": "?",
}
_TONES: Final = {"✓": "good", "✗": "bad", "?": "open"}
_KINDS: Final = ("value", "type", "removed", "added")


@dataclass(frozen=True, slots=True)
class Listed:
    """The first of many lines."""

    lines: tuple[str, ...]
    more: int

    @classmethod
    def of(cls, texts: list[str]) -> Listed:
        """Keep as many as a page can take."""
        shown, more = told.first(texts, MOST_LISTED)
        return cls(tuple(shown), more)


@dataclass(frozen=True, slots=True)
class StateRow:
    """Keys of a pair in one state."""

    state: str
    keys: int | None
    share: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Cell:
    """Keys that differ in one attribute in one way."""

    keys: int
    shade: int


@dataclass(frozen=True, slots=True)
class PairView:
    """What was read of one pair."""

    name: str
    source: str
    target: str
    states: tuple[StateRow, ...]
    marks: tuple[Mark, ...]
    read: str
    settled: str
    matrix: tuple[tuple[str, tuple[Cell, ...]], ...]  # attribute -> one cell for each kind
    matrix_more: int
    untold: int  # keys that differ, and of which it is not known where
    notes: Listed


@dataclass(frozen=True, slots=True)
class CheckRow:
    """One check on one pair."""

    name: str
    pair: str
    state: str
    tone: str
    glyph: str
    examined: int
    findings: int
    claims: str
    cost: str
    why: str


@dataclass(frozen=True, slots=True)
class CutoverView:
    """The last attempt of a cutover."""

    sentence: str
    chart: Chart | None
    budget: str
    budget_length: float


@dataclass(frozen=True, slots=True)
class RowView:
    """The runs in a row."""

    streaks: tuple[int, ...]  # of this run and each before it: passed runs in a row up to it
    sentence: str


def glyph_of(verdict: str) -> str:
    """A sign that tells verdicts apart without colours."""
    return GLYPHS.get(verdict, "?")


def tone_of(verdict: str) -> str:
    """Which colours go with it."""
    return _TONES[glyph_of(verdict)]


def facts(origin: Origin) -> list[tuple[str, str]]:
    """The numbers of the first screen, each as the evidence or the summary has it."""
    about = origin.about
    if isinstance(about, DiffSummary):
        return [
            ("Source", about.tables.get("source", "")),
            ("Target", about.tables.get("target", "")),
            ("Started", about.started),
            ("Ended", about.ended),
            ("Read", _units(*(about.read_units.get(side) for side in ("source", "target", "both")))),
            ("SHA-256 of summary.json", origin.sha256),
            ("Signed by", "nobody: a diff leaves no evidence and opens no gate"),
        ]
    took = duration_in_words(about.ended_epoch - about.started_epoch)
    caller = about.identities.get("source") or "a caller that is not known"
    units = [
        value
        for pair in about.pairs
        if pair.comparison
        for value in (pair.comparison.source_read_units, pair.comparison.target_read_units)
    ]
    return [
        ("Run", about.run_id),
        ("Started", instant_in_words(about.started_epoch)),
        ("Ended", f"{instant_in_words(about.ended_epoch)}, after {took}"),
        *_extent(about),
        ("Read", _units(*units)),
        ("By", f"ddbverify {about.tool_version}, {caller}"),
        ("SHA-256 of evidence.json", origin.sha256),
        ("Signed by the key", origin.key_id),
    ]


def _extent(about: Evidence) -> list[tuple[str, str]]:
    link = links.link_of(about)
    if not links.is_link(about):
        why = links.why_full(about)
        return [
            ("Coverage", f"{about.coverage}; the whole tables were read: {why}" if why else about.coverage)
        ]
    if link is None:
        return [("Coverage", "changes only, of a run that is not named")]
    return [
        ("Coverage", "changes only, since the run of the evidence below"),
        ("SHA-256 of that", link.since),
        ("SHA-256 of the full pass's", link.base),
        *([("Streams", ends)] if (ends := links.ends_in_words(about)) else []),
    ]


def _units(*units: float | None) -> str:
    return f"{sum(one or 0 for one in units):,.1f} read units"


def pairs(about: Evidence | DiffSummary) -> list[PairView]:
    """Each pair."""
    if isinstance(about, DiffSummary):
        return [_diffed(about)]
    changes_only = links.is_link(about)
    planned = {fact.about: fact.value for fact in about.facts if fact.name == "planned-units"}
    return [_pair(pair, planned.get(pair.id), changes_only=changes_only) for pair in about.pairs[:MOST_PAIRS]]


def _states(counts: dict[str, int | None]) -> tuple[StateRow, ...]:
    total = sum(count or 0 for count in counts.values())
    return tuple(
        StateRow(state, counts[state], share(counts[state] or 0, total), meaning)
        for state, meaning in told.MEANINGS.items()
        if counts.get(state) or (state in ("matched", *told.REFUTING) and state in counts)
    )


def _diffed(about: DiffSummary) -> PairView:
    states = [state for state in told.MEANINGS if state not in ("known", "refuted")]
    counts = {state: getattr(about, state) for state in states}
    planned, read = about.segments.get("planned"), ""
    if planned is not None:
        read = f"{about.segments.get('finished'):,} of {number_of(planned, 'segment')} read to the end."
    return PairView(
        name="",
        source=about.tables.get("source", ""),
        target=about.tables.get("target", ""),
        states=_states(counts),
        marks=tuple(plots.stacked({state: count or 0 for state, count in counts.items()})),
        read=read,
        settled=f"{number_of(about.converged, 'key')} differed at first sight and converged."
        if about.converged
        else "",
        matrix=(),
        matrix_more=0,
        untold=0,
        notes=Listed.of(
            [
                *about.notes,
                *(f"{one.get('name')}: {one.get('keys')} keys of a list" for one in about.strata),
            ]
        ),
    )


def _pair(pair: PairEvidence, planned: object, *, changes_only: bool) -> PairView:
    read = pair.comparison
    how = "Looked up key by key"
    if read is not None and not changes_only:
        how = f"{read.segments_finished:,} of {number_of(read.segments_total, 'segment')} read to the end"
    counts = {
        state: read.counts.get(state, 0) if read else 0 for state in told.MEANINGS if state != "refuted"
    }
    matrix, more = _matrix(pair)
    untold = read.counts.get("different", 0) - read.different_told if read else 0
    return PairView(
        name=pair.id,
        source=pair.source.arn,
        target=pair.target.arn,
        states=_states(dict(counts)),
        marks=tuple(plots.stacked(counts)),
        read="No check has read these tables."
        if read is None
        else (
            f"{how}: {read.source_items:,} items of the source, {read.target_items:,} of the target, "
            f"{_units(read.source_read_units, read.target_read_units)} in "
            f"{number_of(read.requests, 'request')}, "
            f"{duration_in_words(read.ended_epoch - read.started_epoch)}."
            + _against(planned, read.source_read_units + read.target_read_units)
        ),
        settled=told.settled(pair),
        matrix=matrix,
        matrix_more=more,
        untold=untold,
        notes=Listed.of(said_by_plugins(read)),
    )


def _against(planned: object, units: float) -> str:
    """What was read, against what the tables' sizes had let expect, and what that costs."""
    usd = f"${units * PER_MILLION_READ_UNITS / 1e6:,.4f}"
    price = f" At AWS's price for us-east-1 that is {usd} on demand."
    if not isinstance(planned, int | float) or not planned:
        return price
    return (
        f" By the sizes that DynamoDB counts every six hours it was to take {planned:,.0f} read units: that "
        f"is {100 * units / planned:,.0f} % of it, settling included.{price}"
    )


def row(origin: Origin) -> RowView | None:
    """The runs in a row, and how many of them have passed one after the other, up to each."""
    if not isinstance(origin.about, Evidence):
        return None
    verdicts = [origin.about.verdict, *(one.verdict for one in origin.earlier)]
    streaks: list[int] = []
    for verdict in reversed(verdicts):
        streaks.insert(0, (streaks[0] if streaks else 0) + 1 if verdict == "passed" else 0)
    least = "at least " if verdicts and all(one == "passed" for one in verdicts) and origin.earlier else ""
    return RowView(
        tuple(streaks),
        f"Passed in a row, up to this one: {least}{streaks[0]}. [gate] clean_runs asks for "
        f"{origin.clean_runs}.",
    )


def _matrix(pair: PairEvidence) -> tuple[tuple[tuple[str, tuple[Cell, ...]], ...], int]:
    """Attributes in which items differ, the commonest first, against the ways."""
    found = pair.comparison.different_in if pair.comparison else ()
    keys: dict[str, dict[str, int]] = {}
    for one in found:
        keys.setdefault(one.attribute, {})[one.kind] = one.keys
    ranked = sorted(keys, key=lambda name: (-max(keys[name].values()), name))
    most = max((one.keys for one in found), default=0)
    rows = tuple(
        (
            name,
            tuple(
                Cell(count, plots.shade(count, most))
                for kind in _KINDS
                for count in (keys[name].get(kind, 0),)
            ),
        )
        for name in ranked[:MOST_CAUSES]
    )
    return rows, max(0, len(ranked) - MOST_CAUSES)


def checks(found: Evidence) -> tuple[list[CheckRow], int]:
    """Every check, those that have not passed first; and how many are not shown."""
    ranked = sorted(found.checks, key=lambda check: (not check.is_open, not check.counts))
    rows = [_check(check) for check in ranked[:MOST_CHECKS]]
    return rows, max(0, len(ranked) - MOST_CHECKS)


def _check(check: CheckRecord) -> CheckRow:
    failed, idle = check.state is CheckState.FAILED, check.state is CheckState.NOT_APPLICABLE
    more = len(check.claims) - MOST_CLAIMS
    return CheckRow(
        name=check.name,
        pair=check.pair or "",
        state=check_state(check),
        tone="quiet"
        if idle
        else "good"
        if not check.is_open
        else "bad"
        if failed and check.counts
        else "open",
        glyph="✓" if check.state is CheckState.PASSED else "✗" if failed else "·",
        examined=check.examined,
        findings=check.findings,
        claims=", ".join(check.claims[:MOST_CLAIMS]) + (f" and {more} more" if more > 0 else ""),
        cost=f"{check.seconds:.1f} s" if check.seconds >= 0.05 else "0 s",
        why=check.why,
    )


def share(part: int, whole: int) -> str:
    """``98 %``; neither 0 nor 100 for what is not."""
    if not part or not whole:
        return "0 %" if whole else ""
    percent = 100 * part / whole
    if part < whole and percent > 99.9:
        return "> 99.9 %"
    return "< 0.1 %" if percent < 0.1 else f"{percent:.1f} %".replace(".0 %", " %")


def cutover(origin: Origin) -> CutoverView | None:
    """The last attempt, if the evidence of one is here."""
    found = origin.cutover
    if found is None:
        return None
    by = ""
    if found.verified_by is not None:
        same = found.verified_by.sha256 == origin.sha256
        other = f"the run {found.verified_by.run_id}, not this one"
        by = f" It was verified by {'this run' if same else other}."
    if found.outcome == "flipped":
        said = f"The application was moved at {found.written}: {found.pointer} is {found.value}.{by}"
    else:
        why = (found.reason or "for a reason that is not known").rstrip(".")
        said = f"The last cutover was rolled back at {found.written}: {why}.{by}"
    return cutover_chart(said, found.steps, origin.fence_limit)


def cutover_chart(said: str, steps: Mapping[str, str], limit: float) -> CutoverView:
    """
    An attempt at a cutover on one line of time.

    Args:
        said: What became of it, in a sentence.
        steps: Name -> ISO 8601 time at which it was done, in order.
        limit: Seconds that ``fence_limit`` allows.
    """
    chart = plots.gantt(steps)
    stood = chart.fenced_seconds if chart else 0.0
    return CutoverView(
        said,
        chart,
        f"From the moment in which the fence kept writes off to the last step: {duration_in_words(stood)} of "
        f"the {duration_in_words(limit)} that fence_limit allows.",
        round(min(plots.WIDTH, plots.WIDTH * stood / limit), 1) if limit else 0.0,
    )
