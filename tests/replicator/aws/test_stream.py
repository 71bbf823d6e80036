"""Reading a stream: parents first, from where the last reading stopped, and no gap unseen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddbverify.errors import ConfigurationError, EngineError
from replicator.aws.stream import EMPTY_PAGES, ENDED, StreamReader, Trimmed
from tests.replicator.fakes import ARN, change, record, refusal


class FakeStreams:
    """Shards with parents; records trimmed and shards split by hand."""

    def __init__(self):
        self.shards: dict[str, dict] = {}
        self.page_size, self.shards_per_page = 2, 2
        self.fails = None
        self.answers = ARN
        self.empty_before = 0  # empty pages in front of each shard's records

    def shard(self, name, parent=None, *, records=(), closed=False):
        self.shards[name] = {"parent": parent, "records": list(records), "closed": closed, "trimmed": 0}

    def describe_stream(self, *, StreamArn, ExclusiveStartShardId=None):  # noqa: N803
        assert StreamArn == ARN
        names = list(self.shards)
        start = names.index(ExclusiveStartShardId) + 1 if ExclusiveStartShardId else 0
        page = names[start : start + self.shards_per_page]
        described = [
            {
                "ShardId": name,
                **({"ParentShardId": self.shards[name]["parent"]} if self.shards[name]["parent"] else {}),
            }
            for name in page
        ]
        more = {"LastEvaluatedShardId": page[-1]} if page and page[-1] != names[-1] else {}
        return {"StreamDescription": {"StreamArn": self.answers, "Shards": described, **more}}

    def get_shard_iterator(self, *, StreamArn, ShardId, ShardIteratorType, SequenceNumber=None):  # noqa: N803
        if ShardId not in self.shards:
            raise refusal("ResourceNotFoundException")
        shard = self.shards[ShardId]
        numbers = [one["dynamodb"]["SequenceNumber"] for one in shard["records"]]
        if ShardIteratorType == "TRIM_HORIZON":
            at = shard["trimmed"]
        else:
            assert ShardIteratorType == "AFTER_SEQUENCE_NUMBER"
            at = numbers.index(SequenceNumber) + 1
            if at < shard["trimmed"]:
                raise refusal("TrimmedDataAccessException")
        return {"ShardIterator": f"{ShardId}|{at}|{self.empty_before}"}

    def get_records(self, *, ShardIterator, Limit):  # noqa: N803
        if self.fails:
            raise self.fails
        name, at, empty = ShardIterator.split("|")
        at, empty = int(at), int(empty)
        shard = self.shards[name]
        if empty:
            return {"Records": [], "NextShardIterator": f"{name}|{at}|{empty - 1}"}
        page = shard["records"][at : at + self.page_size]
        at += len(page)
        if shard["closed"] and at >= len(shard["records"]):
            return {"Records": page}
        return {"Records": page, "NextShardIterator": f"{name}|{at}|0"}


def records(*numbers, at=100):
    return [record(change("k", number, {"x": {"N": "1"}}, at=at + number)) for number in numbers]


def read(streams, places=None, until=None):
    reader = StreamReader(streams, ARN, {} if places is None else places)
    return [int(one.change.sequence_number) for one in reader.read(until)], reader.places


def family():
    streams = FakeStreams()
    streams.shard("c", "b", records=records(7, 8))
    streams.shard("b", "a", records=records(4, 5, 6), closed=True)
    streams.shard("a", "gone", records=records(1, 2, 3), closed=True)
    return streams


def test_parents_are_read_to_their_end_before_their_children():
    numbers, places = read(family())

    assert numbers == [1, 2, 3, 4, 5, 6, 7, 8]
    assert places == {"a": ENDED, "b": ENDED, "c": "8"}


def test_a_child_waits_for_a_parent_that_is_not_read_to_its_end():
    streams = family()
    numbers, places = read(streams, until=105)

    assert numbers == [1, 2, 3, 4, 5]
    assert places == {"a": ENDED, "b": "5"}
    assert read(streams, places)[0] == [6, 7, 8]


@given(st.lists(st.integers(0, 9), max_size=6))
def test_reading_in_any_number_of_goes_reads_every_record_once_and_in_order(cuts):
    streams, places, seen = family(), {}, []
    for cut in [*sorted(cuts), 1_000]:
        seen += read(streams, places, until=100 + cut)[0]

    assert seen == [1, 2, 3, 4, 5, 6, 7, 8]


def test_what_the_caller_did_not_finish_with_is_read_again():
    reader = StreamReader(family(), ARN)
    for one in reader.read():
        if int(one.change.sequence_number) == 5:
            break

    assert reader.places["b"] == "4"
    assert read(family(), reader.places)[0] == [5, 6, 7, 8]


def test_an_open_shard_is_read_on_from_its_place():
    streams = FakeStreams()
    streams.shard("a", records=records(1, 2))
    _, places = read(streams)
    streams.shards["a"]["records"] += records(3)

    assert read(streams, places) == ([3], {"a": "3"})


def test_empty_pages_in_front_of_records_are_no_end():
    streams = family()
    streams.empty_before = EMPTY_PAGES - 1

    assert read(streams)[0] == [1, 2, 3, 4, 5, 6, 7, 8]


def test_trimmed_before_they_were_read_is_a_gap():
    streams = FakeStreams()
    streams.shard("a", records=records(1, 2, 3, 4))
    streams.shards["a"]["trimmed"] = 3

    with pytest.raises(Trimmed):
        read(streams, {"a": "1"})
    assert read(streams, {"a": "3"})[0] == [4]


@pytest.mark.parametrize("place", ["5", ""])
def test_a_shard_that_vanished_before_its_end_is_a_gap(place):
    streams = family()
    del streams.shards["a"]

    with pytest.raises(Trimmed, match="vanished"):
        read(streams, {"a": place})
    assert read(streams, {"a": ENDED})[0] == [4, 5, 6, 7, 8]


def test_a_shard_that_vanishes_while_it_is_read_is_a_gap():
    streams = family()
    streams.fails = refusal("ResourceNotFoundException")

    with pytest.raises(Trimmed):
        read(streams)


def test_any_other_refusal_is_an_error_and_no_end():
    streams = family()
    streams.fails = refusal("InternalServerError")

    with pytest.raises(EngineError):
        read(streams)


def test_ttl_removals_are_known_by_their_identity():
    streams = FakeStreams()
    by_ttl = {"userIdentity": {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}}
    by_user = {"userIdentity": {"PrincipalId": "somebody"}}
    streams.shard("a", records=[{**records(1)[0], **by_ttl}, records(2)[0], {**records(3)[0], **by_user}])

    assert [one.by_ttl for one in StreamReader(streams, ARN).read()] == [True, False, False]


def test_skip_moves_behind_the_newest_record_of_a_moment():
    reader = StreamReader(family(), ARN)
    reader.skip(104)

    assert [int(one.change.sequence_number) for one in reader.read()] == [5, 6, 7, 8]


@pytest.mark.parametrize(
    "answers",
    [
        ARN.replace("123456789012", "222233334444"),
        ARN.replace("eu-west-1", "eu-central-1"),
        ARN.replace("arn:aws:", "arn:aws-cn:"),
        ARN + "0",
        None,
    ],
)
def test_a_stream_that_is_not_the_one_asked_for_is_not_read(answers):
    streams = family()
    streams.answers = answers
    reader = StreamReader(streams, ARN)

    with pytest.raises(ConfigurationError, match="the source's stream = "):
        list(reader.read())
    assert reader.places == {}
