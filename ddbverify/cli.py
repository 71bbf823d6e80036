"""The command line of ``ddbverify``: arguments in, exit codes out (docs/commands.md)."""

from __future__ import annotations

import errno
import importlib
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NoReturn

import click

from ddbverify.words import docs_folder

COMMANDS: Final = {
    "init": "Write migration.toml and checks/ into this folder.",
    "plan": "Say what comparing two tables costs.",
    "diff": "Compare two tables, and show every key that differs.",
    "run": "Run all checks and leave signed evidence.",
    "gate": "Say whether the evidence allows the cutover.",
    "explain": "Show the key that a hash in a message stands for.",
    "evidence": "Verify a signed file, and print what it says as JSON.",
    "keygen": "Make the key that signs evidence.",
    "plugins": "List the plugins that are installed.",
}
"""What the help says of each command, in the order in which they are used."""

_NOT_DECIDED = 3
"""How a command ends that has come to nothing: never 0, never 1 (there are differences)."""

_USAGE = 2

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class _Gathered(click.Group):
    """Finds a command in the module of its name in `ddbverify.commands`, and imports no other."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"ddbverify.commands.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))
        if folder := docs_folder():
            with formatter.section("Documentation"):
                formatter.write_text(str(folder))

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """As click's own, which ends with 1 where the arguments themselves were interrupted."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        try:
            with _no_verdict():
                status = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        except click.ClickException as error:
            with suppress(OSError):  # nobody reads it, or there is no room
                error.show()
            sys.exit(_USAGE)
        sys.exit(status if isinstance(status, int) else 0)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        with _no_verdict():  # before click's own `main` makes 1 of a closed pipe
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _no_verdict():
            return super().invoke(ctx)


@contextmanager
def _no_verdict() -> Iterator[None]:
    """Whatever keeps a command from its end ends with a status that says nothing about the tables."""
    try:
        yield
    except (click.ClickException, click.exceptions.Exit):
        raise  # usage, and the end of --help
    except (KeyboardInterrupt, click.Abort):
        _end("Interrupted.")
    except BrokenPipeError:
        # Else the interpreter complains when it flushes standard output at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(_NOT_DECIDED)  # nobody reads what was decided
    except OSError as error:
        if error.errno not in _NO_ROOM:
            _end_with_a_defect(error)
        where = f" ({error.filename})" if error.filename else ""
        _end(
            f"Error: There was no room to write to{where}: {error.strerror}. Nothing is decided.\n"
            "  Try: make room, then run the command again."
        )
    except Exception as error:  # noqa: BLE001 - Python would end with 1, which is a verdict
        _end_with_a_defect(error)


def _end_with_a_defect(error: Exception) -> NoReturn:
    """Say where, without the error's text: it may hold values."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f"  at {_place(frame.filename)}:{frame.lineno} in {frame.name}" for frame in frames]
    what = type(error).__qualname__
    _end(
        f"Error: {what}, which nobody has expected. Nothing is decided.\n"
        "  Try: run the command again; if it comes again, report it with these lines:\n" + "\n".join(lines)
    )


def _place(file: str) -> str:
    """A file as its package names it: folders above that are the user's own."""
    parts = Path(file).parts
    packages = [number for number, part in enumerate(parts) if part in ("ddbverify", "site-packages")]
    return "/".join(parts[packages[-1] :] if packages else parts[-1:])


def _end(said: str) -> NoReturn:
    with suppress(OSError):  # the status is what counts
        click.echo(said, err=True)
    sys.exit(_NOT_DECIDED)


@click.group(cls=_Gathered, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ddbverify", prog_name="ddbverify")
def main() -> None:
    """Verify that DynamoDB tables hold what they should, and judge the evidence."""
