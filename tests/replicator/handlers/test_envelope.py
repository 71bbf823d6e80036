"""Changes <-> message bodies: everything survives, in order, within SQS's limits, and damage is seen."""

from __future__ import annotations

import base64
import itertools
import json
import random
import re
import string
import zlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ddbverify.items.transform import key_hash
from ddbverify.names import canary_key
from replicator.handlers import envelope
from replicator.handlers.envelope import LARGEST_BODY_BYTES, UnreadableBody, group_of, open_body, pack
from replicator.handlers.records import Change, pad
from tests.replicator.fakes import ARN, KEYS, body_text, change

TEXT = st.text(
    st.one_of(st.characters(codec="utf-8"), st.sampled_from("\ufffe\uffff\x00\ud83d")), max_size=12
)
NUMBERS = st.integers(-(10**38) + 1, 10**38 - 1).map(str)
BINARY = st.binary(max_size=12).map(lambda raw: base64.b64encode(raw).decode())
SCALARS = st.one_of(
    st.fixed_dictionaries({"S": TEXT}),
    st.fixed_dictionaries({"N": NUMBERS}),
    st.fixed_dictionaries({"B": BINARY}),
    st.fixed_dictionaries({"BOOL": st.booleans()}),
    st.just({"NULL": True}),
    st.fixed_dictionaries({"SS": st.lists(TEXT, min_size=1, max_size=3)}),
    st.fixed_dictionaries({"NS": st.lists(NUMBERS, min_size=1, max_size=3)}),
    st.fixed_dictionaries({"BS": st.lists(BINARY, min_size=1, max_size=3)}),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.fixed_dictionaries({"L": st.lists(inner, max_size=3)}),
        st.fixed_dictionaries({"M": st.dictionaries(TEXT, inner, max_size=3)}),
    ),
    max_leaves=6,
)
KEY_VALUES = {
    "S": TEXT.filter(bool).map(lambda text: {"S": text}),
    "N": NUMBERS.map(lambda number: {"N": number}),
    "B": BINARY.filter(bool).map(lambda text: {"B": text}),
}
SCHEMAS = st.sampled_from(
    [{"id": "S"}, {"id": "N"}, {"id": "B"}, {"id": "B", "at": "N"}, {"id": "S", "at": "B"}]
)


@st.composite
def histories(draw):
    """A schema and changes in stream order; ``None`` is a position with nothing to send."""
    schema = draw(SCHEMAS)
    changes = []
    for number in range(draw(st.integers(0, 12))):
        if draw(st.integers(0, 9)) == 0:
            changes.append(None)
            continue
        keys = {name: draw(KEY_VALUES[kind]) for name, kind in schema.items()}
        what = draw(st.sampled_from(["REMOVE", "INSERT", "MODIFY", "fetch"]))
        image = None
        if what in ("INSERT", "MODIFY"):
            image = {
                **keys,
                **draw(st.dictionaries(TEXT.filter(lambda name: name not in schema), VALUES, max_size=3)),
            }
        event = "MODIFY" if what == "fetch" else what
        changes.append(
            Change(
                pad(str(10**20 + number)), event, keys, image, draw(st.integers(0, 2**33)), what == "fetch"
            )
        )
    return schema, changes


def packed(changes, schema=KEYS, groups=4, restart=1, arn=ARN):
    return pack(changes, stream_arn=arn, schema=schema, groups=groups, restart=restart)


@given(histories(), st.integers(1, 40))
def test_every_change_comes_out_as_it_went_in_once_and_in_order_within_its_group(history, groups):
    schema, changes = history
    messages = packed(changes, schema, groups)

    for message in messages:
        letter = open_body(message.body)
        assert message.body.isascii()
        assert (letter.stream_arn, letter.restart) == (ARN, 1)
        assert list(letter.changes) == [changes[position] for position in message.positions]
        assert {f"g{group_of(key_hash(one.keys, schema), groups)}" for one in letter.changes} == {
            message.group_id
        }
    positions = [position for message in messages for position in message.positions]
    assert sorted(positions) == [at for at, one in enumerate(changes) if one is not None]
    for group in {message.group_id for message in messages}:
        mine = [
            position for message in messages if message.group_id == group for position in message.positions
        ]
        assert mine == sorted(mine)


