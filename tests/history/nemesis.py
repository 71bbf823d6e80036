"""
The nemesis inside the functions: planted into the copy of the package that is bundled.

It stands beside the handlers as ``replicator/nemesis.py``, and does what the file at ``PLAN`` says
at this moment: a JSON object of kind -> probability. No file, no faults. Each fault is noted in a
file beside it. The embedded AWS runs the functions on this machine, so the test and they share both.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import signal
import time
from collections.abc import Callable
from typing import Any

from botocore.client import BaseClient
from botocore.exceptions import ClientError, ConnectionClosedError

PLAN = "@plan@"

_ask = BaseClient._make_api_call
_sent: list[tuple[float, Any]] = []


def strikes(kind: str) -> bool:
    """Whether a fault of this kind happens now."""
    try:
        with open(PLAN, encoding="utf-8") as file:  # noqa: PTH123 - runs in the function
            plan = json.load(file)
    except FileNotFoundError:
        return False
    if random.random() >= plan.get(kind, 0):
        return False
    with open(PLAN + ".struck", "a", encoding="utf-8") as file:  # noqa: PTH123
        file.write(f"{kind}\n")
    return True


def kill() -> None:
    """The process is gone at once."""
    os.kill(os.getpid(), signal.SIGKILL)


def ask(self: Any, operation: str, parameters: Any) -> Any:
    """A request to AWS, that may be the last thing that the function does."""
    if strikes("kill"):
        kill()
    # The embedded AWS loses what a forwarder reports as unsent: its sends are not refused here.
    if operation in ("TransactWriteItems", "BatchGetItem", "GetItem", "UpdateItem", "PutItem"):
        if strikes("throttle"):
            refused = {"Error": {"Code": "ProvisionedThroughputExceededException", "Message": "planted"}}
            raise ClientError(refused, operation)
        if strikes("lose"):
            raise ConnectionClosedError(endpoint_url="planted")
    answer = _ask(self, operation, parameters)
    if operation == "TransactWriteItems" and strikes("lose"):
        raise ConnectionClosedError(endpoint_url="planted, after it was carried out")
    if strikes("kill"):
        kill()
    return answer


BaseClient._make_api_call = ask


def shaken(take: Callable[..., Any]) -> Callable[..., Any]:
    """What becomes of a batch, that may raise before its work, and after it."""

    def invoke(*batch: Any) -> Any:
        if strikes("raise"):
            raise RuntimeError("planted, before")
        answer = take(*batch)
        if strikes("raise"):
            raise RuntimeError("planted, after")
        return answer

    return invoke


def again_and_late(send: Callable[..., Any]) -> Callable[..., Any]:
    """`fifo.send` that sends messages once more, seconds later, as if they were new."""

    def both(client: Any, queue_url: str, messages: Any) -> Any:
        due = [one for at, one in _sent if at < time.monotonic() - 2]
        del _sent[: len(due)]
        again = [
            dataclasses.replace(one, deduplication_id=f"again{time.time_ns()}{one.deduplication_id[:32]}")
            for one in due
        ]
        if again:
            send(client, queue_url, again)
        _sent.extend((time.monotonic(), one) for one in messages if strikes("again"))
        return send(client, queue_url, messages)

    return both
