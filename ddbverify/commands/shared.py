"""What several commands have in common: options, output, and how an error ends a command."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, NoReturn, TextIO, TypeVar

import click

from ddbverify.config import Side
from ddbverify.diff.options import Options
from ddbverify.errors import DdbVerifyError, EngineError, Inconclusive
from ddbverify.gate.reasons import AWS_REFUSED
from ddbverify.names import FILE_NAME
from ddbverify.reports import ci
from ddbverify.tables.segments import MOST_SEGMENTS
from ddbverify.words import as_json

CUT_SHORT = 3
"""Nobody reads the outcome, or it was not waited for: never 0, whatever it would have been."""

_Command = TypeVar("_Command", bound=Callable[..., Any])

config_option = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    default=Path(FILE_NAME),
    show_default=True,
    help="The migration's settings.",
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object to standard output, all else to stderr."
)
transform_option = click.option(
    "--transform", metavar="MODULE:FUNCTION", help="What makes a target item of a source item."
)

_POSITIVE = click.IntRange(min=1)
_REACHED = [
    click.option(f"--{side}-{name}", metavar=metavar, help=f"{what} of the {side}.")
    for side in ("source", "target")
    for name, metavar, what in (
        ("region", "REGION", "Region"),
        ("profile", "PROFILE", "AWS profile"),
        ("endpoint-url", "URL", "Endpoint"),
    )
]
_SIDES = [
    click.argument("source"),
    click.argument("target"),
    *_REACHED,
    transform_option,
    click.option("--rekeys", is_flag=True, help="The transform may change keys, or return lists."),
    click.option("--segments", type=click.IntRange(1, MOST_SEGMENTS), help="Cut the tables into so many."),
    click.option("--sample", metavar="PERCENT", help='Read whole segments at random, such as "0.5%".'),
    click.option("--seed", type=click.IntRange(min=0), help="Of the sample; drawn and shown by default."),
    click.option("--read-units", type=_POSITIVE, help="Ceiling of read units per second, for each table."),
    click.option(
        "--processes", type=_POSITIVE, help="That read and compare; as many as are worth it by default."
    ),
    click.option(
        "--max-read-units", type=_POSITIVE, help="Stop once both tables together have cost so many."
    ),
    click.option(
        "--settle",
        metavar="DURATION",
        show_default="60s",
        help="A difference counts once the source has held still for so long. Waited for only where "
        "something differs; 0s is right for tables that nobody writes to, and wrong for all others. "
        "Of exports: live, or live:60s, looks at keys that differ in the tables themselves.",
    ),
    click.option(
        "--source-changes",
        multiple=True,
        metavar="ADDRESS",
        help="An incremental export on top of the source's; repeatable, in order.",
    ),
    click.option("--target-changes", multiple=True, metavar="ADDRESS", help="Likewise, of the target's."),
    click.option(
        "--key", metavar="NAME:TYPE", help="Key of exported tables that cannot be asked, such as pk:S,sk:N."
    ),
    click.option("--target-key", metavar="NAME:TYPE", help="Of the target, where it has another key."),
]


def reaching_two_sides(command: _Command) -> _Command:
    """Add the options that say how the two sides are reached; `side_of` takes them."""
    return _with(_REACHED, command)


def of_two_sides(command: _Command) -> _Command:
    """Add the arguments and options of a comparison of two tables; `options_of` takes them."""
    return _with(_SIDES, command)


def _with(decorators: Sequence[Callable[[_Command], _Command]], command: _Command) -> _Command:
    for decorate in reversed(decorators):
        command = decorate(command)
    return command


def options_of(given: dict[str, Any]) -> Options:
    """The two sides as `of_two_sides` has them, and whatever else goes by its own name."""
    source, target = side_of("source", given), side_of("target", given)
    return Options(source_side=source, target_side=target, **given)


def side_of(side: str, given: dict[str, Any]) -> Side:
    """Take the options about one side out of *given*."""
    return Side(**{name: given.pop(f"{side}_{name}") for name in Side.__struct_fields__})


def say(line: str) -> None:
    """Tell the user something beside the output."""
    click.echo(f"ddbverify: {line}", err=True)


@contextmanager
def our_output() -> Iterator[TextIO]:
    """
    Standard output, for this command alone.

    What a transform or a plugin prints meanwhile goes to standard error: it would stand between the lines
    that another program reads.
    """
    ours = sys.stdout
    with redirect_stdout(sys.stderr):
        yield ours


def print_json(document: dict[str, Any], *, indent: int | None = 2) -> None:
    """Print the one object that ``--json`` promises."""
    click.echo(as_json(document, indent=indent))


def refuse(error: DdbVerifyError, *, as_json: bool, indent: int | None = 2) -> NoReturn:
    """End with an expected error; `ddbverify.cli` ends with all others."""
    exit_code = AWS_REFUSED if isinstance(error, EngineError) else 2
    if isinstance(error, Inconclusive):
        exit_code = CUT_SHORT
    click.echo(f"Error: {error}", err=True)
    if as_json:
        shown = {"type": type(error).__name__, "message": error.message, "hint": error.hint}
        print_json({"error": shown, "exit_code": exit_code}, indent=indent)
    raise SystemExit(exit_code)


def show_in_pipeline(annotations: list[str], markdown: str, *, err: bool) -> None:
    """What GitHub shows of a job, where this is one; both of its streams are read for it."""
    for line in annotations if ci.shows_annotations(os.environ) else ():
        click.echo(line, err=err)
    problem = ci.append_summary(markdown, os.environ)
    if problem is not None:
        say(problem)
