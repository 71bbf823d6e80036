"""
Steps as functions of Arrow batches, as `mapInArrow` wants them, and errors of theirs without values.

What Spark is told of an error stands in its event log, in the log of every executor and on standard error. So
it is told its type and place, and nothing else.
"""

from __future__ import annotations

import functools
import gc
import pickle
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from ddbverify.spark.rows import ROW_BYTES, ROWS_AT_ONCE, Row

if TYPE_CHECKING:
    from ddbverify.spark.scan import ReadStep, Step

OnBatches = Callable[[Iterator[Any]], Iterator[Any]]

_BATCH_BYTES: Final = ROWS_AT_ONCE * ROW_BYTES


class TaskFailed(Exception):
    """A task could not be done. The text is a type and a place."""


def of_units(read: ReadStep) -> OnBatches:
    """*read* as a function of batches of numbers."""
    packed = pickle.dumps(read, pickle.HIGHEST_PROTOCOL)

    def run(batches: Iterator[Any]) -> Iterator[Any]:
        yield from guarded(lambda: _batched(_unpacked(packed)(_numbers(batches), _attempt())))
        _spare_what_is_loaded()

    return run


def of_rows(step: Step) -> OnBatches:
    """*step* as a function of batches of rows."""
    packed = pickle.dumps(step, pickle.HIGHEST_PROTOCOL)

    def run(batches: Iterator[Any]) -> Iterator[Any]:
        yield from guarded(lambda: _batched(_unpacked(packed)(_rows(batches))))
        _spare_what_is_loaded()

    return run


@functools.lru_cache(maxsize=4)
def _unpacked(packed: bytes) -> Any:
    """
    A step, unpacked once in each process and not in each of its tasks.

    It names every part of both exports: with thousands of tasks, that would be the square of their number.
    Steps keep nothing of a call, so that tasks may share one.
    """
    return pickle.loads(packed)  # noqa: S301 - the process that asked has made it


@functools.lru_cache(maxsize=1)
def _spare_what_is_loaded() -> None:
    """
    Leave what the first task has loaded out of later collections.

    A worker of Spark collects garbage behind each task: without this, 50 ms that look at modules only, which
    is what some thousand items take.
    """
    gc.collect()
    gc.freeze()


def guarded(begin: Callable[[], Iterator[Any]]) -> Iterator[Any]:
    """What *begin* yields. Raises TaskFailed in place of whatever it raises."""
    try:
        yield from begin()
    except GeneratorExit:
        raise
    except BaseException as error:  # noqa: BLE001  # whatever it is, its text may hold a value
        raise TaskFailed(_where(error)) from None


def _where(error: BaseException) -> str:
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    if frame is None:
        return type(error).__name__
    module = frame.tb_frame.f_globals.get("__name__", "?")
    return f"{type(error).__name__} in {module} line {frame.tb_lineno}"


def _attempt() -> int:
    from pyspark import TaskContext

    context = TaskContext.get()
    return 0 if context is None else int(context.attemptNumber())


def _numbers(batches: Iterator[Any]) -> Iterator[int]:
    for batch in batches:
        yield from batch.column(0).to_pylist()


def _rows(batches: Iterator[Any]) -> Iterator[Row]:
    for batch in batches:
        buckets, kinds, contents = (batch.column(number) for number in range(3))
        for number in range(batch.num_rows):
            yield Row(buckets[number].as_py(), kinds[number].as_py(), contents[number].as_py())


def _batched(rows: Iterable[Row]) -> Iterator[Any]:
    some: list[Row] = []
    size = 0
    for row in rows:
        some.append(row)
        size += len(row.content)
        if len(some) >= ROWS_AT_ONCE or size >= _BATCH_BYTES:
            yield _batch(some)
            some, size = [], 0
    if some:
        yield _batch(some)


def _batch(rows: list[Row]) -> Any:
    import pyarrow as pa

    buckets, kinds, contents = zip(*rows, strict=True)
    return pa.RecordBatch.from_arrays(
        [
            pa.array(buckets, pa.int32()),
            pa.array(map(int, kinds), pa.int32()),
            pa.array(contents, pa.binary()),
        ],
        names=["bucket", "kind", "content"],
    )
