"""
One measurement of forwarder or consumer, in a process of its own.

``python -m benchmarks.replicating`` reads a `Job` from standard input and writes a `Measured`. The
handlers are the real ones, powertools' logging included; what the Lambda runtime does around them
(polling, reading the event) is neither in our figures nor in the plain ones.
"""

from __future__ import annotations

import gc
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from benchmarks.changes import KEYS, STREAM_ARN, Content, records
from benchmarks.child import measured
from benchmarks.loopback import HELD, REGION, Loopback
from benchmarks.measure import peak_bytes
from replicator.handlers.envelope import sqs_units

Who = Literal[
    "forwarder",
    "plain forwarder",
    "consumer",
    "plain consumer",
    "both",
    "reverse forwarder",
    "reverse consumer",
    "inverse consumer",
    "plain inverse consumer",
]
"""
``reverse`` and ``inverse``: of a way back, without a transform and through an inverse. The tables are in each
other's place there, and changes are of items that are there.
"""

STREAM_BATCH = 1_000
MESSAGES_PER_CALL = 10
GROUPS = 32
TARGET, LEDGER, STATE, QUEUE = "target", "ledger", "state", "queue.fifo"


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to push through what."""

    who: Who
    endpoint_url: str
    content: Content
    item_bytes: int
    changes: int


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What it took. Seconds are of the handlers' calls alone, the first one left out."""

    cpu_seconds: float
    wall_seconds: float
    changes: int
    messages: int  # placed on the queue, or taken from it
    receive_units: int  # SQS requests of 64 KB, messages received ten at a time
    delete_units: int
    peak_bytes: int
    peak_bytes_at_a_tenth: int


def measure(job: Job) -> Measured:
    """
    Run *job* in a child process.

    Raises:
        RuntimeError: The child failed; its standard error says why.
    """
    functions = {
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": job.endpoint_url,
        "MIGRATION": "benchmark",
        "PAIR": "orders-00000000",
        "STREAM_ARN": STREAM_ARN,
        "QUEUE_URL": f"{job.endpoint_url}/{QUEUE}",
        "GROUPS": str(GROUPS),
        "RESTART": "0",
        "BOUNDARY": "0",
        "STATE_TABLE": STATE,
        "SOURCE_TABLE": "source",
        "TARGET_TABLE": TARGET,
        "TARGET_REGION": REGION,
        "LEDGER_TABLE": LEDGER,
        **(_way_back(job.who) if is_of_a_way_back(job.who) else {}),
        **{name: json.dumps(KEYS[job.content]) for name in ("KEY_SCHEMA", "SOURCE_KEYS", "TARGET_KEYS")},
    }
    return measured("benchmarks.replicating", job, Measured, **functions)


def is_of_a_way_back(who: Who) -> bool:
    """Whether it goes from what was the target to what was the source."""
    return who.startswith("reverse") or "inverse" in who


def _way_back(who: Who) -> dict[str, str]:
    """What the stacks of a way back tell their functions otherwise."""
    told = {"MIGRATION": "benchmark-back-1", "BOUNDARY": "1700000000", "TARGET_TABLE": HELD}
    if who == "inverse consumer":
        told |= {
            "TRANSFORM": "benchmarks.shapes:without_internal",
            "INVERSE": "benchmarks.shapes:with_internal",
        }
    return told


def run(job: Job) -> Measured:
    """Like `measure`, in this process, whose environment has to be the functions'."""
    work = _Work(job)
    work.push(
        list(_records(job, MESSAGES_PER_CALL))
    )  # clients, endpoint data, and the like are paid once, by nobody
    work.finish()
    Loopback(job.endpoint_url).reset()
    work = _Work(job)
    tenth = 0
    for batch in _batches(_records(job, job.changes), STREAM_BATCH):
        work.push(batch)
        if not tenth and work.changes * 10 >= job.changes:
            tenth = peak_bytes()
    work.finish()
    return Measured(
        cpu_seconds=work.cpu,
        wall_seconds=work.wall,
        changes=work.changes,
        messages=work.messages,
        receive_units=work.receives,
        delete_units=work.deletes,
        peak_bytes=peak_bytes(),
        peak_bytes_at_a_tenth=tenth,
    )


def _records(job: Job, count: int) -> Iterator[dict[str, Any]]:
    made = records(job.content, job.item_bytes, count)
    return ({**one, "eventName": "MODIFY"} for one in made) if is_of_a_way_back(job.who) else made


