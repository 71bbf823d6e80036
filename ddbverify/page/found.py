"""What a page shows of the findings: causes, how they lie over the keys, and some of them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ddbverify.evidence.evidence import Evidence
from ddbverify.page import plots, told
from ddbverify.page.origin import DiffSummary
from ddbverify.page.plots import Mark
from ddbverify.page.tally import SLICES, Shown, Tally
from ddbverify.page.view import MOST_CAUSES, MOST_PAIRS, share
from ddbverify.words import number_of

FEWEST_FINDINGS: Final = 20
"""Of fewer, any may lie in a slice of its own, or two in one by chance."""


@dataclass(frozen=True, slots=True)
class CauseRow:
    """One way in which findings differ."""

    pair: str
    state: str
    text: str
    findings: int
    share: str
    length: float


@dataclass(frozen=True, slots=True)
class SliceView:
    """How the findings of a pair lie over its keys."""

    pair: str
    marks: tuple[Mark, ...]
    sentence: str


@dataclass(frozen=True, slots=True)
class FindingsView:
    """All findings in aggregates, and some of them."""

    total: int
    causes: tuple[CauseRow, ...]
    causes_more: int
    slices: tuple[SliceView, ...]
    shown: tuple[Shown, ...]
    states: tuple[str, ...]
    attributes: tuple[str, ...]
    ways: tuple[str, ...]
    pairs: tuple[str, ...]
    problems: tuple[str, ...]


def findings(tally: Tally, about: Evidence | DiffSummary) -> FindingsView:
    """What the findings come to."""
    ranked = sorted(tally.causes.items(), key=lambda one: (-one[1], one[0]))
    most = ranked[0][1] if ranked else 0
    shown = tally.shown
    return FindingsView(
        total=tally.findings,
        causes=tuple(
            CauseRow(pair, state, text, count, share(count, tally.findings), plots.bar(count, most))
            for (pair, state, text), count in ranked[:MOST_CAUSES]
        ),
        causes_more=max(0, len(ranked) - MOST_CAUSES),
        slices=tuple(_slices(pair, counts) for pair, counts in sorted(tally.slices.items())[:MOST_PAIRS]),
        shown=shown,
        states=tuple(dict.fromkeys(one.state for one in shown)),
        attributes=tuple(sorted({name for one in shown for name in one.attributes})),
        ways=tuple(dict.fromkeys(way for one in shown for way in one.ways))[:100],
        pairs=tuple(sorted({one.pair for one in shown if one.pair})),
        problems=tuple(problems(tally, about)),
    )


def _slices(pair: str, counts: list[int]) -> SliceView:
    total, fullest, some = sum(counts), max(counts), sum(1 for count in counts if count)
    if total < FEWEST_FINDINGS:
        return SliceView(pair, (), f"With fewer than {FEWEST_FINDINGS} findings that cannot be told.")
    return SliceView(
        pair,
        tuple(plots.columns(counts)),
        f"{number_of(some, 'slice')} of {SLICES} hold{'s' if some == 1 else ''} findings; the fullest has "
        f"{share(fullest, total)} of them. Of many that are scattered it would have about "
        f"{100 / SLICES:.1f} %.",
    )


def problems(tally: Tally, about: Evidence | DiffSummary) -> Iterator[str]:
    """Why the findings cannot be all that there are, in sentences."""
    if tally.damage:
        yield (
            f"findings.jsonl is damaged: {tally.damage}. What stands from there on is not in this page; "
            "the counts of the evidence are not touched by that."
        )
    for pair, state, counted in _counted(about):
        listed = tally.of(pair, state)
        if listed != counted and not tally.damage:
            of_pair = f" of {pair}" if pair else ""
            yield (
                f"findings.jsonl lists {listed:,} {state} keys{of_pair}, and {counted:,} were counted: "
                "it has been changed since, or is of another run."
            )


def _counted(about: Evidence | DiffSummary) -> Iterator[tuple[str, str, int]]:
    if isinstance(about, DiffSummary):
        # With lists of keys a finding may be told twice; a comparison that was cut short keeps earlier ones.
        if about.finished and not about.strata:
            for state in told.REFUTING:
                yield "", state, getattr(about, state) or 0
        return
    for pair in about.pairs:
        if pair.comparison is not None:
            for state in told.REFUTING:
                yield pair.id, state, pair.comparison.counts.get(state, 0)
