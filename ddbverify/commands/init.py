"""``ddbverify init``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from ddbverify.commands.shared import (
    json_option,
    print_json,
    reaching_two_sides,
    refuse,
    side_of,
    transform_option,
)
from ddbverify.commands.starter import MINE, Answers, Made, write
from ddbverify.errors import ConfigurationError, DdbVerifyError
from ddbverify.names import FILE_NAME


@click.command("init")
@click.option("--source", metavar="TABLE", help="Source table, a name or an ARN; asked for if left out.")
@click.option("--target", metavar="TABLE", help="Target table, likewise.")
@reaching_two_sides
@transform_option
@json_option
def command(
    source: str | None, target: str | None, transform: str | None, *, as_json: bool, **given: Any
) -> None:
    """
    Write migration.toml and checks/ into this folder, as far as they are missing.

    Nothing that is there is changed or overwritten.

    Exit status: 0 done, 2 usage, or what was said makes no migration.
    """
    folder = Path.cwd()
    try:
        answers = None
        if not (folder / FILE_NAME).exists():
            answers = Answers(
                source=_asked("source", source),
                target=_asked("target", target),
                source_side=side_of("source", given),
                target_side=side_of("target", given),
                transform=transform,
            )
        elif source or target or transform or any(given.values()):
            raise ConfigurationError(
                f"There is a {FILE_NAME} already, and it is not changed.",
                "change it by hand; without options, this command adds the other files.",
            )
        made = write(folder, answers)
    except DdbVerifyError as error:
        refuse(error, as_json=as_json)
    if as_json:
        print_json(made.as_json())
    else:
        click.echo(next_steps(made))


def _is_a_terminal() -> bool:
    return sys.stdin.isatty()


def _asked(side: str, said: str | None) -> str:
    if said is not None:
        return said
    if not _is_a_terminal():
        raise click.UsageError(f"--{side} is missing: the name or ARN of the {side} table.")
    return str(click.prompt(f"{side.capitalize()} table (name or ARN)", err=True))


def next_steps(made: Made) -> str:
    """What was done, and what to do now, for people."""
    lines = [f"wrote  {name}" for name in made.written]
    lines += [f"kept   {name}" for name in made.kept if name not in made.differing]
    lines += [f"kept   {name}, which is not the one of this version" for name in made.differing]
    if made.differing:
        lines += ["       To get a default check of this version, delete your file and run this again."]
    return "\n".join(
        [
            *lines,
            "",
            f"Next: look through {FILE_NAME}, then",
            "  replicator up    begin to move the source, unless something else does",
            "  ddbverify run    run all checks on both tables, and sign the evidence",
            "  ddbverify gate   say whether it is enough",
            f"Your own checks go into checks/{MINE}.",
        ]
    )
