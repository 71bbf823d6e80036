"""A real boto3 client over a fake: requests are serialised, answers parsed, failures retried by botocore."""

from __future__ import annotations

import base64
import io
import json
from collections import deque
from collections.abc import Mapping
from typing import Any

import boto3
from botocore import xform_name
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectTimeoutError, ReadTimeoutError

UNHEARD = "the connection breaks before the request is there"
UNANSWERED = "the request is carried out, and its answer is lost"

Fault = Any
"""``None``, `UNHEARD`, `UNANSWERED`, ``(status, code)``, or the members of a successful answer."""


class Wire:
    """
    The connection of one client to a fake of its service.

    Args:
        faults: Taken from the left, one per HTTP request; ``None`` lets it through.
        attempts: HTTP requests that botocore makes of one call.
    """

    def __init__(self, service: str, fake: Any, faults: Any = (), *, attempts: int = 2) -> None:
        self.fake, self.faults = fake, deque(faults)
        self.operations: list[str] = []  # one per HTTP request
        self._tokens: dict[str, dict[str, Any]] = {}
        self.client = boto3.client(
            service,
            region_name="eu-west-1",
            aws_access_key_id="x",
            aws_secret_access_key="x",
            config=Config(retries={"mode": "standard", "total_max_attempts": attempts}),
        )
        self.client.meta.events.register(f"before-send.{service}", self._answer)

    def _answer(self, request: Any, **_: Any) -> AWSResponse:
        target = request.headers["X-Amz-Target"]
        operation = (target.decode() if isinstance(target, bytes) else target).rpartition(".")[2]
        self.operations.append(operation)
        fault = self.faults.popleft() if self.faults else None
        if fault == UNHEARD:
            raise ConnectTimeoutError(endpoint_url=request.url)
        if isinstance(fault, tuple):
            return _response(request, fault[0], {"__type": f"com.amazonaws#{fault[1]}", "message": "no"})
        if isinstance(fault, Mapping):
            return _response(request, 200, fault)
        try:
            answer = self._carry_out(operation, json.loads(request.body))
        except ClientError as error:
            said = dict(error.response)
            code = said.pop("Error")["Code"]
            return _response(request, 400, {"__type": f"com.amazonaws#{code}", "message": "no", **said})
        if fault == UNANSWERED:
            raise ReadTimeoutError(endpoint_url=request.url)
        return _response(request, 200, answer)

    def _carry_out(self, operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
        token = arguments.pop("ClientRequestToken", None)
        if token in self._tokens:
            return self._tokens[token]  # DynamoDB carries a transaction out once for each token
        answer = getattr(self.fake, xform_name(operation))(**arguments) or {}
        if token is not None:
            self._tokens[token] = answer
        return answer


def _response(request: Any, status: int, answer: Mapping[str, Any]) -> AWSResponse:
    body = json.dumps(answer, default=lambda raw: base64.b64encode(raw).decode()).encode()
    return AWSResponse(request.url, status, {"x-amzn-RequestId": "r"}, _Raw(body))


class _Raw(io.BytesIO):
    def stream(self, **_: Any) -> Any:
        yield self.read()
