"""A target that `ImportTable` makes of a point-in-time export, under writes, on the embedded AWS."""

from __future__ import annotations

import re

import pytest

from ddbverify.errors import ConfigurationError, EngineError, Refused
from ddbverify.names import Fact
from ddbverify.words import docs_folder
from replicator.backfill import filling, imports, ownership
from replicator.doctor import policies
from tests.failpoints.points import Killed, Points
from tests.replicator.commands.test_deployed import action_of
from tests.replicator.commands.test_from_export import begun, exports
from tests.replicator.importing import Imports
from tests.replicator.migrations import TARGET_REGION

__all__ = ("begun", "exports")  # fixtures
pytestmark = [pytest.mark.engine("ministack"), pytest.mark.e2e]


@pytest.fixture
def imported(exports, aws, monkeypatch):
    made = Imports(aws, TARGET_REGION)
    made.install(monkeypatch)
    return made


IMPORT_SIDS = {"Import", "AwaitTheImport", "FindTheImport", "FilesOfTheImport", "ListTheFiles"}


def configure(migration, exports, imported=None, *, transform="", rekeys=False, prefix="/some/where"):
    migration.configure(backfill="export", transform=transform, rekeys=rekeys)
    file = migration.folder / "migration.toml"
    settings = f'export_to = "s3://{exports.bucket}"\n'
    if imported is not None:
        settings += f'import_from = "s3://{imported.bucket}{prefix}"\n'
    file.write_text(file.read_text().replace("[replication]\n", f"[replication]\n{settings}"))


def written_to(imported, table):
    return [
        operation
        for operation, arguments in imported.calls
        if operation in ("BatchWriteItem", "PutItem", "CreateTable")
        and (arguments.get("TableName") == table or table in arguments.get("RequestItems", ()))
    ]


def backfill_of(migration):
    return migration.state().get(Fact.STEP + "backfill")


def free(migration):
    """A killed process left its lease behind."""
    migration.context().whole.delete("lock")


def test_an_import_under_writes_becomes_the_target(begun, exports, imported):
    """Nothing is written to it by requests, an item that the transform fails on is put aside."""
    configure(begun, exports, imported, transform="sulky")
    begun.put("k1", "bad")

    imported.polls = 4
    imported.meanwhile = lambda: begun.put(f"k{len(imported.calls) % 70}", "meanwhile")
    begun.up()
    begun.put("k2", "behind the export")
    imported.calls.clear()
    begun.restore()
    assert written_to(imported, begun.target) == []

    (one,) = imported.made.values()
    source = one.request["S3BucketSource"]
    assert source["S3BucketOwner"] == "123456789012"
    assert re.fullmatch(rf"some/where/{begun.name}/.+/[0-9a-f]{{8}}/", source["S3KeyPrefix"])
    (export,) = exports.made.values()
    loaded = backfill_of(begun)
    assert (loaded["how"], loaded["read"], loaded["quarantined"]) == ("import", len(export.items), 1)
    assert one.counts["ImportedItemCount"] == loaded["written"] == len(export.items) - 1
    begun.put("k1", "good again")
    begun.assert_equal()
    begun.down()
    assert begun.left_over() == []


@pytest.mark.full
def test_the_embedded_import_takes_the_files(begun, exports, aws, monkeypatch):
    """ministack's own reader of the format; the files of two processes, and a table with an index."""
    monkeypatch.setattr(filling, "_processes", lambda plan: 2)
    configure(begun, exports, Imports(aws, TARGET_REGION), prefix="")
    begun.database.update_table(
        TableName=begun.source,
        AttributeDefinitions=[
            {"AttributeName": "id", "AttributeType": "S"},
            {"AttributeName": "v", "AttributeType": "S"},
        ],
        GlobalSecondaryIndexUpdates=[
            {
                "Create": {
                    "IndexName": "by-v",
                    "KeySchema": [{"AttributeName": "v", "KeyType": "HASH"}],
                    "Projection": {"ProjectionType": "ALL"},
                }
            }
        ],
    )
    begun.database.put_item(
        TableName=begun.source,
        Item={"id": {"S": 'é\n"k'}, "v": {"S": "ü\u2028"}, "b": {"B": b"\x00\xff"}, "n": {"N": "1E-30"}},
    )
    begun.up()
    begun.restore()
    begun.assert_equal()
    described = aws.client("dynamodb", TARGET_REGION).describe_table(TableName=begun.target)["Table"]
    assert [one["IndexName"] for one in described["GlobalSecondaryIndexes"]] == ["by-v"]
    assert backfill_of(begun)["how"] == "import"


# What dies here leaves an answer of S3's unread, as a process would not.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.full
def test_a_run_that_dies_at_any_request_of_an_import_goes_on(begun, exports, imported, monkeypatch):
    points = Points(most=2)
    points.install(monkeypatch)
    configure(begun, exports, imported, transform="louder")
    begun.up()
    points.chosen = lambda name: "restore.backfill" in name
    kills = []
    while True:
        try:
            with points.running("restore"):
                begun.restore()
            break
        except Killed as killed:
            kills.append(str(killed))
            free(begun)
            begun.put(f"k{len(kills) % 70}", "w")
    points.chosen = lambda name: False

    assert {"s3.PutObject#1:after", "dynamodb.ImportTable#1:after", "dynamodb.DescribeImport#1:before"} <= {
        one.rpartition("backfill:")[2] for one in kills
    }
    assert len(imported.made) == 1, "what is asked for again is the same import"
    assert written_to(imported, begun.target) == []
    begun.assert_equal()
    asked = {
        action_of("s3" if "Bucket" in arguments else "dynamodb", operation)
        for operation, arguments in imported.calls
        if "Import" in operation or arguments.get("Bucket") == imported.bucket
    }
    page = (docs_folder() / "permissions.md").read_text(encoding="utf-8")
    of_imports = [one for one in policies.statements(page) if one.sid in IMPORT_SIDS]
    assert "dynamodb:ListImports" in asked
    assert asked <= {action for one in of_imports for action in one.actions}


