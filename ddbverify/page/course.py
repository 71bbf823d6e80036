"""How the pass over each pair went: items read and keys open, over time. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ddbverify.evidence.events import ENDED, Event, Events
from ddbverify.page.plots import HEIGHT, WIDTH, Block, Mark, piled
from ddbverify.page.view import MOST_PAIRS
from ddbverify.words import duration_in_words, number_of

BUCKETS: Final = 80
STRETCHES: Final = 20
"""Of the plot of states, which has several blocks in each."""

MOST_WITH_STATES: Final = 10
"""Pairs whose states are drawn: the plot has up to 140 blocks, and the page has its limit."""

UNEQUAL: Final = ("missing", "extraneous", "different", "uncomparable", "churning", "undecided", "known")
"""From the ground up. Equal keys, and those that are left out, would hide all others."""

_FEWEST_EVENTS: Final = 4  # of a pass that is worth a plot


@dataclass(frozen=True, slots=True)
class Course:
    """One pass. The plots are empty where it was over in a moment."""

    pair: str
    sentence: str
    took: str
    items: tuple[Mark, ...]  # of both tables, read so far
    suspects: tuple[Mark, ...]  # keys that differed at some look, and were not decided
    states: tuple[Block, ...]  # keys that are decided and not equal, by state
    settled: tuple[tuple[str, int], ...]  # state -> of these at its end


def courses(log: Events) -> list[Course]:
    """Of each pair, in the order of their beginnings."""
    by_pair: dict[str, list[Event]] = {}
    for event in log.events:
        by_pair.setdefault(event.pair, []).append(event)
    return [
        course_of(pair, events, with_states=number < MOST_WITH_STATES)
        for number, (pair, events) in enumerate(list(by_pair.items())[:MOST_PAIRS])
    ]


def course_of(pair: str, events: Sequence[Event], *, with_states: bool = True) -> Course:
    """Of one pair; it has an event at least. *with_states*: Their plot is drawn, too."""
    # Of this machine's clock, which may have been set meanwhile: time does not go back here.
    moments: list[float] = []
    for event in events:
        moments.append(max(event.at, moments[-1] if moments else event.at))
    seconds = moments[-1] - moments[0]
    open_keys = [event.open_suspects for event in events]
    read = max(event.source_items + event.target_items for event in events)
    scanned = duration_in_words(_seconds_of_scan(events, moments))
    # Of a run that looks at changes only nothing is scanned.
    said = [f"{number_of(read, 'item')} of both tables read in {scanned}"] if read else []
    if most := max(open_keys):
        said.append(f"at most {number_of(most, 'key')} open at once")
        left = open_keys[-1]
        said.append(f"{left:,} of them still at its end" if left else "all decided at its end")
    if converged := events[-1].converged:
        slowest = events[-1].lag_seconds
        within = f", the slowest within {slowest:.1f} s" if slowest else ""
        said.append(f"{number_of(converged, 'key')} differed at first and converged{within}")
    if events[-1].phase != ENDED:
        said.append("and the log has no end of it")
    sentence = ", ".join(said) or "nothing was told of it"
    plotted = len(events) >= _FEWEST_EVENTS and seconds > 0
    unequal = [{state: event.counts.get(state, 0) for state in UNEQUAL} for event in events]
    drawn = plotted and with_states and any(map(_any, unequal))
    settled = tuple((state, count) for state, count in unequal[-1].items() if count)
    return Course(
        pair=pair,
        sentence=f"{sentence[:1].upper()}{sentence[1:]}.",
        took=duration_in_words(seconds),
        items=over_time(moments, [one.source_items + one.target_items for one in events]) if plotted else (),
        suspects=over_time(moments, open_keys) if plotted and most else (),
        states=piled(moments, unequal, STRETCHES) if drawn else (),
        settled=settled,
    )


def _any(counts: Mapping[str, int]) -> bool:
    return any(counts.values())


def _seconds_of_scan(events: Sequence[Event], moments: Sequence[float]) -> float:
    behind = next(
        (at for event, at in zip(events, moments, strict=True) if event.phase != "scan"), moments[-1]
    )
    return behind - moments[0]


def over_time(moments: Sequence[float], numbers: Sequence[int]) -> tuple[Mark, ...]:
    """
    A column for each stretch of time: the most that was told in it, else what was told last.

    Args:
        moments: Ascending; the last is behind the first.
        numbers: One for each moment, none of them negative and one not 0.
    """
    began, whole, most = moments[0], moments[-1] - moments[0], max(numbers)
    highest: dict[int, int] = {}
    last: dict[int, int] = {}
    for at, number in zip(moments, numbers, strict=True):
        place = min(BUCKETS - 1, int(BUCKETS * (at - began) / whole))
        highest[place] = max(number, highest.get(place, 0))
        last[place] = number
    return tuple(_marks(highest, last, most))


def _marks(highest: dict[int, int], last: dict[int, int], most: int) -> Iterable[Mark]:
    each, held = WIDTH / BUCKETS, 0
    for place in range(BUCKETS):
        number = highest.get(place, held)
        held = last.get(place, held)
        height = round(max(2.0, HEIGHT * number / most), 1) if number else 0.0
        yield Mark(round(place * each, 1), round(each, 1), f"{number:,}", height)
