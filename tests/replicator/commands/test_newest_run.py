"""What is noted of the newest run stays the newest, whichever machine it was made on."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from ddbverify.names import Fact
from ddbverify.pipeline.newest_run import NewestRun
from replicator.commands import audit, newest_run
from replicator.handlers.state import State
from tests.replicator.fakes import STATE, FakeDynamoDB, Rooted

OLDER = NewestRun("20261118T100000Z-" + "a" * 32, 1_795_000_000_000, "1" * 64)
NEWER = NewestRun("20261118T110000Z-" + "b" * 32, 1_795_003_600_250, "2" * 64)
NEWER_DIED = NewestRun(NEWER.run_id, 1_795_003_600_000, "")


@pytest.fixture
def context():
    return Rooted(config=None, whole=State.whole(FakeDynamoDB(), STATE))


@pytest.mark.parametrize(
    ("seen", "kept"),
    [
        ([None], None),
        ([OLDER], OLDER),
        ([OLDER, NEWER], NEWER),
        ([NEWER, OLDER], NEWER),
        ([NEWER, None], NEWER),
        ([OLDER, NEWER_DIED, OLDER], NEWER_DIED),
        ([NEWER_DIED, NEWER], NEWER),
        ([NEWER, NEWER_DIED], NEWER),
    ],
)
def test_the_newest_of_all_that_were_seen_is_noted(context, monkeypatch, seen, kept):
    for run in seen:
        monkeypatch.setattr(newest_run, "newest", lambda config, run=run: run)
        newest_run.note(context)

    assert NewestRun.of_fact(context.whole.get(Fact.NEWEST_RUN)) == kept


def test_a_note_that_cannot_be_read_is_written_anew(context, monkeypatch):
    context.whole.put(Fact.NEWEST_RUN, run_id="x")
    monkeypatch.setattr(newest_run, "newest", lambda config: OLDER)

    newest_run.note(context)

    assert NewestRun.of_fact(context.whole.get(Fact.NEWEST_RUN)) == OLDER


@pytest.mark.parametrize("before", [None, {"run_id": "x"}, OLDER.as_fact()])
@pytest.mark.parametrize("mine", [OLDER, NEWER, NEWER_DIED])
def test_one_that_another_machine_notes_meanwhile_is_not_replaced_by_an_older(
    context, monkeypatch, before, mine
):
    """Between the read and the write another gate had noted a newer run, and this one's took its place."""
    database = context.whole.client
    if before is not None:
        context.whole.put(Fact.NEWEST_RUN, **before)
    read, others = database.get_item, [NEWER]

    def read_and_noted(**arguments):
        answer = read(**arguments)
        if others:
            context.whole.put(Fact.NEWEST_RUN, **others.pop().as_fact())
        return answer

    monkeypatch.setattr(database, "get_item", read_and_noted)
    monkeypatch.setattr(newest_run, "newest", lambda config: mine)
    newest_run.note(context)

    assert NewestRun.of_fact(context.whole.get(Fact.NEWEST_RUN)) == NEWER


def test_an_audit_notes_it_before_it_finds_anything(context, monkeypatch):
    monkeypatch.setattr(newest_run, "newest", lambda config: OLDER)
    context.need_begun = context.need_no_restart = lambda: None
    context.config = SimpleNamespace(tables=())
    monkeypatch.setattr(audit.notices, "of", lambda *_: audit.notices.SILENT)

    audit.audit(context)

    assert context.whole.get(Fact.NEWEST_RUN) is not None
