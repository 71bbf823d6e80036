"""Which files the demonstration takes items from, and what is said of the others."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal

import pytest

from ddbverify.errors import ConfigurationError
from replicator.demo.shapes import load_items

PLAIN = '[{"id": "grüezi", "total": 12.50}]'
TYPED = {"id": {"S": "secret"}, "total": {"N": "12.5"}}


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzipped"])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["", "with a byte order mark"])
def test_a_json_list_is_taken_gzipped_or_not(tmp_path, pack, mark):
    (tmp_path / "items").write_bytes(pack((mark + PLAIN).encode()))

    assert load_items(tmp_path / "items") == [{"id": "grüezi", "total": Decimal("12.50")}]


@pytest.mark.parametrize(
    ("content", "said", "advice"),
    [
        (
            gzip.compress(PLAIN.encode() * 99, mtime=0)[:-12],
            "is a truncated gzip file",
            "copy or make it again",
        ),
        (gzip.compress(PLAIN.encode(), mtime=0)[:5], "is a truncated gzip file", "copy or make it again"),
        (
            gzip.compress(PLAIN.encode(), mtime=0)[:-8] + bytes(8),
            "is a damaged gzip file",
            "copy or make it again",
        ),
        (PLAIN.encode("utf-16"), "is not UTF-8 text", "save it as UTF-8"),
        (json.dumps([TYPED]).encode(), "is DynamoDB JSON", "use plain JSON"),
        (json.dumps({"Items": [TYPED], "Count": 1}).encode(), "is DynamoDB JSON", "use plain JSON"),
        (json.dumps({"Item": TYPED}).encode() + b"\n" + b"{}\n", "is DynamoDB JSON", "use plain JSON"),
        (b"[" * 100_000, "is no JSON list of items", "one list of plain JSON objects"),
        (b"{}", "is not a list of objects", "JSON list"),
    ],
)
def test_every_other_file_is_said_to_be_what_it_is(tmp_path, content, said, advice):
    (tmp_path / "items").write_bytes(content)

    with pytest.raises(ConfigurationError, match=said) as caught:
        load_items(tmp_path / "items")

    assert advice in caught.value.hint
    assert "secret" not in str(caught.value)
