"""A load in several processes: nothing lost, nothing twice, and whatever ends one of them ends all."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import msgspec
import pytest

from ddbverify.code.digest import transform_digest
from ddbverify.errors import EngineError, Refused
from ddbverify.names import Fact
from replicator.backfill import filling, workers
from replicator.backfill.share import Share
from replicator.context import clock
from replicator.context.lock import Borrowed
from tests.replicator.migrations import SOURCE_REGION, Migration

ITEMS = 120


@pytest.fixture
def moving(aws, unique, tmp_path, monkeypatch):
    for name, value in aws.variables(SOURCE_REGION).items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(tmp_path)
    made = Migration(aws, unique("w"), tmp_path)
    for number in range(ITEMS):
        made.put(f"k{number}", f"v{number}")
    made.configure(backfill="scan", transform="louder")
    return made


@pytest.fixture
def two(monkeypatch):
    monkeypatch.setattr(workers, "processes_for", lambda size: 2)


@pytest.fixture
def begun(monkeypatch):
    """The processes of all workers that were begun."""
    processes, begin = [], workers._begin

    def noted(heard):
        worker = begin(heard)
        processes.append(worker.process)
        return worker

    monkeypatch.setattr(workers, "_begin", noted)
    return processes


@pytest.mark.engine("ministack")
@pytest.mark.e2e
def test_two_processes_load_what_one_does_and_go_on_after_one_was_killed(moving, two, begun, monkeypatch):
    hear, killed = workers._Worker.hear, []

    def kill_once(worker, told):
        hear(worker, told)
        if not killed:
            killed.append(worker)
            os.kill(worker.process.pid, signal.SIGKILL)

    monkeypatch.setattr(workers._Worker, "hear", kill_once)
    monkeypatch.setattr(filling, "LOADERS", 2)
    # Else a busy machine hears of the first page when the worker has ended already.
    moving.configure(backfill="scan", transform="slowly")
    moving.up()

    with pytest.raises(EngineError, match="exit status -9"):
        moving.restore()

    assert all(process.poll() is not None for process in begun)
    places = dict(moving.state().all(Fact.LOADED))
    assert {int(place["of"]) for place in places.values()} == {4}
    moving.restore()
    places = dict(moving.state().all(Fact.LOADED))
    assert sorted(places) == ["0", "1", "2", "3"]
    assert all(place["done"] for place in places.values())
    assert sum(int(place["read"]) for place in places.values()) == ITEMS
    step = moving.state().get(Fact.STEP + "backfill")
    assert (int(step["read"]), int(step["written"])) == (ITEMS, ITEMS)
    moving.assert_equal()
    moving.down()
    assert moving.left_over() == []


class Holder:
    """A command's lock and context, as far as workers ask for them."""

    def __init__(self, lasts=60.0):
        self.until, self.off = clock.seconds() + lasts, False

    def need_going_on(self):
        if self.off:
            raise KeyboardInterrupt


@pytest.fixture
def share(moving):
    moving.create(moving.target, moving.target_region)
    moving.create(f"{moving.name}-ledger", moving.target_region)
    context = moving.context()
    state_table = context.state_table
    moving.database.create_table(
        TableName=state_table,
        KeySchema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
        BillingMode="PAY_PER_REQUEST",
    )
    return Share(
        config=str(context.config_path),
        pair=moving.pair.id,
        origin=moving.source,
        target=moving.target,
        source_keys={"id": "S"},
        target_keys={"id": "S"},
        digest=transform_digest(context.config, moving.pair),
        ledger=f"{moving.name}-ledger",
        reading="a test",
        segments=(0, 1, 2, 3),
        of=4,
        read_units=None,
    )


def halves(share):
    return [msgspec.structs.replace(share, segments=share.segments[at::2]) for at in range(2)]


def there(moving):
    return moving.items(moving.target_region, moving.target)


@pytest.mark.engine("ministack")
def test_what_a_transform_prints_is_no_word_of_a_worker(moving, share):
    module = moving.folder / f"{moving.module}.py"
    module.write_text("def louder(item):\n    print('{\"done\":{}}', flush=True)\n    return item\n")
    share = msgspec.structs.replace(share, digest=transform_digest(moving.context().config, moving.pair))
    seen = []

    counts = workers.run(Holder(), Holder(), halves(share), lambda read, units: seen.append((read, units)))

    assert counts == {"read": ITEMS, "written": ITEMS, "quarantined": 0}
    assert len(there(moving)) == ITEMS
    assert max(seen)[0] == ITEMS
    assert max(units for _, units in seen) > 0


@pytest.mark.engine("ministack")
@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        ({"digest": "another"}, Refused, "was changed while the load began"),
        ({"pair": "no-such-pair"}, EngineError, "ended with StopIteration"),
        ({"target": "no-such-table"}, EngineError, "no-such-table"),
    ],
)
def test_what_ends_one_worker_is_told_and_ends_all(moving, share, begun, spoil, error, words):
    one, other = halves(share)

    with pytest.raises(error, match=words):
        workers.run(Holder(), Holder(), [msgspec.structs.replace(one, **spoil), other], lambda *_: None)

    assert all(process.poll() is not None for process in begun)


@pytest.mark.engine("ministack")
def test_without_the_lease_no_worker_writes(moving, share, begun):
    with pytest.raises(Refused, match="lost its lease"):
        workers.run(Holder(), Holder(lasts=1.0), halves(share), lambda *_: None)

    assert there(moving) == {}
    assert all(process.poll() is not None for process in begun)


