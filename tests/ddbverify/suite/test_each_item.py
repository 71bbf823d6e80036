"""Checks on items, as a user writes and runs them: one pass for all, and no value anywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from benchmarks.page_server import REGION, Listed, page_server
from tests.ddbverify import projects

TOKEN = "s3cr3t"
TOML = """\
[source]
region = "{region}"
endpoint_url = "{url}"

[target]
region = "{region}"
endpoint_url = "{url}"

[[tables]]
source = "orders"
target = "orders-v2"

[verification]
settle = "1s"

[gate]
emulator = true
"""
CHECKS = f'''\
"""A user's own checks."""

from ddbverify import each_item


@each_item
def check_the_total_is_the_sum(source, target):
    assert target["total"] == source["total"]
    assert target["total"] < 29


@each_item
def check_it_is_paid(target):
    assert target["paid"], f"{TOKEN}" + target["note"]


@each_item
def check_it_has_an_owner(source):
    assert source["owner"] + source["note"]


@each_item
def check_it_is_new(target):
    return target["note"] == "new"
'''


def items():
    return [
        {"id": {"S": f"{TOKEN}-{n}"}, "total": {"N": str(n)}, "note": {"S": TOKEN}, "paid": {"BOOL": True}}
        for n in range(30)
    ]


@pytest.fixture
def project(tmp_path):
    tables = {name: Listed(keys={"id": "S"}, items=items()) for name in ("orders", "orders-v2")}
    (tmp_path / "checks").mkdir()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "NO_PROXY": "127.0.0.1",
        "PYTHONPATH": str(projects.REPOSITORY),
    }

    def run(checks, *arguments):
        (tmp_path / "checks" / "check_orders.py").write_text(checks)
        with page_server(tables) as server:
            (tmp_path / "migration.toml").write_text(TOML.format(region=REGION, url=server.endpoint_url))
            done = subprocess.run(
                [sys.executable, "-m", *arguments],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            asked = server.stats()
        scans = {name: asked[name]["Scan"].requests if "Scan" in asked[name] else 0 for name in tables}
        return done, scans

    run.folder = tmp_path
    return run


ONE_PASS = {"orders": 2, "orders-v2": 2}
"""Requests: the one page, and whether anything follows it."""


@pytest.mark.parametrize("count", [1, 5, 30])
def test_one_pass_serves_any_number_of_checks(project, count):
    checks = "from ddbverify import each_item\n" + "".join(
        f"@each_item\ndef check_{n}(source, target, expected):\n"
        "    assert source['total'] == target['total'] == expected['total']\n"
        for n in range(count)
    )
    done, scans = project(checks, "pytest", "checks", "-q", "-p", "no:cacheprovider")

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{count} passed" in done.stdout
    assert scans == ONE_PASS


def test_a_refuted_check_fails_with_its_line_and_without_a_value(project):
    done, _ = project(CHECKS, "ddbverify", "run", "--json")

    found = {check["name"].partition("::")[2]: check for check in json.loads(done.stdout)["checks"]}
    assert done.returncode == 1
    assert {name: check["state"] for name, check in found.items()} == {
        "check_the_total_is_the_sum": "failed",
        "check_it_is_paid": "passed",
        "check_it_has_an_owner": "inconclusive",
        "check_it_is_new": "inconclusive",
    }
    assert {check["examined"] for check in found.values()} == {30}
    assert found["check_the_total_is_the_sum"]["findings"] == 1
    said = done.stdout + done.stderr
    assert 'at check_orders.py:9: assert target["total"] < 29' in said
    assert "it raised KeyError at check_orders.py:" in said
    assert "it returned something instead of asserting it on 30 items" in said
    assert TOKEN not in said.replace(CHECKS, "")

    folder = project.folder / ".ddbverify" / "latest"
    holding = {file.name for file in folder.iterdir() if TOKEN in file.read_text()}
    assert holding == {"findings.jsonl"}
    (line,) = [json.loads(text) for text in (folder / "findings.jsonl").read_text().splitlines()]
    assert line["finding"] == "refuted"
    assert line["key"] == {"id": {"S": f"{TOKEN}-29"}}
    assert line["check"] == "check_orders.py::check_the_total_is_the_sum"
    assert line["key_hash"] in said


def test_two_closures_of_one_qualified_name_are_two_checks(project):
    checks = (
        "from ddbverify import each_item\n"
        "def _holds(name):\n"
        "    @each_item\n"
        "    def check_it(target):\n"
        "        assert name in target\n"
        "    return check_it\n"
        "check_it_has_gone, check_total = _holds('gone'), _holds('total')\n"
    )

    done, _ = project(checks, "pytest", "checks", "-q", "-p", "no:cacheprovider")

    assert done.returncode == 1
    assert "1 failed, 1 passed" in done.stdout


def test_what_was_not_selected_does_not_run(project):
    done, scans = project(CHECKS, "pytest", "checks", "-q", "-k", "paid", "-p", "no:cacheprovider")

    assert done.returncode == 0
    assert "1 passed, 3 deselected" in done.stdout
    assert scans == ONE_PASS


def test_an_argument_that_does_not_exist_is_a_collection_error(project):
    checks = "from ddbverify import each_item\n@each_item\ndef check_it(source, price):\n    pass\n"
    done, scans = project(checks, "pytest", "checks", "-q", "-p", "no:cacheprovider")

    assert done.returncode == pytest.ExitCode.INTERRUPTED
    assert "check_it(source, price): an @each_item check takes source, target, expected" in done.stdout
    assert scans == {"orders": 0, "orders-v2": 0}
