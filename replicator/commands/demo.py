"""The options of the demonstration, which `replicator.demo` tells."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ddbverify.errors import DdbVerifyError
from ddbverify.interrupts import end_as_ctrl_c_does
from replicator.commands.invocation import EXIT_REFUSED, exit_status, json_option
from replicator.context.console import Console


@click.command(name="demo")
@click.option("--items", type=click.Path(path_type=Path), help="A JSON list of items, gzipped or not.")
@click.option(
    "--count",
    type=click.IntRange(min=50),
    default=1000,
    show_default=True,
    help="Items to generate where no --items are given.",
)
@click.option("--traffic", type=float, default=100.0, show_default=True, help="Operations a second.")
@click.option("--transform", metavar="MODULE:FUNCTION", help="Send every item through this function.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of items and traffic.")
@json_option
@click.option(
    "--report",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Leave altered.html and report.html there; needs the extra `ddbverify[report]`.",
)
@click.option(
    "--two-accounts",
    is_flag=True,
    help="Source and target in two accounts, worked on from a third one.",
)
@click.option(
    "--deployed",
    is_flag=True,
    help="Others deploy the stacks, and the operator's role may do nothing of IAM.",
)
@click.option("--short", is_flag=True, help="Without the altered item and the second cutover.")
@click.option("--keep", is_flag=True, help="Keep the tables and the embedded AWS until Ctrl-C.")
def command(
    items: Path | None,
    count: int,
    traffic: float,
    transform: str | None,
    seed: int,
    as_json: bool,
    keep: bool,
    report: Path | None,
    two_accounts: bool,
    deployed: bool,
    short: bool,
) -> None:
    """
    A whole migration under traffic on an embedded AWS.

    At its end stands the proof that no acknowledged write was lost. It needs no AWS account and
    touches none. Exit status: 0 if every step held, else 1; 2 items or transform cannot be used,
    6 the embedded AWS could not be started.
    """
    from replicator.demo import playing, story  # a whole AWS comes with it, and no other command needs one

    options = story.Options(
        items, count, traffic, transform, seed, keep, report, two_accounts, short, deployed
    )
    console = Console(as_json=as_json)
    end_as_ctrl_c_does()
    try:
        outcome = playing.demo(options, console)
    except DdbVerifyError as error:
        console.answer({"held": False, "failed": error.message, "try": error.hint})
        click.echo(f"Error: {error}", err=True)
        sys.exit(exit_status(error))
    except KeyboardInterrupt:
        console.answer({"held": False, "failed": "interrupted"})
        click.echo("Interrupted; the embedded AWS and all that was in it are gone.", err=True)
        sys.exit(EXIT_REFUSED)
    console.answer(outcome)
    sys.exit(0 if outcome["held"] else EXIT_REFUSED)
