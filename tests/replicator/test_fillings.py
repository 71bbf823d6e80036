"""A target that is filled from a scan of the live source, or from a second of its past."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError

from ddbverify.errors import Refused
from ddbverify.names import Fact
from replicator import backfill, boundary, filling
from replicator.state import State
from tests.replicator.fakes import STATE, FakeDynamoDB, refusal
from tests.replicator.migrations import SOURCE_REGION, Migration

pytestmark = pytest.mark.engine("ministack")


@pytest.fixture
def begun(aws, unique, tmp_path, monkeypatch):
    for name, value in aws.variables(SOURCE_REGION).items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(tmp_path)
    made = Migration(aws, unique("f"), tmp_path)
    for number in range(60):
        made.put(f"k{number}", f"v{number}")
    yield made
    made.down()  # mappings that poll for nobody slow the others' tests down


def busy(migration):
    def write(number):
        key = f"k{number % 80}"
        if number % 5 == 3:
            migration.remove(key)
        else:
            migration.put(key, f"w{number}")

    return migration.traffic(write)


@pytest.mark.e2e
def test_a_scan_under_writes_that_is_interrupted_goes_on_with_its_first_boundary(begun, monkeypatch):
    begun.configure(backfill="scan", transform="louder")
    original, pages = backfill.Load._load_page, []

    def third_page_fails(load, page):
        pages.append(len(page))
        if len(pages) == 3:
            raise refusal("InternalServerError")
        return original(load, page)

    with busy(begun):
        assert begun.up()["pairs"] == {str(begun.pair): None}
        monkeypatch.setattr(backfill.Load, "_load_page", third_page_fails)
        with pytest.raises(ClientError, match="InternalServerError"):
            begun.restore()
        monkeypatch.setattr(backfill.Load, "_load_page", original)
        first = begun.state().get(Fact.BOUNDARY)
        time.sleep(1.1)
        begun.restore()

    assert begun.state().get(Fact.BOUNDARY) == first
    assert first["how"] == "scan"
    begun.assert_equal()
    begun.configure(backfill="backup", transform="louder")
    with pytest.raises(Refused, match="backfill has changed"):
        begun.up()


@pytest.mark.e2e
def test_a_second_of_the_past_under_writes(begun):
    begun.database.update_continuous_backups(
        TableName=begun.source, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )
    begun.configure(backfill="pitr")
    with busy(begun):
        fixed = begun.up()["pairs"][str(begun.pair)]
        begun.restore()

    assert fixed["how"] == "pitr"
    assert fixed["boundary_epoch"] == fixed["backup_epoch"] - 1
    begun.assert_equal()
    begun.down()
    assert begun.left_over() == []


@pytest.mark.xfail(strict=True, reason="ministack restores the present, whatever second is asked for")
def test_a_restore_to_a_point_in_time_honours_the_time(begun):
    begun.database.update_continuous_backups(
        TableName=begun.source, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )
    begun.configure(backfill="pitr")
    context = begun.context()
    source = context.source_table(begun.pair)
    then = int(context.server_time())
    time.sleep(2)
    begun.put("later", "v")
    backfill.restore_past(context.source, source, then, f"{begun.target}-past", indexes=False)

    assert "later" not in begun.items(SOURCE_REGION, f"{begun.target}-past")


# --- the second that is chosen ------------------------------------------------------------------


class Recovery:
    """A source whose latest restorable second lies *behind* seconds behind the clock."""

    def __init__(self, behind):
        self.behind, self.now = behind, 1_800_000_000.0

    def describe_continuous_backups(self, **_):
        latest = datetime.fromtimestamp(self.now - self.behind, UTC)
        found = {
            "PointInTimeRecoveryStatus": "ENABLED",
            "EarliestRestorableDateTime": datetime.fromtimestamp(self.now - 86400, UTC),
            "LatestRestorableDateTime": latest,
        }
        return {"ContinuousBackupsDescription": {"PointInTimeRecoveryDescription": found}}


@pytest.mark.parametrize(
    ("on_for", "stopped_for", "waits"), [(86400, None, False), (10, None, True), (86400, 5, True)]
)
def test_the_chosen_second_is_late_enough_and_no_later_than_can_be_restored(
    monkeypatch, on_for, stopped_for, waits
):
    source, state = Recovery(behind=300), State.of_pair(FakeDynamoDB(), STATE, "pair")
    began = source.now
    label = datetime.fromtimestamp(began - on_for, UTC).replace(tzinfo=None).isoformat()
    state.put(Fact.STEP + "stream", since=label)
    if stopped_for:
        state.put(Fact.RESTARTING, number=1, backup="", stopped_epoch=int(began) - stopped_for)
    context = SimpleNamespace(
        source=source,
        state=lambda pair: state,
        pace=SimpleNamespace(poll_seconds=5.0),
        config=SimpleNamespace(replicated=SimpleNamespace(backfill="pitr", overlap=60.0)),
    )
    monkeypatch.setattr(
        boundary, "time", SimpleNamespace(sleep=lambda seconds: setattr(source, "now", source.now + seconds))
    )
    plan = SimpleNamespace(pair=None, source=SimpleNamespace(name="orders"))

    class Lost:
        def check(self):
            raise Refused("lost", "run it again")

    step = SimpleNamespace(at=lambda _: None)
    with pytest.raises(Refused):
        boundary.fix(context, plan, Lost(), step)
    assert state.get(Fact.BOUNDARY) is None, "whoever has lost the lease meanwhile fixes nothing"
    source.now = began
    boundary.fix(context, plan, SimpleNamespace(check=lambda: None), step)

    fixed = state.get(Fact.BOUNDARY)
    assert (source.now > began) is waits
    assert fixed["backup_epoch"] <= source.now - 300
    ready = max(began - on_for, began - stopped_for if stopped_for else 0) + 61
    assert fixed["backup_epoch"] >= ready
    assert fixed["boundary_epoch"] == fixed["backup_epoch"] - 60


def test_a_target_that_somebody_else_made_meanwhile_is_neither_filled_nor_taken_for_ours():
    state = State.of_pair(FakeDynamoDB(), STATE, "orders")
    pair = SimpleNamespace(target="orders-v2")
    context = SimpleNamespace(state=lambda _: state, target_table=lambda _: "somebody's")
    plan = SimpleNamespace(pair=pair, target=None, needs_staging=False)

    with pytest.raises(Refused, match="was not there when this command began"):
        filling.fill(context, plan, None, None)
    assert state.get(filling.MADE) is None  # `down` and `restart` remove what has this fact
    assert state.get(filling.FILLING) is None  # and the next run looks whether it is empty
