"""
Markers under the fence: both tables get them while the last verification reads the streams.

So the ends of the streams are proven, and not assumed since no record came for ``[cutover] stream_lag``. The
verifier only reads: it is told that markers are written, and believes nothing of it before it has met them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ddbverify.config import Pair
from ddbverify.errors import AccessError, DdbVerifyError
from ddbverify.evidence import folders
from ddbverify.names import Fact
from ddbverify.tables.aws import translated
from replicator.aws import markers, readers
from replicator.aws.markers import Marked
from replicator.context import live
from replicator.context.ceiling import ceiling_of
from replicator.context.context import Context
from replicator.handlers.state import now_text

SETTLED_SECONDS: Final = 3.0
"""Assumed: what it takes until every open shard of both streams has shown a marker, from a run's begin on."""


def why_not(context: Context) -> str:
    """Why no markers are written, in words; empty where they may be."""
    if not context.config.replicated.canary:
        return "with [replication] canary = false nothing of ours is written to the source"
    for pair in context.config.tables:
        if not context.resources(pair).get("knows_markers"):
            return f"the forwarder of {pair} is of an earlier build, and would send them on"
    try:
        for pair in context.config.tables:
            if met := sorted(_who_meets_them(context, pair)):
                return f"{', '.join(met)} would get them from the streams of {pair}"
    except DdbVerifyError as error:
        return f"who else reads the streams is not known: {error.message}"
    return ""


@contextmanager
def written(context: Context, folder: Path) -> Iterator[bool]:
    """
    Write markers to all tables for the length of a block, until the run in *folder* has read the streams.

    Gives whether they are written; where they are not, or not to the end, that is told. They are removed.
    """
    why = why_not(context)
    marked: list[Marked] = []
    if not why:
        try:
            marked = [one for pair in context.config.tables for one in _tables(context, pair)]
            _note(context)
            markers.write(marked, threading.Event(), _once())  # what AWS refuses, it refuses now
        except DdbVerifyError as error:
            why = error.message
            if isinstance(error, AccessError):  # none was written
                _forget(context)
    if why:
        warn_of_none(context, why)
        yield False
        return
    stop = threading.Event()
    with ThreadPoolExecutor(1, thread_name_prefix="markers") as thread:
        writing = thread.submit(markers.write, marked, stop, lambda: _has_read(context, folder))
        try:
            yield True
        finally:
            stop.set()
            _end(context, writing)


def warn_of_none(context: Context, why: str) -> None:
    """Tell the operator that no markers are written, and why."""
    context.console.warn(f"no markers are written, so the ends of the streams are assumed: {why}")


def tidy(context: Context, pair: Pair) -> None:
    """
    Remove the markers that a cutover which was killed has left in the tables of a pair.

    Raises:
        EngineError: AWS refused.
    """
    if context.state(pair).get(Fact.MARKED) is None:
        return
    with context.console.step(f"markers that a cutover has left are removed from the tables of {pair}"):
        for table in _tables(context, pair):
            markers.remove_all(table)
        context.state(pair).delete(Fact.MARKED)


def _tables(context: Context, pair: Pair) -> Sequence[Marked]:
    """Both tables of a pair; a target that is gone has no markers."""
    ceiling = ceiling_of(context.config.replicated.write_units, context.state(pair))
    source, target = context.source_table(pair), context.target_table(pair)
    found = [Marked(context.source, source.name, source.keys)]
    if target is not None:
        found.append(Marked(context.target, target.name, target.keys, ceiling))
    return found


def _once() -> Callable[[], bool]:
    asked: list[bool] = []

    def is_enough() -> bool:
        asked.append(True)
        return len(asked) > 1

    return is_enough


def _has_read(context: Context, folder: Path) -> bool:
    """Whether the run has written down the keys to look at, which it does once the streams are read."""
    return all(folders.changed_keys(folder, pair.id).exists() for pair in context.config.tables)


def _note(context: Context) -> None:
    for pair in context.config.tables:
        with translated(f"note that markers are written to the tables of {pair}"):
            context.state(pair).put(Fact.MARKED, at=now_text())


def _forget(context: Context) -> None:
    for pair in context.config.tables:
        with translated(f"forget the markers in the tables of {pair}"):
            context.state(pair).delete(Fact.MARKED)


def _end(context: Context, writing: Future[None]) -> None:
    """Forget the markers, which are removed; or tell why not all are, or why they ended too soon."""
    error = writing.exception()
    try:
        if error is None:
            _forget(context)
    except DdbVerifyError as failed:
        error = failed
    if isinstance(error, DdbVerifyError):
        context.console.warn(
            f"markers were not written, or not removed, to the end: {error.message} Nothing counts them, and "
            "the next cutover, cutback or `replicator down` removes what is left."
        )
    elif error is not None and not isinstance(error, KeyboardInterrupt):  # called off, as the command is
        raise error


def _who_meets_them(context: Context, pair: Pair) -> Iterator[str]:
    """The functions that markers would reach, on either side."""
    source, target = context.source_table(pair), context.target_table(pair)
    ours = [
        direction.resources(one).get("forwarder_mapping", "")
        for direction in live.around(context)
        for one in direction.config.tables
    ]
    yield from readers.who_get_markers(context.source_client("lambda"), source, ours)
    if target is not None:
        yield from readers.who_get_markers(context.target_client("lambda"), target, ours)
