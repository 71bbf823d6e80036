"""What is no answer of DynamoDB's is an error: to botocore it is one with nothing in it."""

from __future__ import annotations

import zlib

import boto3
import pytest
from botocore import endpoint
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ChecksumError, ClientError
from botocore.parsers import ResponseParserError

from ddbverify.config import Side
from ddbverify.errors import EngineError
from ddbverify.tables import answers, aws

PUT = {"RequestItems": {"t": [{"PutRequest": {"Item": {"id": {"S": "a"}}}}]}}
WHOLE = b'{"UnprocessedItems":{"t":[{"PutRequest":{"Item":{"id":{"S":"secret"}}}}]}}'


class _Raw:
    def __init__(self, body):
        self.body = body

    def stream(self, *_args, **_more):
        yield self.body


class Server:
    """Answers everything alike, and counts."""

    def __init__(self, body, status=200, **headers):
        self.body, self.status, self.headers = body, status, headers
        self.asked = 0

    def __call__(self, request, **_):
        self.asked += 1
        headers = {name.replace("_", "-"): value for name, value in self.headers.items()}
        return AWSResponse(request.url, self.status, headers, _Raw(self.body))


@pytest.fixture(params=["ours", "the handlers'"])
def client(request, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.setattr("botocore.retries.standard.time.sleep", lambda _: None)
    monkeypatch.setattr(endpoint.time, "sleep", lambda _: None)
    if request.param == "ours":
        return aws.client(Side(region="eu-west-1"), "dynamodb", shared=False)
    made = boto3.client("dynamodb", region_name="eu-west-1")
    answers.guard(made, ResponseParserError)
    return made


def answered(client, body, *, status=200, **headers):
    server = Server(body, status, **headers)
    client.meta.events.register("before-send.dynamodb", server)
    return server


@pytest.mark.parametrize("body", [b"", b"<html>secret</html>", b"[]", b"null", WHOLE[:40], b"{", b"}"])
@pytest.mark.parametrize("summed", [False, True])
def test_a_success_that_is_no_object_is_none(client, body, summed):
    answered(client, body, **({"x_amz_crc32": str(zlib.crc32(body))} if summed else {}))

    with (
        pytest.raises(EngineError, match="response is not this service's") as caught,
        aws.translated("write"),
    ):
        client.batch_write_item(**PUT)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("checksum", ["abc", "-1", "1.5", ""])
@pytest.mark.parametrize("status", [200, 400, 500])
def test_a_checksum_that_is_no_number(client, checksum, status):
    answered(client, b"{}", status=status, x_amz_crc32=checksum)

    with pytest.raises(ResponseParserError):
        client.batch_write_item(**PUT)


@pytest.mark.parametrize("body", [b"", WHOLE[:40], WHOLE.replace(b"secret", b"Secret"), b"{}"])
def test_a_damaged_answer_is_asked_for_again_and_never_believed(client, body):
    server = answered(client, body, x_amz_crc32=str(zlib.crc32(WHOLE)))

    with pytest.raises((ResponseParserError, ChecksumError)):  # that is botocore's own, in its legacy mode
        client.batch_write_item(**PUT)
    assert server.asked > 1
    server.body = WHOLE
    assert client.batch_write_item(**PUT)["UnprocessedItems"]


def test_what_dynamodb_answers_is_as_ever(client):
    server = answered(client, b" {}\n")  # an emulator may end its lines
    assert (
        client.put_item(TableName="t", Item={"id": {"S": "a"}})["ResponseMetadata"]["HTTPStatusCode"] == 200
    )
    # https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TagResource.html
    server.body = b""  # "with an empty HTTP body"
    client.tag_resource(ResourceArn="arn", Tags=[])
    server.status, server.body = 400, b'{"__type":"x#ResourceNotFoundException","message":"no"}'
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        client.put_item(TableName="t", Item={"id": {"S": "a"}})
