"""
Markers: items under random reserved keys, written to a table and removed again.

Each leaves records in one shard of the table's stream, and whoever reads them there has met all that was
written to that shard before. They prove the ends of streams to the verifier, which only reads.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ddbverify.errors import AccessError, EngineError
from ddbverify.items.values import with_bytes
from ddbverify.names import MARKERS, KeySchema, marker_key
from ddbverify.tables.answers import handed_back
from ddbverify.tables.aws import translated
from ddbverify.words import number_of
from replicator.context import clock
from replicator.handlers.ceiling import Ceiling

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

AT_ONCE: Final = 25
"""Keys of one round: a BatchWriteItem has so many at most."""

LONGEST_SECONDS: Final = 60.0
"""For which markers are written at most: by then every shard has shown one, or will not."""

_PAUSE_SECONDS: Final = 0.1
_REMOVING_SECONDS: Final = 10.0
_RETRY_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class Marked:
    """
    A table that gets markers.

    Args:
        client: Of its account and region.
        name: Of the table.
        keys: Its key schema.
        ceiling: What its writes are held under; ``None``: nothing.
    """

    client: DynamoDBClient
    name: str
    keys: KeySchema
    ceiling: Ceiling | None = None

    def write(self, numbers: Sequence[int]) -> None:
        """
        Put the markers of these numbers, and remove them again; those that AWS does not take are none.

        Raises:
            EngineError: AWS refused, or has not taken a removal in `_REMOVING_SECONDS`.
        """
        if self.ceiling is not None and not self.ceiling.admit(2.0 * len(numbers)):
            return
        keys = [marker_key(self.keys, number) for number in numbers]
        puts = [{"PutRequest": {"Item": with_bytes({**key, "replicator": {"S": "marker"}})}} for key in keys]
        try:
            with translated(f"write markers to {self.name}"):
                self._request(puts)
        except AccessError:
            raise  # none was written
        except EngineError:
            self.remove(numbers)  # some may have been
            raise
        self.remove(numbers)

    def remove(self, numbers: Sequence[int]) -> None:
        """
        Remove the markers of these numbers, at most `AT_ONCE`; nothing happens where there are none.

        Raises:
            EngineError: AWS refused, or has not taken it in `_REMOVING_SECONDS`.
        """
        keys = [marker_key(self.keys, number) for number in numbers]
        left: Sequence[Any] = [{"DeleteRequest": {"Key": with_bytes(key)}} for key in keys]
        deadline = clock.seconds() + _REMOVING_SECONDS
        while True:
            with translated(f"remove markers from {self.name}"):
                left = self._request(left)
            if not left:
                return
            if clock.seconds() >= deadline:
                raise EngineError(
                    f"{number_of(len(left), 'marker')} could not be removed from {self.name}: throttled.",
                    "the next cutover, cutback or `replicator down` removes them; nothing counts them.",
                )
            time.sleep(_RETRY_SECONDS)

    def _request(self, requests: Sequence[Any]) -> Sequence[Any]:
        """Send them once; those that DynamoDB has not taken come back (docs/aws.md T17)."""
        answer = self.client.batch_write_item(RequestItems={self.name: list(requests)})
        left: Sequence[Any] = handed_back(answer, "UnprocessedItems", self.name).get(self.name, ())
        return left


def write(
    tables: Sequence[Marked],
    stop: threading.Event,
    is_enough: Callable[[], bool],
    *,
    seconds: Callable[[], float] = clock.seconds,
    pause: Callable[[float], Any] | None = None,
) -> None:
    """
    Write markers to all tables until it is enough.

    Args:
        stop: Ends it after the round in hand.
        is_enough: Asked before each round.
        seconds: A clock.
        pause: Waits for so many seconds, or until *stop* is set.

    Raises:
        EngineError: AWS refused.
    """
    ends, numbers = seconds() + LONGEST_SECONDS, rounds()
    while not stop.is_set() and not is_enough() and seconds() < ends:
        some = next(numbers)
        for table in tables:
            table.write(some)
        (pause or stop.wait)(_PAUSE_SECONDS)


def rounds() -> Iterator[Sequence[int]]:
    """Numbers of markers for one round each: all there are, in a random order, again and again."""
    while True:
        every = random.sample(range(MARKERS), MARKERS)
        for start in range(0, MARKERS, AT_ONCE):
            yield every[start : start + AT_ONCE]


def remove_all(table: Marked) -> None:
    """
    Remove whatever markers an earlier process has left in a table.

    Raises:
        EngineError: AWS refused.
    """
    for start in range(0, MARKERS, AT_ONCE):
        table.remove(range(start, min(start + AT_ONCE, MARKERS)))
