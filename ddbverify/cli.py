"""The command line of ``ddbverify``: arguments in, exit codes out (DESIGN 5)."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click

from ddbverify import config as configuration
from ddbverify import gate as gates
from ddbverify import run as runs
from ddbverify.errors import DdbVerifyError, EngineError
from ddbverify.evidence import tool_version

_CONFIG = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    default=Path(configuration.FILE_NAME),
    show_default=True,
    help="The migration's settings.",
)
_JSON = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object to standard output, all else to stderr."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(tool_version(), prog_name="ddbverify")
def main() -> None:
    """Verify that DynamoDB tables hold what they should, and judge the evidence."""


@main.command()
@_CONFIG
@_JSON
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Folder of this run; new or empty."
)
@click.option("--sample", metavar="PERCENT", help='Read a sample, such as "0.5%"; it never opens a gate.')
@click.argument("pytest_args", nargs=-1, type=click.UNPROCESSED)
def run(
    config_file: Path, out: Path | None, sample: str | None, pytest_args: tuple[str, ...], *, as_json: bool
) -> None:
    """
    Run all checks and leave signed evidence.

    Arguments after -- go to pytest; what they leave out closes the gate.

    Exit status: 0 equal, 1 differences, 2 usage, 3 inconclusive or incomplete, 6 AWS refused.
    """
    # A supervisor ends us with SIGTERM; the child has to be ended, and the evidence written, too.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        result = runs.run(config_file, out=out, coverage=sample, extra=pytest_args, output_to_stderr=as_json)
    except DdbVerifyError as error:
        _refuse(error, as_json=as_json)
    if result.new_key is not None:
        click.echo(
            f"A new signing key was made: {result.new_key.path}. Its public key, for trusted_keys:\n"
            f"  {result.new_key.public}",
            err=True,
        )
    click.echo(f"\n{result.evidence.verdict}: {result.folder}", err=as_json)
    for shortcoming in result.evidence.shortcomings:
        click.echo(f"  not complete: {shortcoming}", err=as_json)
    if as_json:
        _print_json(result.as_json())
    sys.exit(result.exit_code)


@main.command()
@_CONFIG
@_JSON
@click.argument("folder", required=False, type=click.Path(path_type=Path))
def gate(config_file: Path, folder: Path | None, *, as_json: bool) -> None:
    """
    Say whether the evidence in FOLDER (default: the latest run) allows the cutover.

    Exit status: 0 open; closed: 1 a check failed, 3 incomplete or pipeline unhealthy, 4 stale,
    5 missing or not trusted, 6 AWS refused; the highest of all reasons.
    """
    try:
        decision = gates.judge(configuration.load(config_file), folder)
    except DdbVerifyError as error:
        _refuse(error, as_json=as_json)
    click.echo(f"gate {'open' if decision.open else 'closed'}: {decision.folder}", err=as_json)
    for reason in decision.reasons:
        click.echo(f"  {reason.code}: {reason.message}", err=as_json)
    if as_json:
        _print_json(decision.as_json())
    sys.exit(decision.exit_code)


def _refuse(error: DdbVerifyError, *, as_json: bool) -> NoReturn:
    """End with an expected error; anything unexpected stays a traceback."""
    exit_code = gates.AWS_REFUSED if isinstance(error, EngineError) else 2
    click.echo(f"Error: {error}", err=True)
    if as_json:
        shown = {"type": type(error).__name__, "message": error.message, "hint": error.hint}
        _print_json({"error": shown, "exit_code": exit_code})
    sys.exit(exit_code)


def _print_json(document: dict[str, Any]) -> None:
    click.echo(json.dumps(document, indent=2))


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
