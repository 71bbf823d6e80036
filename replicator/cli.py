"""The ``replicator`` command. Exit status: 0 done, 1 refused or rolled back, 2 configuration, 6 AWS."""

from __future__ import annotations

import click

from replicator.commands import (
    audit,
    cutover,
    demo,
    down,
    pause,
    quarantine,
    repair,
    restart,
    restore,
    resume,
    status,
    up,
)


class _InOrder(click.Group):
    """Lists commands in the order in which they are used, which is that of this file."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(self.commands)


@click.group(cls=_InOrder, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ddbverify")
def main() -> None:
    """
    Move live DynamoDB tables without losing a write.

    up, restore, then `ddbverify run`, then cutover. Each command can be interrupted and run
    again: it goes on where it stopped. All settings stand in migration.toml.

    Exit status: 0 done, 1 refused or rolled back, 2 usage or configuration, 6 AWS refused.
    """


for _module in (
    up,
    restore,
    status,
    pause,
    resume,
    audit,
    quarantine,
    repair,
    restart,
    cutover,
    down,
    demo,
):
    main.add_command(_module.command)
