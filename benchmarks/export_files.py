"""
Exports as AWS writes them, of what the page server has under a table.

In DynamoDB JSON an item is the bytes that the server gives for it, in Ion it is spelt anew.
"""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from benchmarks.page_server import Server
from tests.ddbverify.exports.exporting import Exported, line_in_ion

PARTS: Final = 8
"""Data files of an export, unless another number is asked for."""


def exported(server: Server, table: str, folder: Path, form: str, parts: int = PARTS) -> str:
    """Write an export of what the server has under *table*; its address."""
    line = _in_ion if form == "ION" else _in_json
    files = [[line(item) for item in _scanned(server, table, number, parts)] for number in range(parts)]
    return Exported(folder, files, outputFormat=form).address


def _scanned(server: Server, table: str, segment: int, segments: int) -> Iterator[bytes]:
    """The items of one segment as they came; a client of boto3's would take longer than the benchmark."""
    connection = http.client.HTTPConnection(server.endpoint_url.removeprefix("http://"))
    asked = {"TableName": table, "Segment": segment, "TotalSegments": segments}
    with contextlib.closing(connection):
        while True:
            headers = {"X-Amz-Target": "DynamoDB_20120810.Scan"}
            connection.request("POST", "/", json.dumps(asked), headers)
            answer = connection.getresponse()
            content = answer.read()
            if answer.status != http.client.OK:
                raise RuntimeError(f"The page server refused a scan of {table} with status {answer.status}.")
            page = msgspec.json.decode(content, type=_Scanned)
            yield from map(bytes, page.Items)
            if page.LastEvaluatedKey is None:
                return
            asked["ExclusiveStartKey"] = page.LastEvaluatedKey


class _Scanned(msgspec.Struct):
    Items: list[msgspec.Raw]
    LastEvaluatedKey: dict[str, Any] | None = None


def _in_json(item: bytes) -> bytes:
    return b'{"Item":' + item + b"}\n"


def _in_ion(item: bytes) -> bytes:
    return line_in_ion({"Item": json.loads(item)}).encode()
