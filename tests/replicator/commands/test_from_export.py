"""A target that is filled from a point-in-time export of the source, under writes, on the embedded AWS."""

from __future__ import annotations

import time

import pytest

from ddbverify.errors import ConfigurationError, EngineError, Refused
from ddbverify.names import Fact
from replicator.backfill import boundary
from replicator.backfill.load import Load
from replicator.stack import bundle
from tests.failpoints.points import Killed, Points
from tests.replicator.exporting import Exports
from tests.replicator.migrations import SOURCE_REGION, Migration

pytestmark = [pytest.mark.engine("ministack"), pytest.mark.e2e]


@pytest.fixture
def begun(aws, unique, tmp_path, monkeypatch):
    for name, value in aws.variables(SOURCE_REGION).items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(tmp_path)
    built = {}  # the same every time, and most of what a short run costs
    build = bundle.build

    def once(names):
        if (key := tuple(names)) not in built:
            built[key] = build(names)
        return built[key]

    monkeypatch.setattr(bundle, "build", once)
    made = Migration(aws, unique("x"), tmp_path)
    for number in range(60):
        made.put(f"k{number}", f"v{number}")
    made.database.update_continuous_backups(
        TableName=made.source, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
    )
    yield made
    made.down()  # mappings that poll for nobody slow the others' tests down


@pytest.fixture
def exports(begun, aws, tmp_path, monkeypatch):
    made = Exports(aws, tmp_path / "exports")
    made.install(monkeypatch)
    return made


def configure(migration, *, to="", named="", transform=""):
    migration.configure(backfill="export", transform=transform)
    file = migration.folder / "migration.toml"
    text = file.read_text()
    if to:
        text = text.replace("[replication]\n", f'[replication]\nexport_to = "s3://{to}"\n')
    if named:
        text = text.replace("[[tables]]\n", f'[[tables]]\nexport = "{named}"\n')
    file.write_text(text)


def busy(migration):
    def write(number):
        key = f"k{number % 80}"
        if number % 5 == 3:
            migration.remove(key)
        else:
            migration.put(key, f"w{number}")

    return migration.traffic(write)


@pytest.mark.parametrize("transform", ["", "louder"])
def test_an_export_under_writes_becomes_the_target(begun, exports, transform):
    configure(begun, to=f"{exports.bucket}/some/where", transform=transform)
    exports.polls = 5
    with busy(begun):
        fixed = begun.up()["pairs"][str(begun.pair)]
        exports.calls.clear()
        begun.restore()
        asked = [
            (operation, arguments.get("Limit"))
            for operation, arguments in exports.calls
            if operation in ("Scan", "Query", "GetItem") and arguments["TableName"] == begun.source
        ]

    # Nothing of the source but the 25 items that a transform is tried on.
    assert asked == ([("Scan", 25)] if transform else [])
    (export,) = exports.made.values()
    assert fixed["how"] == "export"
    assert fixed["export"].startswith(f"s3://{export.request['S3Bucket']}/some/where/AWSDynamoDB/")
    assert fixed["backup_epoch"] == int(export.request["ExportTime"].timestamp())
    assert fixed["boundary_epoch"] == fixed["backup_epoch"] - 1
    begun.assert_equal()
    loaded = begun.state().get(Fact.STEP + "backfill")
    assert loaded["read"] == len(export.items)
    begun.down()
    assert begun.left_over() == []


def test_a_load_that_is_interrupted_goes_on_behind_the_last_page(begun, exports, monkeypatch):
    configure(begun, to=exports.bucket)
    exports.files = 4
    begun.up()
    original, pages = Load._load_page, []

    def third_page_fails(load, page, file):
        pages.append(len(page))
        if len(pages) == 3:
            raise EngineError("as asked for by a test", "run it again")
        return original(load, page, file)

    monkeypatch.setattr(Load, "_load_page", third_page_fails)
    with pytest.raises(EngineError, match="as asked for"):
        begun.restore()
    monkeypatch.setattr(Load, "_load_page", original)
    exports.calls.clear()
    begun.restore()

    begun.assert_equal()
    assert begun.state().get(Fact.STEP + "backfill")["read"] == 60
    fetched = {
        arguments["Key"]
        for operation, arguments in exports.calls
        if operation == "GetObject" and "/data/" in arguments["Key"]
    }
    assert 0 < len(fetched) < 4, "what is in the target is not fetched again"


def test_an_export_that_fails_is_asked_for_anew(begun, exports):
    configure(begun, to=exports.bucket)
    exports.fails_with = "S3AccessDenied"
    with pytest.raises(EngineError, match=r"FAILED \(S3AccessDenied\)"):
        begun.up()
    assert begun.state().get(Fact.BOUNDARY) is None
    exports.fails_with = ""
    begun.up()
    begun.restore()

    begun.assert_equal()
    assert [one.status for one in exports.made.values()] == ["FAILED", "COMPLETED"]


