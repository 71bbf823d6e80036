"""
The keys that have changed in a table since earlier places in its stream, read to a proven end.

A record may become readable after its write was acknowledged, so some empty pages prove nothing. The end of a
shard is proven by a record that was written after the reading began (in a shard they are in order), or
assumed where none has come for `lag_seconds`; a closed shard ends where it says so, and its children follow.

Where nobody writes there is no such record, and each open shard is waited for. So somebody else may write
*markers* meanwhile, items under random reserved keys, until every shard has shown one. Then the assumption is
made only where none has come for `MARKER_PATIENCE_SECONDS`, which is said.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Protocol

from ddbverify.changes.places import ENDED, STEP_BACK_SECONDS, Place, Places
from ddbverify.changes.shards import (
    Gap,
    Shard,
    childless,
    earlier_places,
    first_places,
    need_no_gap,
    readable,
    without_forgotten,
)
from ddbverify.changes.wire import Expired, Records
from ddbverify.errors import ThrottledError
from ddbverify.items.keys import JoinKey
from ddbverify.tables.pace import Patience

LONGEST_SECONDS: Final = 23 * 3600
"""
After which a place is taken for trimmed. A stream keeps records for 24 hours
(https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html), and a shard that is read from
its beginning does not say what was there before.
"""

CHILD_PATIENCE_SECONDS: Final = 30.0
"""For which the successor of a closed shard is waited for."""

MOST_KEYS: Final = 1_000_000
"""Of one table. About 200 bytes each in memory; a whole pass costs less than so many point reads."""

MARKER_PATIENCE_SECONDS: Final = 20.0
"""For which a marker is waited for in each open shard, where markers are written."""

BEFORE_AN_EXPORT_SECONDS: Final = 60
"""
By so much a reading begins before the moment of an export, beside what all places step back. An export is
said to be exact to the second, a backup is exact to a minute (docs/aws.md T1), and keys that are looked at
in vain cost a read each.
"""

_AFTER_THE_BEGINNING_SECONDS: Final = 2  # clocks of whole seconds
_SHARDS_AT_ONCE: Final = 8
_POLL_SECONDS: Final = 1.0
_LEAST_POLL_SECONDS: Final = 0.05
_MARKED_POLL_SECONDS: Final = 0.5


class Stopped(Gap):
    """Another reading came to nothing, and with it this one."""


class Stream(Protocol):
    """One stream, as `ddbverify.changes.wire.StreamWire` reads it."""

    stream_arn: str

    def shards(self) -> list[Shard]:
        """Every shard that is listed."""

    def iterator(self, shard_id: str, place: Place | None) -> str:
        """What asks for the records of a shard from a place on."""

    def records(self, iterator: str, since_epoch: float = 0.0) -> Records:
        """One page of records."""


@dataclass(frozen=True, slots=True)
class Changed:
    """
    What a reading has found.

    Args:
        keys: Of every record.
        places: Where the next reading goes on.
        proven: Open shards that a record showed to have been read to their ends.
        assumed: Open shards of which that is assumed.
    """

    keys: frozenset[JoinKey]
    places: Places
    proven: int
    assumed: int


def places_now(stream: Stream, server_time: float) -> Places:
    """
    Where a later reading has to begin so that it meets every write from now on.

    Args:
        stream: Of the table.
        server_time: Seconds since the epoch, asked for before.

    Raises:
        Gap: The stream is off.
        EngineError: AWS refused.
    """
    epoch = int(server_time)
    return Places(stream.stream_arn, epoch, first_places(stream.shards(), epoch - STEP_BACK_SECONDS))


def places_at(stream: Stream, moment: float, server_time: float) -> Places:
    """
    Where a later reading has to begin so that it meets every write that an export of *moment* may lack.

    Args:
        stream: Of the table that was exported.
        moment: Seconds since the epoch: whose state the export shows.
        server_time: Likewise, now.

    Raises:
        Gap: The stream is off, was not on for long enough by then, or keeps nothing of then any more.
        EngineError: AWS refused.
    """
    epoch = int(moment) - BEFORE_AN_EXPORT_SECONDS
    since = epoch - STEP_BACK_SECONDS
    if not moment <= server_time <= epoch + LONGEST_SECONDS:
        raise Gap(f"its export is not of the last {LONGEST_SECONDS // 3600} hours, and a stream keeps 24")
    began = stream.stream_arn.rpartition("/stream/")[2]
    try:
        turned_on = datetime.fromisoformat(began).replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise Gap("its stream does not say since when it has been on") from None
    if turned_on > since:
        raise Gap(
            "its stream was turned on behind the time of its export, or less than "
            f"{BEFORE_AN_EXPORT_SECONDS + STEP_BACK_SECONDS} s before"
        )
    return Places(stream.stream_arn, epoch, earlier_places(stream.shards(), since))


def changed_keys(
    stream: Stream,
    places: Places,
    *,
    lag_seconds: float,
    server_time: Callable[[], float],
    marked: bool = False,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    stop: threading.Event | None = None,
) -> Changed:
    """
    Every key that was written since *places* were taken, and where the next reading goes on.

    Args:
        stream: Of the table, as it is now.
        places: From earlier.
        lag_seconds: For so long no record may come before a shard's end is believed.
        server_time: The server's, in seconds since the epoch.
        marked: Whether somebody writes markers meanwhile.
        clock: Seconds, never going back.
        sleep: Waits for so many seconds.
        stop: Once it is set, nothing is read any more; set where this reading comes to nothing.

    Raises:
        Gap: Something may be gone that was not read, or it is too much; the text says what.
        EngineError: AWS refused.
    """
    stop = stop or threading.Event()
    try:
        if stream.stream_arn != places.stream_arn:
            raise Gap("the stream was switched off and on, or is another table's")  # noqa: TRY301
        began = server_time()
        silent = max(lag_seconds, MARKER_PATIENCE_SECONDS) if marked else lag_seconds
        poll = _MARKED_POLL_SECONDS if marked else max(_LEAST_POLL_SECONDS, min(_POLL_SECONDS, silent / 4))
        reading = _Reading(stream, dict(places.shards), began, silent, poll, clock, sleep, stop)
        reading.to_the_end()
        age = server_time() - places.taken_epoch
        if age > LONGEST_SECONDS:
            raise Gap(f"the last look is {age / 3600:.0f} hours old, and a stream keeps 24 hours")  # noqa: TRY301
    except BaseException:
        stop.set()
        raise
    after = Places(stream.stream_arn, int(began), reading.places)
    return Changed(frozenset(reading.keys), after, *reading.ends())


@dataclass(slots=True)
class _Open:
    """A shard whose end has not been met."""

    since_epoch: float = 0.0  # keys of older records are none of this reading
    iterator: str | None = None
    silent_since: float = 0.0
    is_proven: bool = False  # everything that was written before the reading began has been read,
    is_assumed: bool = False  # as far as can be told from no record having come


@dataclass(slots=True)
class _Reading:
    stream: Stream
    places: dict[str, Place]
    began: float
    silent_seconds: float
    poll_seconds: float
    clock: Callable[[], float]
    sleep: Callable[[float], None]
    stop: threading.Event
    keys: set[JoinKey] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _open: dict[str, _Open] = field(default_factory=dict)
    _ended_at: dict[str, float] = field(default_factory=dict)

    def to_the_end(self) -> None:
        patience = Patience(clock=self.clock, sleep=self.sleep)
        shards = self._listed()
        with ThreadPoolExecutor(_SHARDS_AT_ONCE, thread_name_prefix="stream") as threads:
            while not self.stop.is_set():
                unproven = [one for one in readable(shards, self.places) if not self._of(one).is_proven]
                patience.wait()
                try:
                    found = self._together(threads, unproven)
                except ThrottledError as error:
                    patience.throttled(error)
                    continue
                patience.answered()
                if self._ended_at:
                    shards = self._listed()
                waiting = self._without_children(shards)
                if not waiting and all(self._of(one).is_proven for one in readable(shards, self.places)):
                    return
                if not any(found):
                    self.sleep(self.poll_seconds)
        raise Stopped("its streams were not read to their ends")

    def ends(self) -> tuple[int, int]:
        """Of how many open shards the end is proven, and of how many it is assumed."""
        known = [one.is_assumed for name, one in self._open.items() if self.places.get(name) != ENDED]
        return known.count(False), known.count(True)

    def _together(self, threads: ThreadPoolExecutor, shards: Sequence[Shard]) -> list[bool]:
        """Which of them have ended. Whatever ends the reading, ends it in every thread."""
        reading = [threads.submit(self._read, shard) for shard in shards]
        try:
            for one in as_completed(reading):
                with suppress(ThrottledError):  # raised below, once all have said what they met
                    one.result()
        except BaseException:
            self.stop.set()
            raise
        return [one.result() for one in reading]

    def _listed(self) -> Sequence[Shard]:
        shards = self.stream.shards()
        with self._lock:
            self.places.update(without_forgotten(shards, self.places))
        need_no_gap(shards, self.places)
        named = {name for shard in shards for name in (shard.id, shard.parent)}
        for gone in [one for one, place in self.places.items() if place == ENDED and one not in named]:
            del self.places[gone]
        return shards

    def _without_children(self, shards: Sequence[Shard]) -> bool:
        """Whether a shard that has ended in this reading has no successor yet."""
        for shard_id in childless(shards, self._ended_at):
            if self.clock() - self._ended_at[shard_id] > CHILD_PATIENCE_SECONDS:
                raise Gap("a shard of the stream has ended, and no other one follows it")
            return True
        return False

    def _of(self, shard: Shard) -> _Open:
        if shard.id not in self._open:
            place = self.places.get(shard.id)
            since = 0.0 if place is None else place.since_epoch
            self._open[shard.id] = _Open(since_epoch=since, silent_since=self.clock())
        return self._open[shard.id]

    def _read(self, shard: Shard) -> bool:
        """Read a shard until a page is empty or its end is proven. Returns whether it has ended."""
        at = self._of(shard)
        while not self.stop.is_set():
            asked_at = self.clock()
            try:
                if at.iterator is None:
                    at.iterator = self.stream.iterator(shard.id, self.places.get(shard.id))
                page = self.stream.records(at.iterator, at.since_epoch)
            except Expired:
                at.iterator = None
                continue
            with self._lock:
                self.keys.update(page.keys)
                if len(self.keys) > MOST_KEYS:
                    raise Gap(f"more than {MOST_KEYS:,} keys have changed")
            if page.last_number:
                self.places[shard.id] = Place.after(page.last_number)
                at.silent_since = self.clock()
            at.iterator = page.iterator
            if at.iterator is None:
                self.places[shard.id] = ENDED
                self._ended_at[shard.id] = self.clock()  # also where the reading of another shard is refused
                return True
            if page.last_epoch >= self.began + _AFTER_THE_BEGINNING_SECONDS:
                at.is_proven = True
                return False
            if not page.last_number:
                # A closed shard has an end of its own; what follows it is in another one.
                silent = asked_at - at.silent_since >= self.silent_seconds
                at.is_proven = at.is_assumed = not shard.is_closed and silent
                return False
        return False
