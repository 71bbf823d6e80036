"""
Ends a run in which something of the user's does not come back.

A thread looks every second at what is running. Code that holds the interpreter's lock (a regular
expression that backtracks for ever) stops that thread as well: then `faulthandler`'s timer, which
needs no lock, writes down where every thread stood, and ends the process.
"""

from __future__ import annotations

import faulthandler
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

INTERVAL_SECONDS: Final = 1.0
SLACK_SECONDS: Final = 15.0
"""So much later than the longest limit the timer ends the process: the thread, if it can, says more."""


@dataclass(frozen=True, slots=True)
class Running:
    """One call of the user's code."""

    what: str  # in words
    call: Hashable  # another one for every call
    limit: float  # seconds that it may take


class Patience:
    """Notices a call that takes longer than its limit. Pure, but for being asked now and then."""

    def __init__(self) -> None:
        """Start with nothing running."""
        self._seen: Running | None = None
        self._since = 0.0

    def overdue(self, running: Running | None, now: float) -> Running | None:
        """
        *running*, if the same call has been seen for longer than it may take.

        Args:
            running: What runs now; ``None`` for nothing of the user's.
            now: Seconds on a clock that never goes back.
        """
        if running != self._seen:
            self._seen, self._since = running, now
        if running is None or now - self._since <= running.limit:
            return None
        return running


def watch(
    running: Callable[[], Running | None],
    hung: Callable[[Running], None],
    *,
    stuck: TextIO,
    longest: Callable[[], float],
    interval: float = INTERVAL_SECONDS,
) -> threading.Thread:
    """
    Watch until the process ends.

    Args:
        running: Says what runs; asked from another thread.
        hung: Told once of the call that is overdue; it is meant to end the process.
        stuck: File for where all threads stood, if not even this one can run.
        longest: Says the longest limit that there is, in seconds.
        interval: Seconds between two looks.
    """
    patience = Patience()

    def look() -> None:
        while True:
            patience_seconds = longest() + SLACK_SECONDS + interval
            faulthandler.dump_traceback_later(patience_seconds, exit=True, file=stuck)
            overdue = patience.overdue(running(), time.monotonic())
            if overdue is not None:
                hung(overdue)
                return
            time.sleep(interval)

    thread = threading.Thread(target=look, name="ddbverify-watchdog", daemon=True)
    thread.start()
    return thread


def place_in(stuck: Path, *folders: Path) -> str:
    """
    Where the user's code stood when the process was ended, from what `watch` has left.

    Args:
        stuck: The file.
        folders: Of the user's code, without what is installed below them; the first one that fits counts.

    Returns:
        ``at check_orders.py:12 in check_total``; empty if nothing was left.
    """
    try:
        lines = stuck.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    for line in lines:
        for start in (f'  File "{folder}/' for folder in folders):
            if line.startswith(start) and "/site-packages/" not in line:
                name, _, rest = line.removeprefix(start).partition('", line ')
                number, _, function = rest.partition(" in ")
                return f"at {name}:{number} in {function}"
    return "outside the checks folder" if lines else ""
