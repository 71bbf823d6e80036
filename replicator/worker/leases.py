"""
A worker's leases: items of the state table, taken by conditional writes, ended by DynamoDB's clock.

As the operator's lease (`replicator.context.lock`), but many of them, renewed by one thread. A worker that
was killed leaves its leases behind, and they expire. One that slept finds them expired, by a clock that goes
on while the machine sleeps, before it sends anything more. What is written beside a lease (a shard's place)
is conditional on it.

Only work keeps a lease: one whose holder has achieved nothing for its patience (its thread died, hangs in a
call, or AWS refuses it) is not renewed, so that another worker can take it.
"""

from __future__ import annotations

import logging
import math
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from ddbverify.errors import EngineError, Refused
from replicator.context import clock

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_log = logging.getLogger(__name__)

_read, _write = TypeDeserializer().deserialize, TypeSerializer().serialize

UNANSWERED = (ClientError, BotoCoreError, ResponseParserError, EngineError)
"""What a request to AWS may end with that is no defect of ours."""


class LeaseLost(Refused):
    """A lease of this worker does not outlast one more request, or is another worker's."""

    def __init__(self) -> None:
        super().__init__(
            "This worker lost a lease, so it stopped before writing more.",
            "nothing: it takes the work up again where whoever has the lease now leaves it.",
        )


@dataclass(frozen=True, slots=True)
class Terms:
    """
    For how long a lease is, in seconds.

    Args:
        lasts: From when it was taken or renewed.
        renew_every: So often it is renewed.
        one_request: What a request may take to reach AWS; nothing is sent in the last seconds of a lease.
    """

    lasts: float = 30.0
    renew_every: float = 5.0
    one_request: float = 15.0

    @classmethod
    def of(cls, *, emulator: bool) -> Terms:
        """Against an emulator, which answers at once, or against AWS."""
        return cls(16.0, 2.0, 3.0) if emulator else cls()


