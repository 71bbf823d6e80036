"""A migration whose canary may not fly: an audit proves the way."""

from __future__ import annotations

import pytest

from ddbverify.config import load
from ddbverify.names import Fact
from ddbverify.pipeline import health
from replicator.aws import readers
from replicator.commands import passage
from tests.replicator.migrations import SOURCE_REGION, Migration

pytestmark = [pytest.mark.engine("ministack"), pytest.mark.e2e]


def test_it_follows_without_one_and_is_healthy(aws, unique, tmp_path, monkeypatch):
    for name, value in aws.variables(SOURCE_REGION).items():
        monkeypatch.setenv(name, value)
    moving = Migration(aws, unique("p"), tmp_path)
    moving.configure()
    file = tmp_path / "migration.toml"
    file.write_text(file.read_text().replace("groups = 2\n", "groups = 2\ncanary = false\n"))

    def never(*_):
        raise AssertionError("a canary flies")

    monkeypatch.setattr("replicator.aws.canary.fly", never)
    for number in range(10):
        moving.put(f"k{number}", "first")
    moving.up()
    moving.put("k1", "meanwhile")
    context, pair = moving.context(), moving.pair
    (said,) = readers.warnings(context, context.source_table(pair), [], 0)
    assert context.resources(pair)["forwarder"] in said, "AWS lists whoever reads the stream"
    assert list(passage.warnings(context, [_plan(context, pair)])) == []
    moving.restore()
    moving.assert_equal()

    assert moving.state().get(Fact.CANARY_SENT) is None
    assert moving.state().get(Fact.FOLLOWING) is not None
    found = health.health(load(file), pair)
    assert found.problems == ()
    moving.down()
    assert moving.left_over() == []


def _plan(context, pair):
    class Plan:
        source = context.source_table(pair)

    made = Plan()
    made.pair = pair
    return made
