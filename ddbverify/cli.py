"""The command line of ``ddbverify``: arguments in, exit codes out (docs/commands.md)."""

from __future__ import annotations

import importlib
import sys
from typing import Any, Final

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

_INTERRUPTED = 3
"""Never 0, and never 1, which says that there are differences."""


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

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            sys.exit(_INTERRUPTED)


@click.group(cls=_Gathered, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ddbverify", prog_name="ddbverify")
def main() -> None:
    """Verify that DynamoDB tables hold what they should, and judge the evidence."""
