"""``python -m replicator.embedded``: install the embedded AWS, or run it until Ctrl-C."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from pathlib import Path

import click

from ddbverify.errors import DdbVerifyError
from replicator.embedded.aws import embedded_aws
from replicator.embedded.environment import MINISTACK_VERSION, ensure_environment


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Embedded AWS of the demonstration and the tests. Real AWS needs nothing of it."""


@main.command()
def install() -> None:
    """Install it, unless it is there already."""
    python = ensure_environment(progress=click.echo)
    click.echo(f"embedded AWS: ministack {MINISTACK_VERSION} in {python.parent.parent}")


@main.command(
    short_help="Run it while COMMAND runs, which is led there.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.option("--region", default="us-east-1", show_default=True, help="Region for the variables.")
@click.option("--log", type=click.Path(dir_okay=False, path_type=Path), help="Keep its log in this file.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def run(region: str, log: Path | None, command: tuple[str, ...]) -> None:
    """
    Run it while COMMAND runs (a shell, say), whose environment leads there; ends with its status.

    Without COMMAND, run it until Ctrl-C, and print what another shell needs to talk to it.
    """
    with embedded_aws(log=log) as aws:
        if command:
            sys.exit(_status(command, aws.environment(region)))
        click.echo(f"# The embedded AWS answers at {aws.endpoint_url}. Paste this into another shell:")
        click.echo("unset AWS_PROFILE AWS_SESSION_TOKEN")
        for name, value in aws.variables(region).items():
            click.echo(f"export {name}={shlex.quote(value)}")
        click.echo("# Ctrl-C ends it, and everything in it is gone.")
        try:
            signal.pause()
        except KeyboardInterrupt:
            click.echo("# ended", err=True)


def _status(command: tuple[str, ...], environment: dict[str, str]) -> int:
    """The exit status of *command*, as a shell has it. Ctrl-C is its own business."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        # The child must not inherit that it is ignored.
        child = subprocess.Popen(
            command, env=environment, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
        )
        status = child.wait()
    except FileNotFoundError:
        raise click.UsageError(f"There is no program {command[0]}.") from None
    finally:
        signal.signal(signal.SIGINT, before)
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    try:
        main(standalone_mode=True)
    except DdbVerifyError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
