"""What a log tells, on a terminal: drawn anew in its place; as lines where nobody looks at a terminal."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final, Protocol, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ddbverify.page.live_view import LiveView
from ddbverify.words import plain

SECONDS_BETWEEN_LINES: Final = 10.0

_STYLES: Final = {"good": "green", "bad": "red", "open": "yellow", "quiet": "dim"}


class Screen(Protocol):
    """Where views are shown."""

    def show(self, view: LiveView) -> None:
        """Show one, in place of the one before."""

    def line(self, text: str) -> None:
        """Print a line of somebody else's, above."""

    def close(self) -> None:
        """Leave what was shown last."""


def is_looked_at(*streams: TextIO, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether all of *streams* are a terminal on which something may be drawn in place."""
    return (
        all(stream.isatty() for stream in streams)
        and not environment.get("NO_COLOR")
        and environment.get("TERM") != "dumb"
    )


class Drawn:
    """Draws views in place."""

    def __init__(self, console: Console) -> None:
        """Begin; nothing is drawn before the first view."""
        self._console = console
        self._live = Live(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
        self._live.start()

    def show(self, view: LiveView) -> None:
        """Show one, in place of the one before."""
        self._live.update(drawn(view), refresh=True)

    def line(self, text: str) -> None:
        """Print a line of somebody else's, above."""
        self._console.print(Text.from_ansi(text), soft_wrap=True)

    def close(self) -> None:
        """Leave what was shown last."""
        self._live.stop()


class Lines:
    """Says views in lines: when one has changed, and not too often."""

    def __init__(self, say: Callable[[str], None], *, seconds: float = SECONDS_BETWEEN_LINES) -> None:
        """
        Begin.

        Args:
            say: Prints a line.
            seconds: Between two times at which something is said.
        """
        self._say, self._seconds = say, seconds
        self._said: list[str] = []
        self._at = -seconds
        self._waiting: LiveView | None = None

    def show(self, view: LiveView) -> None:
        """Say it, if it is time to."""
        self._waiting = view
        if time.monotonic() - self._at >= self._seconds:
            self._speak()

    def line(self, text: str) -> None:
        """Print a line of somebody else's."""
        self._say(text)

    def close(self) -> None:
        """Say what was told last."""
        self._speak()

    def _speak(self) -> None:
        view, self._waiting = self._waiting, None
        lines = list(said(view)) if view is not None else self._said
        if lines != self._said:
            for line in lines:
                self._say(line)
            self._said, self._at = lines, time.monotonic()


def said(view: LiveView) -> Iterator[str]:
    """A view in lines, one for each pair."""
    yield plain(f"{view.title}: {view.state}. {view.sentence}")
    for line in view.loud:
        yield plain(f"! {line}")
    for part in view.parts:
        percent = "" if part.fraction is None else f" {part.fraction:.0%}"
        rows = "; ".join(f"{name.lower()}: {value}" for name, value in part.rows)
        yield plain(f"{part.name}: {part.phase}{percent}; {rows}")
    rows = "; ".join(f"{name.lower()}: {value}" for name, value in view.rows)
    if rows:
        yield plain(rows)
    if view.cutover is not None:
        yield plain(f"cutover: {view.cutover.sentence} {view.cutover.budget}")


def drawn(view: LiveView) -> RenderableType:
    """A view as it is drawn."""
    style = _STYLES[view.tone]
    parts: list[RenderableType] = [
        Text.assemble(
            (f"{view.glyph} {view.state}", f"bold {style}"),
            "  ",
            plain(view.title),
            "\n",
            plain(view.sentence),
        )
    ]
    parts += [Text(f"! {plain(line)}", style="yellow") for line in view.loud]
    for part in view.parts:
        parts.append(Text.assemble("\n", (plain(part.name), "bold"), f"  {plain(part.phase)}"))
        if part.fraction is not None:
            parts.append(Padding(ProgressBar(total=1.0, completed=part.fraction, width=40), (0, 2)))
        parts.append(_table(part.rows))
    if view.more:
        parts.append(Text(f"and {view.more:,} more pairs"))
    if view.rows:
        parts += [Text(""), _table(view.rows)]
    if view.cutover is not None:
        parts += [Text(""), *_cutover(view)]
    for one in view.checks[:10]:
        parts.append(
            Text(f"  {one.glyph} {plain(one.name)} {plain(one.pair)}: {one.state}", style=_STYLES[one.tone])
        )
    return Group(*parts)


def _cutover(view: LiveView) -> Iterator[RenderableType]:
    found = view.cutover
    if found is None:
        return
    yield Text(f"Cutover: {plain(found.sentence)}")
    if found.chart is not None:
        spans = [(plain(one.name), f"{one.seconds:.1f} s") for one in found.chart.spans]
        yield _table(tuple(spans))
        yield Text(f"  {found.budget}")


def _table(rows: tuple[tuple[str, str], ...] | list[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, value in rows:
        table.add_row(Text(f"  {name}", style="dim"), Text(plain(value)))
    return table