class _Work:
    """Pushes stream batches through, and times the handlers alone."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.plain = job.who.startswith("plain")
        self.cpu = self.wall = 0.0
        self.changes = self.messages = self.receives = self.deletes = 0
        self._waiting: list[dict[str, Any]] = []  # messages on their way to the consumer

    def push(self, batch: list[dict[str, Any]]) -> None:
        """One stream batch: to the forwarder, or as messages to the consumer."""
        self.changes += len(batch)
        sent = self._sent(batch)
        self.messages += len(sent)
        if "forwarder" in self.job.who or self.job.who == "both":
            failures = self._timed(_forwarder(self.plain, self.job.content), {"Records": batch})
            if failures["batchItemFailures"]:
                raise RuntimeError("the loopback refused a message")
        self._waiting += sent
        while len(self._waiting) >= MESSAGES_PER_CALL:
            self._deliver()

    def finish(self) -> None:
        """Deliver what is left."""
        if self._waiting:
            self._deliver()

    def _deliver(self) -> None:
        call, self._waiting = self._waiting[:MESSAGES_PER_CALL], self._waiting[MESSAGES_PER_CALL:]
        self.receives += sqs_units(sum(len(record["body"]) for record in call))
        self.deletes += 1
        if "consumer" in self.job.who or self.job.who == "both":
            failures = self._timed(_consumer(self.job), {"Records": call})
            if failures["batchItemFailures"]:
                raise RuntimeError("the loopback refused a change")

    def _sent(self, batch: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The messages of a batch as SQS hands them over, made outside of what is timed."""
        if self.plain:
            bodies = [
                (
                    "g",
                    json.dumps(
                        {
                            "event": record["eventName"],
                            "number": record["dynamodb"]["SequenceNumber"],
                            "keys": record["dynamodb"]["Keys"],
                            "image": record["dynamodb"]["NewImage"],
                        }
                    ),
                )
                for record in batch
            ]
        else:
            bodies = _packed(batch, KEYS[self.job.content])
        return [
            {"messageId": f"m{at}", "body": body, "attributes": {"MessageGroupId": group}}
            for at, (group, body) in enumerate(bodies)
        ]

    def _timed(self, handler: Callable[[Any], Any], event: Any) -> Any:
        gc.collect()
        cpu, wall = time.process_time(), time.perf_counter()
        answer = handler(event)
        self.cpu += time.process_time() - cpu
        self.wall += time.perf_counter() - wall
        return answer


def _packed(batch: Sequence[dict[str, Any]], schema: dict[str, str]) -> list[tuple[str, str]]:
    from replicator.handlers.envelope import pack
    from replicator.handlers.records import change_from_record

    changes = [change_from_record(record) for record in batch]
    packed = pack(changes, stream_arn=STREAM_ARN, schema=schema, groups=GROUPS, restart=0)
    return [(message.group_id, message.body) for message in packed]


def _forwarder(plain: bool, content: Content) -> Callable[[Any], Any]:
    if plain:
        from benchmarks.plain_replicator import forward

        return lambda event: forward(event, _client("sqs"), os.environ["QUEUE_URL"], KEYS[content])
    from replicator.handlers.forwarder import handler

    return lambda event: handler(event, None)


def _consumer(job: Job) -> Callable[[Any], Any]:
    if job.who == "plain inverse consumer":
        from benchmarks.plain_replicator import consume_back
        from benchmarks.shapes import with_internal

        keys = KEYS[job.content]
        return lambda event: consume_back(event, _client("dynamodb"), HELD, LEDGER, keys, with_internal)
    if job.who.startswith("plain"):
        from benchmarks.plain_replicator import consume

        return lambda event: consume(event, _client("dynamodb"), TARGET, LEDGER)
    from replicator.handlers import consumer

    if job.who == "inverse consumer":  # there is no bundle here, whose digest is taken once
        consumer.bundled_digest = lambda *_: ""  # type: ignore[attr-defined]  # imported there
    return lambda event: consumer.handler(event, None)


_clients: dict[str, Any] = {}


def _client(service: str) -> Any:
    import boto3

    if service not in _clients:
        make: Any = boto3.client
        _clients[service] = make(service)
    return _clients[service]


def _batches(items: Iterator[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    while batch := list(itertools.islice(items, size)):
        yield batch


if __name__ == "__main__":
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    with os.fdopen(os.dup(1), "wb") as answer, Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)  # the handlers log to standard output, as Lambda wants it
        answer.write(msgspec.json.encode(run(job)))
