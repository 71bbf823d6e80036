"""Exports of both tables as the base of a run `--since` them, from the request to the gate."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from ddbverify.changes import following
from ddbverify.cli import main
from ddbverify.evidence import links
from tests.replicator.exporting import REGION, Exports

TOML = """\
[source]
region = "{region}"
endpoint_url = "{url}"

[target]
region = "{region}"
endpoint_url = "{url}"

[[tables]]
source = "{name}"
target = "{name}-v2"
source_export = "{exports[0]}"
target_export = "{exports[1]}"

[verification]
settle = "0s"

[cutover]
stream_lag = "1s"

[gate]
emulator = true
"""


class Migration:
    """Two equal tables with streams, exports of both, and the commands of their operator."""

    def __init__(self, aws, name, folder, patch):
        for variable, value in aws.environment(REGION).items():
            patch.setenv(variable, value)
        patch.chdir(folder)
        self.name, self.client = name, aws.client("dynamodb", REGION)
        self.exports = Exports(aws, folder / "exports", polls=0)
        self.exports.install(patch)
        for table in self.tables:
            self.client.create_table(
                TableName=table,
                AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
                KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
                BillingMode="PAY_PER_REQUEST",
                StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"},
            )
            self.client.update_continuous_backups(
                TableName=table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
            )
        for number in range(20):
            self.put(f"key-{number}", "as it was", *self.tables)
        url = self.client.meta.endpoint_url
        self.toml = TOML.format(region=REGION, url=url, name=name, exports=self.exported())
        (folder / "migration.toml").write_text(self.toml)

    @property
    def tables(self):
        return self.name, f"{self.name}-v2"

    def put(self, key, text, *tables):
        for table in tables:
            self.client.put_item(TableName=table, Item={"id": {"S": key}, "text": {"S": text}})

    def exported(self):
        """Ask for an export of each table, and wait for it: the addresses."""
        moment, addresses = (
            int(time.time()) + 1,
            [],
        )  # exports are of whole seconds; both streams are on by then
        time.sleep(moment - time.time())
        for table in self.tables:
            made = self.client.export_table_to_point_in_time(
                TableArn=self.client.describe_table(TableName=table)["Table"]["TableArn"],
                ExportTime=datetime.fromtimestamp(moment, UTC),
                S3Bucket=self.exports.bucket,
                ExportFormat="DYNAMODB_JSON",
                ExportType="FULL_EXPORT",
                ClientToken=table,
            )["ExportDescription"]
            done = self.client.describe_export(ExportArn=made["ExportArn"])["ExportDescription"]
            assert done["ExportStatus"] == "COMPLETED"
            export_id = made["ExportArn"].rpartition("/")[2]
            addresses.append(f"s3://{self.exports.bucket}/AWSDynamoDB/{export_id}")
        return addresses

    def ddbverify(self, *arguments):
        done = CliRunner().invoke(main, [*arguments, "--json"])
        return done.exit_code, json.loads(done.stdout), done.stderr

    def counts(self, *arguments):
        """Of a run: exit status and what was counted."""
        code, self.ran, said = self.ddbverify("run", *arguments)
        assert self.ran["pairs"], said
        return code, {state: n for state, n in self.ran["pairs"][0]["counts"].items() if n}

    def gate(self):
        code, judged, _ = self.ddbverify("gate")
        return code, {reason["code"] for reason in judged["reasons"]}


@pytest.fixture
def a_second_is_enough(monkeypatch):
    """In place of the minute before an export that its stream has to reach back to, and 15 s before that."""
    for module in (following, links):
        monkeypatch.setattr(module, "BEFORE_AN_EXPORT_SECONDS", 0)
    monkeypatch.setattr(following, "STEP_BACK_SECONDS", 0)


@pytest.fixture
def migration(aws, unique, tmp_path, monkeypatch):
    return Migration(aws, unique("orders"), tmp_path, monkeypatch)


@pytest.mark.usefixtures("a_second_is_enough")
def test_a_run_since_exports_looks_at_what_was_written_since_and_opens_the_gate(migration):
    assert migration.counts() == (0, {"matched": 20})
    assert migration.gate() == (3, {"exports"})

    migration.put("key-3", "new", *migration.tables)
    migration.put("made since", "new", *migration.tables)
    code, counts = migration.counts("--since", "latest")
    assert (code, migration.ran["full_pass"]) == (0, None)
    assert counts["matched"] >= 2
    assert migration.gate() == (0, set())

    migration.put("key-5", "by somebody else", migration.tables[1])
    assert migration.counts("--since", "latest") == (1, {"different": 1})
    assert migration.gate()[0] == 1


@pytest.mark.usefixtures("a_second_is_enough")
def test_what_was_written_to_one_side_between_export_and_run_is_found(migration):
    """It is equal in the exports, so the run on these says nothing of it."""
    migration.put("key-7", "behind the export", migration.tables[0])
    assert migration.counts() == (0, {"matched": 20})
    code, counts = migration.counts("--since", "latest")
    assert (code, counts.get("different"), migration.ran["full_pass"]) == (1, 1, None)
    assert migration.gate()[0] == 1


def test_streams_that_do_not_reach_back_to_the_exports_have_the_exports_read_again(migration):
    """They were turned on just before; the real minute is not over."""
    assert migration.counts() == (0, {"matched": 20})
    migration.put("key-7", "behind the export", migration.tables[0])
    assert migration.counts("--since", "latest") == (0, {"matched": 20})
    assert "its stream was turned on behind the time of its export" in migration.ran["full_pass"]
    assert migration.ran["since"] is None
    assert migration.gate() == (3, {"exports"}), "what was written since nobody has looked at"
