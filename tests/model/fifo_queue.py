"""SQS's FIFO queue as far as order depends on it, with a clock, faults of sending, and dead letters."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from tests.model.actors import Killed
from tests.replicator.fakes import no_answer, refusal

DEDUPLICATION_SECONDS = 300


class Call(Enum):
    """What becomes of one SendMessageBatch."""

    GOES_WELL = "all placed"
    FIRST_FAILS = "all but the first placed"
    ONLY_FIRST = "only the first placed"
    REFUSED = "nothing placed"
    UNANSWERED = "all placed, no answer"
    KILLED_BEFORE = "the forwarder dies before it"
    KILLED_AFTER = "all placed, the forwarder dies"

    def __repr__(self) -> str:
        return f"Call.{self.name}"


@dataclass(slots=True, eq=False)
class Entry:
    """One message in the queue."""

    message_id: str
    group_id: str
    body: str
    receipt: object | None = None  # in flight under it


class FifoQueue:
    """
    One queue and its dead letters; `send_message_batch` is the client's method.

    Args:
        now: Seconds since the epoch.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.script: deque[Call] = deque()
        self.entries: list[Entry] = []
        self.dead: list[Entry] = []
        self._placed: dict[str, float] = {}  # deduplication id -> when
        self._made = 0

    def send_message_batch(self, *, QueueUrl: str, Entries: Sequence[dict[str, str]]) -> dict[str, Any]:  # noqa: N803
        assert 1 <= len(Entries) <= 10
        assert sum(len(one["MessageBody"]) for one in Entries) <= 1_048_576
        call = self.script.popleft() if self.script else Call.GOES_WELL
        if call is Call.KILLED_BEFORE:
            raise Killed
        if call is Call.REFUSED:
            raise refusal("RequestThrottled", "SendMessageBatch")
        answer: dict[str, Any] = {"Successful": [], "Failed": []}
        for at, entry in enumerate(Entries):
            if (call is Call.FIRST_FAILS and at == 0) or (call is Call.ONLY_FIRST and at > 0):
                answer["Failed"].append({"Id": entry["Id"], "SenderFault": False, "Code": "InternalError"})
            else:
                answer["Successful"].append({"Id": entry["Id"]})
                self._place(entry)
        if call is Call.UNANSWERED:
            raise no_answer()
        if call is Call.KILLED_AFTER:
            raise Killed
        return answer

    def receive(self, most: int, receipt: object) -> list[Entry]:
        """The next messages of the groups that have none in flight, in order, now in flight themselves."""
        locked = {one.group_id for one in self.entries if one.receipt is not None}
        taken = [one for one in self.entries if one.group_id not in locked][:most]
        for one in taken:
            one.receipt = receipt
        return taken

    def delete(self, entry: Entry, receipt: object) -> bool:
        """Whether the message is gone now: a receipt that has expired deletes nothing."""
        if entry.receipt is not receipt:
            return False
        self.entries.remove(entry)
        return True

    def give_back(self, receipt: object) -> None:
        """What is in flight under *receipt* becomes visible, at the place where it stood."""
        for one in self.entries:
            if one.receipt is receipt:
                one.receipt = None

    def bury(self, at: int) -> None:
        """Move a message that is not in flight to the dead letters: it was received too often."""
        waiting = [one for one in self.entries if one.receipt is None]
        if waiting:
            entry = waiting[at % len(waiting)]
            self.entries.remove(entry)
            self.dead.append(entry)

    def dead_letters(self) -> DeadLetters:
        """The client of the queue of dead letters."""
        return DeadLetters(self)

    def redrive(self) -> None:
        """Move the dead letters back, to the queue's end: what SQS's own redrive does."""
        self.entries += self.dead
        self.dead = []

    def _place(self, entry: dict[str, str]) -> None:
        identity = entry["MessageDeduplicationId"]
        if self.now() - self._placed.get(identity, float("-inf")) < DEDUPLICATION_SECONDS:
            return  # a duplicate: said to be sent, and swallowed
        self._placed[identity] = self.now()
        self._made += 1
        self.entries.append(Entry(f"m{self._made}", entry["MessageGroupId"], entry["MessageBody"]))


class DeadLetters:
    """A client that reads the dead letters, one by one; what it has read is in flight for itself alone."""

    def __init__(self, queue: FifoQueue) -> None:
        self.queue = queue
        self.in_flight: list[str] = []

    def receive_message(self, **_: Any) -> dict[str, Any]:
        for one in self.queue.dead:
            if one.message_id not in self.in_flight:
                self.in_flight.append(one.message_id)
                said = {"MessageId": one.message_id, "Body": one.body, "ReceiptHandle": one.message_id}
                return {"Messages": [said]}
        return {}

    def delete_message(self, *, QueueUrl: str, ReceiptHandle: str) -> None:  # noqa: N803
        self.queue.dead = [one for one in self.queue.dead if one.message_id != ReceiptHandle]
