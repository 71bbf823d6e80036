"""Commands gathered under one name: found by their modules, ended without a traceback whatever happens."""

from __future__ import annotations

import errno
import importlib
import os
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import click

from ddbverify.words import docs_folder

_USAGE = 2

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Undecided:
    """How a command ends that has come to nothing."""

    status: int
    so: str  # what that means for the user, a sentence
    again: str  # what to do, to follow "Try: "
    interrupted: str  # all that is said after Ctrl-C


class Gathered(click.Group):
    """Finds a command in the module of its name, ``command`` there, and imports no other."""

    def __init__(
        self, *args: Any, package: str, texts: Mapping[str, str], undecided: Undecided, **extra: Any
    ) -> None:
        """
        Gather the commands of one package.

        Args:
            args: As of click's group.
            package: The package of the modules, dotted.
            texts: What the help says of each command, in the order in which they are used.
            undecided: How one ends that was interrupted, or failed as nobody has expected.
            extra: As of click's group.
        """
        super().__init__(*args, **extra)
        self._package, self._texts, self._undecided = package, texts, undecided

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(self._texts)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in self._texts:
            return None
        command: click.Command = importlib.import_module(f"{self._package}.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(self._texts.items()))
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
            with self._no_verdict():
                status = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        except click.ClickException as error:
            with suppress(OSError):  # nobody reads it, or there is no room
                error.show()
            sys.exit(_USAGE)
        finally:
            _let_go()
        sys.exit(status if isinstance(status, int) else 0)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        with self._no_verdict():  # before click's own `main` makes 1 of a closed pipe
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with self._no_verdict():
            return super().invoke(ctx)

    @contextmanager
    def _no_verdict(self) -> Iterator[None]:
        """Whatever keeps a command from its end ends with a status that says nothing about the tables."""
        try:
            yield
        except (click.ClickException, click.exceptions.Exit):
            raise  # usage, and the end of --help
        except (KeyboardInterrupt, click.Abort):
            self._end(self._undecided.interrupted)
        except BrokenPipeError:
            # Else the interpreter complains when it flushes standard output at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(self._undecided.status)  # nobody reads what was decided
        except OSError as error:
            if error.errno not in _NO_ROOM:
                self._end_with_a_defect(error)
            where = f" ({error.filename})" if error.filename else ""
            self._end(
                f"Error: There was no room to write to{where}: {error.strerror}. {self._undecided.so}\n"
                "  Try: make room, then run the command again."
            )
        except Exception as error:  # noqa: BLE001 - Python would end with 1, and show the error's text
            self._end_with_a_defect(error)

    def _end_with_a_defect(self, error: Exception) -> NoReturn:
        """Say where, without the error's text: it may hold values."""
        frames = traceback.extract_tb(error.__traceback__)
        lines = [f"  at {_place(frame.filename)}:{frame.lineno} in {frame.name}" for frame in frames]
        what = type(error).__qualname__
        self._end(
            f"Error: {what}, which nobody has expected. {self._undecided.so}\n"
            f"  Try: {self._undecided.again}; if it comes again, report it with these lines:\n"
            + "\n".join(lines)
        )

    def _end(self, said: str) -> NoReturn:
        with suppress(OSError):  # the status is what counts
            click.echo(said, err=True)
        sys.exit(self._undecided.status)


def _let_go() -> None:
    """Of streams that take no more: the interpreter would meet them at its end, and leave with 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        except (AttributeError, ValueError):  # there is none, or it is closed
            continue


def _place(file: str) -> str:
    """A file as its package names it: folders above that are the user's own."""
    parts = Path(file).parts
    ours = ("ddbverify", "replicator", "site-packages")
    packages = [number for number, part in enumerate(parts) if part in ours]
    return "/".join(parts[packages[-1] :] if packages else parts[-1:])
