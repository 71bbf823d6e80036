"""Tables in memory that scan in pages and segments, change while they are read, and fail on order."""

from __future__ import annotations

import functools
import hashlib
import heapq
import itertools
import json
import threading
from collections.abc import Callable

import msgspec

from ddbverify.compare.judge import Judge
from ddbverify.compare.request import Running
from ddbverify.compare.settle import PipelinePassed
from ddbverify.errors import EngineError
from ddbverify.items.form import Form
from ddbverify.items.keys import ReadFailed, join_key
from ddbverify.items.transform import Transform
from ddbverify.tables.pages import PageDecoder

SCHEMA = {"id": "S"}


class Clock:
    """Time that passes only when somebody sleeps; what is due by then happens on the way."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._order = itertools.count()  # of what happens at the same moment

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.pass_until(self.now + seconds)

    def pass_until(self, moment: float) -> None:
        while self._events and self._events[0][0] <= moment:
            at, _, action = heapq.heappop(self._events)
            self.now = max(self.now, at)
            action()
        self.now = max(self.now, moment)

    def at(self, seconds_from_now: float, action) -> None:
        heapq.heappush(self._events, (self.now + seconds_from_now, next(self._order), action))


def on(clock: Clock, pipeline_passed: PipelinePassed | None = None) -> Running:
    """What a pass runs on: time that passes only when somebody sleeps, and one thread, its owner."""
    return Running(clock=clock, sleep=clock.sleep, threads=1, pipeline_passed=pipeline_passed)


class FakeTable:
    """`reading.Reader` over a dict. Thread-safe; hash-ordered, or by any order given."""

    def __init__(self, items=(), schema=SCHEMA, *, page_size=3, order=None, clock=None, seconds_per_page=0.0):
        self.schema = schema
        self.items = {}
        self.page_size = page_size
        self.order = order or self.hashed
        self.read_units, self.requests = 0.0, 0
        self.clock, self.seconds_per_page = clock, seconds_per_page
        self.fails_in: dict[tuple[int, int], EngineError] = {}  # (segment, page) -> error
        self.unreadable: set = set()  # keys whose point reads fail
        self.scans = 0
        self._decoder = PageDecoder(schema)
        self._lock = threading.RLock()
        self._page_numbers: dict[int, int] = {}
        self._said_empty: set[int] = set()  # segments whose end is to be confirmed from their very start
        for item in items:
            self.put(item)

    @staticmethod
    @functools.cache  # asked for every key of a table, for every page
    def hashed(key) -> int:
        return int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "big")

    def put(self, item) -> None:
        with self._lock:
            self.items[join_key(item, self.schema)] = item

    def delete(self, key) -> None:
        with self._lock:
            self.items.pop(key, None)

    def scan_page(self, segment, total_segments, start):
        with self._lock:
            if self.clock and self.seconds_per_page:
                self.clock.pass_until(self.clock.now + self.seconds_per_page)
            number = self._page_numbers[segment] = 0 if start is None else self._page_numbers[segment] + 1
            confirms = start is None and segment in self._said_empty
            self._said_empty -= {segment}
            self.scans += start is None and segment == 0 and not confirms
            if error := self.fails_in.get((segment, number)):
                raise error
            mine = [key for key in self.items if self.hashed(key) % total_segments == segment]
            after = None if start is None else self.order(join_key(start, self.schema))
            ordered = sorted(key for key in mine if after is None or self.order(key) > after)
            ordered.sort(key=self.order)
            page = [self.items[key] for key in ordered[: self.page_size]]
            if start is None and not page and not confirms:
                self._said_empty.add(segment)
            self.requests += 1
            self.read_units += 1
            body = {"Items": page, "Count": len(page), "ConsumedCapacity": {"CapacityUnits": 1.0}}
            if len(ordered) > self.page_size:
                body["LastEvaluatedKey"] = {name: page[-1][name] for name in self.schema}
            return self._decoder.decode(json.dumps(body).encode())

    def get_items(self, keys):
        with self._lock:
            self.requests += 1
            found = []
            for key in keys:
                joined = join_key(key, self.schema)
                failed = joined in self.unreadable
                found.append(ReadFailed("throttled") if failed else self.items.get(joined))
            return found


def make_judge(function=None, *, rekeys=False, ignore=(), ttl=(), schema=SCHEMA, target_schema=None):
    name = "tests:function" if function else ""
    transform = Transform(name, function, schema, target_schema or schema, rekeys)
    return Judge(transform, Form.of(ignore), tuple(ttl))


def item(key, **attributes):
    return {"id": {"S": key}, **{name: {"S": value} for name, value in attributes.items()}}


def page_of(items, schema=SCHEMA):
    body = {"Items": list(items), "Count": len(items)}
    return PageDecoder(schema).decode(msgspec.json.encode(body))
