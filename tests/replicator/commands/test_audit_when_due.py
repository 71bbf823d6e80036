"""A worker's audit: twice a day, by one worker, and soon again behind one that found something."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ddbverify.errors import Refused
from ddbverify.names import BETWEEN, SOURCE, Fact
from replicator.audits.place import WORKER
from replicator.commands import audit, audit_when_due
from replicator.commands.audit_when_due import AGAIN_SECONDS, EVERY_SECONDS, Auditor, when_due
from replicator.context import live
from replicator.handlers.state import State
from tests.replicator.fakes import STATE, FakeDynamoDB, Rooted, refusal

READY = {Fact.BOUNDARY: {"boundary_epoch": 1}, Fact.FOLLOWING: {"since": "now"}}


@pytest.fixture
def context(monkeypatch):
    database = FakeDynamoDB()
    made = Rooted(
        config=SimpleNamespace(tables=("orders",)),
        whole=State.whole(database, STATE),
        state=lambda _: State.of_pair(database, STATE, "orders"),
        resources=lambda _: {"ledger_table": "ledger"},
        now=1_800_000_000.0,
        audits=0,
        fails=None,
        warned=[],
    )
    made.begun = lambda: True
    made.server_time = lambda: made.now
    made.console = SimpleNamespace(warn=made.warned.append)
    for fact, attributes in READY.items():
        made.state("orders").put(fact, **attributes)

    def audited(_, *, by):
        assert by == WORKER
        made.audits += 1
        if made.fails:
            raise made.fails

    monkeypatch.setattr(audit, "audit", audited)
    return made


def test_it_audits_twice_a_day_and_only_one_worker_does(context):
    for _ in range(24 * 2):  # two workers look every half an hour, for a day
        for _ in range(2):
            when_due(context)
        context.now += 1800

    assert context.audits == 2


def test_of_two_workers_that_look_at_once_one_audits(context, monkeypatch):
    put_over = State.put_over

    def late(self, fact, before, **attributes):
        put_over(self, fact, before, at_epoch=1_800_000_000 + AGAIN_SECONDS)  # the other one was faster
        return put_over(self, fact, before, **attributes)

    monkeypatch.setattr(State, "put_over", late)
    assert when_due(context) is False
    assert context.audits == 0


def test_one_that_found_something_is_made_again_soon(context):
    context.fails = Refused("3 changes never applied.", "look.")
    with pytest.raises(Refused):
        when_due(context)
    context.fails = None
    context.now += AGAIN_SECONDS - 1
    assert when_due(context) is False
    context.now += 1
    assert when_due(context) is True
    context.now += EVERY_SECONDS - 1
    assert when_due(context) is False


@pytest.mark.parametrize(
    "spoil",
    [
        lambda context: context.state("orders").delete(Fact.BOUNDARY),
        lambda context: context.state("orders").delete(Fact.FOLLOWING),
        lambda context: context.state("orders").put(Fact.RESTARTING, number=1),
        lambda context: context.whole.put(Fact.CUTOVER, fenced=True),
        lambda context: live.note(context, BETWEEN, 0),
        lambda context: setattr(context, "resources", lambda _: {}),
    ],
)
def test_it_waits_for_its_turn(context, spoil):
    """Before there is something to audit, and beside a cutover, which audits by itself."""
    spoil(context)
    assert when_due(context) is False
    assert context.audits == 0


def test_before_up_and_behind_down_nothing_is_asked(context):
    """A worker may be started first: a state table that is not there is no fault to be told of."""
    context.begun = lambda: False
    del context.whole
    assert when_due(context) is False
    assert context.audits == 0


def test_behind_a_flip_the_source_is_watched_on(context):
    context.whole.put(Fact.CUTOVER, fenced=True, flipped=True)
    live.note(context, SOURCE, 0)
    assert when_due(context) is True


def test_what_it_found_is_told_and_ends_no_worker(context):
    context.fails = Refused("3 changes never applied.", "look.")
    auditor = Auditor()
    auditor(context)
    auditor._thread.join()

    assert context.warned == ["the audit of this worker: 3 changes never applied. Try: look."]
    auditor(context)
    auditor._thread.join()
    assert context.audits == 1, "not again at each look"
    assert audit_when_due.EVERY_SECONDS < 24 * 3600 / 2 + 1


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RuntimeError("an item's value"), "RuntimeError, which nobody has expected."),
        (refusal("InternalServerError"), "AWS refused to audit: InternalServerError"),
    ],
)
def test_whatever_ends_an_audit_is_told_and_it_is_made_again(context, error, told):
    """Another exception ended the thread with a traceback, and the worker said nothing."""
    context.fails = error
    auditor = Auditor()
    auditor(context)
    auditor._thread.join()

    (warned,) = context.warned
    assert warned.startswith(f"the audit of this worker: {told}")
    assert "value" not in warned
    assert "Try: " in warned
    context.fails = None
    context.now += AGAIN_SECONDS
    assert when_due(context) is True
