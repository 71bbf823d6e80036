"""
A loopback server of scan pages, in a process of its own: tables of any size in flat memory.

It speaks as much of DynamoDB's JSON protocol as a comparison asks for: DescribeTable,
DescribeTimeToLive, Scan (segments, ``ExclusiveStartKey``, ``Limit``) and
BatchGetItem, `streams <benchmarks.page_streams>` where a table has one, and STS's GetCallerIdentity;
each answer with a right ``x-amz-crc32``, connections kept alive::

    tables = {
        "orders": Generated(items=1_000_000),
        "orders-v2": Generated(items=1_000_000, layout="attribute-order", planted={77: "changed"}),
        "written": Generated(items=1_000_000, records=2_000),
        "tiny": Listed(keys={"id": "S"}, items=[{"id": {"S": "a"}}], page_items=1),
    }
    with page_server(tables) as server:
        boto3.client("dynamodb", endpoint_url=server.endpoint_url, region_name=REGION)
        server.stats()["orders"]["Scan"].requests     # counted at the wire
        server.set_faults("orders", [Fault(kind="cut", first=3)])

`Generated` tables are rendered page by page from 200 prepared items; `Listed` ones hold the
items they are given. A `Fault` breaks the n-th answer to an operation, once or for ever; the
counting starts when it is set. The server ends with the ``with`` block, or with its parent.

Stand-alone: ``python -m benchmarks.page_server < tables.json`` prints its port; ``GET /stats``
and ``PUT /faults/TABLE`` are its only other addresses.
"""

from __future__ import annotations

import base64
import functools
import http.client
import json
import math
import os
import random
import socket
import struct
import sys
import threading
import time
import uuid
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, NamedTuple, Protocol

import msgspec

from benchmarks.child import serving
from benchmarks.page_streams import BadRequest, PageStream, StreamView, stream_of

REGION = "eu-west-1"
ACCOUNT = "000000000000"
KEYS: dict[str, Literal["S", "N"]] = {"pk": "S", "sk": "N"}
PAGE_ITEMS = 2_200  # about 1 MB of generated items
VARIANTS = 200  # items prepared for a generated table; they differ in everything but the number of their key
EXTRA = 5_000_000_000  # added to the number of a key that only a planted fault puts there
MOST_KEYS = 100  # of one BatchGetItem

TypedItem = Mapping[str, Mapping[str, Any]]
Planted = Literal["missing", "changed", "extra"]


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """
    What goes wrong with some answers to one operation.

    * ``crc``: the checksum is wrong · ``json``: the body is no JSON, its checksum right
    * ``cut``: half of the body, then the connection is closed · ``reset``: ... is reset
    * ``end``: no ``LastEvaluatedKey``, ``Count`` right · ``count``: more ``Count`` than items
    * ``stuck``: the page ends where it started
    * ``unprocessed``: BatchGetItem leaves all keys unprocessed
    * ``error``: *code* with *status*
    """

    kind: Literal["crc", "json", "cut", "reset", "end", "count", "stuck", "unprocessed", "error"]
    operation: str = "Scan"
    first: int = 1  # the n-th answer that matches, from 1; every attempt of a client counts
    times: int | None = 1  # so many in a row; None: for ever
    segment: int | None = None  # Scan only: answers for this segment; None: for any
    code: str = "InternalServerError"
    status: int = 400


class _Table(msgspec.Struct, frozen=True, kw_only=True):
    page_items: int = PAGE_ITEMS
    delay_seconds: float = 0.0  # before each answer to Scan and BatchGetItem
    ttl_attribute: str | None = None
    faults: list[Fault] = []
    records: int | None = None  # in its stream, of items as far apart as can be; None: it has no stream
    stream_view: StreamView = "KEYS_ONLY"


class Generated(_Table, frozen=True, tag=True):
    """
    A table of *items* like ``customer-0000000042``, about 480 bytes and 10 attributes each.

    * ``plain``: in the order of their numbers. Two such tables are equal, byte by byte.
    * ``attribute-order``: likewise, the attributes of each item in another order, nested ones too.
    * ``scan-order``: the same bytes per item, no order of items in common with the others.

    A segment is a slice of the scan order; ``scan-order`` has other items in each. *planted*
    says which items are not what their number makes them: number -> ``missing``, ``changed``
    (in ``total``) or ``extra`` (a second one behind it, numbered 5,000,000,000 higher).
    """

    items: int
    keys: dict[str, Literal["S", "N"]] = msgspec.field(
        default_factory=lambda: dict(KEYS)
    )  # the first: its number
    layout: Literal["plain", "attribute-order", "scan-order"] = "plain"
    planted: dict[int, Planted] = {}
    changed_every: int = 0  # one number in so many is changed, too; 0 for none
    renamed: dict[str, str] = {}  # attribute -> what this table calls it; not of the key


