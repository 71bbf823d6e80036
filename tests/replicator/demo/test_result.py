"""What may be sent to us: signed, and without anything of whose account it was."""

from __future__ import annotations

import base64
import json
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddbverify.errors import ConfigurationError
from ddbverify.evidence.envelope import NotTrusted
from replicator.demo import own_account, result
from replicator.demo.beforehand import Account

ACCOUNT = "210987654321"
ARN = f"arn:aws:dynamodb:eu-west-1:{ACCOUNT}:table/demo-0a1b2c3d-shop"
TOLD = {
    "held": False,
    "failed": f"AWS refused {ARN}: customer-00001",
    "seed": 1,
    "seconds": 12.5,
    "writes_after_flip": 3,
    "longest_refusal_seconds": 1.5,
    "proof": {"lost": 0},
    "steps": [
        {"step": "source table loaded", "result": f"50 items in {ARN}", "seconds": 0.25, "held": True},
        {"step": "phase 1", "result": f"{ACCOUNT} customer-00001", "seconds": 1.0, "held": False},
    ],
}


def account(**changed):
    return Account(
        **{
            "session": None,
            "id": ACCOUNT,
            "partition": "aws",
            "region": "eu-west-1",
            "emulated": False,
            "concurrency": 1000,
            **changed,
        }
    )


def made(folder, told=TOLD):
    key = result.new_key(folder)
    described = {"RestoreSummary": {"SourceTableArn": ARN}, "ItemCount": 7}
    database = SimpleNamespace(describe_table=lambda **_: {"Table": described})
    scene = SimpleNamespace(target=SimpleNamespace(name="t", dynamodb=database))
    seen = result.differences(account(), scene, told, had_tags=False)
    document = result.payload(account(), told, seen, asked={"items": 50}, removed=True, key=key.public)
    path = folder / "demo-result.json"
    result.write(path, document, key)
    return path


def test_it_is_read_as_it_was_written_and_says_what_was_seen(tmp_path):
    document = own_account.shown(made(tmp_path))

    assert document["region"] == "eu-west-1"
    assert document["aws"] is True
    assert document["failed_in"] == "phase 1"
    assert [one["seconds"] for one in document["steps"]] == [0.2, 1.0]
    assert set(document["versions"]) == {"ddbverify", "python", "boto3", "botocore", "system"}
    seen = {one["what"]: (one["embedded"], one["here"]) for one in document["differences"]}
    assert seen["a restored table says what it was restored from"] == ("no", "yes")
    assert seen["the policy of a table keeps writers off"][1] == "yes"
    assert seen["ItemCount of a table that is written to is exact"][1] == "no"


def test_no_account_no_arn_and_no_item_is_in_it(tmp_path):
    raw = made(tmp_path).read_bytes()
    text = raw.decode() + base64.b64decode(json.loads(raw)["payload"]).decode()

    for forbidden in (ACCOUNT, "arn:aws:", "customer-00001", "demo-0a1b2c3d"):
        assert forbidden not in text


def test_what_the_story_did_not_reach_was_not_seen():
    found = result.differences(account(), SimpleNamespace(target=None), {}, had_tags=None)

    assert [one.here for one in found if one.what != "functions that may run at once"] == [None] * 4


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_no_byte_of_it_can_be_changed(tmp_path_factory, at, by):
    raw = bytearray(made(tmp_path_factory.mktemp("signed")).read_bytes())
    raw[at % len(raw)] ^= by

    with pytest.raises(NotTrusted):
        result.read(bytes(raw))


@pytest.mark.parametrize("content", [b"", b"{}", b'{"payload": "e30="}', b"[1]", b"\xff"])
def test_what_is_no_result_is_said_to_be_none(tmp_path, content):
    path = tmp_path / "other.json"
    path.write_bytes(content)

    with pytest.raises(ConfigurationError, match="must not be believed"):
        own_account.shown(path)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        own_account.shown(tmp_path / "none.json")
