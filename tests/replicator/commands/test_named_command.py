"""What a cutback is refused, or rolled back for, names `cutback`, which the operator has to run again."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

from ddbverify.config import parse
from ddbverify.errors import DdbVerifyError, Refused
from ddbverify.gate import gate
from ddbverify.names import Fact
from replicator.commands import (
    cutover_gate,
    cutover_hold,
    cutover_left,
    cutover_preflight,
    newest_run,
)
from replicator.handlers.state import State
from tests.replicator.commands.test_cutover import FILE, Held, quiet_step
from tests.replicator.fakes import STATE, FakeDynamoDB, Rooted


@pytest.fixture(params=["cutover", "cutback"])
def context(request, tmp_path, monkeypatch):
    monkeypatch.setattr(newest_run, "note", lambda _: None)
    console = SimpleNamespace(step=quiet_step, line=lambda _: None, warn=lambda _: None)
    whole = State.whole(FakeDynamoDB(), STATE)
    config = parse(f'{FILE}before_flip = "false"\n', tmp_path)
    return Rooted(config=config, console=console, whole=whole, flips_with=request.param)


def closed_gate(context, monkeypatch):
    closed = SimpleNamespace(open=False, reasons=("a check failed",))
    monkeypatch.setattr(gate, "judge", lambda *_, **__: closed)
    cutover_gate.ask(context)


def not_let_go(context, monkeypatch):
    answers, mine = os.pipe()
    os.write(mine, b"no\n")
    try:
        cutover_hold.hold(context, answers, 1e12, lambda: None, SimpleNamespace(at=lambda _: None))
    finally:
        os.close(answers)
        os.close(mine)


def no_agreement(context, monkeypatch):
    cutover_hold.ask_command(context, {"seconds_left": 5})


def a_fence_of_another_kind(context, monkeypatch):
    context.turned(0).whole.put(Fact.CUTOVER, fenced=True, fence="command:./fence")
    monkeypatch.setattr(cutover_left.closing, "not_moved", lambda _: None)
    monkeypatch.setattr(cutover_left.cutover_drain, "consumers_on", lambda _: None)
    cutover_left.lift(context, context.whole.get(Fact.CUTOVER))


def a_fence_that_nobody_names(context, monkeypatch):
    context.whole.put(f"{Fact.FENCE}other", opened=False)
    cutover_preflight.need_fenced_named(context)


def another_pointer(context, monkeypatch):
    wanted = SimpleNamespace(values={"/shop": "two"})
    cutover_preflight.need_pointer_of({"pointer": {"/shop": "one"}}, wanted, context.flips_with)


def a_fence_that_stays(context, monkeypatch):
    with cutover_left.lifting("It failed", context.flips_with):
        raise Refused("AWS says no.", "x")


def another_operator(context, monkeypatch):
    lock = Held()
    monkeypatch.setattr(lock, "lasts", lambda: False, raising=False)
    monkeypatch.setattr(lock, "regain", lambda: False, raising=False)
    cutover_left.need_ours(context, lock, "it slept")


@pytest.mark.parametrize(
    "refused",
    [
        closed_gate,
        not_let_go,
        no_agreement,
        a_fence_of_another_kind,
        a_fence_that_nobody_names,
        another_pointer,
        a_fence_that_stays,
        another_operator,
    ],
)
def test_it_is_named(context, monkeypatch, refused):
    with pytest.raises(DdbVerifyError) as caught:
        refused(context, monkeypatch)

    other = {"cutover": "cutback", "cutback": "cutover"}[context.flips_with]
    assert f"`replicator {context.flips_with}`" in caught.value.hint
    assert other not in f"{caught.value}".replace("[cutover]", "")
