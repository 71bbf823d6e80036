"""The options of the demonstration, which `replicator.demo` tells."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
from click.core import ParameterSource

from ddbverify.errors import DdbVerifyError
from ddbverify.interrupts import end_as_ctrl_c_does
from replicator.commands.invocation import EXIT_REFUSED, exit_status, json_option
from replicator.context.console import Console

_OF_AWS: Final = {
    "region": "--region",
    "minutes": "--minutes",
    "max_cost": "--max-cost",
    "yes": "--yes",
    "result": "--result",
    "clean": "--clean",
}


@click.command(name="demo")
@click.option("--items", type=click.Path(path_type=Path), help="A JSON list of items, gzipped or not.")
@click.option(
    "--count",
    type=click.IntRange(min=50),
    help="Items to generate where no --items are given.  [default: 1000; with --aws 200]",
)
@click.option("--traffic", type=float, help="Operations a second.  [default: 100; with --aws 10]")
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
@click.option("--aws", "on_aws", is_flag=True, help="In an AWS account of yours: asks what it may cost.")
@click.option("--region", help="With --aws; by default that of your AWS configuration.")
@click.option(
    "--minutes", type=float, default=60.0, show_default=True, help="With --aws: for how long it may take."
)
@click.option(
    "--max-cost", type=float, default=2.0, show_default=True, help="With --aws: US dollars it may cost."
)
@click.option("--yes", is_flag=True, help="With --aws: do not ask.")
@click.option(
    "--result",
    type=click.Path(path_type=Path, dir_okay=False),
    default="demo-result.json",
    show_default=True,
    help="With --aws: file for the signed result.",
)
@click.option("--clean", is_flag=True, help="With --aws: remove what runs have left, and do no more.")
@click.option(
    "--read-result",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Show a result, if it is unaltered, and do no more.",
)
@click.option("--keep", is_flag=True, help="Keep the tables and the embedded AWS until Ctrl-C.")
def command(
    items: Path | None,
    count: int | None,
    traffic: float | None,
    transform: str | None,
    seed: int,
    as_json: bool,
    keep: bool,
    report: Path | None,
    two_accounts: bool,
    deployed: bool,
    short: bool,
    on_aws: bool,
    region: str | None,
    minutes: float,
    max_cost: float,
    yes: bool,
    result: Path,
    clean: bool,
    read_result: Path | None,
) -> None:
    """
    A whole migration under traffic on an embedded AWS, or in an account of yours.

    At its end stands the proof that no acknowledged write was lost. Without --aws it needs no AWS account
    and touches none. Exit status: 0 if every step held, else 1; 2 items, transform or options cannot be
    used, 6 the embedded AWS could not be started, or AWS refused.
    """
    # A whole AWS comes with it, and no other command needs one.
    from replicator.demo import own_account, playing, story

    _need_aws(on_aws=on_aws)
    given = story.Options(
        items,
        (200 if on_aws else 1000) if count is None else count,
        (10.0 if on_aws else 100.0) if traffic is None else traffic,
        transform,
        seed,
        keep,
        report,
        two_accounts,
        short,
        deployed,
    )

    def run(console: Console) -> dict[str, Any]:
        if read_result is not None:
            document = own_account.shown(read_result)
            click.echo(json.dumps(document, indent=2, ensure_ascii=False))
            return {"held": True}
        if not on_aws:
            return playing.demo(given, console)
        if clean:
            return own_account.clean(region, console)
        asked = own_account.Asked(region, minutes, max_cost, partial(_agrees, yes=yes), result)
        return own_account.demo(given, asked, console)

    console = Console(as_json=as_json)
    end_as_ctrl_c_does()
    try:
        outcome = run(console)
    except DdbVerifyError as error:
        console.answer({"held": False, "failed": error.message, "try": error.hint})
        click.echo(f"Error: {error}", err=True)
        sys.exit(exit_status(error))
    except KeyboardInterrupt:
        console.answer({"held": False, "failed": "interrupted"})
        click.echo(
            "Interrupted. What may be left goes with `replicator demo --aws --clean`."
            if on_aws
            else "Interrupted; the embedded AWS and all that was in it are gone.",
            err=True,
        )
        sys.exit(EXIT_REFUSED)
    if read_result is None:
        console.answer(outcome)
    sys.exit(0 if outcome["held"] else EXIT_REFUSED)


def _need_aws(*, on_aws: bool) -> None:
    """Refuse options that would be ignored. Raises click.UsageError."""
    given = click.get_current_context().get_parameter_source
    alone = [option for name, option in _OF_AWS.items() if given(name) is ParameterSource.COMMANDLINE]
    if alone and not on_aws:
        raise click.UsageError(f"{', '.join(alone)}: for --aws only. Add it, or leave that out.")


def _agrees(question: str, *, yes: bool) -> bool:
    """Whether the user agrees: beforehand, or by typing it; never where nobody can be asked."""
    if yes:
        return True
    if not sys.stdin.isatty():
        return False
    answer: str = click.prompt(f"{question}. Type yes to begin", default="no", show_default=False, err=True)
    return answer.strip().lower() == "yes"
