"""``ddbverify explain``."""

from __future__ import annotations

from pathlib import Path

import click

from ddbverify.commands.lookup import explain
from ddbverify.commands.shared import config_option, json_option, print_json, refuse
from ddbverify.errors import DdbVerifyError
from ddbverify.evidence import folders


@click.command("explain")
@config_option
@json_option
@click.argument("key_hash", metavar="HASH")
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option(
    "--key",
    "private_key",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File of the private key that opens findings.sealed; one in KMS is used without.",
)
def command(
    config_file: Path, key_hash: str, folder: Path | None, private_key: Path | None, *, as_json: bool
) -> None:
    """
    Show the key that HASH in a message stands for, and where its items differ.

    Looks in FOLDER, a run's, or in a file of sealed findings; by default in all runs and pytest sessions
    beside migration.toml. Works on the machine that made them, and with the key of findings.sealed
    anywhere. It prints raw keys.

    Exit status: 0 found, 2 not found, or there is no key that opens them, 6 AWS refused.
    """
    try:
        found = explain(key_hash, config_file.resolve().parent / folders.HOME, folder, private_key)
    except DdbVerifyError as error:
        refuse(error, as_json=as_json)
    if as_json:
        print_json({"command": "explain", "found": [one.line | {"file": str(one.file)} for one in found]})
    else:
        click.echo("\n\n".join(one.text() for one in found))
