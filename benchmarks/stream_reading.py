"""
How fast the keys of a stream are read, in a process of its own so that CPU time is its own.

``python -m benchmarks.stream_reading`` reads a `Job` from standard input and writes a `Measured`.
"""

from __future__ import annotations

import gc
import sys
import time
from functools import partial

import msgspec

from benchmarks.page_server import REGION
from ddbverify.changes.following import changed_keys, places_now
from ddbverify.changes.shards import Gap
from ddbverify.changes.wire import StreamWire
from ddbverify.config import Side
from ddbverify.tables import table as tables


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Whose stream to read, and how often."""

    endpoint_url: str
    table: str
    rounds: int


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What it took, the least of all rounds."""

    keys: int  # different ones, the fewest of all rounds
    cpu_seconds: float  # of all threads, user and system
    wall_seconds: float


def run(job: Job) -> Measured:
    """
    Read the whole stream, every round from its beginning.

    Raises:
        RuntimeError: The table has no stream.
        Gap: It cannot be read to its end.
    """
    side = Side(region=REGION, endpoint_url=job.endpoint_url)
    table = tables.describe(side, job.table)
    if table.stream_arn is None:
        raise RuntimeError(f"The table {job.table} has no stream.")
    server_time = partial(tables.server_time, side, job.table)
    stream = StreamWire(side, table.stream_arn, table.key_schema)
    keys, cpu, wall = [], [], []
    for _ in range(job.rounds):
        gc.collect()  # what the round before has left is not this one's
        places = places_now(stream, server_time())
        began = time.process_time(), time.perf_counter()
        found = changed_keys(stream, places, lag_seconds=0.0, server_time=server_time).keys
        cpu.append(time.process_time() - began[0])
        wall.append(time.perf_counter() - began[1])
        keys.append(len(found))
    return Measured(keys=min(keys), cpu_seconds=min(cpu), wall_seconds=min(wall))


if __name__ == "__main__":
    try:
        measured = run(msgspec.json.decode(sys.stdin.buffer.read(), type=Job))
    except Gap as error:
        sys.exit(f"The stream was not read to its end: {error}.")
    sys.stdout.buffer.write(msgspec.json.encode(measured))
