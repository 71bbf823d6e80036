"""Each thing that can be wrong with a pipeline is a problem by name; silence is not health."""

from __future__ import annotations

import boto3
import pytest
from moto import mock_aws

from ddbverify import names
from ddbverify.code.digest import transform_digest
from ddbverify.config import parse
from ddbverify.names import Fact
from ddbverify.pipeline import health as pipeline
from ddbverify.pipeline import mappings
from tests.ddbverify import projects

NOW = 1_795_000_000.0  # 2026-11-18T11:06:40Z
HEALTHY = {
    Fact.CANARY_SENT: {"number": "1".zfill(40), "at": "2026-11-18T10:00:00.000Z"},
    Fact.CANARY_ARRIVED: {"number": "1".zfill(40), "at": "2026-11-18T10:00:01.000Z"},
    Fact.FOLLOWING: {"since": "2026-11-18T10:30:00.000Z"},
    Fact.BOUND: {"transform": "", "digest": "", "rekeys": False, "backfill": "backup"},
}


def problems(changed=None, **options):
    facts = {name: fact for name, fact in (HEALTHY | (changed or {})).items() if fact is not None}
    return pipeline.judged(facts, **{"waiting": 0, "dead": 0, "now": NOW, **options})


def test_a_healthy_pipeline_has_no_problems():
    assert problems() == []
    assert problems(waiting=120_000) == []


@pytest.mark.parametrize(
    ("changed", "options", "said"),
    [
        ({Fact.CONTROL: {"state": "pause"}}, {}, "paused"),
        ({Fact.CONTROL: {}}, {}, "paused"),
        (
            {Fact.GAP: {"reason": "a shard vanished", "at": "x"}},
            {},
            "a gap is latched since x: a shard vanished",
        ),
        ({Fact.GAP: {}}, {}, "a gap is latched"),
        ({}, {"waiting": 120_001}, "120001 messages wait"),
        ({}, {"dead": 1}, "1 dead letter ("),
        ({Fact.QUARANTINE + "ab": {}, Fact.QUARANTINE + "cd": {}}, {}, "2 keys in the quarantine"),
        ({Fact.FOLLOWING: None}, {}, "does not follow yet"),
        ({Fact.FOLLOWING: {"since": "yesterday"}}, {}, "does not follow yet"),
        ({Fact.FOLLOWING: {"since": "2026-11-18T10:30:00"}}, {}, "does not follow yet"),
        ({Fact.CANARY_SENT: None}, {}, "no canary was sent"),
        ({Fact.CANARY_ARRIVED: None}, {}, "has not arrived"),
        ({Fact.CANARY_SENT: {"number": "2".zfill(40), "at": "2026-11-18T11:00:00Z"}}, {}, "has not arrived"),
        ({Fact.CANARY_SENT: {"number": "2".zfill(40), "at": "?"}}, {}, "has not arrived"),
    ],
)
def test_each_problem_is_named_alone(changed, options, said):
    (problem,) = problems(changed, **options)

    assert said in problem


def test_a_canary_that_was_sent_just_now_may_be_under_way():
    assert problems({Fact.CANARY_SENT: {"number": "2".zfill(40), "at": "2026-11-18T11:06:30.000Z"}}) == []


