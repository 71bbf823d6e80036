"""The consumers of a paused migration write again."""

from __future__ import annotations

from typing import Any

from ddbverify.config import Pair
from ddbverify.names import RUN, Fact
from replicator.aws import switch
from replicator.commands import invocation
from replicator.context import live
from replicator.context.context import Context
from replicator.handlers.state import now_text


def resume(context: Context) -> dict[str, Any]:
    """
    Let the consumers of a paused migration write again.

    Raises:
        Refused: A pair's consumer is not to be on yet, or no longer.
    """
    context.need_begun()
    # The lease: not in the middle of what another operator's restart or cutover has switched off.
    with context.locked("replicator resume"):
        turned = live.direction(context)
        return {"pairs": {str(pair): _resume(turned, pair) for pair in turned.config.tables}}


def _resume(context: Context, pair: Pair) -> str:
    live.need_followed(context)
    state = context.state(pair)
    if state.get(Fact.RESTARTING) is not None or state.get(Fact.STEP + "consumer") is None:
        # Its consumer is off for another reason: a backfill writes without the guard until it is on.
        state.put(Fact.CONTROL, state=RUN, at=now_text())
        context.console.line(f"{pair}: no longer paused; `replicator restore` or `restart` switches it on")
        return RUN
    switch.set_consumer(context, pair, on=True)
    context.console.line(f"{pair}: runs")
    return RUN


command = invocation.command("resume", resume, "Let the consumers of a paused migration write again.")