@given(histories(), st.integers(1, 5), st.integers(1, 5))
def test_deduplication_ids_repeat_with_the_batch_and_change_with_the_restart(history, restart, other):
    schema, changes = history
    ids = [message.deduplication_id for message in packed(changes, schema, restart=restart)]
    again = [message.deduplication_id for message in packed(changes, schema, restart=other)]
    elsewhere = [
        message.deduplication_id for message in packed(changes, schema, arn=ARN + "x", restart=restart)
    ]

    assert len(set(ids)) == len(ids)
    assert ids == again if restart == other else not set(ids) & set(again)
    assert not set(ids) & set(elsewhere)
    assert all(re.fullmatch(r"[0-9a-f]{64}", one) for one in ids)  # SQS takes 128 of these (docs/aws.md T9)


def test_one_number_of_two_shards_is_no_duplicate():
    """Found by the order model: SQS swallowed the second key's change, and nobody knew."""
    (one,), (other,) = (packed([change(key, 7, {"x": {"S": "y"}})], groups=1) for key in "ab")

    assert one.group_id == other.group_id
    assert one.deduplication_id != other.deduplication_id


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**32), st.integers(2, 60), st.sampled_from([1_000, 30_000, 150_000]))
def test_large_batches_are_split_and_no_body_is_too_large(seed, count, most):
    rng = random.Random(seed)
    changes = [
        change("k", number, {"x": {"S": "".join(rng.choices(string.printable, k=rng.randrange(most)))}})
        for number in range(min(count, 3_000_000 // most))
    ]
    messages = packed(changes)

    assert all(len(message.body) <= LARGEST_BODY_BYTES for message in messages)
    assert [one for message in messages for one in open_body(message.body).changes] == changes


def test_a_batch_of_small_changes_of_one_group_is_one_message():
    assert len(packed([change("k", number, {"x": {"S": "y" * 50}}) for number in range(1_000)])) == 1


def test_a_change_too_large_for_a_message_travels_as_a_fetch_and_its_neighbours_as_they_are():
    noise = "".join(random.Random(1).choices(string.printable, k=390_000))
    before, huge, after = (
        change("k", 1, {"x": {"S": "1"}}),
        change("k", 2, {"x": {"S": noise}}),
        change("k", 3),
    )
    sent = [one for message in packed([before, huge, after]) for one in open_body(message.body).changes]

    assert sent == [
        before,
        Change(huge.sequence_number, "MODIFY", huge.keys, None, huge.created_at, fetch=True),
        after,
    ]


def test_a_large_change_that_compresses_well_travels_whole():
    huge = change("k", 2, {"x": {"S": "all work and no play " * 18_000}})
    (message,) = packed([huge])

    assert open_body(message.body).changes == (huge,)
    assert len(message.body) < 20_000


@pytest.mark.parametrize("schema", [{"id": "S"}, {"id": "N", "at": "B"}])
def test_the_canary_goes_through_every_group_in_stream_order(schema):
    key = canary_key(schema)
    ordinary = {
        name: {"S": "x"} if kind == "S" else {"N": "1"} if kind == "N" else {"B": "eA=="}
        for name, kind in schema.items()
    }
    changes = [
        Change(pad("1"), "INSERT", ordinary, ordinary, 5),
        Change(pad("2"), "INSERT", key, key, 5),
        Change(pad("3"), "REMOVE", key, None, 5),
        Change(pad("4"), "REMOVE", ordinary, None, 5),
    ]
    messages = packed(changes, schema, groups=7)

    assert sorted(message.group_id for message in messages) == [f"g{number}" for number in range(7)]
    assert len({message.deduplication_id for message in messages}) == 7
    for message in messages:
        assert set(message.positions) >= {1, 2}
        assert list(message.positions) == sorted(message.positions)


# --- damage -----------------------------------------------------------------------------------

GOOD = {"n": "12", "e": "I", "k": {"id": {"S": "a"}}, "t": 5, "i": {}}


@pytest.mark.parametrize(
    "body",
    [
        "",
        "hello",
        "null",
        "[]",
        "1",
        "{}",
        json.dumps({"v": 2, "stream": ARN, "restart": 1, "changes": []}),
        json.dumps({"v": 1, "stream": ARN, "changes": []}),
        json.dumps({"v": 1, "stream": ARN, "restart": 1}),
        json.dumps({"v": 1, "z": "not base64"}),
        json.dumps({"v": 1, "z": base64.b64encode(b"not zlib").decode()}),
        json.dumps({"v": 1, "z": base64.b64encode(zlib.compress(b"not json")).decode()}),
        body_text([{**GOOD, "e": "X"}]),
        body_text([{name: value for name, value in GOOD.items() if name != "k"}]),
        body_text([{name: value for name, value in GOOD.items() if name != "n"}]),
        body_text([{**GOOD, "t": "soon"}]),
        body_text([GOOD]).replace('"t": 5', '"t": 1e999'),
        "[" * 100_000,
    ],
)
def test_a_body_that_is_not_ours_or_newer_is_unreadable(body):
    with pytest.raises(UnreadableBody) as caught:
        open_body(body)

    assert len(str(caught.value)) < 100


def bodies(compressed):
    images = [{"x": {"S": f"a value of some length, {number}"}} for number in range(60 if compressed else 3)]
    (message,) = packed([change("k", number, image) for number, image in enumerate(images)])
    assert ('"z"' in message.body) == compressed
    return message.body


def opened(body):
    try:
        return open_body(body)
    except UnreadableBody:
        return None


@given(st.data(), st.booleans())
def test_any_damage_is_unreadable_or_harmless_never_another_error(data, compressed):
    body = bodies(compressed)
    at = data.draw(st.integers(0, len(body)))
    damage = data.draw(st.sampled_from(["cut", "flip", "insert", "drop"]))
    letter = data.draw(st.characters(min_codepoint=32, max_codepoint=126))
    opened(
        {
            "cut": body[:at],
            "flip": body[:at] + letter + body[at + 1 :],
            "insert": body[:at] + letter + body[at:],
            "drop": body[:at] + body[at + 1 :],
        }[damage]
    )


@given(st.data())
def test_a_flipped_character_in_a_compressed_body_never_gives_other_changes(data):
    body = bodies(compressed=True)
    at = data.draw(st.integers(0, len(body) - 1))
    found = opened(body[:at] + data.draw(st.characters(min_codepoint=32, max_codepoint=126)) + body[at + 1 :])

    assert found in (None, open_body(body))


def test_a_flipped_character_in_a_plain_body_is_sqs_own_md5_to_find():
    """A plain body has no checksum of its own. Stated, so that nobody relies on more than there is."""
    body = bodies(compressed=False)
    assert opened(body.replace("some length, 1", "some length, 7")) not in (None, open_body(body))


@example(0)
@given(st.integers(0, 2**64))
def test_groups_are_stable_and_in_range(seed):
    hashed = key_hash({"id": {"S": str(seed)}}, KEYS)
    for groups in (1, 2, 32, 10_000):
        assert 0 <= group_of(hashed, groups) < groups
        assert group_of(hashed, groups) == group_of(hashed, groups)


def test_the_plain_limits_leave_room_below_the_smallest_queue():
    assert envelope.FULL_BYTES < LARGEST_BODY_BYTES < 256 * 1024
    assert list(itertools.islice(packed([]), 1)) == []


@given(st.integers(32_768, 300_000), st.lists(st.integers(0, 120_000), min_size=1, max_size=8))
@settings(max_examples=40, deadline=None)
def test_no_body_is_larger_than_the_queue_takes_and_every_change_is_in_one(largest, sizes):
    rng = random.Random(len(sizes))
    changes = [
        change("k", 10**20 + at, {"x": {"B": base64.b64encode(rng.randbytes(size)).decode()}})
        for at, size in enumerate(sizes)
    ]
    messages = pack(changes, stream_arn=ARN, schema=KEYS, groups=1, restart=0, largest_body=largest)

    assert all(len(message.body) <= largest for message in messages)
    opened = [one for message in messages for one in open_body(message.body).changes]
    assert [one.sequence_number for one in opened] == [one.sequence_number for one in changes]
    assert all(one.fetch or one == change for one, change in zip(opened, changes, strict=True))
