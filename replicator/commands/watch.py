"""
``replicator watch``: how a migration goes, drawn anew every few seconds, until Ctrl-C. It changes nothing.

What it sees it appends to an event log beside the runs, and what is in that log it shows: so the terminal and
the page agree, and whoever watches second reads the first one's log and asks AWS nothing.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console as RichConsole

from ddbverify.config import duration
from ddbverify.errors import EngineError, Refused
from ddbverify.evidence import folders
from ddbverify.evidence.events import EventLog
from ddbverify.live import opening, terminal
from ddbverify.live.opening import port_option, web_option
from ddbverify.live.watching import Watching
from ddbverify.words import plain
from replicator.commands.invocation import EXIT_AWS, EXIT_REFUSED, config_option, execute
from replicator.commands.watch_look import Looking, needs_somebody
from replicator.context.context import Context

LOG: Final = "watch.jsonl"
LOCK: Final = "watch.lock"

LEAST_SECONDS: Final = 2.0
SECONDS_UNDER_FENCE: Final = 2.0
MOST_BYTES: Final = 8 * 2**20
"""Of the log: a pair in its usual words fills it in about two days. Then a new one takes its place."""


def watch(context: Context, *, seconds: float, web: bool, port: int | None) -> dict[str, Any]:
    """
    Show how the migration goes, until Ctrl-C or its end.

    Args:
        seconds: Between two looks.
        web: Serve a page, too.
        port: Of the page.

    Returns:
        ``status``: 0; 1 if a pair waits for the operator, 6 if AWS refused the last look.
    """
    if not context.begun():
        raise Refused(
            f"Migration {context.config.name} has not begun, or has ended: there is nothing to watch.",
            "run `replicator up` first, or `replicator status`, which says what became of it.",
        )
    home = folders.make_home(context.config)
    say = _say
    page = opening.page(context.config, "watch", port, say) if web else None
    looked_at = terminal.is_looked_at(sys.stdout)
    screen = terminal.Drawn(RichConsole(highlight=False)) if looked_at else terminal.Lines(_line, seconds=0)
    with Watching(home / LOG, screen, page, seconds=None) as watching:
        watched = _Watched(context, home, seconds, watching)
        try:
            while watched.once():
                continue
            watching.line("`replicator down` has removed it: there is nothing more to watch.")
        except KeyboardInterrupt:
            pass  # how it is meant to end
        finally:
            watched.let_go()
        return {"status": watched.status}


class _Watched:
    """One command that watches: it writes the log, or reads another one's."""

    def __init__(self, context: Context, home: Path, seconds: float, watching: Watching) -> None:
        self.status = 0
        self._context, self._home, self._seconds, self._watching = context, home, seconds, watching
        self._looking = Looking(context)
        self._log: EventLog | None = None
        self._lock: int | None = None
        self._said = ""

    def once(self) -> bool:
        """Look, write, show, and wait for the next time; returns whether there is anything left to watch."""
        wait = self._seconds
        if self._is_writer():
            looked = self._look()
            if looked is None:
                return False
            wait = looked
        until = time.monotonic() + wait
        while True:
            self._watching.look()
            left = until - time.monotonic()
            if left <= 0:
                return True
            time.sleep(min(left, 1.0))

    def let_go(self) -> None:
        """Let another command write the log."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _look(self) -> float | None:
        """Returns for how long to wait behind it; ``None``: the migration is gone."""
        try:
            if not self._context.begun():
                return None
            moving, pairs = self._looking.look()
        except EngineError as error:
            self.status = EXIT_AWS
            self._say(f"not known at the moment: {error.message}")
            return self._seconds
        self._said = ""
        self.status = EXIT_REFUSED if needs_somebody(pairs) else 0
        log = self._written()
        log.write(moving, *pairs)
        if log.why_not:
            raise Refused(
                f"What was seen cannot be written to {self._home / LOG}: {log.why_not}.",
                "make room and let yourself write there; `replicator status` needs no file.",
            )
        return min(self._seconds, SECONDS_UNDER_FENCE) if moving.under_way else self._seconds

    def _say(self, text: str) -> None:
        """Once, however often it is so."""
        if text != self._said:
            self._watching.line(plain(text))
            self._said = text

    def _written(self) -> EventLog:
        """The log, another one where it has become too long."""
        path = self._home / LOG
        try:
            is_full = path.stat().st_size > MOST_BYTES
        except FileNotFoundError:
            is_full = False
        if is_full:
            path.replace(path.with_suffix(".old.jsonl"))
        if self._log is None or is_full:
            self._log = EventLog(path)
            self._log.begin("migration", self._context.root.config.name)
        return self._log

    def _is_writer(self) -> bool:
        """Whether nobody else on this machine writes the log; the lock goes with the process, too."""
        if self._lock is None:
            descriptor = os.open(self._home / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return False
            self._lock = descriptor
        return True


def _say(text: str) -> None:
    click.echo(f"replicator: {text}", err=True)


def _line(text: str) -> None:
    click.echo(text)
    sys.stdout.flush()


def _interval(_context: click.Context, _option: click.Parameter, text: str) -> float:
    try:
        seconds = float(duration(text))
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    if seconds < LEAST_SECONDS:
        raise click.BadParameter(f"{text} is too often; write {LEAST_SECONDS:g}s or more")
    return seconds


@click.command(name="watch")
@config_option
@click.option(
    "--interval",
    callback=_interval,
    metavar="DURATION",
    default="10s",
    show_default=True,
    help="Between two looks at AWS.",
)
@web_option
@port_option
def command(path: Path, interval: float, web: bool, port: int | None) -> None:
    """
    How it goes, drawn anew every few seconds, on a terminal or a page.

    Until Ctrl-C. Changes nothing.

    Exit status: 0; 1 a gap, a quarantine or dead letters wait for you; 2 usage, 6 AWS refused the last look.
    """
    if port is not None and not web:
        raise click.UsageError("--port is that of the live page: give --web, too.")
    seen: dict[str, Any] = {}

    def run(context: Context) -> dict[str, Any]:
        seen.update(watch(context, seconds=interval, web=web, port=port))
        return seen

    execute(path, as_json=False, run=run)
    sys.exit(seen["status"])
