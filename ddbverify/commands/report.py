"""``ddbverify report``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final, NoReturn

import click

from ddbverify.commands.shared import config_option, json_option, print_json, refuse, say
from ddbverify.config import Config, load
from ddbverify.errors import DdbVerifyError
from ddbverify.evidence import folders
from ddbverify.evidence.envelope import NotTrusted
from ddbverify.gate.reasons import INCOMPLETE, NOT_TRUSTED
from ddbverify.page import making, origin, proof

_EXIT_CODES: Final = {"unaltered": 0, "undecided": INCOMPLETE, "altered": NOT_TRUSTED}


@click.command("report")
@config_option
@json_option
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write; default: report.html in the folder.",
)
@click.option("--keys", is_flag=True, help="Show raw keys, and values that `diff --values` has left.")
@click.option(
    "--verify",
    "page",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write nothing, and say whether this report is unaltered.",
)
def command(
    config_file: Path,
    folder: Path | None,
    out: Path | None,
    page: Path | None,
    *,
    keys: bool,
    as_json: bool,
) -> None:
    """
    Write one page on the run (default: the latest) or the diff in FOLDER.

    One file, which opens from the disk and asks nothing of any network. Needs the extra `report`.

    Exit status: 0 written, or unaltered; 2 usage, 3 findings are damaged or do not agree with the
    evidence, or it cannot be told whether the report is unaltered; 5 the evidence is missing or not
    trusted, or the report was altered; 6 AWS refused.
    """
    try:
        if page is not None:
            if out is not None or keys:
                raise click.UsageError("--verify writes nothing: it takes neither --out nor --keys.")
            _verify(page, folder, config_file, as_json=as_json)
        making.require_possible()
        place, config = _place(folder, config_file)
        made = making.make(place, config, keys=keys)
        file = out or place / making.FILE
        making.write(made.content, file)
    except DdbVerifyError as error:
        refuse(error, as_json=as_json)
    except NotTrusted as error:
        _refuse_evidence(place, error, as_json=as_json)
    for problem in made.problems:
        say(problem)
    exit_code = INCOMPLETE if made.problems else 0
    if as_json:
        print_json(
            {
                "command": "report",
                "exit_code": exit_code,
                "file": str(file),
                "bytes": len(made.content),
                "sha256": made.origin.sha256,
                "problems": list(made.problems),
            }
        )
    else:
        click.echo(file)
    sys.exit(exit_code)


def _verify(page: Path, folder: Path | None, config_file: Path, *, as_json: bool) -> NoReturn:
    content, made_of = proof.read(page)
    beside = page.resolve().parent
    if folder is None and ((beside / folders.EVIDENCE).exists() or origin.is_diff(beside)):
        folder = beside
    place, config = _place(folder, config_file)
    try:
        found = proof.verify(content, made_of, place, config)
    except NotTrusted as error:
        _refuse_evidence(place, error, as_json=as_json)
    exit_code = _EXIT_CODES[found.outcome]
    click.echo(found.sentence, err=as_json)
    if as_json:
        print_json(
            {
                "command": "report",
                "exit_code": exit_code,
                "file": str(page),
                "outcome": found.outcome,
                "sha256": made_of.of,
            }
        )
    sys.exit(exit_code)


def _place(folder: Path | None, config_file: Path) -> tuple[Path, Config | None]:
    """Which folder is meant, and the settings that say whose signature counts; a diff's needs none."""
    if folder is not None and origin.is_diff(folder):
        return folder, None
    config = load(config_file)
    return folders.last(config) if folder is None else folder, config


def _refuse_evidence(place: Path, error: NotTrusted, *, as_json: bool) -> NoReturn:
    message = f"There is no report on {place}: its evidence must not be believed: {error}."
    hint = "name the folder of another run, or make one with `ddbverify run`."
    click.echo(f"Error: {message}\n  Try: {hint}", err=True)
    if as_json:
        shown = {"type": "NotTrusted", "message": message, "hint": hint}
        print_json({"error": shown, "exit_code": NOT_TRUSTED})
    sys.exit(NOT_TRUSTED)
