"""A target that is filled from a scan of the live source, or from a second of its past."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError

from ddbverify.errors import Refused
from ddbverify.names import Fact
from replicator.backfill import backups, boundary, filling, ownership
from replicator.backfill.load import Load
from replicator.context import tables
from replicator.handlers.state import State
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
    original, pages = Load._load_page, []

    def third_page_fails(load, page, file):
        pages.append(len(page))
        if len(pages) == 3:
            raise refusal("InternalServerError")
        return original(load, page, file)

    with busy(begun):
        assert begun.up()["pairs"] == {str(begun.pair): None}
        monkeypatch.setattr(Load, "_load_page", third_page_fails)
        with pytest.raises(ClientError, match="InternalServerError"):
            begun.restore()
        monkeypatch.setattr(Load, "_load_page", original)
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
    backups.restore_past(context.source, source, then, f"{begun.target}-past", indexes=False)

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


# --- whose a table is ---------------------------------------------------------------------------


BACKUP = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/backup/1"


class Tables:
    """Tables as DynamoDB describes them; `taken` makes somebody else's between the look and the request."""

    meta = SimpleNamespace(region_name=SOURCE_REGION)

    def __init__(self):
        self.there, self.taken, self.made = {}, None, 0

    def describe_table(self, *, TableName):  # noqa: N803
        if TableName not in self.there:
            raise refusal("ResourceNotFoundException")
        return {
            "Table": {
                "TableArn": f"arn:aws:dynamodb:eu-west-1:123456789012:table/{TableName}",
                "TableStatus": "ACTIVE",
                "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
                "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
                **self.there[TableName],
            }
        }

    def _make(self, name, code, **more):
        if self.taken is not None:
            self.there[name] = self.taken
            raise refusal(code)
        self.made += 1
        self.there[name] = {"TableId": f"ours-{self.made}", **more}
        return {"TableDescription": self.there[name]}

    def create_table(self, *, TableName, **_):  # noqa: N803
        return self._make(TableName, "ResourceInUseException")

    def restore_table_from_backup(self, *, TargetTableName, BackupArn, **_):  # noqa: N803
        summary = {"SourceBackupArn": BackupArn, "RestoreInProgress": True}
        return self._make(TargetTableName, "TableAlreadyExistsException", RestoreSummary=summary)


class Bench:
    """A filling over such tables; what is loaded is of no interest."""

    def __init__(self, monkeypatch, *, emulator=False):
        self.state = State.of_pair(FakeDynamoDB(), STATE, "orders")
        self.state.put(Fact.BOUNDARY, how="backup", backup_arn=BACKUP, backup_epoch=1)
        self.database = Tables()
        self.pair = SimpleNamespace(id="orders", source="orders", target="orders-v2", transform=None)
        self.context = SimpleNamespace(
            emulator=emulator,
            one_load=threading.Lock(),
            state=lambda _: self.state,
            source=self.database,
            target=self.database,
            target_table=lambda pair: tables.find(self.database, pair.target),
            pace=SimpleNamespace(poll_seconds=0),
            config=SimpleNamespace(name="m"),
        )
        self.counts = dict.fromkeys(("read", "written", "quarantined"), 0)
        monkeypatch.setattr(filling, "_load", lambda *_, **__: self.counts)
        monkeypatch.setattr(tables, "delete", lambda client, name, **_: self.database.there.pop(name, None))

    def fill(self, *, transform=False, rekeys=False, step=None):
        there = tables.find(self.database, "orders-v2")
        plan = SimpleNamespace(
            pair=self.pair,
            target=there,
            needs_staging=transform or there is not None,
            source=SOURCE,
            transform=SimpleNamespace(rekeys=rekeys),
        )
        step = step or SimpleNamespace(at=lambda _: None, result="")
        return filling.fill(self.context, plan, None, step)

    def ours(self):
        found = tables.find(self.database, "orders-v2")
        return ownership.is_ours(self.context, self.pair, ownership.MADE, found)


SOURCE = SimpleNamespace(
    description={
        "AttributeDefinitions": [],
        "KeySchema": [],
        "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"},
    }
)
ANOTHERS = {"TableId": "somebody's"}


@pytest.mark.parametrize("transform", [False, True])
def test_a_target_that_is_made_is_ours_and_one_that_replaces_it_is_not(monkeypatch, transform):
    bench = Bench(monkeypatch)

    assert bench.fill(transform=transform)["how"] == ("load" if transform else "restore")
    assert bench.ours()
    assert bench.fill(transform=transform), "once more: it goes on"
    bench.database.there["orders-v2"] = ANOTHERS
    assert not bench.ours()


@pytest.mark.parametrize(
    ("rekeys", "said"),
    [
        (False, "2 items read, 1 written, 1 in the quarantine"),
        (True, "2 items of the source read, 30 of the target written, 1 of the source in the quarantine"),
    ],
)
def test_of_a_pair_that_changes_its_keys_it_is_said_whose_items_are_counted(monkeypatch, rekeys, said):
    bench, step = Bench(monkeypatch), SimpleNamespace(at=lambda _: None, result="")
    bench.counts.update(read=2, written=30 if rekeys else 1, quarantined=1)
    bench.fill(transform=True, rekeys=rekeys, step=step)

    assert step.result == said


