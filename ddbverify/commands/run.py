"""``ddbverify run``."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from ddbverify.commands.shared import (
    config_option,
    json_option,
    print_json,
    refuse,
    say,
    show_in_pipeline,
)
from ddbverify.config import duration, load
from ddbverify.errors import ConfigurationError, DdbVerifyError
from ddbverify.evidence import folders, repairs
from ddbverify.gate.gate import judge
from ddbverify.interrupts import end_as_ctrl_c_does
from ddbverify.live import opening, terminal
from ddbverify.live.opening import port_option, web_option
from ddbverify.live.watching import Watching
from ddbverify.metrics import measures, sending
from ddbverify.page import making
from ddbverify.reports import ci, summary
from ddbverify.runs import run as runs
from ddbverify.runs.result import RunResult
from ddbverify.runs.word import Word

if TYPE_CHECKING:  # Jinja2 need not be installed
    from ddbverify.live.web import Page


@click.command("run")
@config_option
@json_option
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Folder of this run; new or empty."
)
@click.option(
    "--sample",
    metavar="PERCENT",
    help='Read a sample, such as "0.5%"; it shows differences, and never ends with 0.',
)
@click.option(
    "--since",
    metavar="RUN",
    help='Look only at what was written since a run that has passed: "latest", or its folder.',
)
@click.option(
    "--markers",
    is_flag=True,
    help="With --since: markers are being written to both tables; read each shard up to one.",
)
@click.option(
    "--at-word",
    metavar="DURATION",
    help="Load everything, then wait so long for the line `now` on standard input.",
)
@click.option("--watch", is_flag=True, help="Show how each pair and check goes, drawn in place.")
@web_option
@port_option
@click.argument("pytest_args", nargs=-1, type=click.UNPROCESSED)
def command(
    config_file: Path,
    out: Path | None,
    sample: str | None,
    since: str | None,
    at_word: str | None,
    pytest_args: tuple[str, ...],
    *,
    markers: bool,
    watch: bool,
    web: bool,
    port: int | None,
    as_json: bool,
) -> None:
    """
    Run all checks and leave signed evidence.

    Arguments after -- go to pytest; what they leave out closes the gate.

    Exit status: 0 equal, 1 differences, 2 usage, 3 inconclusive or incomplete, 6 AWS refused.
    """
    end_as_ctrl_c_does()
    if port is not None and not web:
        raise click.UsageError("--port is that of the live page: give --web, too.")
    try:
        word = _word(at_word) if at_word is not None else None
        with ExitStack() as until:
            page = opening.page(load(config_file), "run", port, say) if web else None
            if page is not None:
                until.callback(page.close)
            result = runs.run(
                config_file,
                out=out,
                coverage=sample,
                since=since,
                extra=pytest_args,
                output_to_stderr=as_json,
                marked=markers,
                word=word,
                say=say,
                watched=partial(_watched, until=until, page=page, as_json=as_json) if watch or web else None,
            )
    except DdbVerifyError as error:
        refuse(error, as_json=as_json)
    _show(result, err=as_json)
    if as_json:
        print_json(result.as_json())
    making.leave(result.folder, lambda: load(config_file), say)
    _send_metrics(config_file, result)
    show_in_pipeline(ci.annotations_of_run(result.evidence), summary.markdown(result.evidence), err=as_json)
    sys.exit(result.exit_code)


def _send_metrics(config_file: Path, result: RunResult) -> None:
    """The run's numbers, and what the gate says of it, where anybody wants them."""
    try:
        config = load(config_file)
    except DdbVerifyError as error:  # changed while the run was on
        say(f"metrics were not sent: {error.message}")
        return

    def measure() -> list[measures.Measured]:
        made = measures.of_run(result.evidence, config.name)
        try:
            return made + measures.of_gate(judge(config, result.folder), config.name, time.time())
        except DdbVerifyError as error:
            say(f"metrics say nothing of the gate: {error.message}")
            return made

    sending.send(measure, config.metrics, config.folder, f"ddbverify_run_{config.name}", say)


def _word(at_word: str) -> Word:
    try:
        limit_seconds = float(duration(at_word))
    except ValueError as error:
        raise ConfigurationError(f"--at-word: {error}", "write 15m, say.") from error
    # As Ctrl-C does: whoever gave the word is gone, and nobody waits for the run any more.
    return Word(0, limit_seconds, ended=lambda: os.kill(os.getpid(), signal.SIGTERM))


def _watched(
    log: Path, *, until: ExitStack, page: Page | None, as_json: bool
) -> Callable[[str], None] | None:
    """Show the log of a run; on a terminal its checks' output stands above what is drawn."""
    drawn = not as_json and terminal.is_looked_at(sys.stdout, sys.stderr)
    screen = terminal.Drawn(Console(highlight=False)) if drawn else terminal.Lines(say)
    watching = until.enter_context(Watching(log, screen, page))
    return watching.line if drawn else None


def _show(result: RunResult, *, err: bool) -> None:
    if result.new_key is not None:
        click.echo(
            f"A new signing key was made: {result.new_key.path}. Its public key, for trusted_keys:\n"
            f"  {result.new_key.public}",
            err=True,
        )
    if not result.trusted:
        click.echo(
            "The signing key is not among [gate] trusted_keys: this evidence opens no gate of this file.",
            err=True,
        )
    click.echo(f"\n{result.evidence.verdict}: {result.folder}", err=err)
    tail = repairs.tail_of(result.folder / folders.REPAIR)
    if tail is not None and tail.listed:
        click.echo(f"  to write that again: replicator repair --from {result.folder} --dry-run", err=err)
    for problem in result.unreported:
        click.echo(f"  not reported: {problem}", err=err)
    lacking = result.evidence.shortcomings
    # Of an interrupted run, all that has not run is no news.
    for shortcoming in lacking[:1] if runs.INTERRUPTED in lacking[:1] else lacking:
        click.echo(f"  not complete: {summary.printable(shortcoming, 2000)}", err=err)
    for pair in result.evidence.empty_pairs:
        click.echo(f"  {summary.empty_in_words(pair)}", err=err)
    for nobodys in result.evidence.unclaimed:
        click.echo(f"  {summary.printable(summary.unclaimed_in_words(nobodys))}", err=err)
