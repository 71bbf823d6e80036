"""The command line of ``ddbverify``: arguments in, exit codes out (docs/commands.md)."""

from __future__ import annotations

from typing import Final

import click

from ddbverify.commands.gathered import Gathered, Undecided

COMMANDS: Final = {
    "init": "Write migration.toml and checks/ into this folder.",
    "plan": "Say what comparing two tables costs.",
    "diff": "Compare two tables, and show every key that differs.",
    "run": "Run all checks and leave signed evidence.",
    "gate": "Say whether the evidence allows the cutover.",
    "report": "Write one page on a run or a diff, to send around.",
    "explain": "Show the key that a hash in a message stands for.",
    "evidence": "Verify a signed file, and print what it says as JSON.",
    "keygen": "Make the key that signs evidence.",
    "plugins": "List the plugins that are installed.",
    "spark": "Pack what Spark needs, and print how it runs there.",
}
"""What the help says of each command, in the order in which they are used."""

_UNDECIDED = Undecided(
    status=3,  # never 0, never 1 (there are differences)
    so="Nothing is decided.",
    again="run the command again",
    interrupted="Interrupted.",
)


@click.group(
    cls=Gathered,
    package="ddbverify.commands",
    texts=COMMANDS,
    undecided=_UNDECIDED,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="ddbverify", prog_name="ddbverify")
def main() -> None:
    """Verify that DynamoDB tables hold what they should, and judge the evidence."""
