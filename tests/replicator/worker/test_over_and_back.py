"""A cutover and a cutback that workers carry, on the embedded AWS: nothing that was written is lost."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from ddbverify.gate import gate
from ddbverify.names import WORKER
from replicator.aws import policy_fence, queue, target_fence
from replicator.context import live
from tests.replicator import verified
from tests.replicator.migrations import SOURCE_REGION, TARGET_REGION, Migration
from tests.replicator.worker.running_workers import workers

pytestmark = [
    pytest.mark.engine("ministack"),
    pytest.mark.e2e,
    pytest.mark.full,
    pytest.mark.timeout(600),
]


def values(moving, region, table):
    return {key: item["v"]["S"] for key, item in moving.items(region, table).items()}


def await_equal(moving):
    turned = live.direction(moving.context())
    deadline = time.monotonic() + 240
    while True:
        empty = not any(queue.queue_depth(turned, turned.config.tables[0]).values())
        source = values(moving, SOURCE_REGION, moving.source)
        target = values(moving, TARGET_REGION, moving.target)
        if source == target and empty:
            return source
        assert time.monotonic() < deadline, (source, target)
        time.sleep(0.2)


def test_over_and_back(aws, unique, tmp_path, monkeypatch):
    variables = aws.variables(SOURCE_REGION)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    passed = SimpleNamespace(open=True, reasons=(), evidence=None, sha256=None)
    monkeypatch.setattr(gate, "judge", lambda *_, **__: passed)
    verified.stand_in(monkeypatch)
    for module in (policy_fence, target_fence):
        monkeypatch.setattr(module, "LAG_SECONDS", 1.0)  # an emulator's reads are never late
    moving = Migration(aws, unique("b"), tmp_path)
    moving.configure(pointer=f"ssm:/back/{moving.name}", way_back="7d")
    file = tmp_path / "migration.toml"
    file.write_text(file.read_text().replace("groups = 2\n", "groups = 2\nworker = true\n"))
    for number in range(6):
        moving.put(f"k{number}", f"v{number}")
    ssm = aws.client("ssm", SOURCE_REGION)
    ssm.put_parameter(Name=f"/back/{moving.name}", Value=moving.source, Type="String")
    away = aws.client("dynamodb", TARGET_REGION)
    with workers(tmp_path, variables, 2) as running:
        moving.up()
        moving.restore()
        moving.put("k0", "before the flip")
        assert moving.cutover()["flipped"], running.said()
        assert live.read(moving.context()) == live.Live("target", 1)
        back = moving.context().turned(1)
        resources = back.resources(back.config.tables[0])
        assert (resources["forwarder_mapping"], resources["consumer_mapping"]) == (WORKER, WORKER)
        away.put_item(TableName=moving.target, Item={"id": {"S": "k1"}, "v": {"S": "in the target"}})
        away.delete_item(TableName=moving.target, Key={"id": {"S": "k2"}})
        there = await_equal(moving)
        assert (there["k0"], there["k1"], "k2" in there) == ("before the flip", "in the target", False)

        assert moving.cutback()["flipped"], running.said()
        assert live.read(moving.context()) == live.Live("source", 2)
        moving.put("k3", "in the source again")
        assert await_equal(moving)["k3"] == "in the source again"
        moving.down()
        assert moving.left_over() in ([], [moving.target])
