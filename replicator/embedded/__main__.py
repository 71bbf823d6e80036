"""``python -m replicator.embedded``: install the embedded AWS, or run it until Ctrl-C."""

from __future__ import annotations

import shlex
import signal
import sys
from pathlib import Path

import click

from ddbverify.errors import DdbVerifyError
from replicator.embedded.aws import embedded_aws
from replicator.embedded.environment import MINISTACK_VERSION, ensure_environment


@click.group()
def main() -> None:
    """Embedded AWS of the demonstration and the tests. Real AWS needs nothing of it."""


@main.command()
def install() -> None:
    """Install it, unless it is there already."""
    python = ensure_environment(progress=click.echo)
    click.echo(f"embedded AWS: ministack {MINISTACK_VERSION} in {python.parent.parent}")


@main.command()
@click.option("--region", default="us-east-1", show_default=True, help="Region for the printed variables.")
@click.option("--log", type=click.Path(dir_okay=False, path_type=Path), help="Keep its log in this file.")
def run(region: str, log: Path | None) -> None:
    """Run it until Ctrl-C; prints what a shell needs to talk to it."""
    with embedded_aws(log=log) as aws:
        click.echo(f"# The embedded AWS answers at {aws.endpoint_url}. Paste this into another shell:")
        click.echo("unset AWS_PROFILE AWS_SESSION_TOKEN")
        for name, value in aws.variables(region).items():
            click.echo(f"export {name}={shlex.quote(value)}")
        click.echo("# Ctrl-C ends it, and everything in it is gone.")
        try:
            signal.pause()
        except KeyboardInterrupt:
            click.echo("# ended", err=True)


if __name__ == "__main__":
    try:
        main(standalone_mode=True)
    except DdbVerifyError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
