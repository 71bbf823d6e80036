"""Raw pages over HTTP: what botocore guards stays guarded, and no broken page is an empty one."""

from __future__ import annotations

import base64
import json
import logging
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import pytest
from botocore.config import Config as BotoConfig
from moto import mock_aws

import ddbverify.tables.aws
import ddbverify.tables.wire
from ddbverify.config import Side
from ddbverify.errors import AccessError, EngineError, NotFoundError, ThrottledError
from ddbverify.items.keys import ReadFailed
from ddbverify.items.raw import decode_item
from ddbverify.tables.pace import Budget
from ddbverify.tables.pages import PageDecoder
from ddbverify.tables.table import describe, table_from
from ddbverify.tables.wire import TableReader
from tests.ddbverify.fakes import Clock

pytestmark = pytest.mark.usefixtures("on_loopback")

SCHEMA = {"id": "S"}


@dataclass
class Answer:
    body: bytes
    status: int = 200
    crc: str | None = None  # None: the right one; empty: no header at all
    length: int | None = None  # None: the right one


@dataclass
class Script:
    """Answers to give, one after the other, the last one for ever; and what was asked."""

    answers: list[Answer]
    requests: list[tuple[str, dict]] = field(default_factory=list)


@contextmanager
def served(*answers) -> Iterator[tuple[str, Script]]:
    script = Script(list(answers))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            script.requests.append((self.headers["X-Amz-Target"].partition(".")[2], asked))
            answer = script.answers.pop(0) if len(script.answers) > 1 else script.answers[0]
            self.send_response(answer.status)
            self.send_header("Content-Type", "application/x-amz-json-1.0")
            length = len(answer.body) if answer.length is None else answer.length
            self.send_header("Content-Length", str(length))
            if answer.crc != "":
                self.send_header("x-amz-crc32", answer.crc or str(zlib.crc32(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)
            if answer.length is not None:
                self.close_connection = True

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", script
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def a_table(schema=SCHEMA):
    return table_from(
        {
            "TableName": "orders",
            "TableArn": "arn:aws:dynamodb:eu-west-1:123456789012:table/orders",
            "TableStatus": "ACTIVE",
            "CreationDateTime": datetime(2026, 1, 1, tzinfo=UTC),
            "AttributeDefinitions": [
                {"AttributeName": name, "AttributeType": kind} for name, kind in reversed(schema.items())
            ],
            "KeySchema": [
                {"AttributeName": name, "KeyType": kind}
                for name, kind in reversed(list(zip(schema, ("HASH", "RANGE"), strict=False)))
            ],
        },
        {},
        "orders",
    )


def reader(endpoint, schema=SCHEMA, *, clock=None, **more):
    clock = clock or Clock()
    return TableReader(Side(endpoint_url=endpoint), a_table(schema), clock=clock, sleep=clock.sleep, **more)


def scan(*items, count=None, last=None, units=1.5):
    body = {
        "Items": items,
        "Count": len(items) if count is None else count,
        "ScannedCount": len(items),
        "ConsumedCapacity": {"TableName": "orders", "CapacityUnits": units},
    }
    if last is not None:
        body["LastEvaluatedKey"] = last
    return Answer(json.dumps(body).encode())


def error(code, status=400, message="no"):
    body = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": message}
    return Answer(json.dumps(body).encode(), status)


A, B = {"id": {"S": "a"}, "v": {"N": "1"}}, {"id": {"S": "b"}, "v": {"B": "AQID"}}


class TestScan:
    def test_pages_carry_keys_and_untouched_items(self):
        with served(scan(A, B, last={"id": {"S": "b"}}), scan()) as (endpoint, script):
            table = reader(endpoint)
            page = table.scan_page(2, 5, None)
            assert page.keys == [("a",), ("b",)]
            assert [bytes(raw) for raw in page.items] == [json.dumps(A).encode(), json.dumps(B).encode()]
            assert page.last_key == {"id": {"S": "b"}}
            assert (page.consumed, page.count) == (1.5, 2)
            assert table.scan_page(2, 5, page.last_key).last_key is None
            assert (table.requests, table.read_units) == (2, 3.0)
        assert script.requests[0] == (
            "Scan",
            {
                "TableName": "orders",
                "Segment": 2,
                "TotalSegments": 5,
                "ConsistentRead": True,
                "ReturnConsumedCapacity": "TOTAL",
            },
        )
        assert script.requests[1][1]["ExclusiveStartKey"] == {"id": {"S": "b"}}

    def test_binary_and_numeric_keys_go_round_unchanged(self):
        schema = {"raw": "B", "n": "N"}
        last = {"raw": {"B": base64.b64encode(b"\x00\xff").decode()}, "n": {"N": "1" * 38}}
        with served(scan(last, last=last)) as (endpoint, script):
            table = reader(endpoint, schema)
            page = table.scan_page(0, 1, None)
            assert page.keys[0][0] == b"\x00\xff"
            assert str(page.keys[0][1]) == "1" * 38
            with pytest.raises(AssertionError):
                assert table.scan_page(0, 1, page.last_key) is None
        assert script.requests[1][1]["ExclusiveStartKey"] == last

    @pytest.mark.parametrize(
        ("answer", "kind"),
        [
            (error("ResourceNotFoundException"), NotFoundError),
            (error("AccessDeniedException"), AccessError),
            (error("ExpiredTokenException"), AccessError),
            (error("InternalServerError", 500), EngineError),
            (Answer(b"<html>bad gateway</html>", 502), EngineError),
            (Answer(b"not json", 400), EngineError),
        ],
    )
    def test_error_responses_are_errors(self, answer, kind):
        with served(answer) as (endpoint, _), pytest.raises(kind) as caught:
            reader(endpoint).scan_page(0, 1, None)
        assert type(caught.value) is kind
        assert "scan the table orders" in caught.value.message

    @pytest.mark.parametrize("status", [400, 403, 404, 500, 502])
    @pytest.mark.parametrize("body", [b"SECRET", b"<html>SECRET</html>", b'{"Items": "SECRET"}'])
    def test_what_somebody_else_answers_is_not_quoted(self, body, status):
        with served(Answer(body, status)) as (endpoint, _), pytest.raises(EngineError) as caught:
            reader(endpoint).scan_page(0, 1, None)

        assert "SECRET" not in str(caught.value)

    @pytest.mark.parametrize(
        "answer",
        [
            error("ProvisionedThroughputExceededException"),
            error("InternalServerError", 500),
            Answer(scan(A).body, crc="1"),
            Answer(scan(A).body[:20], length=len(scan(A).body), crc=str(zlib.crc32(scan(A).body))),
        ],
        ids=["throttled", "server error", "damaged", "cut off"],
    )
    def test_what_can_pass_is_tried_again(self, answer):
        with served(answer, scan(A)) as (endpoint, script):
            assert reader(endpoint).scan_page(0, 1, None).count == 1
        assert len(script.requests) == 2

    @pytest.mark.parametrize(
        "answer",
        [
            Answer(b""),
            Answer(b"{}"),
            Answer(b"[]"),
            Answer(b"<html></html>"),
            Answer(scan(A, B).body[:-30]),
            Answer(b'{"Items": [], "Count": 0} trailing'),
            Answer(b'{"Items": null, "Count": 0}'),
            Answer(b'{"Items": []}'),
            Answer(b'{"Count": 0}'),
            scan(A, count=2),
            scan(A, B, count=1),
            scan(count=1),
            scan({"v": {"S": "no key"}}),
            scan({"id": {"N": "1"}}),
            scan({"id": "a"}),
            scan(A, last={}),
            Answer(b'{"Items": [], "Count": 0, "LastEvaluatedKey": null}'),
            Answer(scan(A).body, crc="1"),
            Answer(scan(A).body[:20], length=len(scan(A).body)),
        ],
    )
    def test_regression_12_a_page_that_is_not_right_is_an_error(self, answer):
        with served(answer) as (endpoint, _), pytest.raises(EngineError) as caught:
            list(reader(endpoint).scan_page(0, 1, None).keys)
        assert "no key" not in str(caught.value)

    def test_a_connection_that_is_refused_is_an_error(self):
        with served(scan()) as (endpoint, _):
            pass
        with pytest.raises(EngineError, match="scan the table orders"):
            reader(endpoint).scan_page(0, 1, None)

    def test_reads_wait_for_the_rate(self):
        clock = Clock(0.0)
        with served(scan(units=100.0)) as (endpoint, _):
            table = reader(endpoint, clock=clock, units_per_second=10)
            table.scan_page(0, 1, None)
            assert clock.now == 0
            table.scan_page(0, 1, None)
        assert clock.now == 10

    def test_what_the_endpoint_does_not_bill_is_billed_by_its_size(self):
        page = Answer(json.dumps({"Items": [{"id": {"S": "x" * 9000}}], "Count": 1}).encode())
        with served(page) as (endpoint, _):
            table = reader(endpoint, budget=Budget(5))
            table.scan_page(0, 1, None)
            assert table.read_units == 3
            table.scan_page(0, 1, None)
            with pytest.raises(EngineError, match="read budget of 5 units is spent: 6 were consumed"):
                table.scan_page(0, 1, None)

    def test_a_spent_budget_sends_nothing_for_either_table(self):
        budget = Budget(3)
        with served(scan(A, units=3.0)) as (one, first), served(scan(A)) as (two, second):
            source, target = reader(one, budget=budget), reader(two, budget=budget)
            source.scan_page(0, 1, None)
            with pytest.raises(EngineError, match="budget"):
                target.scan_page(0, 1, None)
            (read,) = source.get_items([key("a")])
        assert isinstance(read, ReadFailed)
        assert "budget" in read.reason
        assert read.is_final
        assert (len(first.requests), len(second.requests)) == (1, 0)


def damaged(answer):
    """The same page with one bit of a value flipped: valid JSON, of the right length and count."""
    assert answer.body.count(b'"N": "1"') == 1
    return Answer(answer.body.replace(b'"N": "1"', b'"N": "0"'), crc=str(zlib.crc32(answer.body)))


class TestDamage:
    """A page that is not what was sent never passes, and an intact one is checked once."""

    @pytest.fixture
    def own_checks(self, monkeypatch):
        checked = []
        real = ddbverify.tables.wire.is_intact
        monkeypatch.setattr(
            ddbverify.tables.wire, "is_intact", lambda *given: checked.append(1) or real(*given)
        )
        return checked

    @pytest.fixture
    def one_attempt(self, monkeypatch):
        once = BotoConfig(retries={"mode": "standard", "total_max_attempts": 1})
        monkeypatch.setattr(ddbverify.tables.aws, "_BOTO", ddbverify.tables.aws._BOTO.merge(once))

    def test_an_intact_page_is_checked_by_botocore_alone(self, own_checks):
        with served(scan(A)) as (endpoint, script):
            assert reader(endpoint).scan_page(0, 1, None).count == 1
        assert not own_checks
        assert len(script.requests) == 1

    def test_damaged_once(self, own_checks):
        with served(damaged(scan(A)), scan(A)) as (endpoint, script):
            (item,) = reader(endpoint).scan_page(0, 1, None).items
        assert decode_item(item) == A
        assert len(script.requests) == 2
        assert not own_checks

    def test_damaged_always(self):
        with served(damaged(scan(A))) as (endpoint, script), pytest.raises(EngineError, match="CRC32"):
            reader(endpoint).scan_page(0, 1, None)
        assert len(script.requests) == ATTEMPTS

    def test_damaged_at_the_only_attempt(self, one_attempt, own_checks):
        with served(scan(A), damaged(scan(A))) as (endpoint, script):
            table = reader(endpoint)
            assert table.scan_page(0, 1, None).count == 1
            with pytest.raises(EngineError, match="CRC32"):
                table.scan_page(0, 1, None)
        assert len(script.requests) == 2
        assert len(own_checks) == 2

    def test_the_environment_does_not_take_the_retries_away(self, monkeypatch):
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        monkeypatch.setenv("AWS_RETRY_MODE", "legacy")
        with served(damaged(scan(A)), scan(A)) as (endpoint, script):
            assert reader(endpoint).scan_page(0, 1, None).count == 1
        assert len(script.requests) == 2

    def test_damaged_when_botocore_has_no_retries_left(self, monkeypatch):
        with served(damaged(scan(A))) as (endpoint, script):
            table = reader(endpoint)
            monkeypatch.setattr("botocore.retries.quota.RetryQuota.acquire", lambda *_: False)
            with pytest.raises(EngineError, match="CRC32"):
                table.scan_page(0, 1, None)
        assert len(script.requests) == 1

    def test_a_botocore_that_does_not_check_is_found_out(self, monkeypatch, own_checks):
        monkeypatch.setattr("botocore.retries.special.RetryDDBChecksumError.is_retryable", lambda *_: False)
        with served(scan(A), damaged(scan(A))) as (endpoint, _):
            table = reader(endpoint)
            assert table.scan_page(0, 1, None).count == 1
            with pytest.raises(EngineError, match="CRC32"):
                table.scan_page(0, 1, None)
        assert len(own_checks) == 2

    def test_a_point_read_is_guarded_alike(self, one_attempt):
        with served(damaged(got(A))) as (endpoint, _):
            (read,) = reader(endpoint).get_items([key("a")])
        assert isinstance(read, ReadFailed)
        assert "CRC32" in read.reason

    def test_without_a_checksum_nothing_from_aws_is_believed(self):
        # An emulator may send none.
        with served(Answer(scan(A).body, crc="")) as (endpoint, _):
            table = reader(endpoint)
            assert table.scan_page(0, 1, None).count == 1
            table._is_emulator = False
            with pytest.raises(EngineError, match="has no CRC32"):
                table.scan_page(0, 1, None)

    @pytest.mark.parametrize("crc", ["junk", "-1", "1.5", "99999999999"])
    def test_a_checksum_that_is_none(self, crc):
        with served(Answer(scan(A).body, crc=crc)) as (endpoint, _), pytest.raises(EngineError):
            reader(endpoint).scan_page(0, 1, None)

    @pytest.mark.parametrize("body", [b"[]", b"null", b'"x"', b'{"__type": 7}', b"\xff\xfe", b"{", b""])
    @pytest.mark.parametrize("status", [200, 204, 300, 302, 400, 500])
    def test_an_error_that_is_no_error_of_dynamodb(self, body, status):
        with served(Answer(body, status)) as (endpoint, _), pytest.raises(EngineError):
            reader(endpoint).scan_page(0, 1, None)

    def test_no_debug_log_holds_what_a_page_holds(self, caplog):
        with served(scan({"id": {"S": "secret key"}, "v": {"S": "secret value"}})) as (endpoint, _):
            table = reader(endpoint)
            with caplog.at_level(logging.DEBUG):
                assert table.scan_page(0, 1, None).count == 1
        assert "Response headers" not in caplog.text
        assert "Making request" in caplog.text
        assert "secret" not in caplog.text


THROTTLED = error("ProvisionedThroughputExceededException")
ATTEMPTS = 7  # botocore's, to one call of ours


class TestThrottling:
    def test_a_table_that_comes_back_is_read_on(self):
        clock = Clock(0.0)
        with served(*[THROTTLED] * 3 * ATTEMPTS, scan(A)) as (endpoint, script):
            table = reader(endpoint, clock=clock)
            assert table.scan_page(0, 1, None).count == 1
            assert (table.requests, table.read_units) == (1, 1.5)
        assert len(script.requests) == 3 * ATTEMPTS + 1
        assert 0.5 + 1 + 2 <= clock.now <= 1.5 * (0.5 + 1 + 2) + 2

    def test_throttled_for_ever_ends_when_patience_does(self):
        clock = Clock(0.0)
        with served(THROTTLED) as (endpoint, _):
            table = reader(endpoint, clock=clock, patience_seconds=60)
            with pytest.raises(ThrottledError, match=r"after all retries.*nothing was answered for \d\d s"):
                table.scan_page(0, 1, None)
            ended = clock.now
            with pytest.raises(ThrottledError):  # the next segment is not waited for anew
                table.scan_page(1, 2, None)
        assert 60 <= ended < 60 + 45
        assert clock.now - ended < 45

    def test_a_refusal_of_another_kind_is_not_waited_for(self):
        clock = Clock(0.0)
        with served(error("AccessDeniedException")) as (endpoint, script), pytest.raises(AccessError):
            reader(endpoint, clock=clock).scan_page(0, 1, None)
        assert (len(script.requests), clock.now) == (1, 0.0)


def got(*items, unprocessed=(), table="orders"):
    body = {
        "Responses": {table: items},
        "UnprocessedKeys": {table: {"Keys": unprocessed}} if unprocessed else {},
        "ConsumedCapacity": [{"TableName": "orders", "CapacityUnits": 2.0}],
    }
    return Answer(json.dumps(body).encode())


def key(text):
    return {"id": {"S": text}}


class TestPointReads:
    def test_items_come_back_in_the_order_of_their_keys(self):
        with served(got(B, A)) as (endpoint, script):
            table = reader(endpoint)
            assert table.get_items([key("a"), key("x"), key("b"), key("a")]) == [A, None, B, A]
            assert (table.requests, table.read_units) == (1, 2.0)
        asked = script.requests[0][1]["RequestItems"]["orders"]
        assert asked["ConsistentRead"] is True
        assert asked["Keys"] == [key("a"), key("x"), key("b")]

    def test_unprocessed_keys_are_asked_for_again(self):
        with served(got(A, unprocessed=[key("b")]), got(B)) as (endpoint, script):
            assert reader(endpoint).get_items([key("a"), key("b"), key("c")]) == [A, B, None]
        assert script.requests[1][1]["RequestItems"]["orders"]["Keys"] == [key("b")]

    def test_regression_17_a_key_that_stays_unprocessed_is_not_absent(self):
        clock = Clock(0.0)
        with served(got(A, unprocessed=[key("b")]), got(unprocessed=[key("b")])) as (endpoint, script):
            table = reader(endpoint, clock=clock, patience_seconds=60)
            first, second = table.get_items([key("a"), key("b")])
        assert first == A
        assert isinstance(second, ReadFailed)
        assert "left every key unprocessed; nothing was answered for" in second.reason
        assert 60 <= clock.now < 105
        assert len(script.requests) < 15

    def test_each_batch_that_leaves_keys_is_followed_by_a_pause(self):
        clock = Clock(0.0)
        with served(got(A, unprocessed=[key("b"), key("c")]), got(B, unprocessed=[key("c")]), got()) as (
            endpoint,
            script,
        ):
            assert reader(endpoint, clock=clock).get_items([key("a"), key("b"), key("c")]) == [A, B, None]
        assert len(script.requests) == 3
        assert clock.now >= 2 * 0.5

    def test_a_throttled_batch_is_asked_for_again(self):
        with served(*[THROTTLED] * ATTEMPTS, got(A)) as (endpoint, _):
            assert reader(endpoint).get_items([key("a")]) == [A]

    @pytest.mark.parametrize(
        "answer",
        [
            error("AccessDeniedException"),
            Answer(b"{}"),
            Answer(b'{"Responses": {"orders": []}}'),  # which does not say what was left unprocessed
            Answer(b"junk"),
            Answer(got(A).body[:-5]),
            Answer(got(A).body, crc="1"),
            got({"id": {"S": "not asked for"}}),
            got({"id": {"S": "secret"}}, {"id": {"S": "secret"}, "v": {"N": "2"}}),
            got({"id": {"S": "secret"}}, unprocessed=[key("not asked for")]),
            got({"v": {"S": "no key"}}),
        ],
    )
    def test_regression_17_a_read_that_fails_is_not_absent(self, answer):
        with served(answer) as (endpoint, _):
            (read,) = reader(endpoint).get_items([key("secret")])
        assert isinstance(read, ReadFailed)
        assert "secret" not in read.reason

    def test_a_hundred_keys_to_a_request(self):
        with served(got()) as (endpoint, script):
            assert reader(endpoint).get_items([key(str(n)) for n in range(250)]) == [None] * 250
        assert [len(asked["RequestItems"]["orders"]["Keys"]) for _, asked in script.requests] == [
            100,
            100,
            50,
        ]

    def test_no_keys_no_request(self):
        with served(got()) as (endpoint, script):
            assert reader(endpoint).get_items([]) == []
        assert not script.requests


def test_an_item_that_python_cannot_hold_is_no_item():
    with pytest.raises(ValueError, match="cannot be decoded"):
        decode_item(b'{"a": {"S": "\\ud800"}}')


def test_odd_names_of_key_attributes():
    for name in ("a.b", "a b", "ключ", "class", "k0"):
        page = PageDecoder({name: "S"}).decode(
            json.dumps({"Items": [{name: {"S": "x"}}], "Count": 1}).encode()
        )
        assert page.keys == [("x",)]
    with pytest.raises(EngineError, match="quotation mark"):
        PageDecoder({'a"b': "S"})


class TestWithMoto:
    @pytest.fixture(autouse=True)
    def moto(self):
        with mock_aws():
            yield

    def test_types_go_round(self):
        client = boto3.client("dynamodb", "eu-west-1")
        client.create_table(
            TableName="orders",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": "n", "AttributeType": "N"},
                {"AttributeName": "b", "AttributeType": "B"},
            ],
            KeySchema=[
                {"AttributeName": "b", "KeyType": "HASH"},
                {"AttributeName": "n", "KeyType": "RANGE"},
            ],
        )
        client.update_time_to_live(
            TableName="orders", TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires"}
        )
        stored = {"b": {"B": b"\0\1"}, "n": {"N": "7"}, "v": {"BS": [b"x", b"y"]}, "z": {"NULL": True}}
        client.put_item(TableName="orders", Item=stored)
        side = Side(region="eu-west-1")
        table = describe(side, "orders")
        assert table.key_schema == {"b": "B", "n": "N"}
        assert list(table.key_schema) == ["b", "n"]
        assert table.ttl_attribute == "expires"
        assert table.reference == table.name == "orders"
        assert table.region == "eu-west-1"
        arn = describe(Side(), table.arn)
        assert arn.reference == "orders"
        reading = TableReader(side, table)
        page = reading.scan_page(0, 1, None)
        wire = {**stored, "b": {"B": "AAE="}, "v": {"BS": ["eA==", "eQ=="]}}
        assert decode_item(page.items[0]) == wire
        assert reading.get_items([{"b": wire["b"], "n": {"N": "7"}}, {"b": wire["b"], "n": {"N": "8"}}]) == [
            wire,
            None,
        ]

    def test_a_table_that_is_not_there(self):
        with pytest.raises(NotFoundError, match="no table orders in eu-west-1"):
            describe(Side(region="eu-west-1"), "orders")
        arn = "arn:aws:dynamodb:eu-central-1:123456789012:table/orders"
        with pytest.raises(NotFoundError, match="eu-central-1"):
            describe(Side(), arn)