@pytest.mark.full
def test_an_import_that_fails_is_removed_and_made_anew_of_the_same_files(begun, exports, imported):
    configure(begun, exports, imported)
    begun.up()
    imported.fails_with = "AccessDenied"
    with pytest.raises(imports.Failed, match=r"FAILED \(AccessDenied: as asked for") as caught:
        begun.restore()
    assert "run the same command again" in caught.value.hint
    imported.fails_with, imported.loses = "", 1
    with pytest.raises(imports.Failed, match=r"60 items were written to its files, .*ProcessedItemCount 59"):
        begun.restore()
    assert begun.state().get(Fact.STEP + "backfill") is None, "nothing goes on behind it"
    imported.loses = 0
    files = imported.files()
    imported.calls.clear()
    begun.restore()

    assert not [
        one for one in imported.calls if one[0] == "PutObject" and one[1]["Bucket"] == imported.bucket
    ]
    assert imported.files() == files
    assert [one.status for one in imported.made.values()] == ["FAILED", "COMPLETED", "COMPLETED"]
    begun.assert_equal()


@pytest.mark.full
def test_what_an_import_could_not_take_is_loaded_by_writes_once_the_setting_is_gone(begun, exports, imported):
    configure(begun, exports, imported)
    begun.up()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("replicator.backfill.files.File.write", lambda file, texts: malformed(file, texts))
        with pytest.raises(imports.Failed, match="could not take all 60 items") as caught:
            begun.restore()
    assert "/aws-dynamodb/imports" in caught.value.hint
    assert "take [replication] import_from out" in caught.value.hint
    assert begun.state().get(ownership.MADE)["failed"] == "ItemValidationError"
    configure(begun, exports)
    begun.restore()
    begun.assert_equal()
    assert backfill_of(begun)["how"] == "load"


def malformed(file, texts):
    file._is_empty = False
    for text in texts:
        file._lines.write(text + b"\n")


@pytest.mark.full
@pytest.mark.parametrize("there", ["target", "keys"])
def test_what_cannot_be_imported_is_loaded_by_writes(begun, exports, imported, there):
    if there == "target":
        begun.create(begun.target, TARGET_REGION)
    configure(
        begun, exports, imported, transform="" if there == "target" else "by_name", rekeys=there == "keys"
    )
    begun.up()
    begun.restore()
    begun.assert_equal()
    assert imported.made == {}
    assert backfill_of(begun)["how"] == "load"


@pytest.mark.full
def test_a_file_of_others_is_never_imported(begun, exports, imported, aws):
    configure(begun, exports, imported)
    imported.most = 0
    begun.up()
    with pytest.raises(EngineError, match="no further import") as caught:
        begun.restore()
    assert "nothing is written anew" in caught.value.hint
    imported.most = 1
    first = next(iter(imported.files()))
    aws.client("s3", TARGET_REGION).put_object(
        Bucket=imported.bucket, Key=first.rpartition("/")[0] + "/more.json.gz", Body=b"x"
    )
    begun.state().delete(ownership.MADE)  # killed before it was to be asked for
    with pytest.raises(Refused, match="0 missing, 0 changed, 1 of others"):
        begun.restore()
    assert imported.made == {}
    begun.restart()
    begun.assert_equal()
    (one,) = imported.made.values()
    assert not first.startswith(one.request["S3BucketSource"]["S3KeyPrefix"])


@pytest.mark.full
def test_a_restart_waits_for_the_end_of_an_import_that_cannot_be_called_off(begun, exports, imported):
    configure(begun, exports, imported)
    begun.up()

    def killed():
        raise KeyboardInterrupt

    imported.meanwhile = killed
    with pytest.raises(KeyboardInterrupt):
        begun.restore()
    free(begun)
    imported.meanwhile = lambda: None
    missing = (begun.folder / "migration.toml").read_text().replace(imported.bucket, "no-such-bucket-of-ours")
    configured = (begun.folder / "migration.toml").read_text()
    (begun.folder / "migration.toml").write_text(missing)
    with pytest.raises(ConfigurationError, match="import_from: there is no bucket"):
        begun.restart()
    assert begun.state().get(Fact.RESTARTING) is None, "nothing was touched"
    (begun.folder / "migration.toml").write_text(configured)
    begun.restart()
    begun.assert_equal()
    assert len(imported.made) == 2


def test_a_bucket_that_is_not_there_is_refused_before_anything_is_made(begun, exports, imported):
    configure(begun, exports, imported)
    file = begun.folder / "migration.toml"
    file.write_text(file.read_text().replace(imported.bucket, "no-such-bucket-of-ours"))
    with pytest.raises(ConfigurationError, match="import_from: there is no bucket no-such-bucket-of-ours"):
        begun.up()
    assert begun.left_over() == []
