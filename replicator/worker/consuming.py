"""
A worker's side of the consumer: messages are received, handed to the consumer's core, and acknowledged.

SQS gives a group's messages to one receiver at a time, until they are deleted or their visibility ends. A
hand's lease and a batch's deadline both end before that. So no group is in two hands at once, also where a
machine slept with a batch: its requests are refused before they leave.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ddbverify.code.digest import digest_of, transform_files
from ddbverify.config import Pair
from ddbverify.errors import EngineError
from ddbverify.names import Fact, pair_pk
from replicator.aws import workers
from replicator.context import clock
from replicator.context.context import Context
from replicator.handlers import consumer
from replicator.handlers.control import is_paused
from replicator.worker.leases import Keeper, Lease, LeaseLost, Terms

MOST_HANDS: Final = 32
"""Consumers at once, where nobody says less: as many as Lambda may run."""


class OtherTransform(EngineError):
    """The files of a transform are not the ones that the migration was begun with."""


class Consuming:
    """
    The consumer of one pair, in one worker: one batch at a time.

    Args:
        context: Of the pair's direction.
        keeper: Renews the lease.
        writes_as: ARN of the identity that this worker writes to the target with.
    """

    def __init__(self, context: Context, pair: Pair, keeper: Keeper, terms: Terms, writes_as: str) -> None:
        self._context, self.pair, self._keeper, self._terms = context, pair, keeper, terms
        self._writes_as = writes_as
        self._state = context.state(pair)
        self._source = context.own_client(context.source_side, "dynamodb")
        self._target = context.own_client(context.target_side, "dynamodb")
        self._sqs = context.own_client(context.source_side, "sqs")
        for client in (self._source, self._target, self._sqs):
            client.meta.events.register("before-send", self._need_hand)
        self._asked: Mapping[str, str] | None = None
        self._deployed: consumer.Deployment | None = None
        self._hand: Lease | None = None
        self._deadline = 0.0  # of the batch in hand, clock.seconds

    def turn(self, wait_seconds: int) -> bool:
        """
        Receive a batch and apply it, if the consumer is on.

        Args:
            wait_seconds: For a message, where there is none.

        Returns:
            Whether there was anything.

        Raises:
            OtherTransform: Only a worker that is started anew can know the right one.
            Exception: As in a function: the batch comes again once its visibility has ended.
        """
        if not self._is_on():
            self.release()
            return False
        if self._hand is None and not self._take():
            return False
        try:
            return self._batch(wait_seconds)
        except LeaseLost:
            self._drop()
            return False

    def release(self) -> None:
        """Have nothing in hand; between two batches only."""
        if self._hand is not None:
            hand = self._hand
            self._drop()
            hand.release()

    def _is_on(self) -> bool:
        asked = workers.asked(self._state, workers.CONSUMER)
        if not asked.on or is_paused(self._state.get(Fact.CONTROL)):
            return False
        if asked.settings != self._asked:
            self.release()
            self._deployed = self._made(asked.settings)
            self._asked = asked.settings
        return True

    def _made(self, settings: Mapping[str, str]) -> consumer.Deployment:
        for name, digest in (("TRANSFORM", "TRANSFORM_DIGEST"), ("INVERSE", "INVERSE_DIGEST")):
            if settings.get(name) and self._digest_of(settings[name]) != settings[digest]:
                raise OtherTransform(
                    f"The code of {settings[name]} is not the one that the migration of {self.pair} was "
                    "begun with, so this worker applies nothing.",
                    "give the worker the files that `replicator up` had, and start it anew.",
                )
        return consumer.deployment(settings, self._source, self._target, self._digest_of)

    def _digest_of(self, name: str) -> str:
        return digest_of(transform_files(self._context.root.config, name))

    # --- the hand -----------------------------------------------------------------------

    def _take(self) -> bool:
        """Take a hand that is free; says whether there was one, and the consumer is on still."""
        now, most = self._context.server_time(), int((self._asked or {}).get("HANDS", MOST_HANDS))
        kept = dict(self._state.all(Fact.HAND))
        free = [at for at in range(most) if not workers.is_held(kept.get(str(at), {}), now)]
        while free:
            # Not all workers try the same one first.
            at = free.pop(random.randrange(len(free)))  # noqa: S311  # no secret
            key = (pair_pk(self.pair.id), f"{Fact.HAND}{at}")
            lease = Lease(
                self._context.source,
                self._context.state_table,
                key,
                self._terms,
                self._context.server_time,
                what=f"batches of {self.pair}",
                # Its batch is done or given up by then; idle, it receives an answer each second.
                patience=float((self._asked or {})["VISIBILITY"]),
            )
            if lease.take(writes_as=self._writes_as) is None:
                continue
            self._hand = lease
            self._keeper.keep(lease)
            # Behind the lease: who switches off looks at the leases behind the switch. One sees the other.
            if self._is_on():
                return self._hand is not None
            self.release()
            return False
        return False

    def _drop(self) -> None:
        if self._hand is not None:
            self._keeper.drop(self._hand)
            self._hand = None

    def _need_hand(self, **_: Any) -> None:
        if self._hand is None:
            raise LeaseLost
        self._hand.check()
        if self._deadline and clock.seconds() + self._terms.one_request > self._deadline:
            raise LeaseLost  # its messages may be somebody else's soon

    # --- one batch ----------------------------------------------------------------------

    def _batch(self, wait_seconds: int) -> bool:
        settings, deployed = self._asked or {}, self._deployed
        if deployed is None:
            raise AssertionError("on without settings")
        received_at = clock.seconds()
        answer = self._sqs.receive_message(
            QueueUrl=settings["QUEUE_URL"],
            MaxNumberOfMessages=int(settings["BATCH"]),
            WaitTimeSeconds=wait_seconds,
            AttributeNames=["MessageGroupId"],
        )
        self._worked()
        messages = answer.get("Messages", [])
        if not messages:
            return False
        self._deadline = received_at + float(settings["VISIBILITY"])
        try:
            records = [
                {"messageId": one["MessageId"], "body": one["Body"], "attributes": one["Attributes"]}
                for one in messages
            ]
            returned = set(consumer.take(records, deployed, settings, float(settings["TIMEOUT"])))
            # What is not deleted comes again once its visibility has ended, as it does from a function.
            self._acknowledge(
                settings["QUEUE_URL"], [one for one in messages if one["MessageId"] not in returned]
            )
        finally:
            self._deadline = 0.0
        self._worked()
        return True

    def _worked(self) -> None:
        if self._hand is not None:
            self._hand.worked()

    def _acknowledge(self, queue_url: str, messages: Sequence[Mapping[str, Any]]) -> None:
        """Delete what is dealt with; where that fails it comes again, and the guard finds it applied."""
        if messages:
            self._sqs.delete_message_batch(
                QueueUrl=queue_url,
                Entries=[
                    {"Id": str(at), "ReceiptHandle": one["ReceiptHandle"]} for at, one in enumerate(messages)
                ],
            )
