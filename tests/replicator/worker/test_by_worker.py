"""A migration that workers carry, on the embedded AWS: real processes, no function."""

from __future__ import annotations

import shutil
import time

import pytest

from ddbverify.config import load
from ddbverify.errors import Refused
from ddbverify.names import Fact
from ddbverify.pipeline import health
from replicator.aws import queue, switch
from replicator.aws import workers as seen
from replicator.commands import pause, resume, status
from tests.replicator.migrations import SOURCE_REGION, TARGET_REGION, Migration
from tests.replicator.worker.running_workers import ROOT, Workers, workers

pytestmark = [pytest.mark.engine("ministack"), pytest.mark.e2e]


def carried(aws, name, folder, **settings):
    moving = Migration(aws, name, folder)
    moving.configure(**settings)
    file = folder / "migration.toml"
    file.write_text(file.read_text().replace("groups = 2\n", "groups = 2\nworker = true\n"))
    return moving


def until_equal(moving):
    """Patient: the leases of a worker that was killed have to end first, and its messages' visibility."""
    deadline = time.monotonic() + 240
    while moving.items(TARGET_REGION, moving.target) != moving.wanted():
        assert time.monotonic() < deadline, "it does not become equal"
        time.sleep(0.5)
    moving.drain()


def test_it_fills_and_follows_without_a_function(aws, unique, tmp_path, monkeypatch):
    variables = aws.variables(SOURCE_REGION)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    functions = aws.client("lambda", SOURCE_REGION)
    before = functions.list_functions()["Functions"]
    moving = carried(aws, unique("w"), tmp_path, transform="louder")
    for number in range(10):
        moving.put(f"k{number}", "first")
    with workers(tmp_path, variables, 2) as running:
        moving.up()
        moving.put("k1", "meanwhile")
        moving.remove("k2")
        moving.restore()
        moving.assert_equal()
        assert functions.list_functions()["Functions"] == before
        config, pair = load(tmp_path / "migration.toml"), moving.pair
        assert health.health(config, pair).problems == (), running.said()
        assert status.of_pair(moving.context(), pair, flipped=False)["workers_missing"] == []
        deadline = time.monotonic() + 60  # a sign is noted when a lease is renewed
        while (carried_by := seen.seen(moving.context(), pair)) is None or None in carried_by.signs.values():
            assert time.monotonic() < deadline, "somebody who works gives no sign"
            time.sleep(0.5)
        assert (carried_by.missing, carried_by.standing) == ((), ())
        assert set(carried_by.signs) == {"forwarder", "consumer"}
        assert carried_by.behind_seconds is not None

        pause.pause(moving.context())
        moving.put("k3", "while it is paused")
        context = moving.context()
        assert switch.state_of_consumer(context, pair) == "Disabled"
        assert list(seen.held(context, pair, "consumer")) == []
        there = moving.items(TARGET_REGION, moving.target)
        assert there["k3"]["v"] == {"S": "FIRST"}
        assert any("paused" in one for one in health.health(config, pair).problems)
        resume.resume(moving.context())
        moving.assert_equal()

        # One is gone in the middle of it all; the other takes its shards and its messages.
        running.kill(running.running[0])
        for number in range(10):
            moving.put(f"k{number}", "behind a death")
        until_equal(moving)
    assert "nothing is in its hands" in running.said()
    context = moving.context()
    deadline = time.monotonic() + 60  # the one that was killed gave nothing back
    while [*seen.held(context, pair, "consumer"), *seen.held(context, pair, "forwarder")]:
        assert time.monotonic() < deadline, "a lease does not end"
        time.sleep(0.5)
    problems = health.health(load(tmp_path / "migration.toml"), pair).problems
    assert any("not running (start `replicator worker`)" in one for one in problems)
    seen_now = status.of_pair(context, pair, flipped=False)
    assert seen_now["workers_missing"] == ["forwarder", "consumer"]
    assert "no worker is at it" in seen_now["phase"]
    moving.put("k1", "nobody is there")
    assert queue.queue_depth(context, pair) == {"waiting": 0, "in_flight": 0, "delayed": 0}
    moving.down()
    assert moving.left_over() == []


def test_a_migration_goes_on_as_it_was_begun(aws, unique, tmp_path, monkeypatch):
    variables = aws.variables(SOURCE_REGION)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    moving = carried(aws, unique("w"), tmp_path)
    moving.put("k1", "first")
    with workers(tmp_path, variables):
        moving.up()
        file = tmp_path / "migration.toml"
        file.write_text(file.read_text().replace("worker = true\n", ""))
        with pytest.raises(Refused, match="begun with workers"):
            moving.restore()
    assert moving.state().get(Fact.RESOURCES)["forwarder_mapping"] == "worker"
    moving.down()
    assert moving.left_over() == []


def hanging(folder, environment):
    """Workers whose readers hang in the middle of a page once there is a file ``hang``."""
    code = folder / "code"
    for package in ("ddbverify", "replicator"):
        shutil.copytree(ROOT / package, code / package, ignore=shutil.ignore_patterns("__pycache__"))
    with (code / "replicator" / "worker" / "forwarding.py").open("a", encoding="utf-8") as file:
        file.write(
            "\n\nfrom pathlib import Path\n\n_page = Forwarding._read\n\n\ndef _hangs(self, shard):\n"
            f"    while Path({str(folder / 'hang')!r}).exists():\n"
            f"        Path({str(folder / 'hangs')!r}).touch()\n        time.sleep(1)\n"
            "    return _page(self, shard)\n\n\nForwarding._read = _hangs\n"
        )
    return Workers(folder, environment, code)


@pytest.mark.full
def test_another_worker_takes_what_a_hung_reader_has(aws, unique, tmp_path, monkeypatch):
    """Its process lives, applies changes, and renews leases in a thread that knows nothing of the reader."""
    variables = aws.variables(SOURCE_REGION)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    moving = carried(aws, unique("h"), tmp_path)
    moving.put("k1", "first")
    hangs = hanging(tmp_path, variables)
    try:
        hangs.start()
        moving.up()
        moving.restore()
        (tmp_path / "hang").touch()
        deadline = time.monotonic() + 60
        while not (tmp_path / "hangs").exists():
            assert time.monotonic() < deadline, hangs.said()
            time.sleep(0.2)
        moving.put("k1", "nobody reads this yet")
        (tmp_path / "other").mkdir()
        for name in ("migration.toml", *(one.name for one in tmp_path.glob("*.py"))):
            shutil.copy(tmp_path / name, tmp_path / "other" / name)
        with workers(tmp_path / "other", variables):
            until_equal(moving)
        assert "its lease is not renewed" in hangs.said()
        assert "nothing was done about shard " in hangs.said()
    finally:
        (tmp_path / "hang").unlink(missing_ok=True)
        hangs.end()
    moving.down()
