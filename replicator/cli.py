"""The ``replicator`` command. Exit status: 0 done, 1 refused or rolled back, 2 configuration, 6 AWS."""

from __future__ import annotations

import importlib
from typing import Final

import click

COMMANDS: Final = {
    "up": "Phase 1: capture every change of the source, then back it up.",
    "restore": "Phase 2: restore the backup as the target and let it follow.",
    "status": "How far the migration is, and whether it is well.",
    "pause": "Let no consumer write until `resume`; capture goes on.",
    "resume": "Let the consumers of a paused migration write again.",
    "audit": "Hold the stream itself against the ledger: is anything lost?",
    "quarantine": "What could not be applied: hashes of keys, reasons, counts.",
    "repair": "Write quarantined items again, as the source has them now.",
    "restart": "Start pairs anew: new backup, new ledger, new boundary.",
    "cutover": "Gate, fence, drain, verify, flip; rolled back if a step fails.",
    "down": "Remove exactly what the migration made, never the source.",
    "demo": "A whole migration under traffic on an embedded AWS.",
}
"""What the help says of each command, in the order in which they are used."""


class _Gathered(click.Group):
    """Finds a command in the module of its name in `replicator.commands`, and imports no other."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"replicator.commands.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Gathered, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ddbverify")
def main() -> None:
    """
    Move live DynamoDB tables without losing a write.

    up, restore, then `ddbverify run`, then cutover. Each command can be interrupted and run
    again: it goes on where it stopped. All settings stand in migration.toml.

    Exit status: 0 done, 1 refused or rolled back, 2 usage or configuration, 6 AWS refused.
    """
