"""No consumer writes until `resume`; capture goes on."""

from __future__ import annotations

from typing import Any

from ddbverify.names import PAUSE, Fact
from ddbverify.tables.aws import translated
from replicator.aws import switch
from replicator.commands import invocation
from replicator.context.context import Context
from replicator.handlers.state import now_text


def pause(context: Context) -> dict[str, Any]:
    """
    Let no consumer write, at once, until `resume`. Capture goes on: a stream forgets after 24 hours.

    The mapping is switched off first and the fact written second: a pause that is interrupted in
    between holds. Batches that are in flight meet the fact and go back. With the mapping on, each
    message would come again and again until it is a dead letter.

    Raises:
        Refused: The application has been moved: nothing follows the source any more, and nothing waits.
    """
    context.need_begun()
    switch.need_not_moved(context)
    answer = {}
    for pair in context.config.tables:
        state = context.state(pair)
        if "consumer_mapping" in context.resources(pair):
            with translated(f"pause the consumer of {pair}"):
                context.source_client("lambda").update_event_source_mapping(
                    UUID=context.resources(pair)["consumer_mapping"], Enabled=False
                )
        with translated(f"pause {pair}"):
            state.put(Fact.CONTROL, state=PAUSE, at=now_text())
        if "consumer_mapping" in context.resources(pair):
            switch.set_consumer(context, pair, on=False)
        answer[str(pair)] = PAUSE
        context.console.line(f"{pair}: paused; changes wait in the queue, for 14 days at most")
    return {"pairs": answer}


command = invocation.command("pause", pause, "Let no consumer write until `resume`; capture goes on.")
