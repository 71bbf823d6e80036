"""Tables whose scan pages are bytes made beforehand: any spelling, any order, any cut, at speed."""

from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ddbverify.compare.comparison import Comparison
from ddbverify.compare.judge import Judge
from ddbverify.compare.one_pass import Pass
from ddbverify.compare.settle import PipelinePassed
from ddbverify.config import Duration, Size, Verification
from ddbverify.items.keys import join_key
from ddbverify.tables.pages import PageDecoder
from ddbverify.tables.segments import Plan
from tests.ddbverify.fakes import Clock, make_judge, on
from tests.ddbverify.hired import InThreads


class PreparedTable:
    """
    `reading.Reader` over items in scan order, each given as the bytes that a page carries.

    Args:
        items: ``(item, its JSON)`` each; a segment reads its own in this order.
        schema: Of the table.
        page_size: Items to a page.
        cut: ``(key, total segments) -> segment``.
    """

    def __init__(
        self,
        items: Iterable[tuple[dict[str, Any], bytes]],
        schema: dict[str, str],
        *,
        page_size: int = 100,
        cut: Callable[[Any, int], int] | None = None,
    ) -> None:
        self.schema, self.page_size = schema, page_size
        self.entries = [(join_key(item, schema), item, raw) for item, raw in items]
        self.read_units, self.requests, self.pages, self.scans = 0.0, 0, 0, 0
        self._by_key = {key: raw for key, _, raw in self.entries}
        assert len(self._by_key) == len(self.entries), "a key stands in the table twice"
        self._cut = cut or (lambda key, total: zlib.crc32(repr(key[0]).encode()) % total)
        self._decoder = PageDecoder(schema)
        self._segments: dict[int, list[list[tuple[Any, dict[str, Any], bytes]]]] = {}
        self._places: dict[int, dict[Any, int]] = {}
        self._said_empty: set[int] = set()  # segments whose end is to be confirmed from their very start
        self._lock = threading.Lock()

    def scan_page(self, segment, total_segments, start):
        with self._lock:
            if total_segments not in self._segments:
                self._prepare(total_segments)
            entries = self._segments[total_segments][segment]
            after = 0 if start is None else self._places[total_segments][join_key(start, self.schema)] + 1
            page = entries[after : after + self.page_size]
            self.requests += 1
            self.pages += 1
            confirms = start is None and segment in self._said_empty
            self._said_empty -= {segment}
            if start is None and not page and not confirms:
                self._said_empty.add(segment)
            self.scans += start is None and segment == 0 and not confirms
            self.read_units += 1
        body = b'{"Count":%d,"Items":[%s],"ScannedCount":%d' % (
            len(page),
            b",".join(raw for _, _, raw in page),
            len(page),
        )
        if after + self.page_size < len(entries):
            last_key = {name: page[-1][1][name] for name in self.schema}
            body += b',"LastEvaluatedKey":' + json.dumps(last_key).encode()
        return self._decoder.decode(body + b',"ConsumedCapacity":{"TableName":"t","CapacityUnits":1.0}}')

    def get_items(self, keys):
        self.requests += 1
        found = [self._by_key.get(join_key(key, self.schema)) for key in keys]
        # In the spelling of the page: a second look must not be easier than the first.
        return [None if raw is None else json.loads(raw) for raw in found]

    def _prepare(self, total: int) -> None:
        segments = self._segments[total] = [[] for _ in range(total)]
        places = self._places[total] = {}
        for entry in self.entries:
            segment = segments[self._cut(entry[0], total)]
            places[entry[0]] = len(segment)
            segment.append(entry)

    def last_of_the_last_page(self, total_segments: int) -> dict[str, Any]:
        """The item that a scan in so many segments returns at the very end."""
        self._prepare(total_segments)
        return self._segments[total_segments][-1][-1][1]


def plain(items: Sequence[dict[str, Any]]) -> list[tuple[dict[str, Any], bytes]]:
    """Items as DynamoDB writes them: no spaces, no escapes that are not needed."""
    return [(item, json.dumps(item, ensure_ascii=False, separators=(",", ":")).encode()) for item in items]


def run(
    source: Any,
    target: Any,
    *,
    judge: Judge | None = None,
    schema: dict[str, str] | None = None,
    segments: int = 1,
    settle: float = 0.0,
    memory: int = 10**9,
    clock: Clock | None = None,
    pipeline_passed: PipelinePassed | None = None,
    hired: int = 0,
    **more: Any,
) -> Comparison:
    """
    One whole pass over two readers, on time that passes only when somebody sleeps.

    With *hired*, so many others read the segments, as the processes of a pass do (`tests.ddbverify.hired`).
    """
    clock = clock or Clock()
    judge = judge or make_judge(schema=schema or source.schema)
    plan, running = Plan(segments, tuple(range(segments))), on(clock, pipeline_passed)
    if "request" in more and more["request"].changed is not None:  # as `runner.compare` plans it
        plan = Plan.of_none(segments)
    crew = (
        InThreads(source, target, judge, plan, running=running, members=hired, memory=memory)
        if hired
        else None
    )
    return Pass(
        "pair",
        source,
        target,
        judge,
        plan,
        Verification(settle=Duration(settle), memory=Size(memory)),
        running=running,
        crew=crew,
        **more,
    ).run()