@pytest.mark.engine("ministack")
def test_ctrl_c_ends_all_workers(moving, share, begun):
    holder = Holder()

    def interrupt(read, units):
        holder.off = True

    with pytest.raises(KeyboardInterrupt):
        workers.run(holder, holder, halves(share), interrupt)

    assert all(process.poll() is not None for process in begun)


@pytest.mark.engine("ministack")
def test_a_worker_ends_with_whoever_began_it(share):
    heard = workers.queue.Queue()
    worker = workers._begin(heard)
    worker.say(workers.Begin(share, clock.seconds() + 60))
    worker.words.close()  # as the pipe of a process that was killed

    assert worker.process.wait(60) == 0


@pytest.mark.engine("ministack")
def test_a_share_that_was_stopped_is_not_done(share):
    heard = workers.queue.Queue()
    worker = workers._begin(heard)
    worker.say(workers.Begin(share, clock.seconds() + 60))
    worker.say(workers.Word(clock.seconds() + 60, stop=True))  # before it has read anything

    _, told = heard.get(timeout=60)
    assert told.done is None
    assert "was stopped" in told.message
    assert worker.process.wait(60) == 0
    worker.words.close()


NOWHERE = Share(
    "/nowhere/migration.toml", "p", "o", "t", {"id": "S"}, {"id": "S"}, "", "l", "r", (0,), 1, None
)


def test_a_foreign_line_of_a_worker_ends_it_and_the_load(begun, tmp_path, monkeypatch):
    """A tool that hooks into every Python (a `.pth` file) may print before the worker does anything."""
    (tmp_path / "sitecustomize.py").write_text("print('secret tool has begun', flush=True)\n")
    monkeypatch.syspath_prepend(tmp_path)
    holder, until = Holder(lasts=600.0), time.monotonic() + 60

    def wait_no_longer():
        assert time.monotonic() < until, "the command waits for ever"

    holder.need_going_on = wait_no_longer
    with pytest.raises(EngineError, match="no word of its own") as caught:
        workers.run(holder, holder, [NOWHERE, NOWHERE], lambda *_: None)

    assert "secret" not in f"{caught.value} {caught.value.hint}"
    assert all(process.poll() is not None for process in begun)


def test_what_the_command_is_told_first_is_what_it_says(begun, monkeypatch):
    """Those that are stopped for it fail as well."""
    begin, all_of_them = workers._begin, []

    def scripted(heard):
        worker = begin(workers.queue.Queue())
        all_of_them.append(worker)
        if len(all_of_them) == 3:
            for at in (1, 0, 2):
                words = "the reason" if at == 1 else "was stopped"
                heard.put((all_of_them[at], workers.Told(failed="EngineError", message=words, hint="again")))
            for one in all_of_them:
                heard.put((one, None))
        return worker

    monkeypatch.setattr(workers, "_begin", scripted)
    with pytest.raises(EngineError, match="the reason"):
        workers.run(Holder(), Holder(), [NOWHERE] * 3, lambda *_: None)


class Hangs:
    """A process that does not end, by a clock that stands still but while somebody waits for it."""

    def __init__(self, clock, told):
        self.clock, self.told, self.killed = clock, told, False

    def poll(self):
        return -9 if self.killed else None

    def wait(self, timeout=None):
        if self.killed:
            return -9
        self.told.append("wait")
        self.clock.now += timeout
        raise subprocess.TimeoutExpired("worker", timeout)

    def kill(self):
        self.killed = True


def test_workers_that_hang_are_waited_for_together(monkeypatch):
    clock, told, made = SimpleNamespace(now=100.0), [], []

    def hangs(heard):
        made.append(Hangs(clock, told))
        return workers._Worker(
            made[-1],
            SimpleNamespace(close=lambda: told.append("close"), write=lambda _: None, flush=lambda: None),
        )

    monkeypatch.setattr(workers, "_begin", hangs)
    monkeypatch.setattr(workers, "time", SimpleNamespace(monotonic=lambda: clock.now))
    holder = Holder()
    holder.off = True
    with pytest.raises(KeyboardInterrupt):
        workers.run(holder, holder, [NOWHERE] * 4, lambda *_: None)

    assert told[:5] == ["close"] * 4 + ["wait"], "first all of them are told to end"
    assert clock.now - 100.0 <= workers._ENDING_SECONDS, "one time for all of them"
    assert all(one.killed for one in made)


def test_a_worker_that_nobody_hears_ends():
    worker = subprocess.Popen(
        [sys.executable, "-m", "replicator.backfill.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    worker.stdout.close()
    worker.stdin.write(msgspec.json.encode(workers.Begin(NOWHERE, clock.seconds() + 60)) + b"\n")
    worker.stdin.flush()  # and it stays open: the command may be there still

    try:
        assert worker.wait(60) == 1
    finally:
        worker.kill()
        worker.stdin.close()


@pytest.mark.parametrize(
    ("size", "cores", "wanted"), [(0, 8, 1), (2**28, 8, 1), (2**30, 8, 4), (2**40, 8, 8), (2**40, 1, 1)]
)
def test_a_table_gets_as_many_processes_as_it_is_worth_and_the_machine_has(size, cores, wanted, monkeypatch):
    monkeypatch.setattr(workers.os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)

    assert workers.processes_for(size) == wanted


def test_a_borrowed_lease_lasts_as_long_as_it_is_told():
    lease = Borrowed("load", clock.seconds() + 60)
    lease.check()
    lease.end()

    assert lease.until == -math.inf
    with pytest.raises(Refused, match="lost its lease"):
        lease.check()
