"""Back again: the cutover along the way back, by the same steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ddbverify.errors import Refused
from ddbverify.names import SOURCE, TARGET, table_name
from replicator.commands import closing
from replicator.commands.cutover import flip
from replicator.commands.invocation import config_option, execute, json_option
from replicator.context import live
from replicator.context.context import Context


def cutback(context: Context, *, hold: bool = False) -> dict[str, Any]:
    """
    Move the application back to the source, which has followed the target, or leave everything as it was.

    Args:
        hold: Wait, before the last verification, until the operator lets it go on.

    Raises:
        Refused: There is no way back, the gate is closed, or another operator is at work.
        EngineError: A step failed; the fence is lifted again.
    """
    context.need_begun()
    for pair in _back(context).config.tables:
        source, target = table_name(pair.source), table_name(pair.target)
        context.console.line(f"Back: what is called source below is {source}, and {target} the target")
    return flip(context, _back, "cutback", hold=hold)


def _back(context: Context) -> Context:
    """The direction in which the source follows, or followed until its flip."""
    found = live.read(context)
    if found.cycle % 2:
        return context.turned(found.cycle)
    if found.cycle == 0 and found.table == SOURCE:
        raise Refused(
            "The application uses the source: there is nothing to go back to.", "see `replicator status`."
        )
    if found.table == TARGET:
        raise Refused(
            "There is no way back: none was left open by [cutover] way_back, or it was given up.",
            "see `replicator status`.",
        )
    if found.cycle and not closing.is_under_way(context.turned(found.cycle)):
        return context.turned(found.cycle - 1)  # flipped already; the target follows again
    raise Refused(
        "A cutover was interrupted: its fence may stand, and the application may not be able to write.",
        "run the command `cutover`: it lifts that fence first, or decides by what the pointer says.",
    )


@click.command(name="cutback")
@config_option
@json_option
@click.option("--hold", is_flag=True, help="Wait under the fence, before the last verification, for a line.")
def command(path: Path, as_json: bool, hold: bool) -> None:
    """The cutover mirrored: the application goes back to the source."""
    execute(path, as_json=as_json, run=lambda context: cutback(context, hold=hold))
