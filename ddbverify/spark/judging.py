"""Items of open keys, judged by what one task does: rows in, rows out, as in `tasks`."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from ddbverify.compare.entries import Left
from ddbverify.compare.inspection import Inspector
from ddbverify.compare.open_keys import OpenKeys
from ddbverify.compare.sides import Role
from ddbverify.spark.item_checks import Refutations, learned
from ddbverify.spark.job import Job
from ddbverify.spark.receipts import Judged
from ddbverify.spark.rows import Kind, Row, Sum, items_in


class JudgeItems:
    """Items of open keys -> what is found of these."""

    def __init__(self, job: Job, *, source_complete: bool, target_complete: bool) -> None:
        """Judge for *job*; a side is complete if every part of it was read to its end."""
        self._job = job
        self._complete = {"source_complete": source_complete, "target_complete": target_complete}

    def __call__(self, rows: Iterable[Row]) -> Iterator[Row]:
        """What one task does: it has all open items of its keys."""
        job = self._job
        judge = job.judge()
        if not job.checks:
            yield from judged(rows, OpenKeys(judge, job.memory, job.at), self._complete, job.seen)
            return
        refuted = Refutations()
        inspector = job.checks.inspector(judge.transform.target_keys, refuted.take)
        keys = OpenKeys(judge, job.memory, job.at, inspector)
        with job.checks.silently():
            for row in judged(rows, keys, self._complete, job.seen):
                for content in refuted.due():
                    yield Row(0, Kind.REFUTED, content)
                if row.kind == Kind.JUDGED:
                    row = row._replace(content=_with_checks(row.content, keys, inspector))
                yield row
            for content in refuted.due(at_least=1):
                yield Row(0, Kind.REFUTED, content)


def _with_checks(receipt: bytes, keys: OpenKeys, inspector: Inspector) -> bytes:
    """A receipt of `judged`, with what checks on items have learned meanwhile."""
    plain = msgspec.msgpack.decode(receipt, type=Judged)
    whole = msgspec.structs.replace(plain, shown=keys.shown, learned=learned(inspector))
    return msgspec.msgpack.encode(whole)


def judged(
    rows: Iterable[Row], keys: OpenKeys, complete: Mapping[str, bool], seen: Callable[[], bytes]
) -> Iterator[Row]:
    """
    Items of some keys -> what is found of these, and a receipt; rows of other kinds pass.

    Args:
        rows: All items of these keys.
        keys: Joins them.
        complete: ``source_complete`` and ``target_complete``, as `OpenKeys.end` has them.
        seen: What the user's code in this process has loaded and read by now, as `bound.seen`.
    """
    received, items, found = Sum(), dict.fromkeys(Role, 0), [0, 0]

    def told(lefts: Iterable[Left]) -> Iterator[Row]:
        for left in lefts:
            found[0] += len(left.suspects)
            found[1] += len(left.refused)
            yield Row(0, Kind.FOUND, pickle.dumps(left, pickle.HIGHEST_PROTOCOL))

    for row in rows:
        if row.kind != Kind.ITEMS:
            yield row
            continue
        received.add(row.content)
        sides: dict[Role, list[bytes]] = {role: [] for role in Role}
        for of_source, raw in items_in(row.content):
            sides[Role.SOURCE if of_source else Role.TARGET].append(raw)
        for role, some in sides.items():
            items[role] += len(some)
            if some:
                yield from told(keys.add(role, some))
    yield from told(keys.end(**complete))
    receipt = Judged(
        items=(items[Role.SOURCE], items[Role.TARGET]),
        rows=received.rows,
        sum=received.value,
        matched=keys.matched,
        excluded=keys.excluded,
        dropped=keys.dropped,
        suspects=found[0],
        refused=found[1],
        seen=seen(),
    )
    yield Row(0, Kind.JUDGED, msgspec.msgpack.encode(receipt))
