"""
Raw Scan pages and strongly consistent point reads, through botocore.

botocore keeps its work: signing, endpoints, retries, time-outs, and the CRC32 check with its
retries. Only its parser steps aside for the two responses that carry items.
"""

from __future__ import annotations

import functools
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from ddbverify.config import Side
from ddbverify.errors import BudgetSpentError, EngineError, ThrottledError
from ddbverify.items.form import UnknownValue
from ddbverify.items.keys import JoinKey, PointRead, ReadFailed, join_key
from ddbverify.items.values import with_bytes
from ddbverify.names import TypedItem, region_of
from ddbverify.tables import aws
from ddbverify.tables.answers import CHECKSUM, ERRORS_FROM, is_intact
from ddbverify.tables.pace import PATIENCE_SECONDS, Bill, Budget, CalledOff, Patience, ReadPace, until
from ddbverify.tables.pages import Page, PageDecoder
from ddbverify.tables.table import Table

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html
KEYS_PER_REQUEST = 100

BYTES_PER_UNIT = 4096  # of a strongly consistent read

_RAW_SHAPES = {"ScanOutput", "BatchGetItemOutput"}

Answer = TypeVar("Answer")


class TableReader:
    """All reads of one table: counted, paced, strongly consistent. Threads may share it."""

    def __init__(
        self,
        side: Side,
        table: Table,
        *,
        units_per_second: float | None = None,
        budget: Budget | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
        stop: threading.Event | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] | None = None,
        places: Callable[[], AbstractContextManager[Bill]] | None = None,
    ) -> None:
        """
        Read *table* with the credentials and the endpoint of *side*.

        Args:
            side: As configured.
            table: As described.
            units_per_second: Ceiling on consumed read units.
            budget: Hard limit on read units, shared with other readers.
            patience_seconds: How long the table may throttle everything before that is an error.
            stop: Once set, whoever waits here ends with `CalledOff`, and no further request is sent.
            clock: Seconds, never going back.
            sleep: Waits for so many seconds: for the rate, and while the table throttles. By
                default as long as *stop* is not set.
            places: Of requests, in place of *units_per_second* and *budget*: another process gives them.
        """
        self.table = table
        self.read_units = 0.0
        self.requests = 0
        self._client = raw_client(side, region=region_of(table.arn))
        self._is_emulator = aws.is_emulator(self._client)
        self._botocore_checks = _checks_crc32(self._client)
        self._decoder = PageDecoder(table.key_schema)
        self._stop = stop or threading.Event()
        sleep = sleep or until(self._stop)
        self._pace = ReadPace(units_per_second, clock=clock, sleep=sleep)
        self._budget = budget or Budget()
        self._places = places
        self.is_free = units_per_second is None and not self._budget.is_limited
        self._patience = Patience(patience_seconds, clock=clock, sleep=sleep)
        self._lock = threading.Lock()

    @contextmanager
    def place(self) -> Iterator[Bill]:
        """
        Under the rate, and in the budget, for one request of this table; counted once it is answered.

        Raises:
            BudgetSpentError: As `Budget.request`.
        """
        if self._places is not None:
            with self._places() as bill:
                yield bill
        else:
            with self._pace.request() as paced, self._budget.request() as budgeted:
                bill = Bill()
                yield bill
                paced.units = budgeted.units = bill.units
        self.count(bill.units, 1)

    def count(self, units: float, requests: int) -> None:
        """Count what requests have consumed, another process's too."""
        with self._lock:
            self.requests += requests
            self.read_units += units

    def scan_page(self, segment: int, total_segments: int, start: TypedItem | None) -> Page:
        """
        One page of one segment.

        Args:
            segment: From 0.
            total_segments: Of the scan.
            start: ``last_key`` of the page before, ``None`` for the first.

        Raises:
            EngineError: AWS refused, the budget is spent, or the response is not a page.
        """
        place: dict[str, Any] = {} if start is None else {"ExclusiveStartKey": with_bytes(start)}
        if total_segments > 1:
            place |= {"Segment": segment, "TotalSegments": total_segments}
        return self._read(
            "scan",
            f"scan the table {self.table.name}",
            self._decoder.decode,
            lambda page: page.consumed,
            TableName=self.table.reference,
            ConsistentRead=True,
            ReturnConsumedCapacity="TOTAL",
            **place,
        )

    def get_items(self, keys: Sequence[TypedItem]) -> list[PointRead]:
        """
        The items under *keys*, in their order, each read strongly consistent.

        Never raises for AWS's sake: what could not be read says why.
        """
        schema = self.table.key_schema
        wanted = {join_key(key, schema): key for key in keys}  # a request must not name a key twice
        found: dict[JoinKey, PointRead] = {}
        in_order = list(wanted)
        for start in range(0, len(in_order), KEYS_PER_REQUEST):
            batch = {key: wanted[key] for key in in_order[start : start + KEYS_PER_REQUEST]}
            try:
                self._get_batch(batch, found)
            except (EngineError, UnknownValue) as error:
                reason = error.message if isinstance(error, EngineError) else str(error)
                failed = ReadFailed(reason, is_final=isinstance(error, BudgetSpentError))
                found.update((key, failed) for key in batch if key not in found)
        return [found[join_key(key, schema)] for key in keys]

    def _get_batch(self, batch: Mapping[JoinKey, TypedItem], found: dict[JoinKey, PointRead]) -> None:
        """Put what is under the keys of *batch* into *found*, as far as an error lets it."""
        schema, name = self.table.key_schema, self.table.reference
        open_keys = dict(batch)
        while open_keys:
            asked = {"Keys": [with_bytes(key) for key in open_keys.values()], "ConsistentRead": True}
            answer = self._read(
                "batch_get_item",
                f"read items of the table {self.table.name}",
                functools.partial(_batch_answer, asked=len(open_keys), table=self.table.name),
                _BatchAnswer.consumed,
                RequestItems={name: asked},
                ReturnConsumedCapacity="TOTAL",
            )
            items = [item for items in answer.Responses.values() for item in items]
            got: dict[JoinKey, PointRead] = {join_key(item, schema): item for item in items}
            left = {join_key(key, schema) for key in answer.unprocessed()}
            if len(got) < len(items) or got.keys() & left or not got.keys() | left <= open_keys.keys():
                raise EngineError(
                    f"Reading items of the table {self.table.name} returned one not asked for, or one twice.",
                    "run the command again; if it comes back, look for a proxy that alters responses.",
                )
            found.update((key, got.get(key)) for key in open_keys if key not in left)
            open_keys = {key: typed for key, typed in open_keys.items() if key in left}
            if open_keys:
                self._patience.hold_back()

    def _read(
        self,
        operation: str,
        action: str,
        decode: Callable[[bytes], Answer],
        cost: Callable[[Answer], float],
        **arguments: Any,
    ) -> Answer:
        """
        One answer, paced, within the budget, asked for again while the table throttles.

        Raises `CalledOff` once the pass has ended.
        """
        while True:
            self._patience.wait()
            try:
                with self.place() as bill:
                    if self._stop.is_set():
                        raise CalledOff
                    body = self._call(operation, action, arguments)
                    answer = decode(body)
                    # An endpoint that does not say what it consumed is not free of charge.
                    bill.units = cost(answer) or math.ceil(len(body) / BYTES_PER_UNIT)
            except ThrottledError as error:
                self._patience.throttled(error)
                continue
            self._patience.answered()
            return answer

    def _call(self, operation: str, action: str, arguments: Mapping[str, Any]) -> bytes:
        """The body of one successful response."""
        with aws.translated(action):
            response = getattr(self._client, operation)(**arguments)
        body: bytes = response["body"]
        metadata = response["ResponseMetadata"]
        checksum = metadata[CHECKSUM]
        if checksum is None and not self._is_emulator:
            raise EngineError(
                f"Could not {action}: the response has no CRC32, and DynamoDB's always have.",
                "look for a proxy that alters responses, then run the command again.",
            )
        # Once is enough: on a page of 1 MB the check costs as much as its keys.
        if not (self._botocore_checks and _was_checked(metadata)) and not is_intact(body, checksum):
            raise EngineError(
                f"Could not {action}: the response is damaged (CRC32).",
                "run the command again; if it comes back, look for a proxy that alters responses.",
            )
        return body