@pytest.fixture
def aws(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield


def typed(value):
    if isinstance(value, dict):
        return {"M": {name: typed(one) for name, one in value.items()}}
    return {"BOOL": value} if isinstance(value, bool) else {"S": value}


def make_state_table(config, facts, *, region="eu-west-1"):
    client = boto3.client("dynamodb", region_name=region or "eu-west-1")
    client.create_table(
        TableName=names.state_table(config.name),
        AttributeDefinitions=[{"AttributeName": one, "AttributeType": "S"} for one in ("pk", "sk")],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        BillingMode="PAY_PER_REQUEST",
    )
    for name, fact in facts.items():
        item = {"pk": names.pair_pk(config.tables[0].id), "sk": name, **fact}
        client.put_item(
            TableName=names.state_table(config.name),
            Item={key: typed(value) for key, value in item.items()},
        )


def test_without_a_state_table_there_is_a_pipeline_only_if_one_is_asked_for(aws, tmp_path):
    config = parse(projects.TOML, tmp_path)
    asked = parse(projects.TOML + "[replication]\n", tmp_path)

    absent = pipeline.health(config, config.tables[0])
    assert (absent.exists, absent.problems, absent.facts_examined) == (False, (), 1)
    for health in (
        pipeline.health(config, config.tables[0], required=True),
        pipeline.health(asked, asked.tables[0]),
    ):
        assert health.exists
        assert "does not exist" in health.problems[0]


@pytest.mark.parametrize("fact", [{"run_id": "a", "started_ms": "soon", "sha256": ""}, {"run_id": "a"}])
def test_a_note_of_the_newest_run_that_cannot_be_read_is_a_problem_and_not_nothing(aws, tmp_path, fact):
    config = parse(projects.TOML, tmp_path)
    make_state_table(config, HEALTHY | {Fact.RESOURCES: {}, Fact.NEWEST_RUN: fact})

    health = pipeline.health(config, config.tables[0])

    assert health.newest_run is None
    assert any("which run is the newest" in problem for problem in health.problems)


def test_a_state_table_that_does_not_know_the_pair_is_a_problem(aws, tmp_path):
    config = parse(projects.TOML, tmp_path)
    make_state_table(config, {})

    assert pipeline.health(config, config.tables[0]).problems == (
        "the state table knows no pipeline of this pair",
    )


def test_queues_are_counted_with_what_is_in_flight_and_what_is_gone_is_said(aws, tmp_path):
    config = parse(projects.TOML, tmp_path)
    sqs = boto3.client("sqs", region_name="eu-west-1")
    urls = {
        name: sqs.create_queue(QueueName=f"{name}.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
        for name in ("queue", "dead")
    }
    for name, count in (("queue", 2), ("dead", 1)):
        for number in range(count):
            sqs.send_message(
                QueueUrl=urls[name],
                MessageBody="x",
                MessageGroupId=f"g{number}",
                MessageDeduplicationId=str(number),
            )
    sqs.receive_message(QueueUrl=urls["queue"], MaxNumberOfMessages=1)
    resources = {"queue_url": urls["queue"], "dead_letter_url": urls["dead"], "forwarder_mapping": "0" * 36}
    make_state_table(config, HEALTHY | {Fact.RESOURCES: resources})

    health = pipeline.health(config, config.tables[0], now=NOW)

    assert (health.waiting, health.in_flight, health.dead_letters) == (2, 1, 1)
    assert health.following_since == 1_794_997_800.0
    assert health.canary_age_seconds == 3999.0
    assert set(health.problems) == {
        "the state table names no consumer_mapping",
        "the forwarder's event source mapping is gone, not Enabled",
        "the consumer's event source mapping is unknown, not Enabled",
        "1 dead letter (`replicator repair` takes them up)",
        "the source's stream is off: changes are not captured, and some may be lost "
        "(`replicator restart` begins anew)",
    }


@pytest.mark.parametrize(
    ("steps", "said"), [({"fence": "now", "consumer": "now"}, False), ({"fence": "now"}, True)]
)
def test_behind_a_cutovers_fence_a_consumer_that_is_off_is_no_problem(
    aws, tmp_path, monkeypatch, steps, said
):
    """The last verification is made with the consumer off, so that it sees a late write of it."""
    config, states = parse(projects.TOML, tmp_path), {"f": "Enabled", "c": "Disabled"}
    monkeypatch.setattr(pipeline.mappings, "look", lambda *given: pipeline.mappings.Source(states[given[2]]))
    resources = {"forwarder_mapping": "f", "consumer_mapping": "c"}
    cut = {"fenced": True, "steps": steps}
    make_state_table(config, HEALTHY | {Fact.RESOURCES: resources, Fact.CUTOVER: cut})

    found = pipeline.health(config, config.tables[0]).problems
    assert any("the consumer's event source mapping is Disabled" in one for one in found) is said


@pytest.mark.parametrize("consumer", ["Disabled", "Enabled"])
def test_behind_the_flip_it_is_said_that_the_application_has_moved(aws, tmp_path, monkeypatch, consumer):
    config, states = parse(projects.TOML, tmp_path), {"f": "Enabled", "c": consumer}
    monkeypatch.setattr(pipeline.mappings, "look", lambda *given: pipeline.mappings.Source(states[given[2]]))
    resources = {"forwarder_mapping": "f", "consumer_mapping": "c"}
    cut = {"flipped": True, "steps": {"consumer": "then", "flip": "then"}}
    assert pipeline.in_vain(config) is None
    make_state_table(config, HEALTHY | {Fact.RESOURCES: resources, Fact.CUTOVER: cut})

    found = pipeline.health(config, config.tables[0])
    assert found.moved == pipeline.in_vain(config)
    assert found.moved in found.problems
    assert ("the consumer's event source mapping is Enabled, not Disabled" in found.problems) is (
        consumer == "Enabled"
    )
    assert not any("not Enabled" in one for one in found.problems)


def test_consumers_that_are_shut_are_no_news_behind_a_flip_or_a_fence_and_a_problem_else():
    shut = {Fact.CONTROL: {"state": "closed"}}
    under_way = {Fact.CUTOVER: {"fenced": True, "steps": {"consumer": "now"}}}
    ended = {Fact.FENCE + "orders": {"until_epoch": NOW - 1}}
    assert problems(shut | {Fact.CUTOVER: {"flipped": True}}) == []
    assert problems(shut | under_way) == []
    for left in ({}, {Fact.CUTOVER: {"fenced": True}}, under_way | ended):
        assert any("paused" in one for one in problems(shut | left))
    paused = {Fact.CONTROL: {"state": "pause"}}
    assert any("paused" in one for one in problems(paused | under_way)), "the operator's"


def test_a_queue_that_is_gone_is_a_problem(aws, tmp_path):
    config = parse(projects.TOML, tmp_path)
    resources = {"queue_url": "https://sqs.eu-west-1.amazonaws.com/123456789012/none.fifo"}
    make_state_table(config, HEALTHY | {Fact.RESOURCES: resources})

    health = pipeline.health(config, config.tables[0], now=NOW)

    assert "the queue none.fifo does not exist" in health.problems
    assert "the state table names no dead_letter_url" in health.problems


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A migration whose transform is one of two in a module of its own."""
    (tmp_path / "bound_shop.py").write_text(
        "def f(item):\n    return item\n\n\ndef g(item):\n    return item\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return parse(projects.TOML + 'transform = "bound_shop:f"\n', tmp_path)


def test_another_transform_than_the_consumers_is_a_problem_by_name(aws, shop, tmp_path):
    made = {"transform": "bound_shop:f", "digest": transform_digest(shop, shop.tables[0]), "rekeys": False}
    resources = {"queue_url": "https://sqs.eu-west-1.amazonaws.com/123456789012/none.fifo"}
    make_state_table(shop, HEALTHY | {Fact.RESOURCES: resources, Fact.BOUND: made})

    def said(config):
        why = pipeline.other_transform(config, config.tables[0])
        problems = pipeline.health(config, config.tables[0], now=NOW).problems
        assert (why is None) == (not any("made with" in one for one in problems))
        assert why is None or why == problems[0]
        return why

    assert said(shop) is None
    named = parse(projects.TOML + 'transform = "bound_shop:g"\n', tmp_path)
    assert (
        "made with the transform bound_shop:f, and migration.toml names the transform bound_shop:g (put"
        in (said(named))
    )
    assert "names no transform" in said(parse(projects.TOML, tmp_path))
    rekeyed = parse(projects.TOML + 'transform = "bound_shop:f"\nrekeys = true\n', tmp_path)
    assert "rekeys in migration.toml" in said(rekeyed)
    (tmp_path / "bound_shop.py").write_text("def f(item):\n    return None\n")
    assert "the code of the transform bound_shop:f" in said(shop)


def test_what_the_target_is_made_with_has_to_be_known(aws, tmp_path):
    config = parse(projects.TOML, tmp_path)
    (pair,) = config.tables
    assert pipeline.other_transform(config, pair) is None  # no state table, so no pipeline
    make_state_table(config, {Fact.RESOURCES: {"queue_url": "x"}})

    assert "does not say what the target is made with" in pipeline.other_transform(config, pair)


BEHIND_THE_FENCE = {"fenced": True, "steps": {"fence": "now", "consumer": "now"}}


@pytest.mark.parametrize(("cut", "passed"), [(BEHIND_THE_FENCE, None), ({"steps": {"consumer": "x"}}, False)])
def test_what_a_cutover_has_left_in_the_queue_is_waited_for_by_nobody(
    aws, tmp_path, monkeypatch, cut, passed
):
    """With the consumer off it is never applied: each suspect was looked at until the ceiling."""
    config = parse(projects.TOML, tmp_path)
    resources = {"queue_url": "x", "consumer_mapping": "c"}
    make_state_table(config, HEALTHY | {Fact.RESOURCES: resources, Fact.CUTOVER: cut})
    monkeypatch.setattr(pipeline, "_depth", lambda *_: (1, 0, 0))

    assert pipeline.Passed.of(config, config.tables[0])(0.0) is passed


@pytest.mark.parametrize(("cycle", "way"), [(0, "restart"), (1, "settle"), (2, "down"), (3, "settle")])
def test_what_ends_a_gap_is_what_that_direction_lets(cycle, way):
    """`restart` is of the first direction only: behind a flip it is refused."""
    (said,) = problems({Fact.GAP: {"reason": "it was trimmed", "at": "x"}}, cycle=cycle)
    assert f"(`replicator {way}`" in said
    (off,) = mappings.problems({"stream_arn": "one"}, {}, None, cycle=cycle)
    assert f"(`replicator {way}`" in off


def test_a_pause_is_said_before_a_run_waits_for_what_is_in_the_queue(aws, tmp_path):
    """Every key that differs was settled up to its ceiling, and only then was it said why."""
    config = parse(projects.TOML, tmp_path)
    make_state_table(config, {Fact.CONTROL: {"state": "pause"}})
    said = pipeline.in_vain(config)
    assert said is not None
    assert f"{config.tables[0]} is paused" in said
    assert "`replicator resume`" in said
