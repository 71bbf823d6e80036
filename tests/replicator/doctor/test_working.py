"""What the doctor says of workers: who is missing, who stands, who falls behind."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from replicator.aws import workers
from replicator.aws.workers import Seen
from replicator.context import live
from replicator.doctor import working
from tests.replicator.fakes import refusal

AT_WORK = {"forwarder": 2.0, "consumer": 3.0}


def said(missing=(), signs=None, behind=30.0, standing=()):
    seen = Seen(missing, AT_WORK if signs is None else signs, behind, standing)
    return [(str(one.state), one.what, one.hint) for one in working.judge("a -> b", seen)]


def test_workers_at_work_are_in_order():
    ((state, what, _),) = said()
    assert state == "ok"
    assert "forwarder: the last sign of work is 2 s old" in what


@pytest.mark.parametrize(("ago", "told"), [(7200.0, "2.0 h old"), (None, "none has worked yet")])
def test_a_missing_worker_is_a_problem_with_the_age_of_its_last_sign(ago, told):
    ((state, what, hint),) = said(("forwarder",), {**AT_WORK, "forwarder": ago})
    assert (state, told in what, "24 hours" in hint) == ("problem", True, True)
    assert "start `replicator worker`" in hint


def test_a_worker_that_stands_is_a_problem():
    ((state, what, hint),) = said(signs={**AT_WORK, "consumer": 700.0}, standing=("consumer",))
    assert (state, what) == ("problem", "its consumer stands; the last sign of work is 12 min old")
    assert "log" in hint


def test_a_stream_that_is_read_too_far_behind_is_a_warning():
    assert said(behind=900.0)[0][0] == "ok"
    ((state, what, _),) = said(behind=901.0)
    assert (state, "15 min ago" in what) == ("warning", True)


def test_switched_off_nobody_has_to_be_there():
    assert [one[0] for one in said(signs={}, behind=None)] == ["ok"]


def of(monkeypatch, seen, *, worker=True, begun=True):
    monkeypatch.setattr(live, "read", lambda _: live.Live("source", 0))
    monkeypatch.setattr(workers, "seen", lambda *_: seen())
    config = SimpleNamespace(name="m", tables=["a -> b"], replicated=SimpleNamespace(worker=worker))
    context = SimpleNamespace(config=config, begun=lambda: begun)
    context.turned = lambda _: context
    return [str(one.state) for one in working.examine(context)]


def refused():
    raise refusal("AccessDeniedException", "Query")


def test_what_aws_refuses_is_not_checked_and_functions_have_no_finding(monkeypatch):
    assert of(monkeypatch, refused) == ["not checked"]
    assert of(monkeypatch, lambda: Seen(("consumer",), {"consumer": None}, None)) == ["problem"]
    assert of(monkeypatch, refused, begun=False) == ["ok"]
    assert of(monkeypatch, refused, worker=False) == []
    assert of(monkeypatch, lambda: None) == []
