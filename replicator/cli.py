"""The ``replicator`` command. Exit status: 0 done, 1 refused or rolled back, 2 configuration, 6 AWS."""

from __future__ import annotations

from typing import Final

import click

from ddbverify.commands.gathered import Gathered, Undecided

COMMANDS: Final = {
    "plan": "What it will take, before `up`: time, money, stacks, cheapest way.",
    "doctor": "What would go wrong, before `up`: tables, streams, fence, limits.",
    "up": "Phase 1: capture every change of the source, then back it up.",
    "restore": "Phase 2: restore the backup as the target and let it follow.",
    "worker": "Forward and apply changes in place of functions, until it ends.",
    "synth": "Write the stacks that `up` and `restore` deploy, for a tool of yours.",
    "status": "How far the migration is, and whether it is well.",
    "watch": "How it goes, drawn anew every few seconds, on a terminal or a page.",
    "dashboard": "Print the dashboard as a document for Grafana or CloudWatch.",
    "pause": "Let no consumer write until `resume`; capture goes on.",
    "resume": "Let the consumers of a paused migration write again.",
    "verify": "`ddbverify run --since latest`, with the runs kept in the bucket.",
    "audit": "Hold the stream itself against the ledger: is anything lost?",
    "quarantine": "What could not be applied: hashes of keys, reasons, counts.",
    "repair": "Write quarantined items again, as the source has them now.",
    "restart": "Start pairs anew: new backup, new ledger, new boundary.",
    "cutover": "Gate, fence, drain, verify, flip; rolled back if a step fails.",
    "cutback": "The cutover mirrored: the application goes back to the source.",
    "settle": "Give the way back up: the source follows nothing any more.",
    "adopt": "Print what a stack of yours takes the target over with, as it is.",
    "down": "Remove exactly what the migration made, never the source.",
    "demo": "A whole migration under traffic on an embedded AWS, or in an account of yours.",
}
"""What the help says of each command, in the order in which they are used."""


_UNDECIDED = Undecided(
    status=1,
    so="The command stopped there.",
    again="run the same command again: it goes on from here",
    interrupted="Interrupted. Run the same command again: it goes on from here.",
)


@click.group(
    cls=Gathered,
    package="replicator.commands",
    texts=COMMANDS,
    undecided=_UNDECIDED,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="ddbverify")
def main() -> None:
    """
    Move live DynamoDB tables without losing a write.

    plan, doctor, up, restore, then `ddbverify run`, then cutover. Each command can be interrupted and run
    again: it goes on where it stopped. All settings stand in migration.toml.

    Exit status: 0 done, 1 refused or rolled back, 2 usage or configuration, 6 AWS refused.
    """