def raw_client(side: Side, *, region: str | None = None) -> DynamoDBClient:
    """
    A DynamoDB client whose ``scan`` and ``batch_get_item`` return ``{"body": bytes, ...}``.

    Errors, and every other operation, are parsed as ever: the session's own calls
    (assume-role, single sign-on) go through the same factory.
    """
    return aws.client(side, "dynamodb", region=region, core=aws.core_with(_RawParser))


class _RawParser(aws.StrictParser):
    def parse(self, response: Any, shape: Any) -> Any:
        """As ever, but for a successful page: it is not decoded, and not written to a debug log."""
        if shape is not None and shape.name in _RAW_SHAPES and response["status_code"] < ERRORS_FROM:
            checksum = response["headers"].get(CHECKSUM)
            return {"body": response["body"], "ResponseMetadata": {CHECKSUM: checksum}}
        return super().parse(response, shape)


class _Consumed(msgspec.Struct):
    CapacityUnits: float = 0.0


class _Unprocessed(msgspec.Struct):
    Keys: list[dict[str, dict[str, str]]]


class _BatchAnswer(msgspec.Struct):
    Responses: dict[str, list[dict[str, Any]]]
    UnprocessedKeys: dict[str, _Unprocessed]  # DynamoDB names it, empty or not
    ConsumedCapacity: list[_Consumed] | None = None

    def consumed(self) -> float:
        return sum(one.CapacityUnits for one in self.ConsumedCapacity or ())

    def unprocessed(self) -> list[TypedItem]:
        return [key for one in self.UnprocessedKeys.values() for key in one.Keys]


