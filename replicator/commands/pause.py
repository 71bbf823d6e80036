"""No consumer writes until `resume`; capture goes on."""

from __future__ import annotations

from typing import Any, Final

from botocore.exceptions import ClientError

from ddbverify.config import Pair
from ddbverify.names import PAUSE, Fact
from ddbverify.tables.aws import error_code, translated
from replicator.aws import switch, workers
from replicator.commands import invocation
from replicator.context import live
from replicator.context.context import Context
from replicator.handlers.state import now_text

_UNDER_WAY: Final = ("ResourceInUseException", "ResourceConflictException")
"""How Lambda refuses a change of a mapping that is being changed.
https://docs.aws.amazon.com/lambda/latest/api/API_UpdateEventSourceMapping.html"""


def pause(context: Context) -> dict[str, Any]:
    """
    Let no consumer write, at once, until `resume`. Capture goes on: a stream forgets after 24 hours.

    The mapping is switched off first and the fact written second: a pause that is interrupted in
    between holds. Batches that are in flight meet the fact and go back. With the mapping on, each
    message would come again and again until it is a dead letter. No pair waits for another's mapping.

    Raises:
        Refused: The application has been moved: nothing follows the source any more, and nothing waits.
    """
    context.need_begun()
    context = live.direction(context)
    live.need_followed(context)
    for pair in context.config.tables:
        if "consumer_mapping" in context.resources(pair):
            _ask_off(context, pair)
        with translated(f"pause {pair}"):
            context.state(pair).put(Fact.CONTROL, state=PAUSE, at=now_text())
    for pair in context.config.tables:
        if "consumer_mapping" in context.resources(pair):
            switch.set_consumer(context, pair, on=False)
        context.console.line(f"{pair}: paused; changes wait in the queue, for 14 days at most")
    return {"pairs": {str(pair): PAUSE for pair in context.config.tables}}


def _ask_off(context: Context, pair: Pair) -> None:
    """Ask for the mapping to be off; one that is being changed takes no other change, and is asked later."""
    with translated(f"pause the consumer of {pair}"):
        if workers.is_worker(context, pair, workers.CONSUMER):
            workers.ask(context.state(pair), workers.CONSUMER, on=False)
            return
        try:
            context.source_client("lambda").update_event_source_mapping(
                UUID=context.resources(pair)["consumer_mapping"], Enabled=False
            )
        except ClientError as error:
            if error_code(error) not in _UNDER_WAY:
                raise


command = invocation.command("pause", pause, "Let no consumer write until `resume`; capture goes on.")
