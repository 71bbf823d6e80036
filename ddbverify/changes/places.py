"""
Places in a table's stream: where the next reading goes on, shard by shard. Pure.

A place is kept as text in signed evidence. Too many records read again are harmless, one that is passed
over is not: so places only ever lie too early.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

STEP_BACK_SECONDS: Final = 15
"""
By so much a place by time lies before the moment that it was taken at. The times of records are "approximate"
(https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_StreamRecord.html).
"""

_LINE: Final = re.compile(
    r"(?P<shard>\S+) (?:(?P<ended>ended)|after (?P<number>\d+)|(?P<closed>closed )?since (?P<epoch>\d+))"
)
_HEAD: Final = re.compile(r"(?P<stream>arn:\S+) taken (?P<epoch>\d+)")


class Kind(StrEnum):
    """How the place in a shard is known."""

    ENDED = "ended"  # closed, and all that is in it was written before
    AFTER = "after"  # behind the record of a sequence number
    SINCE = "since"  # from the first record of a second on (epoch); what is older was written before
    CLOSED = "closed since"  # likewise, of a shard that took no more records when the place was taken


@dataclass(frozen=True, slots=True)
class Place:
    """Where the reading of one shard goes on."""

    kind: Kind
    at: str = ""  # a sequence number as DynamoDB spells it, or seconds since the epoch

    @classmethod
    def after(cls, number: str) -> Place:
        """Behind the record of this sequence number."""
        return cls(Kind.AFTER, number)

    @classmethod
    def since(cls, epoch: int) -> Place:
        """From the first record of this second on."""
        return cls(Kind.SINCE, str(epoch))

    @classmethod
    def closed(cls, epoch: int) -> Place:
        """From the first record of this second on, in a shard that is closed already."""
        return cls(Kind.CLOSED, str(epoch))

    @property
    def since_epoch(self) -> float:
        """What is older is not needed; 0 where that is not known by time."""
        return float(self.at) if self.kind in (Kind.SINCE, Kind.CLOSED) else 0.0

    def __str__(self) -> str:
        return str(self.kind) if self.kind is Kind.ENDED else f"{self.kind} {self.at}"


ENDED: Final = Place(Kind.ENDED)


@dataclass(frozen=True, slots=True)
class Places:
    """
    Where the reading of one stream goes on.

    Args:
        stream_arn: Of the stream; one that is switched off and on is another one.
        taken_epoch: Seconds since the epoch, the server's. Whatever was written later is behind these places.
        shards: Shard id -> place. A shard that is not in it was made later.
    """

    stream_arn: str
    taken_epoch: int
    shards: Mapping[str, Place]

    def as_texts(self) -> tuple[str, ...]:
        """A line for the stream, then one for each shard."""
        shards = (f"{shard} {place}" for shard, place in sorted(self.shards.items()))
        return (f"{self.stream_arn} taken {self.taken_epoch}", *shards)

    @classmethod
    def of_texts(cls, texts: Sequence[str]) -> Places:
        """
        The inverse of `as_texts`.

        Raises:
            ValueError: They are not what it makes.
        """
        head = _HEAD.fullmatch(texts[0]) if texts else None
        if head is None:
            raise ValueError("no stream is named")
        shards = {}
        for text in texts[1:]:
            line = _LINE.fullmatch(text)
            if line is None or line["shard"] in shards:
                raise ValueError("a shard's place cannot be read, or is there twice")
            shards[line["shard"]] = _place(line)
        return cls(head["stream"], int(head["epoch"]), shards)


def _place(line: re.Match[str]) -> Place:
    if line["ended"]:
        return ENDED
    if line["number"]:
        return Place.after(line["number"])
    return Place.closed(int(line["epoch"])) if line["closed"] else Place.since(int(line["epoch"]))
