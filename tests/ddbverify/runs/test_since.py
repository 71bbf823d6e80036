"""`ddbverify run --since latest` against an engine: base, links, and what a link stands on."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import threading

import pytest

from ddbverify.evidence import folders
from replicator.aws import markers
from replicator.aws.markers import Marked
from tests.ddbverify import projects

TOML = projects.ENGINE_TOML + '\n[cutover]\nstream_lag = "1s"\n'


class Migration:
    """Two equal tables with streams, and the commands of their operator."""

    def __init__(self, aws, name, folder, view="KEYS_ONLY"):
        self.folder, self.name = folder, name
        self.environment = aws.environment("eu-west-1") | {"PYTHONPATH": str(projects.REPOSITORY)}
        self.source = aws.client("dynamodb", "eu-west-1")
        self.target = aws.client("dynamodb", "eu-central-1")
        for client, table in self.sides:
            client.create_table(
                TableName=table,
                AttributeDefinitions=[
                    {"AttributeName": "pk", "AttributeType": "S"},
                    {"AttributeName": "sk", "AttributeType": "N"},
                ],
                KeySchema=[
                    {"AttributeName": "pk", "KeyType": "HASH"},
                    {"AttributeName": "sk", "KeyType": "RANGE"},
                ],
                BillingMode="PAY_PER_REQUEST",
                StreamSpecification={"StreamEnabled": True, "StreamViewType": view},
            )
        for number in range(30):
            self.put(number, "as it was")
        url = self.source.meta.endpoint_url
        self.toml = folder / "migration.toml"
        self.toml.write_text(TOML.format(url=url, name=name))

    @property
    def sides(self):
        return (self.source, self.name), (self.target, f"{self.name}-v2")

    def put(self, number, text, *, source=True, target=True):
        for is_meant, (client, table) in zip((source, target), self.sides, strict=True):
            if is_meant:
                item = {"pk": {"S": f"secret-{number}"}, "sk": {"N": str(number)}, "text": {"S": text}}
                client.put_item(TableName=table, Item=item)

    def delete(self, number, *, source=True, target=True):
        for is_meant, (client, table) in zip((source, target), self.sides, strict=True):
            if is_meant:
                key = {"pk": {"S": f"secret-{number}"}, "sk": {"N": str(number)}}
                client.delete_item(TableName=table, Key=key)

    def ddbverify(self, *arguments):
        done = subprocess.run(
            [sys.executable, "-m", "ddbverify", *arguments, "--json"],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "secret-" not in done.stdout + done.stderr
        return done.returncode, json.loads(done.stdout or "{}"), done.stderr

    def since(self):
        """Of a run since the latest: exit status, counts, and what was said."""
        code, ran, said = self.ddbverify("run", "--since", "latest")
        self.ran = ran
        return code, {state: n for state, n in ran["pairs"][0]["counts"].items() if n}, said

    def gate(self):
        code, judged, said = self.ddbverify("gate")
        assert "reasons" in judged, said
        return code, [reason["code"] for reason in judged["reasons"]]


@pytest.fixture
def migration(aws, unique, tmp_path):
    return Migration(aws, unique("orders"), tmp_path)


@pytest.mark.engine("ministack")
def test_a_link_looks_at_what_was_written_on_either_side_and_opens_the_gate(migration):
    assert migration.ddbverify("run")[0] == 0
    code, counts, said = migration.since()  # it meets the last seconds before the base, too
    assert code == 0, said

    migration.put(3, "new on both sides")
    migration.put(40, "made on both sides")
    migration.delete(5)
    code, counts, said = migration.since()
    assert (code, counts) == (0, {"matched": 3}), said
    assert "3 keys written since" in said
    assert (ran := migration.ran)["pairs"][0]["changed"] == 3
    assert (len(ran["since"]), ran["full_pass"]) == (64, None)
    summary = (migration.folder / ".ddbverify" / "latest" / "summary.md").read_text()
    assert "Only what was written since an earlier run was looked at: 3 keys of" in summary
    assert migration.gate() == (0, [])
    latest = migration.folder / ".ddbverify" / "latest"
    assert not list(latest.glob("changed-*"))

    assert migration.since()[:2] == (0, {})  # nothing was written, and nothing is examined
    assert migration.gate() == (0, [])

    migration.put(7, "by somebody else", source=False)
    assert migration.since()[:2] == (1, {"different": 1})
    assert migration.gate()[0] == 1
    # A run that did not pass is none to go on from: the next looks at the key again.
    assert migration.since()[:2] == (1, {"different": 1})
    migration.put(7, "as it was", source=False)
    assert migration.since()[:2] == (0, {"matched": 1})
    assert migration.gate() == (0, [])


@pytest.mark.engine("ministack")
@pytest.mark.full
def test_where_nothing_can_be_gone_on_from_the_tables_are_read_and_it_says_why(migration):
    code, counts, said = migration.since()
    assert (code, counts) == (0, {"matched": 30})
    assert "The whole tables are read: no run has left evidence that is trusted." in said
    assert migration.ran["full_pass"] == "no run has left evidence that is trusted"
    assert (migration.ran["since"], migration.ran["pairs"][0]["changed"]) == (None, None)

    migration.toml.write_text(migration.toml.read_text().replace('settle = "1s"', 'settle = "2s"'))
    assert "other tables, settings, checks or programs" in migration.since()[2]

    for enabled in (False, True):
        specification = {"StreamEnabled": enabled} | ({"StreamViewType": "KEYS_ONLY"} if enabled else {})
        migration.target.update_table(TableName=f"{migration.name}-v2", StreamSpecification=specification)
    code, counts, said = migration.since()
    assert (code, counts) == (0, {"matched": 30}), said
    assert "switched off and on" in said

    migration.source.update_time_to_live(
        TableName=migration.name, TimeToLiveSpecification={"Enabled": True, "AttributeName": "until"}
    )
    assert "other attributes than before let items expire" in migration.since()[2]


COUNTS = """\
from ddbverify import check, require, Verdict, Finding


