"""A page read as it came holds what botocore would have made of it; what is no page is an error."""

from __future__ import annotations

import json
import zlib

import boto3
import msgspec
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from ddbverify.config import Side
from ddbverify.errors import EngineError
from ddbverify.items.values import with_base64
from ddbverify.tables import aws
from replicator.backfill import pages
from replicator.backfill.pages import item_of, key_reader, page_of, scanning_session
from tests.replicator.handlers.test_envelope import VALUES

ITEMS = st.lists(st.dictionaries(st.text(min_size=1), VALUES, min_size=1), max_size=5)


class _Raw:
    def __init__(self, body):
        self.body = body

    def stream(self, *_args, **_more):
        yield self.body


class Server:
    """What both clients are answered with."""

    body, status, checksum = b"{}", 200, True
    asked = 0

    def __call__(self, request, **_):
        self.asked += 1
        crc = str(zlib.crc32(self.body)) if self.checksum is True else self.checksum
        headers = {} if crc is None else {"x-amz-crc32": crc}
        return AWSResponse(request.url, self.status, headers, _Raw(self.body))


@pytest.fixture(scope="module")
def clients():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "a")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "b")
        patch.setattr("botocore.retries.standard.time.sleep", lambda _: None)
        patch.setattr("botocore.endpoint.time.sleep", lambda _: None)
        ours = aws.client(Side(region="eu-west-1"), "dynamodb", core=scanning_session())
        ordinary = boto3.client("dynamodb", region_name="eu-west-1")
        server = Server()
        for client in (ours, ordinary):
            client.meta.events.register("before-send.dynamodb", server)
        yield ours, ordinary, server


@pytest.fixture
def served(clients):
    ours, ordinary, server = clients
    server.status, server.checksum, server.asked = 200, True, 0
    return ours, ordinary, server


def scan(client):
    return page_of(client.scan(TableName="t"))


@given(items=ITEMS, more=st.booleans(), units=st.floats(0.5, 300))
def test_the_items_are_those_that_botocore_would_have_made(clients, items, more, units):
    ours, ordinary, server = clients
    server.status, server.checksum = 200, True
    last = {"LastEvaluatedKey": {"id": {"B": "AA=="}}} if more else {}
    document = {"Items": items, "Count": len(items), "ConsumedCapacity": {"CapacityUnits": units}, **last}
    server.body = json.dumps(document).encode()

    raw, parsed = scan(ours), ordinary.scan(TableName="t")

    assert [item_of(one) for one in raw.items] == [with_base64(item) for item in parsed["Items"]] == items
    assert raw.last == (with_base64(parsed["LastEvaluatedKey"]) if more else None)
    assert raw.units == units
    again = page_of(parsed)  # an ordinary client's answer is a page as well
    assert [item_of(one) for one in again.items] == items
    assert (again.last, again.units) == (raw.last, raw.units)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b'{"Count":0}',
        b'{"Items":[],"Count":1}',
        b'{"Items":[{"id":{"S":"secret"}}],"Count":0}',
        b'{"Items":[{"id":{"S":"secret"}}],"Count":1',
        b'{"Items":{"id":"secret"},"Count":1}',
        b'{"Items":[],"Count":0,"LastEvaluatedKey":{}}',
        b'{"Items":[],"Count":0,"LastEvaluatedKey":"secret"}',
        b'{"Items":[],"Count":0,"LastEvaluatedKey":null}',
        b'{"Items":[{"id":{"S":"\xff secret"}}],"Count":"1"}',
    ],
)
def test_what_is_no_page_is_an_error_and_quotes_nothing(served, body):
    ours, _, server = served
    server.body = body

    with pytest.raises(EngineError) as caught:
        scan(ours)
    assert "secret" not in str(caught.value)


def test_a_page_that_stays_damaged_is_asked_for_again_and_never_taken(served):
    ours, _, server = served
    server.body, server.checksum = b'{"Items":[],"Count":0}', "1"

    with pytest.raises(EngineError, match="damaged"):
        scan(ours)
    assert server.asked > 1
    server.checksum = None  # an emulator's
    assert scan(ours).last is None


@pytest.mark.parametrize("checksum", ["abc", "-1", ""])
def test_a_checksum_that_is_no_number_is_an_error(served, checksum):
    ours, _, server = served
    server.body, server.checksum = b'{"Items":[],"Count":0}', checksum

    with pytest.raises(EngineError, match="not this service's"), aws.translated("scan"):
        scan(ours)


def test_a_page_of_aws_has_a_checksum():
    answer = {pages._BODY: b'{"Items":[],"Count":0}', pages._CHECKSUM: None}

    assert page_of(answer).last is None
    with pytest.raises(EngineError, match="has no CRC32"):
        page_of(answer, summed=True)


@pytest.mark.parametrize("body", [b'["secret"]', b"null", b'"secret"', b'{"__type":7}', b"\xff\xfe"])
def test_an_error_that_is_no_error_of_dynamodb_is_one_and_quotes_nothing(served, body):
    ours, _, server = served
    server.status, server.body = 400, body

    with pytest.raises(EngineError) as caught, aws.translated("scan"):
        scan(ours)
    assert "secret" not in str(caught.value)


def test_a_refusal_is_botocores_own(served):
    ours, _, server = served
    server.status, server.body = 400, b'{"__type":"com.amazonaws#ResourceNotFoundException","message":"no"}'

    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        scan(ours)
    server.status = 200
    server.body = b'{"Table":{"TableName":"t"}}'
    assert ours.describe_table(TableName="t")["Table"]["TableName"] == "t"


def test_a_page_that_does_not_say_what_it_cost_is_not_free():
    items = [{"id": {"S": "x" * 5000}}]

    assert page_of({"Items": items, "Count": 1}).units == 2


@given(
    schema=st.lists(st.text(min_size=1), min_size=1, max_size=2, unique=True),
    kinds=st.lists(st.sampled_from("SNB"), min_size=2, max_size=2),
    more=st.dictionaries(st.text(min_size=1), VALUES),
)
def test_a_key_is_read_whatever_its_attributes_are_called(schema, kinds, more):
    key = {name: {kind: "MQ=="} for name, kind in zip(schema, kinds, strict=False)}
    read = key_reader(dict(zip(schema, kinds, strict=False)))

    assert read(msgspec.Raw(json.dumps({**more, **key}).encode())) == key
    missing = {name: value for name, value in more.items() if name != schema[0]}
    with pytest.raises(EngineError, match="no key"):
        read(msgspec.Raw(json.dumps(missing).encode()))
