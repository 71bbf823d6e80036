"""
One operator at a time: a lease in the state table, renewed while the command runs.

A command that was killed leaves its lease behind; it expires by itself. Whoever writes data asks
`Lock.check` before each request, and while a command holds the lease its clients ask it again before
each attempt of each request (`Context.lease`): a machine that slept wakes up inside a request, finds
its connection broken, and botocore sends that request again.
"""

from __future__ import annotations

import math
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from ddbverify.errors import EngineError, Refused
from ddbverify.names import MIGRATION
from ddbverify.tables.aws import translated
from replicator.context import clock

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

SECONDS = 30.0
_RENEW_EVERY = 5.0
_ONE_REQUEST = 15.0
"""What an attempt may take to reach DynamoDB: ten seconds to connect, and its bytes."""


class LeaseLost(Refused):
    """The lease does not outlast one more request: another operator may be at work."""


@dataclass(slots=True)
class Lock:
    """
    Holds the lease; `token` grows with every holder (a fencing token).

    Args:
        client: A boto3 DynamoDB client of the source's account and region.
        table: The state table.
        command: What the operator is running; shown to the next one who asks.
        now: Seconds since the epoch, DynamoDB's clock: by their own, two operators whose clocks are
            minutes apart would take a lease that is held for one that has expired. ``None``: this
            machine's clock.
    """

    client: DynamoDBClient
    table: str
    command: str
    now: Callable[[], float] | None = None
    holder: str = field(default_factory=lambda: uuid.uuid4().hex)
    token: int = 0
    _until: float = -math.inf  # clock.seconds

    def check(self) -> None:
        """
        Make sure that the lease outlasts one more request.

        Raises:
            LeaseLost: Another operator may be at work.
        """
        if not self.lasts():
            raise _lost(self.command)

    def lasts(self) -> bool:
        """Whether the lease outlasts one more request."""
        return clock.seconds() + _ONE_REQUEST <= self._until

    @property
    def until(self) -> float:
        """When the lease ends unless it is renewed, by `clock.seconds`."""
        return self._until

    def regain(self) -> bool:
        """Take a lease again that was not renewed in time; False where another operator holds it."""
        return self.lasts() or self._take()

    @contextmanager
    def held(self, waiting: Callable[[str], None]) -> Iterator[Lock]:
        """
        Hold the lease for the length of the block.

        Args:
            waiting: Told, once, what this waits for.

        Raises:
            Refused: Another operator is at work and goes on renewing its lease.
        """
        self._acquire(waiting)
        stop = threading.Event()
        renewer = threading.Thread(target=self._renew_until, args=(stop,), daemon=True)
        renewer.start()
        try:
            yield self
        finally:
            stop.set()
            renewer.join()
            self._release()

    def _acquire(self, waiting: Callable[[str], None]) -> None:
        deadline = clock.seconds() + SECONDS + 2 * _RENEW_EVERY
        told = False
        while not self._take():
            other = self._current()
            if clock.seconds() > deadline:
                raise Refused(
                    f"Another operator is running `{other}` on this migration.",
                    "wait for it to end; `replicator status` shows how far it is.",
                )
            if not told:
                waiting(f"another `{other}` holds the migration, or was killed: waiting for its lease to end")
                told = True
            time.sleep(1.0)

    def _take(self) -> bool:
        asked, now = clock.seconds(), self._epoch()
        try:
            with_token = self.client.update_item(
                TableName=self.table,
                Key=_KEY,
                UpdateExpression="SET holder = :me, command = :command, until_epoch = :until ADD #token :one",
                ConditionExpression="attribute_not_exists(holder) OR until_epoch < :now OR holder = :me",
                ExpressionAttributeNames={"#token": "token"},
                ExpressionAttributeValues={
                    ":me": {"S": self.holder},
                    ":command": {"S": self.command},
                    ":until": {"N": str(now + int(SECONDS))},
                    ":now": {"N": str(now)},
                    ":one": {"N": "1"},
                },
                ReturnValues="ALL_NEW",
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                return False
            with translated("take the migration's lease"):
                raise
        self.token = int(with_token["Attributes"]["token"]["N"])
        self._until = asked + SECONDS
        return True

    def _renew_until(self, stop: threading.Event) -> None:
        while not stop.wait(_RENEW_EVERY):
            asked = clock.seconds()
            try:
                self.client.update_item(
                    TableName=self.table,
                    Key=_KEY,
                    UpdateExpression="SET until_epoch = :until",
                    ConditionExpression="holder = :me AND #token = :token",
                    ExpressionAttributeNames={"#token": "token"},
                    ExpressionAttributeValues={
                        ":me": {"S": self.holder},
                        ":token": {"N": str(self.token)},
                        ":until": {"N": str(self._epoch() + int(SECONDS))},
                    },
                )
            except (ClientError, BotoCoreError, ResponseParserError, EngineError):
                continue  # not renewed: check() stops the command before the lease ends
            self._until = asked + SECONDS

    def _epoch(self) -> int:
        return int((self.now or time.time)())

    def _release(self) -> None:
        try:
            self.client.update_item(
                TableName=self.table,
                Key=_KEY,
                UpdateExpression="REMOVE holder, command, until_epoch",
                ConditionExpression="holder = :me AND #token = :token",
                ExpressionAttributeNames={"#token": "token"},
                ExpressionAttributeValues={":me": {"S": self.holder}, ":token": {"N": str(self.token)}},
            )
        except (ClientError, BotoCoreError, ResponseParserError):
            return  # somebody else's by now, or `down` removed the table; a lease left behind expires

    def _current(self) -> str:
        answer = self.client.get_item(TableName=self.table, Key=_KEY, ConsistentRead=True)
        command: str = answer.get("Item", {}).get("command", {}).get("S", "command")
        return command


class Borrowed:
    """
    The lease of a command, in another process of it.

    Args:
        command: What the process is at.
        until: When the lease ends, by `clock.seconds`, which all processes of a machine share. Whoever
            holds it tells how it was renewed.
    """

    def __init__(self, command: str, until: float) -> None:
        self.command, self.until = command, until

    def check(self) -> None:
        """
        Make sure that the lease outlasts one more request.

        Raises:
            LeaseLost: Or nobody tells of it any more.
        """
        if clock.seconds() + _ONE_REQUEST > self.until:
            raise _lost(self.command)

    def end(self) -> None:
        """The lease is no longer this process's."""
        self.until = -math.inf


def _lost(command: str) -> LeaseLost:
    return LeaseLost(
        f"This `{command}` lost its lease on the migration, so it stopped before writing more.",
        "check the network, see `replicator status`, and run the command again: it goes on.",
    )


_KEY = {"pk": {"S": MIGRATION}, "sk": {"S": "lock"}}
