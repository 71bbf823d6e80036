"""``ddbverify diff`` as a user runs it, against an engine."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time

import pytest

from tests.ddbverify import projects


@pytest.fixture
def pair(aws, unique):
    """Two equal tables of 60 items in two regions; (name, put into the target, delete from it)."""
    name = unique("diff")
    for region in ("eu-west-1", "eu-central-1"):
        client = aws.client("dynamodb", region)
        client.create_table(
            TableName=name,
            AttributeDefinitions=[
                {"AttributeName": "id", "AttributeType": "S"},
                {"AttributeName": "at", "AttributeType": "N"},
            ],
            KeySchema=[
                {"AttributeName": "id", "KeyType": "HASH"},
                {"AttributeName": "at", "KeyType": "RANGE"},
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        for number in range(60):
            client.put_item(TableName=name, Item=item(number))
    return name


def item(number, **more):
    return {
        "id": {"S": f"key-{number}"},
        "at": {"N": str(number)},
        "price": {"N": f"{number}.50"},
        "lines": {"L": [{"M": {"sku": {"S": f"secret-{number}"}}}]},
    } | more


@pytest.fixture
def command(aws, pair, tmp_path):
    environment = aws.environment("eu-west-1") | {"PYTHONPATH": f"{projects.REPOSITORY}:{tmp_path}"}

    def start(*arguments, **more):
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "ddbverify",
                "diff",
                pair,
                pair,
                "--target-region",
                "eu-central-1",
                *arguments,
            ],
            cwd=tmp_path,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **more,
        )

    return start


def ended(child):
    with child:
        out, err = child.communicate()
        return child.returncode, out, err


def lines(out):
    *findings, last = map(json.loads, out.splitlines())
    return sorted((one["finding"], one["key"]["id"]["S"], *one["paths"]) for one in findings), last["summary"]


@pytest.mark.engine("ministack")
def test_equal_tables_then_every_kind_of_difference(aws, pair, command, tmp_path):
    code, out, err = ended(command())
    assert (code, err) == (0, "")
    assert out.endswith(f"equal: {pair} -> {pair}, 60 keys matched\n")

    target = aws.client("dynamodb", "eu-central-1")
    target.put_item(TableName=pair, Item=item(3, price={"S": "3.50"}))
    target.put_item(TableName=pair, Item=item(4, lines={"L": [{"M": {"sku": {"S": "other"}}}]}))
    target.put_item(TableName=pair, Item=item(5, updated={"N": "1"}))
    target.put_item(TableName=pair, Item=item(99))
    target.delete_item(TableName=pair, Key={"id": {"S": "key-7"}, "at": {"N": "7"}})

    code, out, err = ended(
        command(
            "--settle", "0s", "--format", "jsonl", "--out", "out", "--ignore", "updated", "--segments", "4"
        )
    )
    findings, summary = lines(out)
    assert (code, err) == (1, "")
    assert findings == [
        ("different", "key-3", "price: N -> S"),
        ("different", "key-4", "lines[0].sku: value"),
        ("extraneous", "key-99"),
        ("missing", "key-7"),
    ]
    assert (summary["matched"], summary["missing"], summary["extraneous"], summary["different"]) == (
        57,
        1,
        1,
        2,
    )
    assert summary["segments"] == {"planned": 4, "finished": 4, "total": 4}
    assert summary["read_units"]["source"] > 0
    assert summary["tables"]["target"].startswith("arn:aws:dynamodb:eu-central-1:")
    written = tmp_path / "out" / "findings.jsonl"
    assert written.stat().st_mode & 0o777 == 0o600
    assert written.read_text().splitlines() == out.splitlines()[:-1]
    assert json.loads((tmp_path / "out" / "summary.json").read_text()) == summary
    assert "secret-" not in out + err + written.read_text()

    code, out, _ = ended(command("--settle", "0s", "--values"))
    assert code == 1
    assert re.search(r'price: N -> S\n +source  \{"N": "3.50?"\}\n +target  \{"S": "3.50"\}\n', out), out
    assert '"sku": {"S": "secret-7"}' in out
    assert "20 %  `lines[].sku` has another value (1 finding)" in out


@pytest.mark.engine("ministack")
def test_a_transform_beside_the_user_and_one_that_does_not_load(aws, pair, command, tmp_path):
    (tmp_path / "shapes.py").write_text(
        "def cents(item):\n    return item | {'price': item['price'] * 100, 'cents': True}\n"
    )
    code, out, _ = ended(command("--settle", "0s", "--format", "jsonl", "--transform", "shapes:cents"))
    findings, summary = lines(out)
    assert (code, summary["different"]) == (1, 60)
    assert {tuple(paths) for _, _, *paths in findings} == {("cents: removed", "price: value")}
    assert ended(command("--transform", "shapes:nothing"))[0] == 2


@pytest.mark.engine("ministack")
def test_ctrl_c_adds_up_and_the_folder_can_be_resumed(pair, command, aws, tmp_path):
    aws.client("dynamodb", "eu-central-1").put_item(TableName=pair, Item=item(99))
    arguments = ("--settle", "0s", "--segments", "60", "--out", "out", "--format", "jsonl")
    child = command(*arguments, "--read-units", "2")  # which would take half a minute
    deadline = time.monotonic() + 60
    while not (tmp_path / "out" / "findings.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    code, _, err = ended(command(*arguments, "--resume"))
    assert code == 2
    assert "Another run is at work" in err

    child.send_signal(signal.SIGINT)
    code, out, err = ended(child)
    assert code == 3, err
    assert "Traceback" not in err
    summary = lines(out)[1]
    assert summary["reasons"] == ["it was interrupted"]
    assert summary["segments"]["finished"] < 60

    code, _, err = ended(command(*arguments, "--resume", "--ignore", "price"))
    assert code == 2
    assert "other settings: ignore." in err
    code, out, err = ended(command(*arguments, "--resume"))
    findings, summary = lines(out)
    assert (code, findings) == (1, [("extraneous", "key-99")])
    assert (summary["complete"], summary["matched"]) == (True, 60)
    assert len((tmp_path / "out" / "findings.jsonl").read_text().splitlines()) == 1


@pytest.mark.engine("ministack")
def test_no_such_table_no_region(pair, command, aws, tmp_path):
    code, out, err = ended(command("--source-region", "us-east-2", "--format", "jsonl", "--out", "out"))
    assert code == 6
    assert json.loads(out)["error"]["type"] == "NotFoundError"
    assert f"There is no table {pair} in us-east-2" in err
    assert not (tmp_path / "out").exists()
