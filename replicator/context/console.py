"""
What the operator sees: a live line per step on a terminal, plain lines elsewhere.

Everything goes to standard error where the command was asked for JSON, so that standard
output holds one JSON document and nothing else.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console as RichConsole
from rich.console import Group
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text


@dataclass(slots=True, eq=False)
class Step:
    """A step under way: say how far it is with `at`, and what came of it with `result`."""

    title: str
    result: str = ""
    detail: str = ""

    def at(self, detail: str) -> None:
        """Show how far the step is; on a terminal only, so that logs stay short."""
        self.detail = detail


class _Board:
    """The steps under way at the foot of a terminal, a line each: those of several pairs go on at once."""

    def __init__(self, rich: RichConsole) -> None:
        self._rich, self._guard = rich, threading.Lock()
        self._steps: tuple[Step, ...] = ()
        self._spinner = Spinner("dots")
        self._live: Live | None = None

    @contextmanager
    def showing(self, step: Step) -> Iterator[None]:
        """Show *step* for the length of the block."""
        with self._guard:
            self._steps = (*self._steps, step)
            if self._live is None:
                self._live = Live(
                    get_renderable=self._render, console=self._rich, refresh_per_second=8, transient=True
                )
                self._live.start()
        try:
            yield
        finally:
            with self._guard:
                self._steps = tuple(one for one in self._steps if one is not step)
                if not self._steps and self._live is not None:
                    self._live.stop()
                    self._live = None

    def _render(self) -> Group:
        # Without the guard: whoever stops the display holds it, and waits for this to end.
        lines = [f"{one.title}: {one.detail}" if one.detail else one.title for one in self._steps]
        self._spinner.update(text=Text("\n  ".join(lines)))
        return Group(self._spinner)


@dataclass(slots=True)
class Console:
    """Prints a command's steps; with *as_json* the outcome is one JSON document on standard output."""

    as_json: bool = False
    rich: RichConsole = field(init=False)
    _board: _Board = field(init=False)

    def __post_init__(self) -> None:
        self.rich = RichConsole(stderr=self.as_json, highlight=False, soft_wrap=True)
        self._board = _Board(self.rich)

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """One step: its title, and when it is done how long it took. An error passes through."""
        started = time.monotonic()
        step = Step(title)
        with self._board.showing(step) if self.rich.is_terminal else nullcontext():
            yield step
        took = f"{time.monotonic() - started:.1f} s"
        self.line(f"  ✓ {title}" + (f": {step.result}" if step.result else "") + f"  ({took})")

    def line(self, text: str) -> None:
        """One line of plain text."""
        self.rich.print(text, markup=False)

    def already(self, title: str) -> None:
        """A step that an earlier run has done."""
        self.line(f"  ✓ {title}: done before")

    def warn(self, text: str) -> None:
        """Something the operator should know."""
        self.line(f"  ! {text}")

    def answer(self, document: dict[str, Any]) -> None:
        """The outcome for machines; printed only where JSON was asked for."""
        if self.as_json:
            json.dump(document, sys.stdout, indent=2, sort_keys=True, default=str)
            sys.stdout.write("\n")
