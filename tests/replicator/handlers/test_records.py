"""Stream records -> changes, from Lambda events and from GetRecords."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.handlers.envelope import pack
from replicator.handlers.records import NO_NUMBER, Change, MalformedRecord, change_from_record, pad

KEYS = {"id": {"S": "secret-key"}}
IMAGE = {**KEYS, "text": {"S": "secret-value"}}
NUMBER = "4421584500000000017450439091"


def made(event="MODIFY", view="NEW_IMAGE", **stream):
    given_ = {
        "Keys": KEYS,
        "SequenceNumber": NUMBER,
        "ApproximateCreationDateTime": 1_800_000_000.0,
        "StreamViewType": view,
        **stream,
    }
    return {
        "eventName": event,
        "dynamodb": {name: value for name, value in given_.items() if value is not ...},
    }


@pytest.mark.parametrize("view", ["NEW_IMAGE", "NEW_AND_OLD_IMAGES"])
@pytest.mark.parametrize("event", ["INSERT", "MODIFY"])
def test_a_stream_with_new_images_carries_them(event, view):
    found = change_from_record(made(event, view, NewImage=IMAGE))

    assert found == Change(pad(NUMBER), event, KEYS, IMAGE, 1_800_000_000, fetch=False)


@pytest.mark.parametrize("view", ["KEYS_ONLY", "OLD_IMAGE"])
@pytest.mark.parametrize("event", ["INSERT", "MODIFY"])
def test_a_stream_without_new_images_makes_every_change_a_fetch(event, view):
    found = change_from_record(made(event, view, OldImage=IMAGE))

    assert (found.new_image, found.fetch) == (None, True)


@pytest.mark.parametrize("view", ["KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES"])
def test_a_removal_needs_no_image_and_no_fetch(view):
    found = change_from_record(made("REMOVE", view, OldImage=IMAGE))

    assert (found.event_name, found.new_image, found.fetch) == ("REMOVE", None, False)


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"eventName": "INSERT"},
        {"eventName": "INSERT", "dynamodb": None},
        made("DELETE", NewImage=IMAGE),
        made("INSERT"),  # its view promises an image
        made("INSERT", NewImage=IMAGE, Keys=...),
        made("INSERT", NewImage=IMAGE, Keys={}),
        made("INSERT", NewImage=IMAGE, SequenceNumber=...),
        made("INSERT", NewImage=IMAGE, SequenceNumber=12),
        made("INSERT", NewImage=IMAGE, SequenceNumber="-12"),
        made("INSERT", NewImage=IMAGE, SequenceNumber=""),
        made("INSERT", NewImage=IMAGE, SequenceNumber="1" * 41),
        made("INSERT", NewImage=IMAGE, ApproximateCreationDateTime=...),
        made("INSERT", NewImage=IMAGE, ApproximateCreationDateTime="yesterday"),
    ],
)
def test_what_is_not_understood_is_malformed_and_quotes_no_value(broken):
    with pytest.raises(MalformedRecord) as caught:
        change_from_record(broken)

    assert "secret" not in str(caught.value)


@given(st.integers(0, 10**40 - 1), st.integers(0, 10**40 - 1))
def test_padded_numbers_compare_as_text_like_numbers(one, other):
    assert (pad(str(one)) < pad(str(other))) == (one < other)
    assert len(pad(str(one))) == len(NO_NUMBER) == 40


@given(st.binary(min_size=1), st.binary())
def test_binary_is_base64_text_in_a_message_whether_lambda_or_boto3_delivers_it(key, payload):
    def packed(encode):
        keys = {"id": {"B": encode(key)}}
        deep = {"L": [{"M": {"x": {"BS": [encode(payload)]}}}, {"B": encode(payload)}]}
        change = change_from_record(made("INSERT", Keys=keys, NewImage={**keys, "deep": deep}))
        assert change.keys == {"id": {"B": base64.b64encode(key).decode()}}
        return pack([change], stream_arn="arn", schema={"id": "B"}, groups=4, restart=0)

    from_lambda = packed(lambda raw: base64.b64encode(raw).decode())
    from_boto3 = packed(lambda raw: raw)

    assert from_lambda == from_boto3


@pytest.mark.parametrize(
    "moment",
    [1_800_000_000, 1_800_000_000.0, 1_800_000_000.999, datetime.fromtimestamp(1_800_000_000.5, UTC)],
)
def test_times_are_whole_seconds_rounded_down(moment):
    assert change_from_record(made("REMOVE", ApproximateCreationDateTime=moment)).created_at == 1_800_000_000