def test_another_place_is_another_request(begun, exports):
    configure(begun, to=exports.bucket)
    begun.put("later", "v")

    def killed():
        raise KeyboardInterrupt

    exports.meanwhile = killed
    with pytest.raises(KeyboardInterrupt):
        begun.up()
    begun.state().put(
        boundary.ASKED, **{k: v for k, v in begun.state().get(boundary.ASKED).items() if k != "arn"}
    )
    exports.meanwhile = lambda: None
    begun.context().whole.delete("lock")
    configure(begun, to=f"{exports.bucket}/elsewhere")
    with pytest.raises(EngineError, match="ExportConflict"):
        begun.up()
    fixed = begun.up()["pairs"][str(begun.pair)]
    assert "/elsewhere/AWSDynamoDB/" in fixed["export"]


def test_one_that_is_named_fills_the_target_if_everything_since_is_known(begun, exports):
    """A restart may begin from the export of its first beginning, as from an older backup."""
    configure(begun, to=exports.bucket)
    first = begun.up()["pairs"][str(begun.pair)]
    begun.put("later", "v")
    configure(begun, to=exports.bucket, named=first["export"])
    with pytest.raises(Refused, match=r"\[\[tables\]\] export has changed"):
        begun.restore()
    with busy(begun):
        again = begun.restart()["pairs"][str(begun.pair)]
        assert again["boundary_epoch"] == first["boundary_epoch"]
    begun.assert_equal()
    assert len(exports.made) == 1
    time.sleep(2)
    with pytest.raises(Refused, match="the consumer was on after its boundary"):
        begun.restart()
    assert begun.state().get(Fact.RESTARTING) is None
    configure(begun, to=exports.bucket)
    begun.restart()
    begun.assert_equal()
    assert len(exports.made) == 2


def test_what_would_fail_later_is_refused_before_anything_is_made(begun, exports):
    configure(begun, to="no-such-bucket-of-ours")
    with pytest.raises(ConfigurationError, match="there is no bucket no-such-bucket-of-ours"):
        begun.up()
    configure(begun, to=exports.bucket)
    begun.database.update_continuous_backups(
        TableName=begun.source, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": False}
    )
    with pytest.raises(ConfigurationError, match='backfill = "export", but point-in-time recovery'):
        begun.up()
    configure(begun, named=f"s3://{exports.bucket}/AWSDynamoDB/01700000000000-0a1b2c3d")
    with pytest.raises(ConfigurationError, match=r"there is no manifest-summary\.json"):
        begun.up()
    assert begun.left_over() == []


def test_an_export_of_a_time_before_the_stream_is_refused(begun, exports):
    configure(begun, to=exports.bucket)
    address = begun.up()["pairs"][str(begun.pair)]["export"]
    begun.down()
    configure(begun, named=address)
    with pytest.raises(Refused, match="its stream is off"):
        begun.up()
    begun.database.update_table(
        TableName=begun.source,
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    )
    with pytest.raises(Refused, match="the stream had not been on for the overlap"):
        begun.up()
    assert begun.left_over() == []


def test_another_export_in_its_place_is_not_loaded(begun, exports):
    configure(begun, to=exports.bucket)
    fixed = begun.up()["pairs"][str(begun.pair)]
    bucket, _, key = fixed["export"].removeprefix("s3://").partition("/")
    s3 = begun.aws.client("s3", SOURCE_REGION)
    place = {"Bucket": bucket, "Key": f"{key}/manifest-files.json"}
    before = s3.get_object(**place)["Body"].read()
    s3.put_object(**place, Body=before + b"\n")
    s3.delete_object(Bucket=bucket, Key=f"{key}/manifest-files.md5")
    with pytest.raises(Refused, match="is not the one that `up` found there"):
        begun.restore()
    s3.put_object(**place, Body=before)
    begun.restore()
    begun.assert_equal()


# What dies here leaves an answer of S3's unread, as a process would not.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("command", ["up", pytest.param("restore", marks=pytest.mark.full)])
def test_a_run_that_dies_at_any_request_of_an_export_goes_on(begun, exports, monkeypatch, command):
    points = Points(most=2 if command == "up" else 1)
    points.install(monkeypatch)
    configure(begun, to=exports.bucket, transform="louder")
    kills, written = [], iter(range(10_000))
    if command == "restore":
        begun.up()
    points.chosen = lambda name: f"{command}.back" in name  # the steps `backup` and `backfill`
    while True:
        try:
            with points.running(command):
                getattr(begun, command)()
            break
        except Killed as killed:
            kills.append(str(killed))
            begun.context().whole.delete("lock")
            begun.put(f"k{next(written) % 70}", "w")
    points.chosen = lambda name: False
    if command == "up":
        assert any("ExportTableToPointInTime#1:after" in one for one in kills)
        assert any("DescribeExport#2:after" in one for one in kills)
        assert len(exports.made) == 1, "what is asked for again is the same export"
        begun.restore()
    else:
        assert any("s3.GetObject#1:before" in one for one in kills)
        assert any("BatchWriteItem" in one for one in kills)
    begun.assert_equal()
