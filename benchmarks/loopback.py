"""
A loopback SQS and DynamoDB that take everything and answer at once, in a process of their own.

They speak as much of the two JSON protocols as forwarder, consumer and load ask for, keep nothing, and
count what AWS would bill::

    with loopback() as server:
        boto3.client("sqs", endpoint_url=server.endpoint_url, region_name=REGION)
        server.bill()["SendMessageBatch"].units

Conditions always hold and tables are always empty: every change is the first of its key, which is
the dearest case.
"""

from __future__ import annotations

import asyncio
import functools
import http.client
import json
import math
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec

from benchmarks.changes import orders
from benchmarks.child import serving
from benchmarks.page_server import REGION
from benchmarks.shapes import INTERNAL
from replicator.handlers.envelope import sqs_units

__all__ = ["MOST_WRITES", "REGION", "Billed", "Loopback", "item_size", "loopback"]


MOST_WRITES = 25
"""Of one request. https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html"""


class Billed(msgspec.Struct, frozen=True):
    """What one operation was asked, and what AWS would bill for it."""

    requests: int = 0
    entries: int = 0  # messages, or items written
    payload: int = 0  # bytes of message bodies, or of items
    units: float = 0.0  # SQS: requests of 64 KB; DynamoDB: write units


class Loopback(NamedTuple):
    """A running loopback."""

    endpoint_url: str

    def bill(self) -> dict[str, Billed]:
        """Operation (of DynamoDB: and table) -> what was asked since the last call of `reset`."""
        return msgspec.json.decode(self._call("GET", "/bill"), type=dict[str, Billed])

    def reset(self) -> None:
        """Begin a new bill."""
        self._call("GET", "/reset")

    def _call(self, method: str, path: str) -> bytes:
        connection = http.client.HTTPConnection(self.endpoint_url.removeprefix("http://"), timeout=30)
        try:
            connection.request(method, path)
            return connection.getresponse().read()
        finally:
            connection.close()


@contextmanager
def loopback() -> Iterator[Loopback]:
    """
    Answer for the length of a ``with`` block; it ends with its parent, too.

    Raises:
        RuntimeError: The server did not start; its standard error says why.
    """
    with serving("benchmarks.loopback") as endpoint_url:
        yield Loopback(endpoint_url)


def item_size(item: Mapping[str, Mapping[str, Any]]) -> int:
    """
    Size of a typed item in bytes, as DynamoDB bills it.

    Source:
        https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html
    """
    return sum(len(name.encode()) + _value_size(value) for name, value in item.items())


def _value_size(value: Mapping[str, Any]) -> int:
    ((kind, content),) = value.items()
    match kind:
        case "S":
            return len(content.encode())
        case "N":
            return (len(content.strip("-0.").replace(".", "")) + 1) // 2 + 1
        case "B":
            return len(content) * 3 // 4
        case "SS" | "NS" | "BS":
            return sum(_value_size({kind[0]: one}) for one in content)
        case "M":
            return 3 + sum(1 + len(name.encode()) + _value_size(one) for name, one in content.items())
        case "L":
            return 3 + sum(1 + _value_size(one) for one in content)
    return 1  # BOOL, NULL


# --- answers ----------------------------------------------------------------------------


class _Refused(Exception):
    """A request that DynamoDB answers with ValidationException."""


_Bill = dict[str, Billed]


def _count(bill: _Bill, name: str, entries: int, payload: int, units: float) -> None:
    old = bill.get(name, Billed())
    bill[name] = Billed(old.requests + 1, old.entries + entries, old.payload + payload, old.units + units)


def _send(asked: dict[str, Any], bill: _Bill) -> dict[str, Any]:
    entries = asked["Entries"]
    payload = sum(len(entry["MessageBody"]) for entry in entries)
    _count(bill, "SendMessageBatch", len(entries), payload, sqs_units(payload))
    return {"Successful": [{"Id": e["Id"], "MessageId": "m", "MD5OfMessageBody": "0"} for e in entries]}


def _transact(asked: dict[str, Any], bill: _Bill) -> dict[str, Any]:
    units: dict[str, float] = {}
    for action in asked["TransactItems"]:
        ((_, one),) = action.items()
        size = item_size(one.get("Item") or one.get("Key") or {})
        billed = 2.0 * max(1, math.ceil(size / 1024))  # a transaction writes each item twice
        _count(bill, f"TransactWriteItems {one['TableName']}", 1, size, billed)
        units[one["TableName"]] = units.get(one["TableName"], 0.0) + billed
    _count(bill, "TransactWriteItems", len(asked["TransactItems"]), 0, sum(units.values()))
    if "ReturnConsumedCapacity" not in asked:
        return {}
    return {
        "ConsumedCapacity": [
            {"TableName": table, "CapacityUnits": number, "WriteCapacityUnits": number}
            for table, number in units.items()
        ]
    }


