"""The demonstration in a user's own account, played on the embedded AWS as at any other endpoint."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from replicator.demo import own_account
from replicator.embedded.aws import EmbeddedAws, embedded_aws
from tests.demonstration import ROOT

pytestmark = [pytest.mark.engine("ministack"), pytest.mark.e2e, pytest.mark.timeout(900)]

REGION = "eu-west-1"
SMALL = ("--short", "--count", "50", "--traffic", "10", "--minutes", "14")


@pytest.fixture
def alone() -> Iterator[EmbeddedAws]:
    """An AWS that nobody else is in: what is left over in it was left by the demonstration."""
    with embedded_aws() as running:
        yield running


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "replicator", "demo", "--aws", *arguments]


def environment(aws: EmbeddedAws) -> dict[str, str]:
    return aws.environment(REGION) | {"PYTHONPATH": str(ROOT)}


def run(aws: EmbeddedAws, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        cwd=folder,
        env=environment(aws),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@contextmanager
def under_way(aws: EmbeddedAws, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """One that has made tables, role, parameters and its first stacks."""
    with subprocess.Popen(
        command("--yes", *SMALL),
        cwd=folder,
        env=environment(aws),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as child:
        deadline = time.monotonic() + 300
        while not [one for one in left(aws) if one.endswith("-capture")]:
            assert child.poll() is None, child.stderr.read() if child.stderr else ""
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield child


def left(aws: EmbeddedAws) -> list[str]:
    """Names of everything that is there."""

    def of(service: str) -> Any:
        return aws.client(service, REGION)

    stacks = of("cloudformation").describe_stacks()["Stacks"]
    return [
        *of("dynamodb").list_tables()["TableNames"],
        *(one["StackName"] for one in stacks if one["StackStatus"] != "DELETE_COMPLETE"),
        *(one["Name"] for one in of("ssm").describe_parameters()["Parameters"]),
        *(one["Name"] for one in of("s3").list_buckets()["Buckets"]),
        *of("sqs").list_queues().get("QueueUrls", []),
        *(one["FunctionName"] for one in of("lambda").list_functions()["Functions"]),
        *(one["logGroupName"] for one in of("logs").describe_log_groups()["logGroups"]),
        *(one["RoleName"] for one in of("iam").list_roles()["Roles"]),
        *(one["BackupArn"] for one in of("dynamodb").list_backups()["BackupSummaries"]),
        *(one["AlarmName"] for one in of("cloudwatch").describe_alarms()["MetricAlarms"]),
    ]


@pytest.mark.full
def test_the_whole_of_it_leaves_a_signed_result_and_nothing_else(alone, tmp_path):
    before = left(alone)
    done = run(alone, tmp_path, "--yes", "--json", *SMALL)

    assert done.returncode == 0, done.stderr[-4000:]
    outcome = json.loads(done.stdout)
    assert outcome["held"]
    assert outcome["left"] == []
    assert (outcome["proof"]["lost"], outcome["proof"]["resurrected"], outcome["proof"]["stale"]) == (0, 0, 0)
    assert outcome["proof"]["expected"] > 0
    assert "lost 0, resurrected 0, stale 0" in done.stderr
    assert left(alone) == before
    raw = (tmp_path / "demo-result.json").read_bytes()
    document = own_account.shown(tmp_path / "demo-result.json")
    assert document["held"]
    assert document["removed"]
    assert document["aws"] is False
    assert document["failed_in"] is None
    assert {one["here"] for one in document["differences"]} >= {"no", "yes"}
    text = raw.decode() + json.dumps(document)
    for forbidden in (alone.account_id, "arn:aws", "customer-", str(tmp_path)):
        assert forbidden not in text, forbidden


@pytest.mark.full
def test_one_whose_time_is_over_ends_and_removes_what_it_has_made(alone, tmp_path):
    before = left(alone)
    done = run(alone, tmp_path, "--yes", "--json", "--count", "50", "--traffic", "5", "--minutes", "0.3")

    assert done.returncode == 1, done.stderr[-3000:]
    outcome = json.loads(done.stdout)
    assert "the time was over in" in outcome["failed"], done.stderr[-3000:]
    assert outcome["left"] == []
    assert left(alone) == before
    document = own_account.shown(tmp_path / "demo-result.json")
    assert not document["held"]
    assert document["removed"]
    assert document["failed_in"]


def test_one_that_is_interrupted_removes_what_it_has_made(alone, tmp_path):
    before = left(alone)
    with under_way(alone, tmp_path) as child:
        os.killpg(child.pid, signal.SIGINT)  # as a terminal sends it, to the command under way as well
        _, said = child.communicate()

    assert child.returncode == 1, said[-3000:]
    assert "Interrupted" in said
    assert left(alone) == before, said[-3000:]


def test_what_a_killed_one_has_left_is_removed_by_its_tag_and_nobody_begins_before(alone, tmp_path):
    before = left(alone)
    alone.client("dynamodb", REGION).create_table(
        TableName="demo-orders",
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
    )
    with under_way(alone, tmp_path) as child:
        at_once = run(alone, tmp_path, "--yes", *SMALL)
        cleaned = run(alone, tmp_path, "--clean")
        child.send_signal(signal.SIGKILL)  # and the command under way goes on without it
        child.wait()
        afterwards = run(alone, tmp_path, "--yes", *SMALL)
    assert at_once.returncode == 1
    assert "has begun here" in at_once.stderr
    assert "wait for its end" in at_once.stderr
    assert cleaned.returncode == 1
    assert "is under way" in cleaned.stderr
    assert afterwards.returncode == 1
    assert "replicator demo --aws --clean" in afterwards.stderr

    deadline = time.monotonic() + 120
    while True:
        done = run(alone, tmp_path, "--clean", "--json")
        assert done.returncode == 0, done.stderr
        still = sorted(set(left(alone)) - set(before))
        if still == ["demo-orders"] or time.monotonic() > deadline:
            break
        time.sleep(1)
    assert still == ["demo-orders"], "its own are gone, and somebody else's table is there"


def test_without_a_terminal_and_without_yes_nothing_is_made(alone, tmp_path):
    before = left(alone)
    done = run(alone, tmp_path, *SMALL)

    assert done.returncode == 1
    assert "Nobody has agreed" in done.stderr
    assert "It may cost" not in done.stderr or left(alone) == before
    assert left(alone) == before
