"""``ddbverify spark``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import click

from ddbverify.commands.shared import json_option, print_json, refuse
from ddbverify.errors import ConfigurationError, DdbVerifyError
from ddbverify.spark import bundle as bundles
from ddbverify.spark.lines import lines_of

_PLACE: Final = re.compile(r"s3://[A-Za-z0-9.-]+(/[A-Za-z0-9._=/-]*)?")


@click.group("spark")
def command() -> None:
    """Pack what Spark needs, and print how it runs there."""


@command.command("bundle")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("build/spark"),
    show_default=True,
    help="Folder for the files.",
)
@click.option(
    "--python",
    type=click.Choice(bundles.PYTHONS),
    default=bundles.PYTHONS[0],
    show_default=True,
    help="The platform's: 3.11 on Glue 5.1, 3.13 on Glue 6.0.",
)
@click.option(
    "--machine",
    type=click.Choice(list(bundles.MACHINES)),
    default="x86_64",
    show_default=True,
    help="The platform's; arm64 is Graviton.",
)
@click.option(
    "--to",
    default="s3://BUCKET/ddbverify",
    show_default=True,
    metavar="S3",
    help="Where the files will lie, for the lines that are printed.",
)
@json_option
def bundle(*, out: Path, python: str, machine: str, to: str, as_json: bool) -> None:
    """
    Fetch wheels for the platform's machines, pack them, and print how it runs there.

    Nothing is copied to AWS, and no job is submitted. What is needed comes from pip's package index.

    Exit status: 0 done, 2 usage, or pip has not found all wheels.
    """
    try:
        to = _place(to)
        made = bundles.make(out, python=python, machine=machine)
    except DdbVerifyError as error:
        refuse(error, as_json=as_json)
    lines = lines_of(made, to)
    if as_json:
        files = [str(file) for file in made.files]
        print_json({"command": "spark bundle", "files": files, "wheels": list(made.packages), "lines": lines})
        return
    for name, line in lines.items():
        click.echo(f"# {name}\n{line}\n")


def _place(to: str) -> str:
    """A place in a bucket, as it can stand unquoted in a line for a shell."""
    if not _PLACE.fullmatch(to):
        raise ConfigurationError(
            f"--to: {to!r} names no place in a bucket.",
            'write it like "s3://BUCKET/PREFIX", of letters, digits and . _ = - only.',
        )
    return to.rstrip("/")