class Listed(_Table, frozen=True, tag=True):
    """A table of given items, in DynamoDB JSON. Segments by a hash of the hash key, else in this order."""

    keys: dict[str, Literal["S", "N", "B"]]  # the hash key first
    items: list[dict[str, dict[str, Any]]]


Table = Generated | Listed


class Asked(msgspec.Struct, frozen=True):
    """What one operation was asked of one table, and what was answered in full."""

    requests: int = 0  # whatever became of them
    items: int = 0  # served
    units: float = 0.0  # read units consumed


class Server(NamedTuple):
    """A running page server."""

    endpoint_url: str

    def stats(self) -> dict[str, dict[str, Asked]]:
        """Table -> operation -> what was asked so far."""
        return msgspec.json.decode(self._call("GET", "/stats"), type=dict[str, dict[str, Asked]])

    def set_faults(self, table: str, faults: Sequence[Fault]) -> None:
        """Break *table* like this from now on, and no longer as before."""
        self._call("PUT", f"/faults/{table}", msgspec.json.encode(faults))

    def _call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        # Not urllib: a proxy in the environment would be asked.
        connection = http.client.HTTPConnection(self.endpoint_url.removeprefix("http://"), timeout=30)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status != http.client.OK:
            raise RuntimeError(f"The page server refused {method} {path}: {content.decode()}")
        return content


@contextmanager
def page_server(tables: Mapping[str, Table]) -> Iterator[Server]:
    """
    Serve *tables*, by name, for the length of a ``with`` block.

    Raises:
        RuntimeError: The server did not start; its standard error says why.
    """
    with serving("benchmarks.page_server", msgspec.json.encode(tables)) as endpoint_url:
        yield Server(endpoint_url)


# --- what tables hold -------------------------------------------------------------------


class _Content(Protocol):
    """The items of one table by position; positions need not be dense."""

    def span(self, segment: int, total: int) -> Sequence[int]:
        """The positions of one segment, ascending."""

    def page(self, positions: Sequence[int]) -> tuple[int, bytes]:
        """How many items, and their JSON, joined by commas."""

    def key_at(self, position: int) -> bytes:
        """The key there, as JSON."""

    def position_of(self, key: TypedItem) -> int:
        """Where a key is or would be; ``KeyError`` for one that has no place."""

    def find(self, key: TypedItem) -> bytes | None:
        """The item under a key, as JSON."""

    def size(self) -> tuple[int, int]:
        """Items, and bytes."""


