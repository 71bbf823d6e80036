"""``ddbverify plugins``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from tabulate import tabulate

from ddbverify.commands.shared import config_option, json_option, print_json, refuse
from ddbverify.config import load
from ddbverify.errors import DdbVerifyError
from ddbverify.evidence import folders
from ddbverify.plugins.fitting import PREFIX
from ddbverify.plugins.loading import listed


@click.command("plugins")
@config_option
@json_option
def command(config_file: Path, *, as_json: bool) -> None:
    """
    List the plugins that are installed, and which of them may take part.

    One that [verification] plugins does not list is not even imported.

    Exit status: 0 done, 2 usage, or a plugin that may take part cannot be used.
    """
    try:
        config = load(config_file)
        folders.make_importable(config)
        rows = listed(config, folders.checks_folder(config))
    except DdbVerifyError as error:
        refuse(error, as_json=as_json)
    if as_json:
        print_json({"command": "plugins", "plugins": rows, "exit_code": 0})
    elif not rows:
        click.echo("No plugin is installed, and checks/conftest.py implements no hook.")
    else:
        click.echo(_table(rows))


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    shown = [
        (
            row["name"],
            row["version"] or "-",
            row["distribution"] or row["origin"],
            "yes" if row["allowed"] else "no",
            ", ".join(name.removeprefix(PREFIX) for name in row["hooks"] or ()) or "not loaded",
        )
        for row in rows
    ]
    headers = ("plugin", "version", "from", "allowed", "hooks")
    return tabulate(shown, headers, disable_numparse=True, maxcolwidths=[None, None, None, None, 60])
