"""``ddbverify diff``."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import click
from rich.console import Console

from ddbverify.commands.shared import (
    CUT_SHORT,
    of_two_sides,
    options_of,
    our_output,
    refuse,
    say,
)
from ddbverify.config import Metrics
from ddbverify.config_checks import check_metrics
from ddbverify.diff.diff import Display, run
from ddbverify.diff.options import ENGINES, HERE
from ddbverify.diff.request import Request
from ddbverify.diff.text import text
from ddbverify.errors import ConfigurationError, DdbVerifyError
from ddbverify.interrupts import end_as_ctrl_c_does
from ddbverify.metrics import measures, sending
from ddbverify.page import making
from ddbverify.reports import progress


@click.command("diff")
@of_two_sides
@click.option("--ignore", multiple=True, metavar="PATH", help="Attribute path to leave out; repeatable.")
@click.option(
    "--stratum",
    "strata",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Keys to compare beside a --sample, in JSON Lines; reported apart from its bound. Repeatable.",
)
@click.option(
    "--engine",
    type=click.Choice(ENGINES),
    default=HERE,
    show_default=True,
    help="Where tables or exports are read and compared: on this machine, or by tasks of Spark.",
)
@click.option(
    "--spark-staging",
    metavar="PLACE",
    help="s3://BUCKET/PREFIX or file:///FOLDER where items of live tables wait that two orders keep apart.",
)
@click.option("--memory", metavar="SIZE", help="For items that wait for their partner; default 512MB.")
@click.option(
    "--max-differences",
    type=click.IntRange(min=1),
    metavar="N",
    help="End after so many differences, with their causes; the rest counts as not read.",
)
@click.option("--values", is_flag=True, help="Show the items of findings, too; read again for that.")
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["text", "jsonl"]),
    default="text",
    show_default=True,
    help="A report, or one JSON object per finding as it is decided, and a summary last.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for findings.jsonl (mode 0600), summary.json and the checkpoint.",
)
@click.option("--resume", is_flag=True, help="Go on with the interrupted run in --out.")
@click.option(
    "--metrics",
    "ways",
    multiple=True,
    metavar="WAY=PLACE",
    help="Send the outcome's numbers: textfile=FOLDER, otlp=URL or statsd=HOST:PORT. Repeatable.",
)
@click.option("--quiet", is_flag=True, help="No progress on standard error.")
def command(
    *,
    max_differences: int | None,
    values: bool,
    output_format: str,
    out: Path | None,
    resume: bool,
    ways: tuple[str, ...],
    quiet: bool,
    **given: Any,
) -> None:
    """
    Compare SOURCE and TARGET completely, and show every key that differs.

    A table is a name or an ARN, or an export of one: s3://BUCKET/PREFIX/AWSDynamoDB/ID or
    file:///FOLDER/AWSDynamoDB/ID. Keys are shown, values only with --values.

    Exit status: 0 equal, 1 differences, 2 usage, 3 inconclusive or incomplete, 6 AWS refused.
    """
    end_as_ctrl_c_does()
    lines = output_format == "jsonl"
    try:
        if resume and out is None:
            raise click.UsageError("--resume needs --out: the folder of the interrupted run.")
        metrics = _metrics(ways)
        request = Request(
            options=options_of(given),
            folder=Path.cwd(),
            out=out,
            resume=resume,
            values=values,
            lines=lines,
            max_differences=max_differences,
        )
        with our_output() as output:
            emit, show = partial(_print_finding, output=output), _display(quiet=quiet, lines=lines)
            result = run(request, emit=emit, say=say, show=show)
        _print_line(json.dumps({"summary": result.summary}) if lines else text(result))
        if result.unwritten is not None:
            click.echo(f"Error: {result.unwritten}", err=True)
        elif out is not None:
            making.leave(out, lambda: None, say)
    except DdbVerifyError as error:
        refuse(error, as_json=lines, indent=None)
    except BrokenPipeError:
        sys.exit(CUT_SHORT)
    except KeyboardInterrupt:
        say("interrupted")
        sys.exit(CUT_SHORT)
    source, target = result.source.name, result.target.name
    sending.send(
        lambda: measures.of_diff(result.summary, result.causes.kinds(), source, target, result.exit_code),
        metrics,
        Path.cwd(),
        f"ddbverify_diff_{source}_{target}",
        say,
    )
    sys.exit(result.exit_code)


def _metrics(ways: Sequence[str]) -> Metrics:
    """
    What ``--metrics`` names.

    Raises:
        ConfigurationError: In the words of the command line.
    """
    given = [way.partition("=")[::2] for way in ways]
    for name, place in given:
        if name not in Metrics.__struct_fields__ or not place or [one for one, _ in given].count(name) > 1:
            raise ConfigurationError(
                f"--metrics {name}={place} is no way to send metrics, or is there twice.",
                "use textfile=FOLDER, otlp=URL or statsd=HOST:PORT, each once.",
            )
    found = Metrics(**dict(given))
    check_metrics("--metrics {}", found, ConfigurationError)
    return found


def _display(*, quiet: bool, lines: bool) -> Display:
    if quiet:
        return lambda _: progress.silence()
    console = Console(stderr=True, highlight=False)
    # Findings that come out between would tear the bar apart.
    if console.is_terminal and not (lines and sys.stdout.isatty()):
        return partial(progress.bar, console=console)
    return partial(progress.lines, say=say)


def _print_line(line: str) -> None:
    """Raises BrokenPipeError once, when nobody reads any more; from then on it prints nowhere."""
    try:
        click.echo(line)
    except BrokenPipeError:
        _print_nowhere(sys.stdout)
        raise


def _print_finding(line: str, output: TextIO | None) -> None:
    """Like `_print_line`, for one of millions: plain ASCII, in which nobody has to look for colours."""
    if output is None:  # standard output was closed before the command began
        return
    try:
        output.write(line + "\n")
        output.flush()
    except BrokenPipeError:
        _print_nowhere(output)
        raise


def _print_nowhere(output: TextIO) -> None:
    # Else the interpreter complains when it flushes standard output at its end.
    os.dup2(os.open(os.devnull, os.O_WRONLY), output.fileno())
