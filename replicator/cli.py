"""The ``replicator`` command. Exit status: 0 done, 1 refused or rolled back, 2 configuration, 6 AWS."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ddbverify import config as configuration
from ddbverify.errors import ConfigurationError, DdbVerifyError, EngineError, Refused
from ddbverify.tables.aws import translated
from ddbverify.words import number_of
from replicator.aws import switch
from replicator.commands import audit as auditing
from replicator.commands import cutover as cutting
from replicator.commands import down as removal
from replicator.commands import migration, repair
from replicator.commands import quarantine as quarantining
from replicator.commands import restart as restarting
from replicator.commands import status as reporting
from replicator.context.console import Console
from replicator.context.context import Context
from replicator.demo import story

EXIT_REFUSED, EXIT_CONFIGURATION, EXIT_AWS = 1, 2, 6

Command = Callable[[Context], dict[str, Any]]


class _InOrder(click.Group):
    """Lists commands in the order in which they are used, which is that of this file."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(self.commands)


@click.group(cls=_InOrder, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ddbverify")
def main() -> None:
    """
    Move live DynamoDB tables without losing a write.

    up, restore, then `ddbverify run`, then cutover. Each command can be interrupted and run
    again: it goes on where it stopped. All settings stand in migration.toml.

    Exit status: 0 done, 1 refused or rolled back, 2 usage or configuration, 6 AWS refused.
    """


_config = click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path),
    default=configuration.FILE_NAME,
    show_default=True,
    help="The migration's settings.",
)
_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")


def _command(name: str, run: Command, text: str) -> None:
    @main.command(name=name, help=text)
    @_config
    @_json
    def command(path: Path, as_json: bool) -> None:
        execute(path, as_json=as_json, run=run)


def execute(path: Path, *, as_json: bool, run: Command) -> None:
    """Run one command, say its errors in two lines, and end with the exit status that fits."""
    console = Console(as_json=as_json)
    signal.signal(signal.SIGTERM, _like_ctrl_c)
    try:
        context = Context(configuration.load(path), console, path.resolve())
        with translated(f"do what `{click.get_current_context().command_path}` asked for"):
            answer = run(context)
        console.answer({"ok": True, **answer})
    except DdbVerifyError as error:
        console.answer({"ok": False, "error": error.message, "try": error.hint})
        click.echo(f"Error: {error}", err=True)
        sys.exit(exit_status(error))
    except KeyboardInterrupt:
        console.answer({"ok": False, "error": "interrupted", "try": "run the same command again"})
        click.echo("Interrupted. Run the same command again: it goes on from here.", err=True)
        sys.exit(EXIT_REFUSED)


def _like_ctrl_c(signum: int, frame: object) -> None:
    """A supervisor's SIGTERM ends a command as Ctrl-C does: a cutover lifts its fence first."""
    del signum, frame
    raise KeyboardInterrupt


def exit_status(error: DdbVerifyError) -> int:
    """2 for settings, 6 where AWS refused, 1 for everything that was refused or rolled back."""
    if isinstance(error, ConfigurationError):
        return EXIT_CONFIGURATION
    return EXIT_AWS if isinstance(error, EngineError) else EXIT_REFUSED


def _audit(context: Context) -> dict[str, Any]:
    context.need_begun()
    context.need_no_restart()
    answer: dict[str, Any] = {}
    for pair in context.config.tables:
        if "ledger_table" not in context.resources(pair):
            raise Refused(f"{pair} has no ledger yet.", "run `replicator restore` first.")
        found = auditing.run(context, pair)
        answer[str(pair)] = {
            "examined": found.examined,
            "under_way": found.young,
            "lost": len(found.lost),
            "gap": found.gap or None,
        }
        under_way = f", {number_of(found.young, 'key')} under way" if found.young else ""
        context.console.line(
            f"{pair}: {number_of(found.examined, 'record')} examined, lost {len(found.lost)}{under_way}"
        )
        if found.gap:
            raise Refused(found.gap, "the gate stays shut; begin anew with `replicator restart`.")
        if found.lost:
            raise Refused(
                f"{number_of(len(found.lost), 'change')} of {pair} never applied.", auditing.LOST_HINT
            )
    return {"pairs": answer}


