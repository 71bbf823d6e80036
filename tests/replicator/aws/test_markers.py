"""Markers reach every shard, leave nothing behind, and end where AWS does not take them."""

from __future__ import annotations

import itertools
import threading
from types import SimpleNamespace

import pytest

from ddbverify.errors import AccessError, EngineError
from ddbverify.names import MARKERS, is_marker
from replicator.aws import markers, readers
from replicator.aws.markers import AT_ONCE, Marked
from replicator.handlers.ceiling import Unlimited
from tests.replicator.aws.test_readers import STREAM, mapping
from tests.replicator.fakes import KEYS, TARGET, FakeDynamoDB, refusal


def table(database=None, **more):
    return Marked(database or FakeDynamoDB(), TARGET, KEYS, **more)


def times(number):
    asked = itertools.count()
    return lambda: next(asked) >= number


def write(*tables, rounds=3):
    markers.write(tables, threading.Event(), times(rounds), pause=lambda _: None)


class Watched(FakeDynamoDB):
    """Keeps every key that was put, and how many stood at once."""

    def __init__(self):
        super().__init__()
        self.put_keys, self.most = [], 0

    def batch_write_item(self, **arguments):
        requests = arguments["RequestItems"][TARGET]
        self.put_keys += [one["PutRequest"]["Item"]["id"]["S"] for one in requests if "PutRequest" in one]
        answer = super().batch_write_item(**arguments)
        self.most = max(self.most, len(self.tables[TARGET]))
        return answer


def test_each_is_put_under_a_reserved_key_and_removed_again():
    database = Watched()
    database.seed(TARGET, {"id": {"S": "mine"}})
    write(table(database))

    assert len(database.tables[TARGET]) == 1
    assert len(set(database.put_keys)) == 3 * AT_ONCE
    assert all(is_marker({"id": {"S": key}}, KEYS) for key in database.put_keys)
    assert database.most == 1 + AT_ONCE


def test_they_are_drawn_at_random_and_all_of_them_come():
    """A shard owns a slice of a hash: whichever it is, some of so many keys are in it."""
    first, second = (list(itertools.islice(markers.rounds(), 200)) for _ in range(2))
    assert {number for some in first for number in some} == set(range(MARKERS))
    assert all(0 < len(some) <= AT_ONCE for some in first)
    assert first[0] != second[0]


def test_both_tables_get_the_same_in_each_round():
    source, target = Watched(), Watched()
    write(table(source), table(target))

    assert source.put_keys == target.put_keys


def test_it_ends_when_it_is_enough_is_stopped_or_takes_too_long():
    database, stop = Watched(), threading.Event()
    stop.set()
    markers.write([table(database)], stop, lambda: False)
    now = itertools.count(0, 10)
    markers.write(
        [table(database)], threading.Event(), lambda: False, seconds=lambda: next(now), pause=lambda _: None
    )

    assert len(database.put_keys) == (markers.LONGEST_SECONDS / 10 - 1) * AT_ONCE


def test_what_aws_does_not_take_of_the_puts_is_none_and_of_the_removals_is_asked_for_again():
    database = FakeDynamoDB()
    database.unprocessed = 2  # half of the puts, then half of the removals
    write(table(database), rounds=1)

    assert database.tables[TARGET] == {}


def test_a_put_that_is_not_permitted_is_told_and_has_left_nothing():
    database = FakeDynamoDB()
    database.faults.append(refusal("AccessDeniedException"))

    with pytest.raises(AccessError, match="write markers to target"):
        write(table(database))
    assert database.calls["batch_write_item"] == 1


@pytest.mark.parametrize("code", ["ProvisionedThroughputExceededException", "InternalServerError"])
def test_a_put_that_failed_half_is_removed(code):
    """Of a request without an answer some items may stand."""
    database = FakeDynamoDB()
    database.faults.append(("after", refusal(code)))

    with pytest.raises(EngineError):
        write(table(database))
    assert database.tables[TARGET] == {}


def test_removals_that_are_throttled_for_long_are_told(monkeypatch):
    database, now = FakeDynamoDB(), itertools.count(0, 4)
    monkeypatch.setattr(markers.clock, "seconds", lambda: float(next(now)))
    monkeypatch.setattr(markers.time, "sleep", lambda _: None)
    database.unprocessed = 100

    with pytest.raises(EngineError, match=r"could not be removed from target: throttled") as caught:
        table(database).write(range(4))
    assert "replicator down" in caught.value.hint


def test_they_stay_under_the_write_ceiling():
    class Full(Unlimited):
        def admit(self, estimate):
            asked.append(estimate)
            return False

    asked, database = [], Watched()
    write(table(database, ceiling=Full()))

    assert database.put_keys == []
    assert asked == [2.0 * AT_ONCE] * 3


def test_whatever_was_left_behind_is_removed():
    database = FakeDynamoDB()
    for number in (0, 7, MARKERS - 1):
        database.seed(TARGET, {**markers.marker_key(KEYS, number), "replicator": {"S": "marker"}})
    database.seed(TARGET, {"id": {"S": "mine"}})
    markers.remove_all(table(database))

    assert len(database.tables[TARGET]) == 1


# --- whom they reach --------------------------------------------------------------------------


def reached(*mappings, stream=STREAM):
    def paginate(**_):
        return [{"EventSourceMappings": list(mappings)}]

    functions = SimpleNamespace(get_paginator=lambda _: SimpleNamespace(paginate=paginate))
    source = SimpleNamespace(name="orders", stream_arn=stream, keys={"id": "S", "at": "N"})
    return list(readers.who_get_markers(functions, source, ["uuid-ours"]))


def test_functions_of_others_that_would_get_them_are_named():
    without = '{"dynamodb": {"NewImage": {"status": {"S": ["open"]}}}}'
    assert reached(mapping("mailer"), mapping("counter", without)) == ["mailer"]
    assert reached(mapping("ours", uuid="uuid-ours")) == []
    assert reached(mapping("off", state="Disabled")) == []
    assert reached(mapping("mailer"), stream=None) == []


def test_a_pattern_that_leaves_the_canary_out_lets_them_through():
    """It names the canary's key, and theirs are others."""
    pattern = readers.filter_pattern({"id": "S", "at": "N"})

    assert reached(mapping("mailer", pattern)) == ["mailer"]


def test_a_forwarder_of_another_migration_may_not_know_them():
    assert reached(mapping("replicator-p-capture-Forwarder-X1")) == ["replicator-p-capture-Forwarder-X1"]
