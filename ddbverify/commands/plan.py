"""``ddbverify plan``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from ddbverify.commands.shared import json_option, of_two_sides, options_of, our_output, print_json, refuse
from ddbverify.diff import exports_plan
from ddbverify.diff.options import config_of
from ddbverify.diff.request import Request, prepare
from ddbverify.errors import DdbVerifyError
from ddbverify.reports.plan import plan
from ddbverify.reports.plan_text import text


@click.command("plan")
@of_two_sides
@click.option(
    "--price", type=click.FloatRange(min=0), help="US dollars for a million read request units, on demand."
)
@json_option
def command(price: float | None, *, as_json: bool, **given: Any) -> None:
    """
    Say what comparing SOURCE and TARGET costs: items, read units, money, time.

    A table is a name or an ARN, or an export of one. The figures are DynamoDB's own, up to six hours old, or
    those of an export's manifests. No item is read but, with a transform, a page of the source to measure it
    on.

    Exit status: 0 done, 2 usage, or `diff` would refuse these tables, 3 an export is not whole, 6 AWS
    refused.
    """
    try:
        options = options_of(given)
        with our_output():
            if options.exports:
                made = exports_plan.plan(prepare(Request(options=options, folder=Path.cwd())), price=price)
                document, said = made.as_json(), exports_plan.text(made)
            else:
                estimate = plan(
                    config_of(options, Path.cwd()), seed=options.seed, segments=options.segments, price=price
                )
                document, said = estimate.as_json(), text(estimate)
    except DdbVerifyError as error:
        refuse(error, as_json=as_json)
    if as_json:
        print_json(document)
    else:
        click.echo(said)
    sys.exit(document["exit_code"])
