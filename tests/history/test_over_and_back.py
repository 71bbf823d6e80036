"""Histories that go over, back and over again on the embedded AWS."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from replicator.demo import fence
from tests.history import over_and_back
from tests.history.over_and_back import Watch, lines, turns
from tests.history.run import REGION, Options


@pytest.mark.engine("ministack")
@pytest.mark.e2e
@pytest.mark.full
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("seed", "shape", "killed"), [(1, "", False), (2, "renamed", False), (3, "renamed", True), (4, "", True)]
)
def test_over_back_and_over_again(tmp_path, seed, shape, killed):
    found = turns(tmp_path, Options(seed=seed, seconds=10, rate=15, shape=shape), killed=killed)
    said = "\n".join(lines(found))

    assert found.judgement.holds, said
    assert (found.verified, found.kept) == (0, []), said
    assert found.both_open == 0, said
    assert found.in_turn[-1] == "target", said
    assert "source" in found.in_turn, said


@pytest.mark.parametrize(
    ("looks", "times"),
    [
        ([("source", True), ("target", False), ("source", True)], 0),
        ([("source", True), ("target", True), ("source", False)], 0),
        ([("source", False), ("target", True), ("source", True), ("target", False)], 0),
        ([("source", True), ("target", True), ("source", True), ("target", False)], 1),
        ([("target", True), ("source", True), ("target", True), ("source", True)], 2),
    ],
)
def test_what_a_watch_calls_open_at_once(looks, times):
    watch = Watch(SimpleNamespace())
    watch.seen += looks
    assert watch.both_open() == times


@pytest.mark.engine("ministack")
def test_a_watch_sees_both_open_until_a_fence_stands(aws, unique, monkeypatch):
    """Or none that saw nothing would say anything."""
    tables = {side: unique(side) for side in ("source", "target")}
    monkeypatch.setattr(over_and_back, "SIDES", tables)
    monkeypatch.setattr(over_and_back, "ROLE", unique("writers"))
    for name, value in aws.variables(REGION).items():
        monkeypatch.setenv(name, value)
    for name in tables.values():
        aws.client("dynamodb", REGION).create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        )
    session = over_and_back._role(SimpleNamespace(aws=aws))
    arns = [over_and_back.arn(aws, name) for name in tables.values()]

    def looked():
        watch = Watch(session)
        watch.start()
        while len(watch.seen) < 20 and not watch.errors:
            time.sleep(0.05)
        watch.end()
        assert watch.errors == []
        return watch

    assert looked().both_open() > 5
    fence.main(over_and_back.ROLE, *arns, "target", "on")
    watch = looked()
    assert (watch.both_open(), watch.open_in_turn()) == (0, ["source"])
