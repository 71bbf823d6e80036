"""How a command is called: its common options, and what becomes of its answer and its errors."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ddbverify import config as configuration
from ddbverify.errors import ConfigurationError, DdbVerifyError, EngineError
from ddbverify.interrupts import end_as_ctrl_c_does
from ddbverify.tables.aws import translated
from replicator.context.console import Console
from replicator.context.context import Context

EXIT_REFUSED, EXIT_CONFIGURATION, EXIT_AWS = 1, 2, 6

Run = Callable[[Context], dict[str, Any]]
"""A command: it prints what it does, and returns its answer for machines."""

config_option = click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path),
    default=configuration.FILE_NAME,
    show_default=True,
    help="The migration's settings.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")


def command(name: str, run: Run, text: str) -> click.Command:
    """A command that has no options but those of every command."""

    @click.command(name=name, help=text)
    @config_option
    @json_option
    def made(path: Path, as_json: bool) -> None:
        execute(path, as_json=as_json, run=run)

    return made


def deploying(name: str, run: Run, text: str) -> click.Command:
    """A command that deploys stacks, or takes those that others have deployed."""

    @click.command(name=name, help=text)
    @config_option
    @json_option
    @click.option(
        "--deployed", is_flag=True, help="Take the stacks that others have deployed; no IAM is changed."
    )
    def made(path: Path, as_json: bool, deployed: bool) -> None:
        def taking(context: Context) -> dict[str, Any]:
            context.shared.by_others = deployed
            return run(context)

        execute(path, as_json=as_json, run=taking)

    return made


def execute(path: Path, *, as_json: bool, run: Run) -> dict[str, Any]:
    """Run one command, say its errors in two lines, and end with the exit status that fits; or its answer."""
    console = Console(as_json=as_json)
    end_as_ctrl_c_does()  # a cutover lifts its fence first
    try:
        context = Context(configuration.load(path), console, path.resolve())
        with translated(f"do what `{click.get_current_context().command_path}` asked for"):
            answer = run(context)
        answer = {"ok": True, **answer}  # a command may say itself that all is not well
        console.answer(answer)
    except DdbVerifyError as error:
        console.answer({"ok": False, "error": error.message, "try": error.hint})
        click.echo(f"Error: {error}", err=True)
        sys.exit(exit_status(error))
    except KeyboardInterrupt:
        console.answer({"ok": False, "error": "interrupted", "try": "run the same command again"})
        click.echo("Interrupted. Run the same command again: it goes on from here.", err=True)
        sys.exit(EXIT_REFUSED)
    except Exception as error:
        what = f"{type(error).__qualname__}, which nobody has expected"
        console.answer({"ok": False, "error": what, "try": "run the same command again"})
        raise  # `ddbverify.commands.gathered` says where, and ends
    return answer


def exit_status(error: DdbVerifyError) -> int:
    """2 for settings, 6 where AWS refused, 1 for everything that was refused or rolled back."""
    if isinstance(error, ConfigurationError):
        return EXIT_CONFIGURATION
    return EXIT_AWS if isinstance(error, EngineError) else EXIT_REFUSED
