"""A direction whose flip is near: its consumers are shut, and let go again where it was not flipped."""

from __future__ import annotations

from ddbverify.errors import DdbVerifyError
from ddbverify.names import BETWEEN, RUN, SHUT, Fact
from ddbverify.tables.aws import translated
from replicator.aws import switch
from replicator.context import live
from replicator.context.context import Context
from replicator.handlers.control import is_paused
from replicator.handlers.state import now_text


def shut(context: Context) -> None:
    """
    Let no consumer of a direction write any more, whatever its mapping does; a batch that starts asks.

    Before the last verification: what starts late is then in no table that nobody looks at again.

    Raises:
        Refused: A pair is paused, or is being paused meanwhile.
    """
    for pair in context.config.tables:
        state = context.state(pair)
        with translated(f"shut the consumer of {pair}"):
            before = state.get(Fact.CONTROL)
            free = not is_paused(before) or (before or {}).get("state") == SHUT
            if not (free and state.put_over(Fact.CONTROL, before, state=SHUT, at=now_text())):
                raise switch.paused(pair)


def unshut(context: Context) -> None:
    """Take `shut` back; a pause of the operator's stays."""
    for pair in context.config.tables:
        state = context.state(pair)
        with translated(f"let the consumer of {pair} write"):
            if (state.get(Fact.CONTROL) or {}).get("state") == SHUT:
                state.put(Fact.CONTROL, state=RUN, at=now_text())


def not_moved(context: Context) -> None:
    """
    Note that a direction was not flipped, so that its consumers may be switched on: each of them asks.

    It hides nothing else: where it cannot be noted, that is told, and they stay off.
    """
    try:
        if not live.is_followed(context):
            live.note(context, live.leading(context.cycle), context.cycle)
        unshut(context)
    except DdbVerifyError as error:
        context.console.warn(
            f"the consumers stay off until `replicator {context.flips_with}`: {error.message}"
        )


def is_under_way(context: Context) -> bool:
    """Whether a direction's flip has begun and not ended: its fence may stand, or its flip be undecided."""
    cut = context.whole.get(Fact.CUTOVER) or {}
    if live.read(context).table == BETWEEN:
        return True
    return bool(cut.get("fenced") or cut.get("flipping")) and not cut.get("flipped")