@check({mark})
def check_that_there_are_thirty(pair):
    found = sum(pair.comparison.counts.values())
    require(Verdict(examined=found, findings=() if {claim} else (Finding("another number"),)))
"""


@pytest.mark.full
@pytest.mark.engine("ministack")
def test_a_check_that_reads_the_whole_comparison_needs_the_whole_tables(migration):
    own = migration.folder / "checks" / "check_own.py"
    own.parent.mkdir()
    own.write_text(COUNTS.format(mark="", claim="found == 30"))
    assert migration.ddbverify("run")[0] == 0

    code, counts, said = migration.since()
    assert (code, counts) == (0, {"matched": 30}), said
    assert "check_own.py::check_that_there_are_thirty reads the comparison as a whole" in said

    own.write_text(COUNTS.format(mark="by_key=True", claim="True"))
    assert migration.ddbverify("run")[0] == 0
    assert migration.since()[0] == 0
    migration.put(3, "new")
    assert migration.since()[:2] == (0, {"matched": 1})
    assert migration.since()[:2] == (0, {})
    assert migration.gate() == (0, [])


@pytest.mark.engine("ministack")
def test_the_gate_closes_where_the_base_is_gone_altered_or_too_old(migration):
    assert migration.ddbverify("run")[0] == 0
    base = (migration.folder / ".ddbverify" / "latest").resolve()
    migration.put(3, "new")
    assert migration.since()[0] == 0
    evidence = (base / folders.EVIDENCE).read_bytes()

    (base / folders.EVIDENCE).unlink()
    assert migration.gate() == (3, ["chain"])
    (base / folders.EVIDENCE).write_bytes(evidence[:-2] + b"\n")
    assert migration.gate() == (3, ["chain"])
    (base / folders.EVIDENCE).write_bytes(evidence)
    assert migration.gate() == (0, [])


@pytest.mark.engine("ministack")
def test_where_markers_are_written_the_ends_are_proven_and_nothing_of_them_is_looked_at(migration):
    assert migration.ddbverify("run")[0] == 0
    migration.toml.write_text(migration.toml.read_text().replace('stream_lag = "1s"', 'stream_lag = "9m"'))
    assert migration.ddbverify("run")[0] == 0  # of these settings
    migration.put(3, "new on both sides")
    tables = [Marked(client, table, {"pk": "S", "sk": "N"}) for client, table in migration.sides]
    stop = threading.Event()
    writing = threading.Thread(target=markers.write, args=(tables, stop, lambda: False))
    writing.start()
    try:
        code, ran, said = migration.ddbverify("run", "--since", "latest", "--markers")
    finally:
        stop.set()
        writing.join()

    assert code == 0, said
    (pair,) = ran["pairs"]
    # It meets the last seconds before the base, too: all items are as old.
    assert pair["counts"]["matched"] == pair["changed"] >= 1
    envelope = json.loads((migration.folder / ".ddbverify" / "latest" / "evidence.json").read_bytes())
    evidence = json.loads(base64.b64decode(envelope["payload"]))
    stated = {one["name"]: one["value"] for one in evidence["facts"]}
    assert stated["ends-assumed"] == 0
    assert stated["ends-proven"] >= 2
    summary = (migration.folder / ".ddbverify" / "latest" / "summary.md").read_text()
    assert "Of the streams, the ends of all " in summary
    assert migration.gate() == (0, [])
