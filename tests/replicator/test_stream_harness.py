"""The stand-in for a stream and its mapping, and what reads them: shards, trimming, iterators, retries."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from replicator.aws.stream import ENDED, StreamReader, Trimmed
from tests.replicator.fakes import ARN
from tests.replicator.stream_harness import (
    ITERATOR_SECONDS,
    KEPT_SECONDS,
    Mapping,
    Streams,
    first_failure,
    numbers_of,
)

KEY = {"id": {"S": "a"}}


def written(streams, slot=0, times=1):
    return [streams.append(slot, "MODIFY", KEY, KEY)["dynamodb"]["SequenceNumber"] for _ in range(times)]


def read(streams, places=None, **more):
    reader = StreamReader(streams, ARN, {} if places is None else places, **more)
    return [str(number) for number in numbers_of(reader.read())], reader.places


def code(error):
    return error.value.response["Error"]["Code"]


class Function:
    """A Lambda function that answers, or raises, as it is told; what it took is in `taken`."""

    def __init__(self, *answers):
        self.answers, self.taken = list(answers), []

    def __call__(self, event, context):
        numbers = [one["dynamodb"]["SequenceNumber"] for one in event["Records"]]
        answer = self.answers.pop(0) if self.answers else {"batchItemFailures": []}
        if isinstance(answer, BaseException):
            raise answer
        failed = first_failure(answer, event["Records"])
        self.taken += numbers if failed is None else numbers[:failed]
        return answer


# --- records that are readable late -----------------------------------------------------------


def test_a_late_record_hides_itself_and_what_is_behind_it_from_readers_and_the_mapping():
    streams, function = Streams(), Function()
    mapping = Mapping(streams, function)
    first = written(streams)
    late = streams.append(0, "MODIFY", KEY, KEY, late=5.0)["dynamodb"]["SequenceNumber"]
    behind = written(streams)
    assert read(streams)[0] == first
    mapping.drain()
    assert function.taken == first

    streams.now += 5
    assert read(streams)[0] == [*first, late, *behind]
    mapping.drain()
    assert function.taken == [*first, late, *behind]


def test_a_shard_whose_last_record_is_late_has_not_ended():
    streams, function = Streams(), Function()
    mapping = Mapping(streams, function)
    late = streams.append(0, "MODIFY", KEY, KEY, late=5.0)["dynamodb"]["SequenceNumber"]
    root = streams.serving(0).shard_id
    streams.roll_over(root)
    child = written(streams)
    found, places = read(streams)
    assert (found, places[root]) == ([], "")
    assert mapping.ready() == []

    streams.now += 5
    assert read(streams)[0] == [late, *child]
    mapping.drain()
    assert function.taken == [late, *child]


# --- the mapping ------------------------------------------------------------------------------


def test_a_child_is_delivered_after_the_end_of_its_parent():
    streams, function = Streams(roots=2), Function()
    mapping = Mapping(streams, function)
    root = streams.serving(0).shard_id
    first = written(streams, 0, 3)
    streams.split(root)
    halves = written(streams, 0), written(streams, 4)
    streams.roll_over(streams.serving(0).shard_id)
    last = written(streams, 0)

    assert mapping.ready() == [root]
    mapping.drain()
    assert function.taken[:3] == first
    assert function.taken.index(last[0]) > function.taken.index(halves[0][0])
    assert sorted(function.taken) == sorted([*first, *halves[0], *halves[1], *last])


def test_siblings_give_the_same_numbers_so_that_none_may_compare_them():
    streams = Streams()
    low, high = streams.split(streams.serving(0).shard_id)
    assert streams.shards[low].next_number == streams.shards[high].next_number


@pytest.mark.parametrize("bisect", [False, True])
def test_a_batch_that_raises_comes_again_halved_where_the_mapping_bisects(bisect):
    streams, function = Streams(), Function(ValueError())
    mapping = Mapping(streams, function, bisect=bisect)
    written(streams, times=4)
    shard = streams.serving(0).shard_id

    assert not mapping.poll(shard)
    mapping.drain()
    assert [len(batch) for batch in mapping.batches] == ([4, 2, 2] if bisect else [4, 4])


def test_a_batch_comes_again_from_the_reported_record_on():
    streams = Streams()
    numbers = written(streams, times=4)
    function = Function({"batchItemFailures": [{"itemIdentifier": numbers[2]}]})
    mapping = Mapping(streams, function)
    mapping.drain()

    assert mapping.batches == [numbers, numbers[2:]]
    assert function.taken == numbers


@pytest.mark.parametrize(
    ("answer", "failed_at"),
    [
        (None, None),
        ({}, None),
        ({"statusCode": 500}, None),
        ({"batchItemFailures": []}, None),
        ({"batchItemFailures": [{"itemIdentifier": "12"}]}, 1),
        ({"batchItemFailures": [{"itemIdentifier": "13"}, {"itemIdentifier": "12"}]}, 1),
        ({"batchItemFailures": [{"itemIdentifier": "an-event-id"}]}, 0),
        ({"batchItemFailures": [{"itemIdentifier": ""}]}, 0),
        ({"batchItemFailures": [{}]}, 0),
    ],
)
def test_what_lambda_reads_in_an_answer(answer, failed_at):
    records = [{"dynamodb": {"SequenceNumber": number}} for number in ("11", "12", "13")]
    assert first_failure(answer, records) == failed_at


def test_a_record_is_tried_until_it_is_too_old_and_is_lost_then():
    streams = Streams()
    numbers = written(streams, times=2)
    mapping = Mapping(streams, Function(*[ValueError()] * 4), record_age=100, bisect=False)
    shard = streams.serving(0).shard_id
    for _ in range(3):
        mapping.poll(shard)
    streams.now += 101
    later = written(streams)
    mapping.drain()

    assert mapping.lost == numbers
    assert mapping.batches[-1] == later


def test_without_an_age_a_record_is_tried_until_the_stream_forgets_it():
    streams = Streams()
    numbers = written(streams)
    mapping = Mapping(streams, Function(*[ValueError()] * 50))
    shard = streams.serving(0).shard_id
    for _ in range(20):
        mapping.poll(shard)
        streams.now += 3600
    assert mapping.lost == []
    streams.now += 5 * 3600
    streams.trim()
    mapping.drain()
    assert mapping.lost == numbers


# --- the reader -------------------------------------------------------------------------------


@given(st.lists(st.sampled_from(["write", "write", "split", "roll over", "read"]), max_size=25), st.data())
def test_every_record_is_read_once_parents_first_however_shards_split(moves, data):
    streams, places, seen, wanted = Streams(roots=2), {}, [], []
    for move in moves:
        slot = data.draw(st.integers(0, 15))
        if move == "write":
            wanted.append((streams.serving(slot).shard_id, *written(streams, slot)))
        elif move == "read":
            reader = StreamReader(streams, ARN, places)
            seen += [(one.shard_id, one.change.sequence_number.lstrip("0")) for one in reader.read()]
        else:
            shard = streams.serving(slot).shard_id
            (streams.split if move == "split" else streams.roll_over)(shard)
    reader = StreamReader(streams, ARN, places)
    seen += [(one.shard_id, one.change.sequence_number.lstrip("0")) for one in reader.read()]

    assert sorted(seen) == sorted(wanted)
    for shard_id, shard in streams.shards.items():
        mine = [at for at, (one, _) in enumerate(seen) if one == shard_id]
        parents = [at for at, (one, _) in enumerate(seen) if one == shard.parent]
        assert not mine or not parents or max(parents) < min(mine)
        assert [number for one, number in seen if one == shard_id] == sorted(
            (number for one, number in seen if one == shard_id), key=int
        )


def test_an_iterator_that_expires_while_the_caller_takes_its_time_is_made_anew():
    streams = Streams(page=2)
    numbers = written(streams, times=5)
    got = []
    for record in StreamReader(streams, ARN).read():
        got.append(record.change.sequence_number.lstrip("0"))
        streams.now += ITERATOR_SECONDS
    assert got == numbers


def test_the_harness_lets_iterators_expire():
    streams = Streams()
    written(streams)
    shard = streams.serving(0).shard_id
    token = streams.get_shard_iterator(StreamArn=ARN, ShardId=shard, ShardIteratorType="TRIM_HORIZON")
    streams.now += ITERATOR_SECONDS + 1
    with pytest.raises(ClientError) as error:
        streams.get_records(ShardIterator=token["ShardIterator"])
    assert code(error) == "ExpiredIteratorException"


def a_day_later(streams):
    streams.now += KEPT_SECONDS + 1
    streams.trim()


def test_records_that_were_trimmed_before_they_were_read_are_a_gap():
    streams = Streams()
    written(streams, times=2)
    _, places = read(streams)
    written(streams, times=2)
    a_day_later(streams)
    written(streams)

    with pytest.raises(Trimmed):
        read(streams, places)


def test_a_shard_that_vanished_before_its_end_is_a_gap_and_not_its_end():
    streams = Streams()
    written(streams, times=2)
    _, places = read(streams)
    streams.roll_over(streams.serving(0).shard_id)
    written(streams)
    a_day_later(streams)

    with pytest.raises(Trimmed):
        read(streams, places)


def test_a_place_at_a_forgotten_record_is_no_gap_where_all_that_is_forgotten_was_read():
    """A quiet table's last record is older than a day, and AWS gives no iterator behind it any more."""
    streams = Streams()
    written(streams, times=2)
    _, places = read(streams)
    a_day_later(streams)
    later = written(streams, times=2)

    assert read(streams, places, forgotten_was_read=True)[0] == later


def test_a_shard_that_was_read_and_vanished_lets_its_children_be_read():
    streams = Streams()
    written(streams, times=2)
    _, places = read(streams)
    parent = streams.serving(0).shard_id
    streams.roll_over(parent)
    a_day_later(streams)
    later = written(streams, times=2)

    found, places = read(streams, places, forgotten_was_read=True)
    assert found == later
    assert places[parent] == ENDED
