"""Where the marks of a plot stand, in units of its width. Pure; `templates/` draws them as SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Final

WIDTH: Final = 1000
HEIGHT: Final = 100

_LEAST: Final = 6  # what is there can be seen, however little it is


@dataclass(frozen=True, slots=True)
class Mark:
    """One rectangle."""

    x: float
    width: float
    name: str = ""
    height: float = HEIGHT


@dataclass(frozen=True, slots=True)
class Block:
    """One of several rectangles that stand on each other."""

    name: str
    x: float
    y: float  # of its upper edge
    width: float
    height: float


def piled(moments: Sequence[float], counts: Sequence[Mapping[str, int]], stretches: int) -> tuple[Block, ...]:
    """
    Counts by name on each other, over time: what was told last in each stretch, or before.

    Args:
        moments: Ascending; the last is behind the first.
        counts: One for each moment, none of them negative; names in the order from the ground up.
        stretches: Into how many the time is cut. Those that are alike make one block.
    """
    began, whole = moments[0], moments[-1] - moments[0]
    told: dict[int, Mapping[str, int]] = {}
    for at, one in zip(moments, counts, strict=True):
        told[min(stretches - 1, int(stretches * (at - began) / whole))] = one
    most = max(sum(one.values()) for one in told.values())
    held: Mapping[str, int] = {}
    runs: list[tuple[int, int, Mapping[str, int]]] = []  # first stretch, behind the last, what they hold
    for place in range(stretches):
        held = told.get(place, held)
        if runs and runs[-1][2] == held:
            runs[-1] = (runs[-1][0], place + 1, held)
        else:
            runs.append((place, place + 1, held))
    blocks = []
    for first, behind, one in runs:
        top = float(HEIGHT)
        for name, count in one.items():
            if count:
                height = HEIGHT * count / most
                top -= height
                x, width = WIDTH * first / stretches, WIDTH * (behind - first) / stretches
                blocks.append(Block(name, round(x, 1), round(top, 1), round(width, 1), round(height, 1)))
    return tuple(blocks)


def stacked(counts: Mapping[str, int]) -> list[Mark]:
    """Side by side, over the whole width; each that is not 0 can be seen."""
    present = {name: count for name, count in counts.items() if count > 0}
    total = sum(present.values())
    marks, x = [], 0.0
    free = WIDTH - _LEAST * len(present)
    for name, count in present.items():
        width = _LEAST + free * count / total
        marks.append(Mark(round(x, 1), round(width, 1), name))
        x += width
    return marks


def bar(count: int, most: int) -> float:
    """How long the bar of one of several counts is."""
    return round(max(_LEAST, WIDTH * count / most), 1) if count > 0 and most > 0 else 0.0


def shade(count: int, most: int) -> int:
    """From 0 (none) to 5 (the most), by orders of magnitude: one of a million can be told from none."""
    if count <= 0 or most <= 0:
        return 0
    return max(1, math.ceil(5 * math.log1p(count) / math.log1p(most)))


def columns(counts: Sequence[int]) -> list[Mark]:
    """One column each, the largest first and as high as there is room."""
    ranked, most = sorted(counts, reverse=True), max(counts, default=0)
    each = WIDTH / max(1, len(ranked))
    return [
        Mark(
            round(number * each, 1),
            round(each * 0.8, 1),
            str(count),
            round(max(2.0, HEIGHT * count / most), 1) if count else 0.0,
        )
        for number, count in enumerate(ranked)
    ]


@dataclass(frozen=True, slots=True)
class Span:
    """One step of a cutover: from the end of the one before to its own."""

    name: str
    seconds: float
    after: float  # seconds from the beginning to its end
    mark: Mark
    fenced: bool


@dataclass(frozen=True, slots=True)
class Chart:
    """The steps of a cutover on one line of time."""

    spans: tuple[Span, ...]
    seconds: float  # that the whole width stands for
    fenced_seconds: float  # from the moment in which it kept writes off to the last step; 0: it never did


_FENCED: Final = ("fence-holds", "fence")  # a fence that was put ahead keeps writes off later


def gantt(steps: Mapping[str, str]) -> Chart | None:
    """
    The steps of a cutover, each beginning where the one before has ended.

    Args:
        steps: Name -> ISO 8601 time at which it was done, in order.

    Returns:
        ``None`` where there are no two moments to draw between.
    """
    try:
        moments = [(name, datetime.fromisoformat(at).timestamp()) for name, at in steps.items()]
    except ValueError:
        return None
    if len(moments) < 2 or any(later < earlier for (_, earlier), (_, later) in pairwise(moments)):
        return None
    began, ended = moments[0][1], moments[-1][1]
    whole = ended - began or 1.0
    known = dict(moments)
    fenced = next((known[name] for name in _FENCED if name in known), ended)

    def at(moment: float) -> float:
        return round(WIDTH * (moment - began) / whole, 1)

    spans = tuple(
        Span(
            name,
            later - earlier,
            later - began,
            Mark(min(at(earlier), WIDTH - _LEAST), max(_LEAST, round(at(later) - at(earlier), 1))),
            later > fenced,
        )
        for (_, earlier), (name, later) in pairwise(moments)
    )
    return Chart(spans, whole, ended - fenced)
