"""Who else reads a source's stream, and whether the canary reaches them."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from ddbverify.names import canary_key
from replicator.aws import readers
from replicator.aws.canary import canary_item
from replicator.aws.readers import filter_pattern, may_match
from tests.replicator.fakes import refusal

STREAM = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-11-30T00:00:00.000"
KEYS = {"id": "S", "at": "N"}


def mapping(function, *patterns, state="Enabled", uuid=None):
    made = {
        "UUID": uuid or f"uuid-{function}",
        "FunctionArn": f"arn:aws:lambda:eu-west-1:123456789012:function:{function}",
        "State": state,
    }
    if patterns:
        made["FilterCriteria"] = {"Filters": [{"Pattern": one} for one in patterns]}
    return made


def told(*mappings, canary=True, forwarders=1, stream=STREAM, keys=KEYS):
    def paginate(*, EventSourceArn):  # noqa: N803
        assert EventSourceArn == STREAM
        return [{"EventSourceMappings": [one]} for one in mappings]

    context = SimpleNamespace(
        config=SimpleNamespace(replicated=SimpleNamespace(canary=canary)),
        source_client=lambda _: SimpleNamespace(get_paginator=lambda _: SimpleNamespace(paginate=paginate)),
    )
    source = SimpleNamespace(name="orders", stream_arn=stream, keys=keys)
    return list(readers.warnings(context, source, ["uuid-ours"], forwarders))


def test_a_stream_of_our_own_is_nobodys_else():
    assert told() == []
    assert told(mapping("forwarder", uuid="uuid-ours")) == []
    assert told(mapping("audit"), stream=None) == []


def test_a_function_that_gets_the_canary_is_named_with_what_leaves_it_out():
    (said,) = told(mapping("mailer"))

    assert "mailer will get the canary from the stream of orders" in said
    assert filter_pattern(KEYS) in said
    assert "canary = false" in said


def test_one_that_does_not_is_named_only():
    assert told(mapping("mailer", filter_pattern(KEYS))) == ["the stream of orders has other readers: mailer"]


def test_without_a_canary_nobody_is_disturbed():
    assert told(mapping("mailer"), canary=False) == ["the stream of orders has other readers: mailer"]


def test_the_forwarder_of_another_migration_knows_the_canary_and_is_a_reader():
    other = "replicator-shop-orders-1a2b3c4d-capture-Forwarder-9XyZ"

    assert told(mapping(other)) == [f"the stream of orders has other readers: {other}"]
    assert "makes 3 readers" in told(mapping(other), mapping("mailer"))[0]
    assert "will get the canary" in told(mapping("my-Forwarder-1"))[0]


@pytest.mark.parametrize(
    ("functions", "forwarders", "total"), [(["a", "b"], 1, 3), (["a"], 2, 3), (["a", "b", "c"], 2, 5)]
)
def test_more_than_two_readers_are_counted(functions, forwarders, total):
    """Of one source that is split into two targets there are two forwarders."""
    said = told(*(mapping(one, filter_pattern(KEYS)) for one in functions), forwarders=forwarders)

    assert f"makes {total} readers" in said[0]
    assert all(one in said[0] for one in functions)


def test_a_mapping_that_is_off_reads_nothing_and_gets_the_canary_once_it_is_on():
    said = told(mapping("a", state="Disabled"), mapping("b", state="Enabled"))

    assert len(said) == 1
    assert "a, b will get the canary" in said[0]


def test_what_cannot_be_listed_is_said_to_be_unknown():
    def refuse(**_):
        raise refusal("AccessDeniedException")

    context = SimpleNamespace(
        source_client=lambda _: SimpleNamespace(get_paginator=lambda _: SimpleNamespace(paginate=refuse))
    )
    source = SimpleNamespace(name="orders", stream_arn=STREAM, keys=KEYS)

    (said,) = readers.warnings(context, source, [], 1)
    assert "who else reads the stream of orders is not known: AWS refused to list the functions" in said


# --- filter patterns ----------------------------------------------------------------------------


def record(item, keys, name="INSERT"):
    return {
        "eventName": name,
        "dynamodb": {"Keys": {one: item[one] for one in keys}, "NewImage": item},
    }


@pytest.mark.parametrize("keys", [{"id": "S"}, {"n": "N"}, {"b": "B"}, KEYS, {"b": "B", "id": "S"}])
def test_the_pattern_leaves_the_canary_out_and_nothing_else(keys):
    pattern = json.loads(filter_pattern(keys))
    others = {"S": "x", "N": "1", "B": "eA=="}
    item = {name: {kind: others[kind]} for name, kind in keys.items()}

    assert not may_match(pattern, record(canary_item(keys), keys))
    assert not may_match(pattern, {"eventName": "REMOVE", "dynamodb": {"Keys": canary_key(keys)}})
    assert may_match(pattern, record(item, keys))


PASSES = [
    {},
    {"eventName": ["INSERT"]},
    {"eventName": ["REMOVE", "MODIFY"]},
    {"dynamodb": {"NewImage": {"replicator": {"S": [{"exists": True}]}}}},
    {"dynamodb": {"NewImage": {"status": {"S": [{"exists": False}]}}}},
    {"dynamodb": {"Keys": {"id": {"S": [{"prefix": "~rep"}]}}}},
    {"dynamodb": {"Keys": {"id": {"S": ["a", {"suffix": "~"}]}}}},
    {"dynamodb": {"Keys": {"id": {"S": [{"anything-but": ["a", "b"]}]}}}},
    {"dynamodb": {"Keys": {"id": {"S": [{"anything-but": {"prefix": "~"}}]}}}},
    {"dynamodb": {"Keys": {"at": {"N": [{"numeric": ["<", 0]}]}}}},
    {"$or": [{"eventName": ["INSERT"]}, {"eventName": ["REMOVE"]}]},
]
STOPPED = [
    {"dynamodb": {"NewImage": {"status": {"S": ["DONE"]}}}},
    {"eventName": ["REMOVE"], "dynamodb": {"NewImage": {"replicator": {"S": ["canary"]}}}},
    {"dynamodb": {"Keys": {"id": {"S": ["order-1"]}}}},
    {"dynamodb": {"Keys": {"id": {"S": [{"prefix": "order-"}]}}}},
    {"dynamodb": {"Keys": {"id": {"S": [{"anything-but": "~replicator.canary~"}]}}}},
    {"dynamodb": {"NewImage": {"status": {"S": [{"exists": True}]}}}},
]


@pytest.mark.parametrize("pattern", PASSES, ids=json.dumps)
def test_what_lets_it_through_or_is_not_understood_is_warned_of(pattern):
    assert "will get the canary" in told(mapping("mailer", json.dumps(pattern)))[0]


@pytest.mark.parametrize("pattern", STOPPED, ids=json.dumps)
def test_what_stops_it_is_not(pattern):
    assert told(mapping("mailer", json.dumps(pattern))) == ["the stream of orders has other readers: mailer"]


def test_one_pattern_of_several_that_lets_it_through_is_enough():
    """Filters are alternatives: the pattern that leaves it out has to be in each of them."""
    said = told(mapping("mailer", filter_pattern(KEYS), json.dumps({"eventName": ["INSERT"]})))

    assert "each of the function's filter patterns" in said[0]
