"""What an event log has told so far, for a terminal and for the live page: rows and marks. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ddbverify.evidence.events import ENDED, Event
from ddbverify.evidence.following import Following, Moving
from ddbverify.evidence.tail import Told
from ddbverify.page import course, plots
from ddbverify.page import told as told_words
from ddbverify.page.plots import Mark
from ddbverify.page.view import (
    MOST_LISTED,
    MOST_PAIRS,
    CutoverView,
    cutover_chart,
    glyph_of,
    tone_of,
)
from ddbverify.words import duration_in_words, money, number_of

STREAM_KEEPS: Final = "24 h"
QUEUE_KEEPS: Final = "14 days"
_FEWEST: Final = 4  # moments that are worth a plot

_GLYPHS: Final = {"good": "✓", "bad": "✗", "open": "…", "quiet": "·"}


@dataclass(frozen=True, slots=True)
class Plot:
    """A number over time."""

    what: str
    took: str
    sentence: str
    marks: tuple[Mark, ...]
    kind: str = "plain"


@dataclass(frozen=True, slots=True)
class Part:
    """One pair."""

    name: str
    phase: str
    fraction: float | None  # of what is under way, from 0 to 1
    rows: tuple[tuple[str, str], ...]
    shares: tuple[Mark, ...]  # of keys by their state
    plots: tuple[Plot, ...]
    course: course.Course | None = None  # of a pass


@dataclass(frozen=True, slots=True)
class CheckLine:
    """One check that has not passed, or not yet."""

    name: str
    pair: str
    state: str
    tone: str
    glyph: str
    findings: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveView:
    """All that is shown at one moment."""

    title: str
    state: str  # a word or two
    tone: str
    glyph: str
    sentence: str
    loud: tuple[str, ...]
    parts: tuple[Part, ...]
    more: int  # pairs that are not shown
    rows: tuple[tuple[str, str], ...]  # of all pairs
    checks: tuple[CheckLine, ...]
    checks_more: int
    cutover: CutoverView | None


def view(told: Told) -> LiveView:
    """What *told* comes to."""
    damage = (f"The event log is not read on: {told.damage}.",) if told.damage else ()
    if told.begun is not None and told.begun.of == "migration":
        return _migration(told, damage)
    pairs = list(told.passes.items())
    lines, more = _checks(told)
    state, tone, sentence = _run_state(told)
    return LiveView(
        title=_title(told),
        state=state,
        tone=tone,
        glyph=_GLYPHS[tone] if told.verdict is None else glyph_of(told.verdict.verdict),
        sentence=sentence,
        loud=damage,
        parts=tuple(_pass(pair, events) for pair, events in pairs[:MOST_PAIRS]),
        more=max(0, len(pairs) - MOST_PAIRS),
        rows=tuple(_run_rows(told)),
        checks=lines,
        checks_more=more,
        cutover=None,
    )


def _title(told: Told) -> str:
    if told.begun is None:
        return "Nothing yet"
    return {"run": "Verification", "diff": "Comparison"}[told.begun.of] + f" {told.begun.name}".rstrip()


# --- a run or a diff ------------------------------------------------------------------------


def _run_state(told: Told) -> tuple[str, str, str]:
    if told.verdict is not None:
        whole = "" if told.verdict.complete else " It is not complete."
        verdict = told.verdict.verdict
        return verdict, tone_of(verdict), f"It has ended: {verdict}.{whole}"
    if told.begun is None:
        return "waiting", "quiet", "The event log has no line yet."
    refuting = sum(last.counts.get(state, 0) for last in _last(told) for state in told_words.REFUTING)
    found = f" {number_of(refuting, 'key')} so far stayed different." if refuting else ""
    if not told.passes:
        return "under way", "open", "No table has been read yet."
    return "under way", "bad" if refuting else "open", f"It is under way.{found}"


def _last(told: Told) -> Iterator[Event]:
    return (events[-1] for events in told.passes.values())


def _run_rows(told: Told) -> Iterator[tuple[str, str]]:
    units = sum(one.read_units for one in _last(told))
    known = [one.usd for one in _last(told) if one.usd is not None]
    if told.passes:
        cost = f", {money(sum(known))}" if known else ""
        yield "Cost so far", f"{number_of(round(units), 'read unit')}{cost}"
    states = Counter(one.state for one in told.checks.values())
    if states:
        yield "Checks", ", ".join(f"{count:,} {state}" for state, count in sorted(states.items()))


def _checks(told: Told) -> tuple[tuple[CheckLine, ...], int]:
    unlike = ("passed", "not-applicable", "not-run", "deselected")
    lines = [
        CheckLine(
            one.check,
            one.pair or "",
            one.state,
            "bad" if one.state == "failed" and one.counts else "open",
            "✗" if one.state == "failed" else "?",
            one.findings,
        )
        for one in told.checks.values()
        if one.state not in unlike
    ]
    lines.sort(key=lambda one: (one.state != "failed", one.name, one.pair))
    return tuple(lines[:MOST_LISTED]), max(0, len(lines) - MOST_LISTED)


def _pass(pair: str, events: Sequence[Event]) -> Part:
    last = events[-1]
    found = course.course_of(pair, events)
    read = last.source_items + last.target_items
    rows = [
        (
            "Read",
            f"{last.source_items:,} items of the source, {last.target_items:,} of the target, "
            f"{last.segments_finished:,} of {number_of(last.segments_planned, 'segment')}",
        ),
        ("Keys", ", ".join(f"{count:,} {state}" for state, count in last.counts.items()) or "none decided"),
        ("Open", _open(last)),
        ("Took", found.took),
    ]
    plotted = [
        Plot("Items read so far", found.took, f"{number_of(read, 'item')} by now", found.items),
        Plot(
            "Keys open: they differed at some look, and are not decided",
            found.took,
            f"{number_of(last.open_suspects, 'key')} by now",
            found.suspects,
            "s-different",
        ),
    ]
    return Part(
        name=pair,
        phase={"scan": "reading", "settle": "settling", ENDED: "ended"}.get(last.phase, last.phase),
        fraction=_fraction(last, events),
        rows=tuple(rows),
        shares=tuple(plots.stacked(last.counts)),
        plots=tuple(one for one in plotted if one.marks),
        course=found,
    )


def _open(last: Event) -> str:
    said = [number_of(last.open_suspects, "key")]
    if last.converged:
        slowest = f", the slowest within {last.lag_seconds:.1f} s" if last.lag_seconds else ""
        said.append(f"{last.converged:,} differed at first and converged{slowest}")
    return "; ".join(said)


def _fraction(last: Event, events: Sequence[Event]) -> float:
    if last.phase == "scan":
        return last.segments_finished / max(1, last.segments_planned)
    most = max(one.open_suspects for one in events)
    return 1.0 if last.phase == ENDED or not most else 1 - last.open_suspects / most


# --- a migration ----------------------------------------------------------------------------


def _migration(told: Told, damage: tuple[str, ...]) -> LiveView:
    moving = told.moving
    pairs = list(told.following.items())
    wrong = [pair for pair, seen in pairs if _is_wrong(seen[-1])]
    warnings = moving.warnings if moving else ()
    tone = "bad" if wrong else "open" if warnings or moving is None else "good"
    sentence = _moving_sentence(moving)
    if wrong:
        sentence += f" {number_of(len(wrong), 'pair')} need{'s' if len(wrong) == 1 else ''} you."
    return LiveView(
        title=f"Migration {told.begun.name if told.begun else ''}".rstrip(),
        state={"good": "well", "bad": "needs you", "open": "look"}[tone],
        tone=tone,
        glyph=_GLYPHS[tone],
        sentence=sentence,
        loud=(*damage, *warnings),
        parts=tuple(_following(pair, seen) for pair, seen in pairs[:MOST_PAIRS]),
        more=max(0, len(pairs) - MOST_PAIRS),
        rows=tuple(_moving_rows(moving)) if moving else (),
        checks=(),
        checks_more=0,
        cutover=None if moving is None else _cutover(moving),
    )


def _is_wrong(seen: Following) -> bool:
    return bool(seen.gap or seen.quarantined or seen.dead_letters)


def _moving_sentence(moving: Moving | None) -> str:
    if moving is None:
        return "Nothing is known of it yet."
    if moving.under_way:
        return "A cutover is under way."
    return {
        "source": "The application writes the source.",
        "target": "The application writes the target.",
    }.get(moving.live, "A flip is undecided: nothing follows.")


def _moving_rows(moving: Moving) -> Iterator[tuple[str, str]]:
    if moving.gate_open is not None:
        reasons = "; ".join(moving.gate_reasons)
        yield "Gate", "open" if moving.gate_open else f"closed: {reasons}"
    elif moving.gate_reasons:
        yield "Gate", f"not known: {'; '.join(moving.gate_reasons)}"
    fenced = {True: "up: nobody writes", False: "none", None: "not known"}[moving.fenced]
    yield "Fence", fenced
    if moving.way_back:
        yield "Way back", moving.way_back


def _cutover(moving: Moving) -> CutoverView | None:
    if not moving.steps:
        return None
    if moving.under_way:
        said = f"Under way: its last step was `{list(moving.steps)[-1]}`."
    elif moving.flipped:
        said = "The application has been moved."
    else:
        said = "The last attempt was taken back, or has not come to its fence."
    return cutover_chart(said, moving.steps, moving.fence_limit)


def _following(pair: str, seen: Sequence[Following]) -> Part:
    last = seen[-1]
    moments: list[float] = []
    for one in seen:
        moments.append(max(one.at, moments[-1] if moments else one.at))
    took = duration_in_words(moments[-1] - moments[0])

    def plot(what: str, now: str, numbers: Sequence[float | None], kind: str = "plain") -> Iterator[Plot]:
        known = [(at, number) for at, number in zip(moments, numbers, strict=True) if number is not None]
        if len(known) < _FEWEST or known[-1][0] <= known[0][0] or not max(number for _, number in known):
            return
        marks = course.over_time([at for at, _ in known], [round(number) for _, number in known])
        yield Plot(what, took, now, marks, kind)

    return Part(
        name=pair,
        phase=last.phase,
        fraction=None,
        rows=tuple(_following_rows(last)),
        shares=(),
        plots=(
            *plot("Messages in the queue", f"{last.waiting or 0:,} by now", [one.waiting for one in seen]),
            *plot(
                "Seconds that the oldest message has waited",
                _seconds(last.oldest_message_seconds),
                [one.oldest_message_seconds for one in seen],
            ),
            *plot(
                "Seconds that the last canary took",
                _seconds(last.canary_lag_seconds),
                [one.canary_lag_seconds for one in seen],
            ),
            *plot(
                "Keys in the quarantine",
                f"{last.quarantined:,} by now",
                [one.quarantined for one in seen],
                "s-different",
            ),
        ),
    )


def _following_rows(last: Following) -> Iterator[tuple[str, str]]:
    if last.waiting is not None:
        oldest = _seconds(last.oldest_message_seconds)
        kept = f"; the oldest has waited {oldest} of {QUEUE_KEEPS}" if oldest else ""
        yield "Backlog", f"{last.waiting:,} waiting, {last.in_flight or 0:,} in flight{kept}"
    if last.stream_behind_seconds is not None:
        yield "Stream", f"the forwarder is {_seconds(last.stream_behind_seconds)} behind, of {STREAM_KEEPS}"
    if last.applied_seconds_ago is not None:
        rate = f", {last.changes_per_second:.1f} a second" if last.changes_per_second is not None else ""
        yield "Lag", f"the newest applied change is {_seconds(last.applied_seconds_ago)} old{rate}"
    if last.canary_seconds_ago is not None:
        yield "Canary", _canary(last)
    yield "Quarantine", number_of(last.quarantined, "key") if last.quarantined else "empty"
    if last.dead_letters is not None:
        yield "Dead letters", f"{last.dead_letters:,}" if last.dead_letters else "none"
    yield "Gap", last.gap or "none"
    if last.counters:
        yield "Changes", ", ".join(f"{count:,} {name}" for name, count in sorted(last.counters.items()))
    if last.usd is not None:
        yield "Cost so far", f"{money(last.usd)}, an estimate"


def _canary(last: Following) -> str:
    said = [f"arrived {_seconds(last.canary_seconds_ago)} ago"]
    if last.canary_lag_seconds is not None:
        said.append(f"{last.canary_lag_seconds:.1f} s on the way")
    if last.canary_p50_seconds is not None and last.canary_p99_seconds is not None:
        said.append(f"p50 {last.canary_p50_seconds:g} s, p99 {last.canary_p99_seconds:g} s at most")
    return ", ".join(said)


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else duration_in_words(seconds)
