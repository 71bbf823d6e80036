"""Backups that are waited for, and tables that are restored from them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ddbverify.errors import EngineError
from replicator.backfill import backups
from replicator.backfill.backups import Backup, await_backup, restore
from replicator.context.tables import NameTaken
from tests.replicator.fakes import refusal


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(backups.time, "sleep", lambda seconds: None)


class FakeBackups:
    def __init__(self, *statuses, error=None):
        self.statuses, self.error, self.asked = iter(statuses), error, []

    def describe_backup(self, *, BackupArn):  # noqa: N803
        details = {
            "BackupStatus": next(self.statuses),
            "BackupCreationDateTime": datetime.fromtimestamp(5.5, UTC),
        }
        return {"BackupDescription": {"BackupDetails": details}}

    def restore_table_from_backup(self, **arguments):
        self.asked.append(arguments)
        if self.error:
            raise self.error
        return {"TableDescription": {"TableId": "its-id"}}


def test_a_backup_is_waited_for_and_dated_by_the_server():
    assert await_backup(FakeBackups("CREATING", "CREATING", "AVAILABLE"), "arn", poll_seconds=1) == Backup(
        "arn", 5.5
    )


def test_a_backup_that_goes_away_is_an_error():
    with pytest.raises(EngineError, match="DELETED"):
        await_backup(FakeBackups("CREATING", "DELETED"), "arn", poll_seconds=1)


def test_a_restore_says_where_the_backup_is_not_found_and_raises_what_else_is_refused():
    assert restore(FakeBackups(), "arn", "orders-v2", indexes=True) == "its-id"
    assert restore(FakeBackups(error=refusal("BackupNotFoundException")), "arn", "x", indexes=True) is None
    for code in ("TableAlreadyExistsException", "TableInUseException"):
        with pytest.raises(NameTaken):
            restore(FakeBackups(error=refusal(code)), "arn", "x", indexes=True)
    with pytest.raises(EngineError, match="LimitExceeded"):
        restore(FakeBackups(error=refusal("LimitExceededException")), "arn", "x", indexes=True)


def test_a_staging_table_is_restored_without_indexes():
    plain, bare = FakeBackups(), FakeBackups()
    restore(plain, "arn", "x", indexes=True)
    restore(bare, "arn", "x", indexes=False)

    assert "GlobalSecondaryIndexOverride" not in plain.asked[0]
    assert bare.asked[0]["GlobalSecondaryIndexOverride"] == []
