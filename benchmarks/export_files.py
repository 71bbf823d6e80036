"""
Exports as AWS writes them, of what the page server has under a table.

In DynamoDB JSON an item is the bytes that the server gives for it, in Ion it is spelt anew.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from benchmarks.page_server import Server

PARTS: Final = 8
"""Data files of an export, unless another number is asked for."""

_ID: Final = "01700000000000-0a1b2c3d"


def exported(server: Server, table: str, folder: Path, form: str, parts: int = PARTS) -> str:
    """Write an export of what the server has under *table*; its address."""
    data = folder / "AWSDynamoDB" / _ID / "data"
    data.mkdir(parents=True)
    ending = "ion" if form == "ION" else "json"
    line = _in_ion if form == "ION" else _in_json
    files: list[dict[str, Any]] = []
    for number in range(parts):
        some = [line(item) for item in _scanned(server, table, number, parts)]
        content = gzip.compress(b"".join(some), 6)
        path = data / f"part{number}.{ending}.gz"
        path.write_bytes(content)
        key = f"AWSDynamoDB/{_ID}/data/{path.name}"
        files.append({"itemCount": len(some), "md5Checksum": _md5(content), "dataFileS3Key": key})
    arn = f"arn:aws:dynamodb:eu-west-1:123456789012:table/{table}"
    summary = {
        "version": "2020-06-30",
        "exportArn": f"{arn}/export/{_ID}",
        "startTime": "2026-01-01T00:00:00Z",
        "endTime": "2026-01-01T00:05:00Z",
        "tableArn": arn,
        "tableId": table,
        "exportTime": "2026-01-01T00:00:00Z",
        "s3Bucket": "exports",
        "s3Prefix": None,
        "s3SseAlgorithm": "AES256",
        "s3SseKmsKeyId": None,
        "manifestFilesS3Key": f"AWSDynamoDB/{_ID}/manifest-files.json",
        "billedSizeBytes": 0,
        "itemCount": sum(one["itemCount"] for one in files),
        "outputFormat": form,
    }
    (data.parent / "manifest-summary.json").write_text(json.dumps(summary))
    (data.parent / "manifest-files.json").write_text("".join(json.dumps(one) + "\n" for one in files))
    return f"file://{data.parent}"


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
    return f"$ion_1_0 {{Item:{_ion({'M': json.loads(item)})}}}\n".encode()


def _ion(value: dict[str, Any]) -> str:
    ((kind, content),) = value.items()
    if kind == "M":
        # Without quotation marks, as DynamoDB writes the names that need none; here none does.
        return "{" + ",".join(f"{name}:{_ion(one)}" for name, one in content.items()) + "}"
    if kind == "L":
        return "[" + ",".join(map(_ion, content)) + "]"
    if kind in ("SS", "NS", "BS"):
        return f"$dynamodb_{kind}::[" + ",".join(_ion({kind[0]: one}) for one in content) + "]"
    if kind == "N":
        return (
            content.lower().replace("e+", "d").replace("e", "d")
            if "e" in content.lower()
            else _point(content)
        )
    if kind == "B":
        return f"{{{{{content}}}}}"
    return "null" if kind == "NULL" else json.dumps(content)


def _point(number: str) -> str:
    return number if "." in number else f"{number}."


def _md5(content: bytes) -> str:
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
