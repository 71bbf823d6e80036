"""Several pairs go through their steps at once; what one of them meets is told, and ends the command."""

from __future__ import annotations

import signal
import threading
import time
from types import SimpleNamespace

import botocore.client
import pytest

from ddbverify.config import parse
from ddbverify.errors import EngineError
from replicator.commands import down, restore, up
from replicator.commands.together import each
from replicator.context.console import Console
from replicator.context.context import Context
from tests.replicator.commands.test_many_pairs import Migration as Several
from tests.replicator.context.test_context import FILE
from tests.replicator.migrations import SOURCE_REGION


class Words:
    def __init__(self):
        self.warned = []

    def warn(self, text):
        self.warned.append(text)


def bench():
    off = threading.Event()
    return SimpleNamespace(console=Words(), call_off=off.set, off=off)


def test_results_come_in_the_order_of_the_calls():
    later = threading.Event()

    def first():
        assert later.wait(10)
        return 1

    assert each(bench(), [("a", first), ("b", lambda: later.set() or 2)], 5) == [1, 2]
    assert each(bench(), [], 5) == []


def test_one_call_is_made_in_the_threads_own_place():
    assert each(bench(), [("a", threading.get_ident)], 5) == [threading.get_ident()]


def test_no_more_are_made_at_once_than_an_account_takes():
    guard, now, most = threading.Lock(), 0, 0
    both = threading.Barrier(2)

    def call():
        nonlocal now, most
        with guard:
            now += 1
            most = max(most, now)
        both.wait(10)
        with guard:
            now -= 1

    each(bench(), [(str(number), call) for number in range(6)], 2)

    assert most == 2


def test_the_first_failure_ends_it_once_what_is_under_way_has_ended():
    context, failed, done = bench(), threading.Event(), []

    def fails(word):
        failed.set()
        raise EngineError(f"{word} failed", "x")

    def slow():
        assert failed.wait(10)
        done.append("slow")

    calls = [
        ("a", slow),
        ("b", lambda: fails("b")),
        *((f"c{n}", lambda: done.append("begun")) for n in range(9)),
    ]
    with pytest.raises(EngineError, match="b failed"):
        each(context, calls, 2)

    assert "slow" in done


def test_the_other_pairs_errors_are_told_without_a_bugs_text():
    context, both = bench(), threading.Barrier(2)

    def fails(error):
        both.wait(10)
        raise error

    with pytest.raises(EngineError, match="first"):
        each(
            context,
            [("a", lambda: fails(EngineError("first", "x"))), ("b", lambda: fails(ValueError("a value")))],
            2,
        )
    assert context.console.warned[-1] == "b: ValueError"


def test_ctrl_c_calls_the_threads_off():
    context = bench()

    def waits():
        assert context.off.wait(10)
        raise KeyboardInterrupt

    def interrupts():
        signal.raise_signal(signal.SIGINT)
        waits()

    with pytest.raises(KeyboardInterrupt):
        each(context, [("a", waits), ("b", interrupts)], 2)


def test_what_is_called_off_sends_nothing_more(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    context = Context(parse(FILE, tmp_path), Console(as_json=True), tmp_path / "migration.toml")
    context.call_off()

    with pytest.raises(KeyboardInterrupt):
        context.target.list_tables()
    with pytest.raises(KeyboardInterrupt):
        context.need_going_on()


@pytest.mark.engine("ministack")
@pytest.mark.e2e
def test_streams_come_first_and_restores_are_asked_for_at_once(aws, unique, tmp_path, monkeypatch):
    for name, value in aws.variables(SOURCE_REGION).items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(tmp_path)
    moving = Several(aws, unique("t"), tmp_path)
    asked, call = [], botocore.client.BaseClient._make_api_call

    def watched(client, operation, arguments):
        name = arguments.get("StackName") or arguments.get("TableName") or arguments.get("TargetTableName")
        asked.append((operation, str(name)))
        return call(client, operation, arguments)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", watched)

    def places(wanted, part=""):
        return [at for at, (operation, name) in enumerate(asked) if operation == wanted and part in name]

    up.up(moving.context())
    streams, captures = places("UpdateTable"), places("CreateStack", "-capture")
    assert len(streams) == len(captures) == len(places("CreateBackup")) == 3
    assert max(streams) < min(captures)
    assert max(captures) < min(places("CreateBackup"))

    asked.clear()
    restore.restore(moving.context())
    ledgers, consumers = places("CreateStack", "-target"), places("CreateStack", "-apply")
    restores = places("RestoreTableFromBackup")
    assert len(restores) >= 3
    assert max(ledgers) < min(restores)
    assert max(restores) < min(consumers)
    down.down(moving.context())
    left = aws.client("cloudformation", SOURCE_REGION).describe_stacks()["Stacks"]
    ours = [one for one in left if moving.name[:14] in one["StackName"]]
    assert {one["StackStatus"] for one in ours} <= {"DELETE_COMPLETE"}


def test_steps_of_several_pairs_share_a_terminal():
    """Only one live display can be at a time: two steps at once used to end the second one."""
    console = Console()
    console.rich._force_terminal = True
    shown = []

    def step(name):
        with console.step(name) as one:
            one.at("half")
            time.sleep(0)
            shown.append(console._board._render().renderables[0].text.plain)

    each(bench(), [(name, lambda name=name: step(name)) for name in ("first", "second")], 2)
    with console.step("outer") as outer, console.step("inner"):
        outer.at("1 of 2")
        lines = console._board._render().renderables[0].text.plain.splitlines()

    assert {line for text in shown for line in text.split("\n  ")} >= {"first: half", "second: half"}
    assert lines == ["outer: 1 of 2", "  inner"]
    assert console._board._live is None
