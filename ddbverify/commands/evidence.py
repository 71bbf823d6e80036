"""``ddbverify evidence``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ddbverify.commands.shared import config_option, print_json, refuse
from ddbverify.config import load
from ddbverify.errors import DdbVerifyError
from ddbverify.evidence import cutover, folders, row, signing
from ddbverify.evidence.envelope import NotTrusted
from ddbverify.gate.reasons import NOT_TRUSTED


@click.command("evidence")
@config_option
@click.argument("file", required=False, type=click.Path(path_type=Path))
def command(config_file: Path, file: Path | None) -> None:
    """
    Verify a signed file, and print what it says as JSON.

    FILE is the evidence of a run (or its folder; default: the latest) or of a cutover. Whether it is
    fresh, and about these tables, is for `gate` to say.

    Exit status: 0 signed by a trusted key, 2 usage, 5 missing or not trusted, 6 AWS refused.
    """
    try:
        config = load(config_file)
        place = folders.last(config) if file is None else file
        trusted = signing.trusted_keys(config)
        content = row.content(place) if place.is_dir() or file is None else place.read_bytes()
        document = cutover.read_signed(content, trusted)
    except DdbVerifyError as error:
        refuse(error, as_json=False)
    except (OSError, NotTrusted) as error:
        why = (error.strerror or "it cannot be read") if isinstance(error, OSError) else error
        click.echo(
            f"Error: The evidence in {place} must not be believed: {why}.\n"
            "  Try: name another file, or make it again with `ddbverify run`.",
            err=True,
        )
        sys.exit(NOT_TRUSTED)
    print_json(document)  # out of the above: an output that takes no more is not about the evidence
