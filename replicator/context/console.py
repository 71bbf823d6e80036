"""
What the operator sees: a live line per step on a terminal, plain lines elsewhere.

Everything goes to standard error where the command was asked for JSON, so that standard
output holds one JSON document and nothing else.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console as RichConsole
from rich.status import Status


@dataclass(slots=True)
class Step:
    """A step under way: say how far it is with `at`, and what came of it with `result`."""

    title: str
    status: Status | None
    result: str = ""

    def at(self, detail: str) -> None:
        """Show how far the step is; on a terminal only, so that logs stay short."""
        if self.status is not None:
            self.status.update(f"{self.title}: {detail}")


@dataclass(slots=True)
class Console:
    """Prints a command's steps; with *as_json* the outcome is one JSON document on standard output."""

    as_json: bool = False
    rich: RichConsole = field(init=False)

    def __post_init__(self) -> None:
        self.rich = RichConsole(stderr=self.as_json, highlight=False, soft_wrap=True)

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """One step: its title, and when it is done how long it took. An error passes through."""
        started = time.monotonic()
        if self.rich.is_terminal:
            with self.rich.status(title) as status:
                step = Step(title, status)
                yield step
        else:
            step = Step(title, None)
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