_BATCH_ANSWER = msgspec.json.Decoder(_BatchAnswer)


def _batch_answer(body: bytes, *, asked: int, table: str) -> _BatchAnswer:
    try:
        answer = _BATCH_ANSWER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EngineError(
            f"A response of {len(body)} bytes to BatchGetItem cannot be read ({type(error).__name__}).",
            "run the command again; if it comes back, look for a proxy that alters responses.",
        ) from None
    if len(answer.unprocessed()) >= asked:  # a success by its status, a refusal by its content
        raise ThrottledError(
            f"AWS refused to read items of the table {table}: it left every key unprocessed",
            "wait a minute and run the command again; lower the rate in migration.toml if it comes back.",
        )
    return answer


def _checks_crc32(client: DynamoDBClient) -> bool:
    """
    Whether *client* asks for a retry when a body does not match its CRC32: tried, not assumed.

    The check is a special case in botocore that its authors would like to be rid of.
    """
    damaged = AWSResponse("", 200, HTTPHeaders.from_dict({CHECKSUM: "0"}), _Damaged())
    answers = client.meta.events.emit(
        "needs-retry.dynamodb.Scan",
        response=(damaged, {}),
        endpoint=None,
        operation=client.meta.service_model.operation_model("Scan"),
        attempts=1,
        caught_exception=None,
        request_dict={"context": {}},
    )
    return any(delay is not None and delay is not False for _, delay in answers)


class _Damaged:
    """What botocore reads a body from."""

    def stream(self) -> Iterator[bytes]:
        yield b"not what the checksum says"


def _was_checked(metadata: Mapping[str, Any]) -> bool:
    """
    Whether botocore has compared the body of this response, where it compares any.

    It does not when the attempts are used up, and returns a damaged one when nothing is left of
    its retry quota. In both cases it says so.
    """
    return not (metadata.get("MaxAttemptsReached") or metadata.get("RetryQuotaReached"))
