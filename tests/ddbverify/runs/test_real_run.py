"""The command line against an engine: equal tables open the gate, one altered item closes it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.ddbverify import projects

TOML = projects.ENGINE_TOML + 'signing_key = "kms:{key}"\n'


@pytest.mark.engine("ministack")
def test_equal_tables_open_the_gate_and_one_altered_item_closes_it(aws, unique, tmp_path):
    name = unique("orders")
    clients = {}
    for region, table in (("eu-west-1", name), ("eu-central-1", f"{name}-v2")):
        client = clients[table] = aws.client("dynamodb", region)
        client.create_table(
            TableName=table,
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        for number in range(30):
            client.put_item(
                TableName=table, Item={"id": {"S": f"secret-{number}"}, "n": {"N": f"{number}.50"}}
            )
    url = clients[name].meta.endpoint_url
    kms = aws.client("kms", "eu-west-1")
    key = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"]
    toml = TOML.format(url=url, name=name, key=key)
    (tmp_path / "migration.toml").write_text(toml)
    environment = aws.environment("eu-west-1") | {"PYTHONPATH": str(projects.REPOSITORY)}

    def ddbverify(*arguments):
        done = subprocess.run(
            [sys.executable, "-m", "ddbverify", *arguments, "--json"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "secret-" not in done.stdout + done.stderr
        return done.returncode, json.loads(done.stdout), done.stderr

    public = ddbverify("keygen")[1]["public_key"]
    (tmp_path / "migration.toml").write_text(f'{toml}trusted_keys = ["{public}"]\n')
    code, ran, said = ddbverify("run")
    assert (code, ran["verdict"], ran["trusted"]) == (0, "passed", True), said
    assert {check["state"] for check in ran["checks"]} == {"passed", "not-applicable"}
    assert ran["pairs"][0]["counts"]["matched"] == 30
    assert ddbverify("gate")[0] == 0

    clients[f"{name}-v2"].put_item(TableName=f"{name}-v2", Item={"id": {"S": "secret-7"}, "n": {"S": "7.50"}})
    code, ran, said = ddbverify("run")
    assert (code, ran["verdict"]) == (1, "failed"), said
    assert ran["pairs"][0]["counts"]["different"] == 1
    findings = (tmp_path / ".ddbverify" / "latest" / "findings.jsonl").read_text().splitlines()
    assert [json.loads(line)["key"] for line in findings] == [{"id": {"S": "secret-7"}}]
    code, judged, _ = ddbverify("gate")
    assert (code, judged["open"]) == (1, False)

    clients[f"{name}-v2"].delete_table(TableName=f"{name}-v2")
    code, judged, _ = ddbverify("gate")
    assert (code, judged["open"]) == (6, False)
    assert ddbverify("run")[0] == 6
