"""
The segments of two tables, read page by page in threads: what was read to its end, and what was not.

A segment counts as read when its end was said twice. DynamoDB says that a page is the last by
leaving out ``LastEvaluatedKey``, and so does an answer that lost it on the way: the items behind
would be in neither finding nor count. So the reader asks once more from the last item on, one
request per segment and side, and believes an end behind which there is still nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Protocol

from ddbverify.compare.controls import Specimens
from ddbverify.compare.sides import Role
from ddbverify.errors import AccessError, EngineError, NotFoundError
from ddbverify.items.form import UnknownValue
from ddbverify.items.keys import JoinKey, PointRead, join_key, typed_key
from ddbverify.names import KeySchema, TypedItem
from ddbverify.tables.pace import CalledOff
from ddbverify.tables.pages import Page
from ddbverify.tables.segments import SEGMENTS_AT_ONCE, Plan

GRACE_SECONDS: Final = 2.0
"""How long a pass that ends early waits for its threads. Later answers are not looked at."""

SECONDS_BETWEEN_SIGNALS: Final = 0.5
"""A signal that comes just before a lock is waited for is noticed only when that wait ends."""

_AGAIN = "run the command again; if it comes back, report it to the vendor of the endpoint."


class Reader(Protocol):
    """The reads of one table; `wire.TableReader` in earnest."""

    read_units: float
    requests: int

    def scan_page(self, segment: int, total_segments: int, start: TypedItem | None) -> Page:
        """One page, or an `EngineError`; `CalledOff` once nobody waits for it."""

    def get_items(self, keys: Sequence[TypedItem]) -> list[PointRead]:
        """One answer per key, in their order."""


class Reading:
    """One pass over the planned segments of both tables."""

    def __init__(
        self,
        readers: Mapping[Role, Reader],
        schemas: Mapping[Role, KeySchema],
        planned: Plan,
        name: str = "",
        *,
        clock: Callable[[], float],
        stop: threading.Event,
        report: Callable[[], None],
        threads: int = SEGMENTS_AT_ONCE,
        specimens: Specimens | None = None,
    ) -> None:
        """
        Prepare; nothing is read yet.

        Args:
            readers: Of both tables.
            schemas: Their keys.
            planned: The segments.
            name: What tells this pass from the first in messages.
            clock: Seconds since the epoch, never going back.
            stop: Ends all threads after the page in hand once it is set; set here when one fails.
            report: Called after each page, from any thread.
            threads: How many segments are read at once.
            specimens: Shown the items of the source as they come.
        """
        self.scanned = dict.fromkeys(Role, 0)
        self.finished: dict[Role, set[int]] = {role: set() for role in Role}
        self.unexamined: list[str] = []  # in words: segments that were not read to their end
        self._readers, self._schemas, self._plan = readers, schemas, planned
        self._clock, self._stop, self._report = clock, stop, report
        self._threads, self._name, self._specimens = threads, name, specimens
        self._lock = threading.Lock()

    def is_complete(self, role: Role) -> bool:
        """Whether every planned segment of that table has been read to its end."""
        return len(self.finished[role]) == len(self._plan.segments)

    @property
    def finished_on_both_sides(self) -> set[int]:
        """Segments read to their end on both sides."""
        return self.finished[Role.SOURCE] & self.finished[Role.TARGET]

    def pages(self, role: Role, segment: int) -> Iterator[tuple[Page, float]]:
        """
        The pages of one segment, each with the moment by which it had been read.

        A segment whose end is not proven is named in `unexamined`; the pages before the error
        count nevertheless, since what they show is true.
        """
        start: TypedItem | None = None
        end_was_said, way = False, _Way()
        while not self._stop.is_set():
            try:
                page = self._readers[role].scan_page(segment, self._plan.total, start)
                following = self._following(role, page, start)
                way.leads_to(following)
            except EngineError as error:
                if isinstance(error, AccessError | NotFoundError) and self._readers[role].requests == 0:
                    raise  # refused before anything was read: not a finding about the tables
                self.not_read(role, segment, error)
                return
            if self._stop.is_set():
                return  # the pass has ended while this page was on its way
            if page.items:
                with self._lock:
                    self.scanned[role] += page.count
                    if role is Role.SOURCE and self._specimens is not None:
                        self._specimens.look(page.items)
                yield page, self._clock()
            is_last = page.last_key is None
            if is_last and end_was_said and not page.items:
                with self._lock:
                    self.finished[role].add(segment)
                self._report()
                return
            end_was_said, start = is_last, following or start
            self._report()

    def _following(self, role: Role, page: Page, start: TypedItem | None) -> TypedItem | None:
        """From where the next page is asked for; ``None``: from where this one was."""
        schema = self._schemas[role]
        try:
            if page.items and start is not None and page.key_of(page.items[0]) == join_key(start, schema):
                raise EngineError("A scan gave a key twice: a page begins where it was to go on.", _AGAIN)
            if page.last_key is not None:
                join_key(page.last_key, schema)
                return page.last_key
        except UnknownValue:
            raise EngineError("A scan page does not say where the next one starts.", _AGAIN) from None
        return typed_key(page.key_of(page.items[-1]), schema) if page.items else None

    def not_read(self, role: Role, segment: int, error: EngineError) -> None:
        """Note that a segment was not read to its end, and why; whatever was thought of it before."""
        with self._lock:
            self.finished[role].discard(segment)
            self.unexamined.append(
                f"segment {segment + 1} of {self._plan.total} of the {role} was not read to its "
                f"end{self._name} ({error.message})"
            )

    def came(self, items: Mapping[Role, int]) -> None:
        """Count items that another process has read."""
        with self._lock:
            for role, count in items.items():
                self.scanned[role] += count

    def read_elsewhere(self, segment: int, finished: Sequence[Role], unexamined: Sequence[str]) -> None:
        """Note a segment of another process: sides that were read to their end, and what was not."""
        with self._lock:
            for role in finished:
                self.finished[role].add(segment)
            self.unexamined += unexamined

    def for_each(
        self, segments: Sequence[int], work: Callable[[int], None], *, threads: int | None = None
    ) -> None:
        """
        Call *work* for every one of *segments*, in threads; *threads*: another number than usual.

        Raises the first error of any, Ctrl-C too, once the threads have ended or
        `GRACE_SECONDS` are over: one that waits for an answer cannot be ended from outside. It
        looks at nothing that comes in afterwards, and does not keep the process alive.
        """
        waiting, errors, over = iter(segments), [], threading.Semaphore(0)

        def serve() -> None:
            try:
                while not self._stop.is_set():
                    with self._lock:
                        segment = next(waiting, None)
                    if segment is None:
                        return
                    work(segment)
            except CalledOff:
                pass
            except BaseException as error:  # noqa: BLE001  # raised below, in the caller's thread
                errors.append(error)
                self._stop.set()
            finally:
                over.release()

        serving = [
            threading.Thread(target=serve, name=f"ddbverify-scan-{number}", daemon=True)
            for number in range(min(threads or self._threads, len(segments)))
        ]
        try:
            for thread in serving:
                thread.start()
            for _ in serving:
                while not over.acquire(timeout=SECONDS_BETWEEN_SIGNALS):
                    pass
                if errors:
                    break
        except BaseException:  # Ctrl-C
            self._abandon(serving)
            raise
        if errors:
            self._abandon(serving)
            raise errors[0]

    def _abandon(self, threads: Sequence[threading.Thread]) -> None:
        """Tell threads that nobody waits for what they do, and let them end, for a while."""
        self._stop.set()
        deadline = time.monotonic() + GRACE_SECONDS
        for thread in threads:
            if thread.ident is not None:  # it was started
                thread.join(max(0.0, deadline - time.monotonic()))


class PagesJoin(Protocol):
    """`KeyJoin`, as far as it is fed with pages."""

    def add(self, role: Role, page: Page, at: float, segment: int | None = None) -> None:
        """Take one page. Raises UnreadableKeyError for an item without a key."""

    def ended(self, role: Role, segment: int | None = None) -> None:
        """No more pages of *role* will come."""


def side_by_side(reading: Reading, segment: int, join: PagesJoin) -> dict[Role, int]:
    """Read one segment of both tables into *join*; how many items each held. Raises as its `add` does."""
    streams = {role: reading.pages(role, segment) for role in Role}
    items = dict.fromkeys(Role, 0)
    while streams:
        # The side that lags behind goes next: then little has to wait.
        role = min(streams, key=lambda role: items[role])
        page_at = next(streams[role], None)
        if page_at is None:
            del streams[role]
            join.ended(role, segment)
            continue
        items[role] += page_at[0].count
        join.add(role, *page_at, segment)
    return items


class _Way:
    """Notices a scan that stands still or goes round in circles (Brent's algorithm: two keys kept)."""

    def __init__(self) -> None:
        self._pages = 0
        self._last: TypedItem | None = None
        self._mark: TypedItem | None = None

    def leads_to(self, key: TypedItem | None) -> None:
        """Note where the next page starts, ``None`` for the same place. Raises EngineError for a circle."""
        if key is None:
            return
        if key in (self._last, self._mark):
            raise EngineError(
                "The scan does not move on: a page leads to where one before it has led.", _AGAIN
            )
        self._pages += 1
        self._last = key
        if self._pages.bit_count() == 1:  # 1, 2, 4, 8 ...: a circle of any length is closed in the end
            self._mark = key


class PointReads:
    """`settle.PointReads` by way of two readers."""

    def __init__(self, readers: Mapping[Role, Reader], schemas: Mapping[Role, KeySchema]) -> None:
        """Read single items of both tables."""
        self._readers, self._schemas = readers, schemas

    def source(self, keys: Sequence[JoinKey]) -> Sequence[PointRead]:
        """One answer per key of the source, in their order."""
        return self._get(Role.SOURCE, keys)

    def target(self, keys: Sequence[JoinKey]) -> Sequence[PointRead]:
        """One answer per key of the target, in their order."""
        return self._get(Role.TARGET, keys)

    def _get(self, role: Role, keys: Sequence[JoinKey]) -> Sequence[PointRead]:
        return self._readers[role].get_items([typed_key(key, self._schemas[role]) for key in keys])
