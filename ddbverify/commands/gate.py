"""``ddbverify gate``."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from ddbverify.commands.shared import config_option, json_option, print_json, refuse, say, show_in_pipeline
from ddbverify.config import load
from ddbverify.errors import DdbVerifyError
from ddbverify.gate.gate import judge
from ddbverify.metrics import measures, sending
from ddbverify.reports import ci, summary
from ddbverify.words import page


@click.command("gate")
@config_option
@json_option
@click.argument("folder", required=False, type=click.Path(path_type=Path))
def command(config_file: Path, folder: Path | None, *, as_json: bool) -> None:
    """
    Say whether the evidence in FOLDER (default: the latest run) allows the cutover.

    Exit status: 0 open; closed: 1 a check failed, 3 incomplete or pipeline unhealthy, 4 stale,
    5 missing or not trusted, 6 AWS refused; the highest of all reasons.
    """
    try:
        config = load(config_file)
        decision = judge(config, folder)
    except DdbVerifyError as error:
        refuse(error, as_json=as_json)
    run_id = f" (run {decision.evidence.run_id})" if decision.evidence else ""
    click.echo(f"gate {'open' if decision.open else 'closed'}: {decision.folder}{run_id}", err=as_json)
    for reason in decision.reasons:
        click.echo(f"  {reason.code}: {summary.printable(reason.message, 2000)}", err=as_json)
    for one in decision.known:
        click.echo(f"  {summary.printable(summary.known_in_words(one))}", err=as_json)
    for allowed in decision.unclaimed:
        click.echo(f"  {summary.printable(summary.unclaimed_in_words(allowed))}", err=as_json)
    for pair in decision.empty:
        click.echo(f"  {summary.empty_in_words(pair)}", err=as_json)
    if not decision.open:
        click.echo(
            f"  Try: fix what is named, then `ddbverify run` again; {page('checks.md')} has each code.",
            err=as_json,
        )
    if as_json:
        print_json(decision.as_json())
    sending.send(
        lambda: measures.of_gate(decision, config.name, time.time()),
        config.metrics,
        config.folder,
        f"ddbverify_gate_{config.name}",
        say,
    )
    show_in_pipeline(ci.annotations_of_gate(decision), ci.gate_markdown(decision), err=as_json)
    sys.exit(decision.exit_code)