@dataclass(slots=True)
class Lease:
    """
    One lease of one worker.

    Args:
        client: A boto3 DynamoDB client of the state table's account and region, which asks for no lease.
        table: The state table.
        key: Of the lease's item: ``pk``, ``sk``.
        terms: See there.
        now: DynamoDB's clock, seconds since the epoch.
        holder: Of this lease alone.
        what: What it is held for, in words, for the log.
        patience: For so many seconds it is renewed though nothing was achieved under it.
    """

    client: DynamoDBClient
    table: str
    key: tuple[str, str]
    terms: Terms
    now: Callable[[], float]
    holder: str = field(default_factory=lambda: uuid.uuid4().hex)
    token: int = 0
    what: str = "a lease"
    patience: float = math.inf
    _until: float = -math.inf  # clock.seconds
    _worked: float = -math.inf  # clock.seconds; taking it is no work, but begins its patience
    _signed: float | None = None  # clock.seconds, of the last work

    def take(self, **attributes: Any) -> dict[str, Any] | None:
        """
        Take the lease if nobody holds it.

        Args:
            attributes: Written beside it.

        Returns:
            What stands beside the lease; ``None`` where another worker holds it.
        """
        asked, now = clock.seconds(), int(self.now())
        names = {"#token": "token"} | {f"#a{at}": name for at, name in enumerate(attributes)}
        values = {f":a{at}": _write(value) for at, value in enumerate(attributes.values())}
        sets = [
            "holder = :me",
            "until_epoch = :until",
            *(f"#a{at} = :a{at}" for at in range(len(attributes))),
        ]
        try:
            answer = self.client.update_item(
                TableName=self.table,
                Key=self._key(),
                UpdateExpression=f"SET {', '.join(sets)} ADD #token :one",
                ConditionExpression="attribute_not_exists(holder) OR until_epoch < :now",
                ExpressionAttributeNames=names,
                ExpressionAttributeValues={
                    ":me": {"S": self.holder},
                    ":until": {"N": str(now + int(self.terms.lasts))},
                    ":now": {"N": str(now)},
                    ":one": {"N": "1"},
                    **values,
                },
                ReturnValues="ALL_NEW",
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                return None
            raise
        self.token = int(answer["Attributes"]["token"]["N"])
        self._until = asked + self.terms.lasts
        self._worked = clock.seconds()
        return {name: _read(value) for name, value in answer["Attributes"].items()}

    def check(self) -> None:
        """
        Make sure that the lease outlasts one more request.

        Raises:
            LeaseLost: Another worker may be at work.
        """
        if not self.lasts():
            raise LeaseLost

    def lasts(self) -> bool:
        """Whether the lease outlasts one more request."""
        return clock.seconds() + self.terms.one_request <= self._until

    def worked(self) -> None:
        """Something was achieved under it: its holder is alive, and AWS answers it."""
        self._worked = self._signed = clock.seconds()

    def stands_for(self) -> float | None:
        """For how many seconds nothing was achieved under it, where that is beyond its patience."""
        seconds = clock.seconds() - self._worked
        return seconds if seconds > self.patience else None

    def renew(self) -> None:
        """
        Hold it for longer, if it is still ours; where it is not, `check` says so from now on.

        One that has ended is not renewed, though nobody has taken it: whoever saw it ended has gone on.
        """
        asked, now = clock.seconds(), int(self.now())
        times = {":until": {"N": str(now + int(self.terms.lasts))}, ":now": {"N": str(now)}}
        update = "SET until_epoch = :until"
        if self._signed is not None:  # what an operator is told of who works
            update += ", worked_epoch = :worked"
            times[":worked"] = {"N": str(now - max(0, round(asked - self._signed)))}
        if self._change(update, times, unended=True):
            self._until = asked + self.terms.lasts
        else:
            self._until = -math.inf

    def keep(self, **attributes: Any) -> None:
        """
        Write attributes beside the lease, if it is still ours.

        Raises:
            LeaseLost: It is not; nothing was written.
        """
        self.check()
        names = {f"#a{at}": name for at, name in enumerate(attributes)}
        values = {f":a{at}": _write(value) for at, value in enumerate(attributes.values())}
        sets = ", ".join(f"{name} = :{name[1:]}" for name in names)
        if not self._change(f"SET {sets}", values, names):
            self._until = -math.inf
            raise LeaseLost

    def release(self) -> None:
        """Give it back: who held it has nothing under way any more. What is not ours stays as it is."""
        self._until = -math.inf
        self._change("REMOVE holder, until_epoch", {})

    def _change(
        self,
        update: str,
        values: dict[str, Any],
        names: dict[str, str] | None = None,
        *,
        unended: bool = False,
    ) -> bool:
        ours = "holder = :me AND #token = :token"
        try:
            self.client.update_item(
                TableName=self.table,
                Key=self._key(),
                UpdateExpression=update,
                ConditionExpression=f"{ours} AND until_epoch >= :now" if unended else ours,
                ExpressionAttributeNames={"#token": "token", **(names or {})},
                ExpressionAttributeValues={
                    ":me": {"S": self.holder},
                    ":token": {"N": str(self.token)},
                    **values,
                },
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                return False
            raise
        return True

    def _key(self) -> Any:
        return {"pk": {"S": self.key[0]}, "sk": {"S": self.key[1]}}


class Keeper:
    """
    Renews leases, in a thread of its own, until they are let go.

    Args:
        terms: Of all of them.
        tell: Told, once each, which lease is not renewed because its holder does nothing.
    """

    def __init__(self, terms: Terms, tell: Callable[[str], None] = lambda _: None) -> None:
        self._terms, self._leases, self._tell = terms, dict[str, Lease](), tell
        self._told: set[str] = set()
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._renew, name="leases", daemon=True)

    def start(self) -> None:
        """Begin to renew."""
        self._thread.start()

    def stop(self) -> None:
        """Renew nothing any more."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def keep(self, lease: Lease) -> None:
        """Renew a lease from now on."""
        with self._lock:
            self._leases[lease.holder] = lease

    def drop(self, lease: Lease) -> None:
        """Renew it no longer."""
        with self._lock:
            self._leases.pop(lease.holder, None)
            self._told.discard(lease.holder)

    def renew(self) -> None:
        """Renew each of them once, unless its holder has done nothing for the lease's patience."""
        with self._lock:
            leases = list(self._leases.values())
        for lease in leases:
            if (seconds := lease.stands_for()) is not None:
                self._stands(lease, seconds)
                continue
            self._told.discard(lease.holder)
            try:
                lease.renew()
            except UNANSWERED:
                continue  # not renewed: `check` stops its holder before the lease ends

    def _stands(self, lease: Lease, seconds: float) -> None:
        if lease.holder in self._told:
            return
        self._told.add(lease.holder)
        _log.warning("stands", extra={"lease": lease.what, "seconds": round(seconds)})
        self._tell(
            f"nothing was done about {lease.what} for {seconds:.0f} s (hung, or refused): its lease is not "
            "renewed, so another worker can take it"
        )

    def _renew(self) -> None:
        while not self._stop.wait(self._terms.renew_every):
            self.renew()