@pytest.mark.parametrize("replaced", [False, True])
def test_a_target_that_is_removed_in_the_middle_of_a_load_is_not_filled_by_halves(monkeypatch, replaced):
    """The segments that are done would not be loaded again: what they hold would be missing."""
    bench = Bench(monkeypatch)
    bench.fill(transform=True)
    bench.state.put(f"{Fact.LOADED}0", done=True)
    assert bench.fill(transform=True), "into the same table it goes on"
    del bench.database.there["orders-v2"]
    if replaced:
        bench.database.there["orders-v2"] = ANOTHERS

    with pytest.raises(Refused, match="not the table that the load began to fill") as caught:
        bench.fill(transform=True)
    assert "replicator restart" in caught.value.hint
    assert ("orders-v2" in bench.database.there) is replaced, "no other is made"
    with pytest.raises(Refused, match="not the table that the load began to fill"):
        bench.fill(transform=True)


@pytest.mark.parametrize("emulator", [False, True])
@pytest.mark.parametrize("transform", [False, True])
def test_a_table_that_somebody_makes_right_before_we_do_is_not_ours(monkeypatch, transform, emulator):
    """`down` would have deleted it: that it was to be made was recorded, and not that it was."""
    bench = Bench(monkeypatch, emulator=emulator)
    if transform:
        bench.database.there["replicator-m-orders-staging"] = {"TableId": "ours-0"}
        bench.state.put(ownership.STAGING, table="replicator-m-orders-staging", id="ours-0")
    bench.database.taken = ANOTHERS

    with pytest.raises(Refused, match="was not there when this command began"):
        bench.fill(transform=transform)
    assert not bench.ours()
    found = tables.find(bench.database, "orders-v2")
    assert not ownership.is_being_filled(bench.context, bench.pair, found), "it has to be empty"


def test_a_restore_whose_first_answer_was_lost_is_ours_by_what_it_came_from(monkeypatch):
    bench = Bench(monkeypatch)
    bench.database.taken = {"TableId": "ours", "RestoreSummary": {"SourceBackupArn": BACKUP}}

    assert bench.fill() == {"how": "restore"}
    assert bench.state.get(ownership.MADE)["id"] == "ours"


SECOND = datetime.fromtimestamp(1_800_000_000, UTC)


@pytest.mark.parametrize(
    ("origin", "summary", "ours"),
    [
        ({"how": "backup", "backup_arn": BACKUP}, {"SourceBackupArn": BACKUP}, True),
        ({"how": "backup", "backup_arn": BACKUP}, {"SourceBackupArn": BACKUP + "2"}, False),
        ({"how": "backup", "backup_arn": BACKUP}, None, False),
        ({"how": "pitr", "backup_epoch": 1_800_000_000}, {"RestoreDateTime": SECOND}, True),
        ({"how": "pitr", "backup_epoch": 1_800_000_001}, {"RestoreDateTime": SECOND}, False),
        ({"how": "pitr", "backup_epoch": 1_800_000_000}, None, False),
    ],
)
def test_what_a_killed_restore_left_is_ours_by_what_it_came_from(monkeypatch, origin, summary, ours):
    bench = Bench(monkeypatch)
    bench.state.put(Fact.BOUNDARY, **origin)
    bench.state.put(ownership.MADE, how="restore")  # killed before the answer was recorded
    of = {"SourceTableArn": "arn:aws:dynamodb:eu-west-1:123456789012:table/orders"}
    bench.database.there["orders-v2"] = {
        "TableId": "one",
        **({"RestoreSummary": {**of, **summary}} if summary else {}),
    }

    assert bench.ours() is ours


def test_a_staging_table_of_somebody_else_is_neither_read_nor_removed(monkeypatch):
    bench = Bench(monkeypatch)
    name = "replicator-m-orders-staging"
    bench.database.there[name] = ANOTHERS

    with pytest.raises(Refused, match="has not restored it"):
        bench.fill(transform=True)
    assert ownership.staging(bench.context, bench.pair) is None
    bench.state.put(ownership.STAGING, table=name)  # killed before it was asked for
    assert ownership.staging(bench.context, bench.pair) is None
    bench.database.there[name] = {"TableId": "x", "RestoreSummary": {"SourceBackupArn": BACKUP}}
    assert ownership.staging(bench.context, bench.pair) == name


@pytest.mark.e2e
def test_a_restore_of_the_target_itself_that_was_killed_goes_on(aws, unique, tmp_path, monkeypatch):
    for name, value in aws.variables(SOURCE_REGION).items():
        monkeypatch.setenv(name, value)
    killed = Migration(aws, unique("k"), tmp_path, target_region=SOURCE_REGION)
    killed.configure()
    killed.put("k1", "v1")
    killed.up()
    restore = backups.restore

    def dies(client, *arguments, **more):
        restore(client, *arguments, **more)
        raise KeyboardInterrupt

    monkeypatch.setattr(backups, "restore", dies)
    with pytest.raises(KeyboardInterrupt):
        killed.restore()
    monkeypatch.setattr(backups, "restore", restore)
    killed.restore()

    assert killed.state().get(ownership.MADE)["id"] == killed.context().target_table(killed.pair).id
    killed.assert_equal()
    killed.down()
    assert killed.left_over() == []


def test_a_target_that_somebody_else_made_meanwhile_is_neither_filled_nor_taken_for_ours():
    state = State.of_pair(FakeDynamoDB(), STATE, "orders")
    pair = SimpleNamespace(target="orders-v2")
    context = SimpleNamespace(state=lambda _: state, target_table=lambda _: "somebody's")
    plan = SimpleNamespace(pair=pair, target=None, needs_staging=False)

    with pytest.raises(Refused, match="was not there when this command began"):
        filling.fill(context, plan, None, None)
    assert state.get(ownership.MADE) is None  # `down` and `restart` remove what has this fact
    assert state.get(ownership.FILLING) is None  # and the next run looks whether it is empty
