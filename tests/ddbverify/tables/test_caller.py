"""Whose credentials these are informs and decides nothing: whatever STS answers, it is an ARN or nothing."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ddbverify.config import Side
from ddbverify.errors import EngineError
from ddbverify.tables import aws
from ddbverify.tables import table as tables

ARN = "arn:aws:iam::123456789012:user/ci"
FOUND = f"<GetCallerIdentityResult><Arn>{ARN}</Arn></GetCallerIdentityResult>"


@pytest.fixture
def answers(monkeypatch):
    """A service that answers as it is told: call with a status and a body, and get its side."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    told = {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, body = told["answer"]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield (
        lambda *answer: (
            told.update(answer=answer)
            or Side(region="eu-west-1", endpoint_url=f"http://127.0.0.1:{server.server_port}")
        )
    )
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "arn"),
    [
        (200, f"<GetCallerIdentityResponse>{FOUND}</GetCallerIdentityResponse>", ARN),
        # DynamoDB Local, which has no STS, answers in DynamoDB's own form.
        (400, '{"__type":"com.amazonaws.dynamodb.v20120810#MissingAuthenticationTokenException"}', None),
        (403, "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>", None),
        (404, "not found", None),
        (200, "{}", None),
        (200, "[]", None),
        (200, "", None),
        (200, "<html><body>Sign in</body></html>", None),
        (200, "<GetCallerIdentityResponse/>", None),
    ],
)
def test_an_answer_of_any_form_is_an_arn_or_nothing(answers, status, body, arn):
    assert aws.caller(answers(status, body.encode())) == arn


@pytest.mark.parametrize("body", ["", "<html>", "{}", "nonsense"])
def test_a_table_is_not_described_by_an_answer_of_another_form(answers, body):
    with pytest.raises(EngineError):
        tables.describe(answers(200, body.encode()), "orders")