def _batch_write(asked: dict[str, Any], bill: _Bill) -> dict[str, Any]:
    requests = [(table, one) for table, some in asked["RequestItems"].items() for one in some]
    if not 0 < len(requests) <= MOST_WRITES:
        raise _Refused(f"1 validation error detected: {len(requests)} requests, of 1 to {MOST_WRITES}")
    units: dict[str, float] = {}
    for table, request in requests:
        size = item_size(request["PutRequest"]["Item"])
        billed = float(max(1, math.ceil(size / 1024)))
        _count(bill, f"BatchWriteItem {table}", 1, size, billed)
        units[table] = units.get(table, 0.0) + billed
    _count(bill, "BatchWriteItem", len(requests), 0, sum(units.values()))
    answer: dict[str, Any] = {"UnprocessedItems": {}}
    if asked.get("ReturnConsumedCapacity", "NONE") != "NONE":
        answer["ConsumedCapacity"] = [
            {"TableName": table, "CapacityUnits": number} for table, number in units.items()
        ]
    return answer


def _update(asked: dict[str, Any], bill: _Bill) -> dict[str, Any]:
    _count(bill, "UpdateItem", 1, 0, 1.0)
    return {"Attributes": {}} if asked.get("ReturnValues") == "ALL_NEW" else {}


HELD = "held"
"""A table that holds an item under every key that it is asked for."""


@functools.cache
def _held() -> dict[str, Any]:
    """What it holds beside the key: an order, and an attribute of its own."""
    (order,) = orders(1, 480)
    return {**order, INTERNAL: {"S": "of the follower's own"}}


def _get(asked: dict[str, Any], bill: _Bill) -> dict[str, Any]:
    _count(bill, "GetItem", 1, 0, 1.0)
    return {"Item": {**_held(), **asked["Key"]}} if asked["TableName"] == HELD else {}


def _batch_get(asked: dict[str, Any], bill: _Bill) -> dict[str, Any]:
    keys = {table: some["Keys"] for table, some in asked["RequestItems"].items()}
    _count(bill, "BatchGetItem", sum(map(len, keys.values())), 0, float(sum(map(len, keys.values()))))
    found = {table: [{**_held(), **key} for key in some] for table, some in keys.items() if table == HELD}
    return {"Responses": found, "UnprocessedKeys": {}}


def _nothing(name: str) -> Callable[[dict[str, Any], _Bill], dict[str, Any]]:
    def answer(asked: dict[str, Any], bill: _Bill) -> dict[str, Any]:
        del asked
        _count(bill, name, 0, 0, 0.0)
        return {}

    return answer


def _attributes(asked: dict[str, Any], bill: _Bill) -> dict[str, Any]:
    del asked, bill
    return {"Attributes": {"MaximumMessageSize": "1048576"}}


_OPERATIONS = {
    "SendMessageBatch": _send,
    "TransactWriteItems": _transact,
    "BatchWriteItem": _batch_write,
    "UpdateItem": _update,
    "PutItem": _nothing("PutItem"),
    "GetItem": _get,
    "BatchGetItem": _batch_get,
    "GetQueueAttributes": _attributes,
}


class _Connection(asyncio.Protocol):
    """One kept-alive HTTP/1.1 connection. Just enough of the protocol for botocore."""

    def __init__(self, bill: _Bill) -> None:
        self.bill = bill
        self.buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            lines = self.buffer[:end].decode("latin-1").split("\r\n")
            headers = {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
            }
            length = int(headers.get("content-length", 0))
            if headers.get("expect", "").lower() == "100-continue" and len(self.buffer) < end + 4 + length:
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                headers["expect"] = ""
            if len(self.buffer) < end + 4 + length:
                return
            body = bytes(self.buffer[end + 4 : end + 4 + length])
            del self.buffer[: end + 4 + length]
            self._answer(lines[0].split(" ")[1], headers.get("x-amz-target", "").rpartition(".")[2], body)

    def _answer(self, path: str, operation: str, body: bytes) -> None:
        status = "200 OK"
        if path == "/bill":
            content = msgspec.json.encode(self.bill)
        elif path == "/reset":
            self.bill.clear()
            content = b"{}"
        else:
            try:
                answer = _OPERATIONS[operation](msgspec.json.decode(body), self.bill)
            except _Refused as error:
                kind = "com.amazon.coral.validate#ValidationException"
                status, answer = "400 Bad Request", {"__type": kind, "message": str(error)}
            content = json.dumps(answer).encode()
        head = (
            f"HTTP/1.1 {status}\r\nContent-Type: application/x-amz-json-1.0\r\n"
            f"Content-Length: {len(content)}\r\nx-amzn-RequestId: LOOPBACK\r\n"
            f"x-amz-crc32: {zlib.crc32(content)}\r\n\r\n"
        )
        self.transport.write(head.encode() + content)


async def _serve() -> None:
    bill: _Bill = {}
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(bill), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.buffer.read)


if __name__ == "__main__":
    asyncio.run(_serve())