class _GeneratedContent:
    """
    Items made of their number: a prepared text before it, and one behind it.

    A number has always ten digits, so that all items of a variant are of one length.
    """

    def __init__(self, table: Generated) -> None:
        (self._hash, kind), *_ = table.keys.items()
        self._prefix = {"S": "customer-", "N": "1"}[kind]  # a DynamoDB number starts with no zero
        self._kind, self._keys, self._count, self._planted = kind, table.keys, table.items, table.planted
        self._changed_every = table.changed_every
        self._step, self._shift = 1, 0
        if table.layout == "scan-order":
            self._step, self._shift = _stride(table.items), table.items // 3
        self._back = pow(self._step, -1, table.items) if table.items > 1 else 1
        draw = random.Random(480)  # the same items in every process
        variants = [
            {table.renamed.get(name, name): value for name, value in item.items()}
            for item in (_variant(draw, number, table.keys, self._prefix) for number in range(VARIANTS))
        ]
        self._sort_keys = [
            {name: item[name] for name in table.keys if name != self._hash} for item in variants
        ]
        if table.layout == "attribute-order":
            variants = [_reordered(item) for item in variants]
        halves = [_json(item).split(b"##########") for item in variants]
        self._before, self._behind = [one for one, _ in halves], [other for _, other in halves]
        self.page = functools.lru_cache(maxsize=32)(self._page)  # the other table often wants the same

    def span(self, segment: int, total: int) -> Sequence[int]:
        return range(self._count * segment // total, self._count * (segment + 1) // total)

    def _page(self, positions: Sequence[int]) -> tuple[int, bytes]:
        numbers = [self._number(position) for position in positions]
        if not self._changed_every and self._planted.keys().isdisjoint(numbers):
            before, behind = self._before, self._behind
            items = [b"%b%010d%b" % (before[n % VARIANTS], n, behind[n % VARIANTS]) for n in numbers]
        else:
            found = [self._item(n) for number in numbers for n in (number, number + EXTRA)]
            items = [item for item in found if item is not None]
        return len(items), b",".join(items)

    def key_at(self, position: int) -> bytes:
        number = self._number(position)
        hash_key = {self._hash: {self._kind: f"{self._prefix}{number:010d}"}}
        return _json(hash_key | self._sort_keys[number % VARIANTS])

    def position_of(self, key: TypedItem) -> int:
        number = self._number_in(key)
        if number >= self._count:
            raise KeyError("a key that this table has no place for")
        return (number - self._shift) * self._back % self._count

    def find(self, key: TypedItem) -> bytes | None:
        try:
            return self._item(self._number_in(key))
        except KeyError:
            return None

    def size(self) -> tuple[int, int]:
        length = sum(map(len, self._before)) + sum(map(len, self._behind)) + 10 * VARIANTS
        return self._count, self._count * length // VARIANTS

    def _number(self, position: int) -> int:
        return (position * self._step + self._shift) % self._count

    def _number_in(self, key: TypedItem) -> int:
        """The number in a whole key of this table, planted ones included."""
        text = key[self._hash][self._kind]
        digits = text.removeprefix(self._prefix)
        if len(digits) != 10 or not digits.isdecimal() or not text.startswith(self._prefix):
            raise KeyError("no key of this table")
        number = int(digits)
        if {name: value for name, value in key.items() if name != self._hash} != self._sort_keys[
            number % VARIANTS
        ]:
            raise KeyError("a key of this table with another sort key")
        return number

    def _item(self, number: int) -> bytes | None:
        planted = self._planted.get(number % EXTRA)
        if planted is None and self._changed_every and number % self._changed_every == 0:
            planted = "changed"
        is_there = planted == "extra" if number >= EXTRA else planted != "missing"
        if not is_there or number % EXTRA >= self._count:
            return None
        variant = number % VARIANTS
        item = b"%b%010d%b" % (self._before[variant], number, self._behind[variant])
        return item.replace(b'"total":{"N":"', b'"total":{"N":"7') if planted == "changed" else item


class _ListedContent:
    """Items as they were given."""

    def __init__(self, table: Listed) -> None:
        self._keys = table.keys
        self._items = [_json(item) for item in table.items]
        self._places = {self._place(item): position for position, item in enumerate(table.items)}
        self._key_texts = [_json({name: item[name] for name in table.keys}) for item in table.items]
        hash_key = next(iter(table.keys))
        self._hashes = [zlib.crc32(_json(item[hash_key])) for item in table.items]
        if len(self._places) < len(self._items):
            raise ValueError("two listed items with the same key")

    def span(self, segment: int, total: int) -> Sequence[int]:
        return [position for position, code in enumerate(self._hashes) if code % total == segment]

    def page(self, positions: Sequence[int]) -> tuple[int, bytes]:
        return len(positions), b",".join(self._items[position] for position in positions)

    def key_at(self, position: int) -> bytes:
        return self._key_texts[position]

    def position_of(self, key: TypedItem) -> int:
        return self._places[self._place(key)]

    def find(self, key: TypedItem) -> bytes | None:
        position = self._places.get(self._place(key))
        return None if position is None else self._items[position]

    def size(self) -> tuple[int, int]:
        return len(self._items), sum(map(len, self._items))

    def _place(self, item: TypedItem) -> tuple[Any, ...]:
        # By value: a client may spell a number of a key in its own way.
        return tuple(
            Decimal(item[name][kind]) if kind == "N" else item[name][kind]
            for name, kind in self._keys.items()
        )


def _variant(draw: random.Random, number: int, keys: Mapping[str, str], prefix: str) -> dict[str, Any]:
    """One item, ``##########`` in place of its number; the key's attributes first."""
    (hash_key, kind), *others = keys.items()
    words = " ".join(draw.choice(("blue", "größer", "never", "parcel", "two", "left")) for _ in range(16))
    item: dict[str, Any] = {hash_key: {kind: prefix + "##########"}}
    for name, sort_kind in others:
        item[name] = {sort_kind: str(1_764_000_000_000 + 7_919 * number)}
    city, zip_code = draw.choice(("Oslo", "Genf", "Lyon")), str(draw.randrange(10**4, 10**5))
    sku, tags = draw.randbytes(5).hex(), sorted({draw.randbytes(2).hex() for _ in range(3)})
    return item | {
        "address": {"M": {"city": {"S": city}, "zip": {"N": zip_code}}},
        "lines": {"L": [{"M": {"qty": {"N": str(draw.randrange(1, 9))}, "sku": {"S": sku}}}]},
        "note": {"S": words},
        "paid": {"BOOL": draw.random() < 0.5},
        "removed": {"NULL": True},
        "tags": {"SS": tags},
        "token": {"B": base64.b64encode(draw.randbytes(18)).decode()},
        "total": {"N": f"{draw.randrange(10**4)}.{draw.randrange(1, 10)}"},
        "updated": {"S": f"2026-11-{draw.randrange(10, 30)}T12:{draw.randrange(10, 60)}:00Z"},
    }


def _reordered(item: Mapping[str, Any]) -> dict[str, Any]:
    """The same item; each map, the item included, backwards."""
    return {
        name: _reordered(value) if isinstance(value, dict) else value for name, value in [*item.items()][::-1]
    }


def _stride(count: int) -> int:
    """A step that visits every position of *count* once, far from its neighbours."""
    return next(step for step in range(int(count * 0.618) + 1, 2 * count + 2) if math.gcd(step, count) == 1)


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


# --- answers ----------------------------------------------------------------------------


class _Refusal(Exception):
    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(code)
        self.code, self.message, self.status = code, message, status


@dataclass(slots=True)
class _Armed:
    """A fault, and how many answers have matched it."""

    fault: Fault
    matched: int = 0

    def is_due(self, operation: str, segment: int) -> bool:
        """Count one answer."""
        fault = self.fault
        if fault.operation != operation or fault.segment not in (None, segment):
            return False
        self.matched += 1
        since = self.matched - fault.first
        return since >= 0 and (fault.times is None or since < fault.times)


class _Served:
    """One table with its faults and its bill. Threads share it."""

    def __init__(self, name: str, table: Table, content: _Content) -> None:
        self.name, self.table, self.content = name, table, content
        self.bill: dict[str, Asked] = {}
        self._faults: list[_Armed] = []
        self._lock = threading.Lock()
        self.stream = _stream(name, table, content) if table.records is not None else None
        self.set_faults(table.faults)

    def set_faults(self, faults: Sequence[Fault]) -> None:
        with self._lock:
            self._faults = [_Armed(fault) for fault in faults]

    def fault(self, operation: str, segment: int) -> Fault | None:
        """Count one answer, and say how it is to be broken."""
        with self._lock:
            due = [armed.fault for armed in self._faults if armed.is_due(operation, segment)]
        return due[0] if due else None

    def count(self, operation: str, *, requests: int = 0, items: int = 0, units: float = 0.0) -> None:
        with self._lock:
            old = self.bill.get(operation, Asked())
            self.bill[operation] = Asked(old.requests + requests, old.items + items, old.units + units)


def _stream(name: str, table: Table, content: _Content) -> PageStream:
    positions, records = content.span(0, 1), table.records or 0
    written = (content.key_at(positions[number * len(positions) // records]) for number in range(records))
    return PageStream(_arn(name), table.stream_view, table.keys, written, content.find)


def _arn(name: str) -> str:
    return f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}"


@dataclass(frozen=True, slots=True)
class _Answer:
    body: bytes
    items: int = 0
    units: float = 0.0


_Operation = Callable[[_Served, dict[str, Any], Fault | None], _Answer]


def _describe_table(served: _Served, _asked: dict[str, Any], _fault: Fault | None) -> _Answer:
    keys = served.table.keys
    items, size = served.content.size()
    description = {
        "TableName": served.name,
        "TableArn": _arn(served.name),
        "TableId": str(uuid.uuid5(uuid.NAMESPACE_DNS, served.name)),
        "TableStatus": "ACTIVE",
        "CreationDateTime": 1_764_000_000.0,
        "AttributeDefinitions": [
            {"AttributeName": name, "AttributeType": kind} for name, kind in keys.items()
        ],
        "KeySchema": [
            {"AttributeName": name, "KeyType": role}
            for name, role in zip(keys, ("HASH", "RANGE"), strict=False)
        ],
        "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"},
        "ItemCount": items,
        "TableSizeBytes": size,
    }
    if served.stream is not None:
        description |= served.stream.specification()
    return _Answer(_json({"Table": description}))


def _describe_time_to_live(served: _Served, _asked: dict[str, Any], _fault: Fault | None) -> _Answer:
    name = served.table.ttl_attribute
    ttl = {"TimeToLiveStatus": "ENABLED", "AttributeName": name} if name else {"TimeToLiveStatus": "DISABLED"}
    return _Answer(_json({"TimeToLiveDescription": ttl}))


def _scan(served: _Served, asked: dict[str, Any], fault: Fault | None) -> _Answer:
    content = served.content
    span = content.span(asked.get("Segment", 0), asked.get("TotalSegments", 1))
    start = asked.get("ExclusiveStartKey")
    try:
        offset = bisect_right(span, content.position_of(start)) if start else 0
    except KeyError:
        raise _Refusal("ValidationException", "The provided starting key is invalid") from None
    wanted = min(served.table.page_items, asked.get("Limit", served.table.page_items))
    positions = span[offset : offset + wanted]
    kind = fault.kind if fault else ""
    count, items = content.page(positions)
    units = _units(len(items), asked)
    last = b""
    if offset + wanted < len(span) and kind != "end":
        last = b',"LastEvaluatedKey":' + content.key_at(positions[-1])
    if kind == "stuck" and start:
        last = b',"LastEvaluatedKey":' + _json(start)
    told = count + (kind == "count")
    body = b'{"ConsumedCapacity":%b,"Count":%d,"Items":[%b]%b,"ScannedCount":%d}' % (
        _json({"CapacityUnits": units, "TableName": served.name}), told, items, last, told
    )  # fmt: skip
    return _Answer(body, count, units)


def _batch_get_item(served: _Served, asked: dict[str, Any], fault: Fault | None) -> _Answer:
    (reference, wanted), *others = asked["RequestItems"].items()
    if others or len(wanted["Keys"]) > MOST_KEYS:
        raise _Refusal("ValidationException", "Here: one table, and at most 100 keys")
    unprocessed = {reference: wanted} if fault and fault.kind == "unprocessed" else {}
    found = [served.content.find(key) for key in wanted["Keys"]] if not unprocessed else []
    items = [item for item in found if item is not None]
    units = sum((_units(len(item or b""), wanted) for item in found), 0.0)
    body = b'{"ConsumedCapacity":%b,"Responses":{%b:[%b]},"UnprocessedKeys":%b}' % (
        _json([{"CapacityUnits": units, "TableName": served.name}]),
        _json(reference),
        b",".join(items),
        _json(unprocessed),
    )
    return _Answer(body, len(items), units)


def _units(size: int, asked: Mapping[str, Any]) -> float:
    """Read units for so many bytes; half of it unless strongly consistent."""
    # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html
    return max(1, math.ceil(size / 4096)) * (1.0 if asked.get("ConsistentRead") else 0.5)


def _of_stream(ask: Callable[[PageStream, dict[str, Any]], bytes]) -> _Operation:
    def answer(served: _Served, asked: dict[str, Any], _fault: Fault | None) -> _Answer:
        if served.stream is None or served.stream.arn != stream_of(asked):
            raise _Refusal("ResourceNotFoundException", "Requested resource not found: Stream not found")
        try:
            return _Answer(ask(served.stream, asked))
        except BadRequest as error:
            raise _Refusal("ValidationException", str(error)) from None

    return answer


_OPERATIONS: dict[str, _Operation] = {
    "DescribeTable": _describe_table,
    "DescribeTimeToLive": _describe_time_to_live,
    "Scan": _scan,
    "BatchGetItem": _batch_get_item,
    "DescribeStream": _of_stream(PageStream.describe),
    "GetShardIterator": _of_stream(PageStream.iterator),
    "GetRecords": _of_stream(PageStream.page),
}


_CALLER = f"""\
<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>\
<Arn>arn:aws:iam::{ACCOUNT}:user/benchmark</Arn><UserId>BENCHMARK</UserId><Account>{ACCOUNT}</Account>\
</GetCallerIdentityResult><ResponseMetadata><RequestId>PAGESERVER</RequestId></ResponseMetadata>\
</GetCallerIdentityResponse>
""".encode()


class _Tables:
    """All tables of one server."""

    def __init__(self, tables: Mapping[str, Table]) -> None:
        contents: dict[bytes, _Content] = {}  # tables that hold the same share what is rendered
        self.served: dict[str, _Served] = {}
        for name, table in tables.items():
            held = msgspec.structs.replace(
                table,
                page_items=1,
                delay_seconds=0,
                ttl_attribute=None,
                faults=[],
                records=None,
                stream_view="KEYS_ONLY",
            )
            same = msgspec.json.encode(held)
            if same not in contents:
                contents[same] = (
                    _GeneratedContent(table) if isinstance(table, Generated) else _ListedContent(table)
                )
            self.served[name] = _Served(name, table, contents[same])

    def named(self, name: str) -> _Served:
        """By name, by ARN, or by that of its stream."""
        try:
            return self.served[name.partition("/stream/")[0].rpartition("/")[2]]
        except KeyError:
            raise _Refusal(
                "ResourceNotFoundException", "Requested resource not found: Table not found"
            ) from None

    def stats(self) -> bytes:
        return msgspec.json.encode({name: served.bill for name, served in self.served.items()})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # the head goes out before the body; neither waits for the other
    tables: _Tables

    def do_POST(self) -> None:
        content, target = self._content(), self.headers["X-Amz-Target"]
        if target is None:  # every gated run asks STS whose credentials it has
            is_known = b"Action=GetCallerIdentity" in content.split(b"&")
            self._send(_CALLER if is_known else b"", 200 if is_known else 400)
            return
        asked, operation = json.loads(content), target.partition(".")[2]
        try:
            self._answer(operation, asked)
        except _Refusal as refusal:
            error = {"__type": f"com.amazonaws.dynamodb.v20120810#{refusal.code}", "message": refusal.message}
            self._send(_json(error), refusal.status)

    def do_GET(self) -> None:
        self._send(self.tables.stats(), 200 if self.path == "/stats" else 404)

    def do_PUT(self) -> None:
        content = self._content()
        try:
            served = self.tables.named(self.path.removeprefix("/faults"))
            served.set_faults(msgspec.json.decode(content, type=list[Fault]))
        except (_Refusal, msgspec.ValidationError) as error:
            self._send(str(error).encode(), 400)
            return
        self._send(b"", 200)

    def _answer(self, operation: str, asked: dict[str, Any]) -> None:
        known = operation in _OPERATIONS
        if not known and "TableName" not in asked:
            raise _Refusal("UnknownOperationException", "Not one of the operations that are served here")
        # A table that is not there is not there, whatever is asked of it: so there is no state table.
        name = asked.get("TableName") or stream_of(asked) or next(iter(asked["RequestItems"]))
        served = self.tables.named(name)
        if not known:
            raise _Refusal("UnknownOperationException", "Not one of the operations that are served here")
        served.count(operation, requests=1)
        fault = served.fault(operation, asked.get("Segment", 0))
        if operation in {"Scan", "BatchGetItem"} and served.table.delay_seconds:
            time.sleep(served.table.delay_seconds)
        if fault and fault.kind == "error":
            raise _Refusal(fault.code, "This error is a switch of the page server", fault.status)
        answer = _OPERATIONS[operation](served, asked, fault)
        kind = fault.kind if fault else ""
        if kind in {"cut", "reset"}:
            self._break_off(answer.body, reset=kind == "reset")
            return
        served.count(operation, items=answer.items, units=answer.units)
        body = answer.body.replace(b":", b";", 1) if kind == "json" else answer.body
        self._send(body, crc=zlib.crc32(body) ^ (kind == "crc"))

    def _content(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _send(self, body: bytes, status: int = 200, crc: int | None = None) -> None:
        self._send_head(len(body), status, zlib.crc32(body) if crc is None else crc)
        self.wfile.write(body)

    def _send_head(self, length: int, status: int, crc: int) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(length))
        self.send_header("x-amzn-RequestId", "PAGESERVER")
        self.send_header("x-amz-crc32", str(crc))
        self.end_headers()

    def _break_off(self, body: bytes, *, reset: bool) -> None:
        self._send_head(len(body), 200, zlib.crc32(body))
        self.wfile.write(body[: len(body) // 2])
        self.close_connection = True
        if reset:
            # Closed at once and with nothing to linger for: the other side gets a reset, no proper end.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        """Say nothing: thousands of requests are the normal case."""


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in mid-answer is none of ours; everything else is shown."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def main() -> None:
    """Serve the tables that standard input's first line describes, until standard input ends."""
    tables = msgspec.json.decode(sys.stdin.buffer.readline(), type=dict[str, Table])
    handler = type("Handler", (_Handler,), {"tables": _Tables(tables)})
    with _HttpServer(("127.0.0.1", 0), handler) as server:
        print(server.server_port, flush=True)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        sys.stdin.buffer.read()
        server.shutdown()


if __name__ == "__main__":
    main()
