"""
How far a comparison is, on standard error: a bar on a terminal, a line now and then elsewhere.

`Meter` is pure; the displays take `Progress` from any thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TextColumn
from rich.progress import Progress as RichProgress
from rich.table import Column
from rich.text import Text

from ddbverify.compare.request import Progress
from ddbverify.words import about, duration_in_words, money, number_of

SECONDS_BETWEEN_LINES: Final = 10.0
SECONDS_BEFORE_A_FORECAST: Final = 2.0

Report = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class State:
    """What can be said at one moment."""

    title: str
    fraction: float  # of the scan, or of the settling, from 0 to 1
    words: str


class Meter:
    """Turns reports into rates and a forecast."""

    def __init__(
        self, *, items: int, usd_per_unit: float, settle_seconds: float, findings: Callable[[], int]
    ) -> None:
        """
        Prepare for one comparison.

        Args:
            items: Of both tables, as expected; 0 where nobody knows.
            usd_per_unit: US dollars for a read unit; 0 where it costs nothing.
            settle_seconds: For how long a difference has to hold still.
            findings: How many there are now.
        """
        self._items, self._usd_per_unit, self._findings = items, usd_per_unit, findings
        self._settle_seconds = settle_seconds
        self._settling: tuple[float, int] | None = None  # since when, and how many keys were open then
        self._first: tuple[float, int, float] | None = None  # moment, items and fraction of the first report

    def state(self, report: Progress, now: float) -> State:
        """
        What to show.

        Args:
            report: The last one.
            now: Seconds on a clock that never goes back.
        """
        items = report.source_items + report.target_items
        fraction = self._fraction(report, items)
        self._first = self._first or (now, items, fraction)
        words = [number_of(items, "item")]
        seconds = now - self._first[0]
        reading = report.phase == "scan" and report.segments_finished < report.segments_planned
        if reading and seconds > 0:
            words.append(f"{(items - self._first[1]) / seconds:,.0f}/s")
        words.append(number_of(round(report.read_units), "read unit"))
        if self._usd_per_unit:
            words.append(money(report.read_units * self._usd_per_unit))
        if found := self._findings():
            words.append(number_of(found, "finding"))
        if reading:
            words += self._forecast(fraction, seconds)
            return State("reading", fraction, ", ".join(words))
        if report.phase == "settle":
            fraction, left = self._settled(report.open_suspects, now)
            return State("settling", fraction, ", ".join([*left, *words]))
        # At the end of the scan all is read, and nothing is decided yet.
        return State("settling" if report.phase == "scan" else report.phase, 1.0, ", ".join(words))

    def _settled(self, still_open: int, now: float) -> tuple[float, list[str]]:
        """How far the settling is, and what is left of it: the time counts down."""
        if self._settling is None or still_open > self._settling[1]:
            self._settling = now, still_open
        since, most = self._settling
        left = self._settle_seconds - (now - since)
        said = [f"{number_of(still_open, 'key')} still open"]
        if still_open:
            said.append(
                f"{about(duration_in_words(left))} left" if left > 0 else "waiting for them to hold still"
            )
        passed = 1 - left / self._settle_seconds if left > 0 else 1.0
        decided = 1 - still_open / most if most else 1.0
        return min(0.99 if still_open else 1.0, max(passed, decided)), said

    def _fraction(self, report: Progress, items: int) -> float:
        if report.phase != "scan":
            return 1.0
        by_segments = report.segments_finished / max(1, report.segments_planned)
        # DynamoDB's count is hours old: it may be passed long before the end.
        by_items = min(0.99, items / self._items) if self._items else 0.0
        return max(by_segments, by_items)

    def _forecast(self, fraction: float, seconds: float) -> list[str]:
        if self._first is None or seconds < SECONDS_BEFORE_A_FORECAST:
            return []
        done = fraction - self._first[2]
        if done <= 0 or fraction >= 0.99:
            return []
        return [f"{duration_in_words(seconds * (1 - fraction) / done)} left"]


@contextmanager
def bar(meter: Meter, console: Console) -> Iterator[Report]:
    """A bar that is drawn anew ten times a second, and wiped away at the end."""
    latest: Progress | None = None

    class Words(ProgressColumn):
        """Made when drawn: under a low ceiling, reports are far apart and rates would stand still."""

        def render(self, task: Task) -> Text:
            if latest is None:
                return Text("")
            state = meter.state(latest, time.monotonic())
            task.completed, task.description = state.fraction, state.title
            return Text(state.words)

    with RichProgress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=16),
        TextColumn("{task.percentage:>3.0f} %"),
        Words(table_column=Column(no_wrap=True, overflow="ellipsis")),
        console=console,
        transient=True,
        redirect_stdout=False,  # else what goes to standard output would come out on standard error
        redirect_stderr=False,
    ) as shown:
        shown.add_task("reading", total=1.0)

        def report(progress: Progress) -> None:
            nonlocal latest
            if latest is None:
                meter.state(progress, time.monotonic())  # rates count from the first report
            latest = progress

        yield report


@contextmanager
def lines(
    meter: Meter, say: Callable[[str], None], *, seconds: float = SECONDS_BETWEEN_LINES
) -> Iterator[Report]:
    """
    One line every *seconds*, also while nothing comes in: settling is mostly waiting.

    A run that is over before then says nothing.
    """
    latest: Progress | None = None
    ended = threading.Event()

    def speak() -> None:
        while not ended.wait(seconds):
            if latest is not None:
                state = meter.state(latest, time.monotonic())
                say(f"{state.title}: {state.fraction:.0%}, {state.words}")

    def report(progress: Progress) -> None:
        nonlocal latest
        if latest is None:
            meter.state(progress, time.monotonic())  # rates count from the first report
        latest = progress

    speaker = threading.Thread(target=speak, name="ddbverify-progress", daemon=True)
    speaker.start()
    try:
        yield report
    finally:
        ended.set()
        speaker.join()


@contextmanager
def silence() -> Iterator[Report]:
    """Nothing at all."""
    yield lambda _: None
