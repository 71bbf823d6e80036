"""A pipeline that reads a stream without changes is not healthy, however quiet the table is."""

from __future__ import annotations

import pytest

from ddbverify.config import parse
from ddbverify.pipeline import mappings
from ddbverify.pipeline.mappings import Source
from tests.ddbverify import projects

STREAM = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-11-30T08:00:00.000"
LATER = STREAM.replace("08:00", "09:00")
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:orders.fifo"
BOUND = {"stream_arn": STREAM, "queue_url": "https://sqs.eu-west-1.amazonaws.com/123456789012/orders.fifo"}
FORWARDER = Source("Enabled", STREAM, "OK")
CONSUMER = Source("Enabled", QUEUE)


def problems(forwarder=FORWARDER, consumer=CONSUMER, live=STREAM, bound=BOUND, **options):
    return mappings.problems(bound, {"forwarder": forwarder, "consumer": consumer}, live, **options)


@pytest.mark.parametrize("result", ["", "OK", "No records processed", "OK - 10 records, 1 partial failures"])
def test_a_pipeline_that_reads_the_live_stream_has_no_problem(result):
    assert problems(Source("Enabled", STREAM, result), Source("Enabled", QUEUE, result)) == []
    assert problems(Source("Enabled"), Source("Enabled")) == []  # an emulator that does not say


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"live": None}, "the source's stream is off"),
        ({"live": LATER}, "the source's stream was switched off and on again"),
        ({"bound": BOUND | {"stream_arn": LATER}, "live": LATER}, "reads arn:aws:dynamodb"),
        ({"forwarder": Source("Enabled", LATER, "OK")}, "which is not the stream of this pair"),
        ({"consumer": Source("Enabled", QUEUE.replace("orders", "clients"))}, "which is not the queue of"),
        ({"forwarder": Source("Disabled", STREAM)}, "the forwarder's event source mapping is Disabled, not"),
        ({"consumer": Source("Updating", QUEUE)}, "the consumer's event source mapping is Updating, not"),
        ({"forwarder": Source("gone")}, "the forwarder's event source mapping is gone"),
        ({"forwarder": Source("", STREAM)}, "event source mapping is , not Enabled"),
        (
            {"forwarder": Source("Enabled", STREAM, "PROBLEM: Function call failed")},
            "the forwarder failed on its last batch: PROBLEM: Function call failed",
        ),
        ({"forwarder": Source("Enabled", STREAM, "FAILED")}, "failed on its last batch: FAILED"),
        ({"consumer": Source("Enabled", QUEUE, "a word of next year")}, "the consumer failed on its last"),
    ],
)
def test_each_problem_is_named_alone(changed, said):
    (problem,) = problems(**changed)

    assert said in problem


def test_a_consumer_that_is_to_be_off_has_to_be():
    assert problems(consumer=Source("Disabled", QUEUE), expected_off=("consumer",)) == []
    (problem,) = problems(expected_off=("consumer",))
    assert problem == "the consumer's event source mapping is Enabled, not Disabled"
    (problem,) = problems(Source("Disabled", STREAM), Source("Disabled", QUEUE), expected_off=("consumer",))
    assert problem == "the forwarder's event source mapping is Disabled, not Enabled"


def test_a_state_table_that_names_no_stream_proves_nothing():
    assert len(problems(bound={})) == 3  # the stream, and what each of the two reads


@pytest.mark.engine("ministack")
def test_a_stream_that_is_switched_off_and_on_is_another_one(aws, unique, monkeypatch, tmp_path):
    for variable, value in aws.variables("eu-west-1").items():
        monkeypatch.setenv(variable, value)
    name, client = unique("orders"), aws.client("dynamodb", "eu-west-1")
    config = parse(projects.TOML.replace('"orders"', f'"{name}"'), tmp_path)

    def live():
        return mappings.live_stream(config, config.tables[0])

    assert live() is None  # no such table
    client.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    on = {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
    seen = [live()]
    for specification in (on, {"StreamEnabled": False}, on):
        client.update_table(TableName=name, StreamSpecification=specification)
        seen.append(live())

    assert seen[0] is seen[2] is None
    assert seen[1]
    assert seen[3]
    assert seen[1] != seen[3]
    assert problems(live=seen[3], bound=BOUND | {"stream_arn": seen[1]}, forwarder=Source("Enabled"))