def _repair(context: Context) -> dict[str, Any]:
    context.need_begun()
    context.need_no_restart()
    answer: dict[str, Any] = {}
    stuck = 0
    with context.locked("replicator repair"):
        for pair in context.config.tables:
            if "ledger_table" not in context.resources(pair):
                raise Refused(f"{pair} has no ledger yet.", "run `replicator restore` first.")
            done = repair.run(context, pair)
            stuck += len(done.left)
            answer[str(pair)] = {"repaired": done.repaired, "left": list(done.left)}
            context.console.line(f"{pair}: {number_of(done.repaired, 'key')} repaired, {len(done.left)} left")
            for reason in sorted(set(done.left)):
                context.console.warn(reason)
    if stuck:
        raise Refused(
            f"{number_of(stuck, 'key')} left in the quarantine.",
            "see `replicator quarantine`, mend the items in the source, run `replicator repair` again; "
            "another transform needs `replicator restart`.",
        )
    return {"pairs": answer}


_command("up", migration.up, "Phase 1: capture every change of the source, then back it up.")
_command("restore", migration.restore, "Phase 2: restore the backup as the target and let it follow.")
_command("status", reporting.status, "How far the migration is, and whether it is well.")
_command("pause", switch.pause, "Let no consumer write until `resume`; capture goes on.")
_command("resume", switch.resume, "Let the consumers of a paused migration write again.")
_command("audit", _audit, "Hold the stream itself against the ledger: is anything lost?")


@main.command()
@_config
@_json
@click.option("--keys", is_flag=True, help="Show the raw keys, too.")
def quarantine(path: Path, as_json: bool, keys: bool) -> None:
    """What could not be applied: hashes of keys, reasons, counts."""
    execute(path, as_json=as_json, run=lambda context: quarantining.listed(context, keys=keys))


_command("repair", _repair, "Write quarantined items again, as the source has them now.")


@main.command()
@_config
@_json
@click.option("--backup", metavar="new|ARN", help="What to start from; by default a new backup.")
@click.option("--table", metavar="SOURCE", help="Restart the pair of this source only.")
def restart(path: Path, as_json: bool, backup: str | None, table: str | None) -> None:
    """
    Start pairs anew: new backup, new ledger, new boundary.

    Clears a gap, and lets a changed transform in. Interrupted or killed: run it again, it goes on.
    """

    def run(context: Context) -> dict[str, Any]:
        return restarting.restart(context, backup=backup, table=table)

    execute(path, as_json=as_json, run=run)


_command("cutover", cutting.cutover, "Gate, fence, drain, verify, flip; rolled back if a step fails.")
_command("down", removal.down, "Remove exactly what the migration made, never the source.")


@main.command()
@click.option("--items", type=click.Path(path_type=Path), help="A JSON list of items, gzipped or not.")
@click.option(
    "--count",
    type=click.IntRange(min=50),
    default=1000,
    show_default=True,
    help="Items to generate where no --items are given.",
)
@click.option("--traffic", type=float, default=100.0, show_default=True, help="Operations a second.")
@click.option("--transform", metavar="MODULE:FUNCTION", help="Send every item through this function.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of items and traffic.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
@click.option("--keep", is_flag=True, help="Keep the tables and the embedded AWS until Ctrl-C.")
def demo(
    items: Path | None,
    count: int,
    traffic: float,
    transform: str | None,
    seed: int,
    as_json: bool,
    keep: bool,
) -> None:
    """
    A whole migration under traffic on an embedded AWS.

    At its end stands the proof that no acknowledged write was lost. It needs no AWS account and
    touches none. Exit status: 0 if every step held, else 1; 2 items or transform cannot be used,
    6 the embedded AWS could not be started.
    """
    options = story.Options(items, count, traffic, transform, seed, keep)
    console = Console(as_json=as_json)
    signal.signal(signal.SIGTERM, _like_ctrl_c)
    try:
        outcome = story.demo(options, console)
    except DdbVerifyError as error:
        console.answer({"held": False, "failed": error.message, "try": error.hint})
        click.echo(f"Error: {error}", err=True)
        sys.exit(exit_status(error))
    except KeyboardInterrupt:
        console.answer({"held": False, "failed": "interrupted"})
        click.echo("Interrupted; the embedded AWS and all that was in it are gone.", err=True)
        sys.exit(EXIT_REFUSED)
    console.answer(outcome)
    sys.exit(0 if outcome["held"] else EXIT_REFUSED)
