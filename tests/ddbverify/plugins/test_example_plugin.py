"""The example plugin, installed as users install it, decides about real tables and stands in the evidence."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.ddbverify import projects

EXAMPLE = projects.REPOSITORY / "examples" / "shop-rules"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the example installed in it, from its sources and without the network."""
    folder = tmp_path_factory.mktemp("site")
    offline = ("--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-qq", *offline, "--target", str(folder), str(EXAMPLE)],
        check=True,
    )
    return folder


def test_its_own_tests_pass(site, tmp_path):
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        f"--rootdir={EXAMPLE}",
        str(EXAMPLE),
    ]
    environment = {"PYTHONPATH": f"{site}:{projects.REPOSITORY}", "PATH": "", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.engine("ministack")
def test_it_decides_and_everybody_can_see_that_it_did(aws, unique, tmp_path, site):
    name = unique("orders")
    client = {}
    for region, table in (("eu-west-1", name), ("eu-central-1", f"{name}-v2")):
        client[region] = aws.client("dynamodb", region)
        client[region].create_table(
            TableName=table,
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )

    def put(region, table, number, email, rating):
        item = {
            "id": {"S": f"order-{number}"},
            "email": {"S": email},
            "rating": {"N": rating},
            "owner": {"S": "x"},
        }
        client[region].put_item(TableName=table, Item=item)

    for number in range(1000, 1030):
        put("eu-west-1", name, number, f"Anna-{number}@shop.example", "4.5")
        if number != 1017:
            put("eu-central-1", f"{name}-v2", number, f"anna-{number}@shop.example", "4.53")
    toml = projects.ENGINE_TOML.format(url=client["eu-west-1"].meta.endpoint_url, name=name)
    (tmp_path / "migration.toml").write_text(toml)
    environment = aws.environment("eu-west-1") | {"PYTHONPATH": f"{site}:{projects.REPOSITORY}"}

    def ddbverify(*arguments, **more):
        done = subprocess.run(
            [sys.executable, "-m", "ddbverify", *arguments, "--json"],
            cwd=tmp_path,
            env=environment | more,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, json.loads(done.stdout), done.stderr

    # Installed, and not allowed: it is not even imported, and the tables differ.
    (row,) = ddbverify("plugins")[1]["plugins"]
    assert (row["name"], row["version"], row["allowed"], row["hooks"]) == ("shop-rules", "1.2.0", False, None)
    code, ran, said = ddbverify("run")
    assert (code, ran["verdict"]) == (1, "failed"), said
    assert ran["pairs"][0]["counts"]["different"] == 29

    (tmp_path / "migration.toml").write_text(
        toml.replace("[verification]", '[verification]\nplugins = ["shop-rules"]')
    )
    assert ddbverify("gate")[0] == 5  # what is allowed has changed since
    code, ran, said = ddbverify("run")
    assert (code, ran["verdict"]) == (0, "passed"), said
    assert {state: count for state, count in ran["pairs"][0]["counts"].items() if count} == {
        "matched": 29,
        "known": 1,
    }
    assert "shop-rules:check_owners.py::check_every_order_has_an_owner" in {
        one["name"] for one in ran["checks"]
    }
    folder = tmp_path / ".ddbverify" / "latest"
    assert "passed: 29 orders are where they belong" in (folder / "shop-report.txt").read_text()
    summary = (folder / "summary.md").read_text()
    assert "29 keys are equal by the word of the plugin shop" in summary.replace("\\", "")
    assert "SHOP-482" in summary

    code, judged, said = ddbverify("gate")
    assert (code, judged["open"]) == (0, True), said
    (known,) = judged["known"]
    assert (known["plugin"], known["keys"], known["expires"]) == ("shop-rules", 1, "2099-03-31")
    code, judged, _ = ddbverify("gate", SHOP_FREEZE="sale until Monday")
    assert (code, [one["code"] for one in judged["reasons"]]) == (3, ["veto"])

    module = site / "shop_rules" / "__init__.py"
    text = module.read_text()
    try:
        module.write_text(text.replace('Decimal("0.05")', 'Decimal("5")'))
        code, judged, _ = ddbverify("gate")
        assert (code, {one["code"] for one in judged["reasons"]}) == (5, {"changed"})
    finally:
        module.write_text(text)
