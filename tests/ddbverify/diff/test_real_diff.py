"""``ddbverify diff`` as a user runs it, against an engine."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys

import pytest
from click.testing import CliRunner

from ddbverify.cli import main
from ddbverify.diff.findings import STATES
from tests.ddbverify import projects
from tests.processes import wait_until


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
def test_ctrl_c_adds_up_and_a_resumed_run_gives_the_result_of_one_in_one_go(pair, command, aws, tmp_path):
    """Findings of segments that were finished before come again, and none stands there twice."""
    (tmp_path / "shapes.py").write_text(
        "def same(item):\n"
        "    if item['at'] % 10 == 5:\n"
        "        raise ValueError(item['lines'])\n"
        "    return item\n"
    )
    target = aws.client("dynamodb", "eu-central-1")
    for number in (3, 30, 33, 50):
        target.put_item(TableName=pair, Item=item(number, price={"S": "x"}))
    target.delete_item(TableName=pair, Key={"id": {"S": "key-8"}, "at": {"N": "8"}})
    asked = ("--settle", "0s", "--segments", "60", "--format", "jsonl", "--transform", "shapes:same")
    arguments = (*asked, "--out", "out")

    child = command(*arguments, "--read-units", "4")  # which would take a quarter of a minute
    checkpoint = tmp_path / "out" / "checkpoint"
    wait_until(lambda: checkpoint.exists() and '"done"' in checkpoint.read_text(), "a segment is finished")
    code, _, err = ended(command(*arguments, "--resume"))
    assert code == 2
    assert "Another run is at work" in err
    child.send_signal(signal.SIGINT)
    code, out, err = ended(child)
    assert code == 3, err
    assert "Traceback" not in err
    assert "secret-" not in out + err
    summary = lines(out)[1]
    assert summary["reasons"] == ["it was interrupted"]
    assert 0 < summary["segments"]["finished"] < 60
    assert checkpoint.stat().st_mode & 0o777 == 0o600

    code, _, err = ended(command(*arguments, "--resume", "--ignore", "price"))
    assert code == 2
    assert "other settings: ignore." in err
    code, out, err = ended(command(*arguments, "--resume"))
    findings, summary = lines(out)
    in_one_go, whole = lines(ended(command(*asked))[1])
    assert (code, err) == (1, "")
    assert findings == in_one_go
    assert [summary[state] for state in STATES] == [49, 1, 0, 4, 0, 6, 0, 0]
    assert [whole[state] for state in STATES] == [49, 1, 0, 4, 0, 6, 0, 0]
    assert (tmp_path / "out" / "findings.jsonl").read_text().splitlines() == out.splitlines()[:-1]

    code, _, err = ended(command(*arguments, "--resume"))
    assert code == 2
    assert "has come to its end" in err


@pytest.mark.engine("ministack")
@pytest.mark.parametrize("rekeys", [False, True])
def test_a_spent_budget_is_never_equal_and_can_be_resumed(rekeys, pair, aws, tmp_path, monkeypatch):
    for name, value in aws.variables("eu-west-1").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    (tmp_path / "rekeying_for_resume.py").write_text("def listed(item):\n    return [item]\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "rekeying_for_resume", raising=False)

    def diff(*more):
        arguments = [
            "diff",
            pair,
            pair,
            "--target-region",
            "eu-central-1",
            "--format",
            "jsonl",
            "--settle",
            "0s",
        ]
        arguments += ["--segments", "20", "--out", str(tmp_path / "out")]
        if rekeys:
            arguments += ["--rekeys", "--transform", "rekeying_for_resume:listed"]
        done = CliRunner().invoke(main, [*arguments, *more], catch_exceptions=False)
        return done.exit_code, lines(done.stdout)[1]

    code, summary = diff("--max-read-units", "61")
    assert (code, summary["verdict"], summary["finished"]) == (3, "inconclusive", False)
    assert "budget" in " ".join(summary["reasons"])
    # Of a re-keyed pair the target is read first, so that no segment is finished on both sides for long.
    assert (0 if rekeys else 1) <= summary["segments"]["finished"] < 20
    assert sum(summary["read_units"].values()) <= 61 + 8  # a request of each thread was under way

    code, summary = diff("--resume")
    assert (code, summary["verdict"], summary["complete"], summary["matched"]) == (0, "equal", True, 60)
    assert summary["converged"] == 0, "what was kept of the first run was not understood by the second"
    in_one_go = diff("--out", str(tmp_path / "again"))[1]["read_units"]
    for side, units in summary["read_units"].items():
        assert units <= in_one_go[side] + 2 * 8, "no more was read twice than each thread had in hand"
    assert not list((tmp_path / "out").glob("checkpoint*"))


@pytest.mark.engine("ministack")
def test_no_such_table_no_region(pair, command, aws, tmp_path):
    code, out, err = ended(command("--source-region", "us-east-2", "--format", "jsonl", "--out", "out"))
    assert code == 6
    assert json.loads(out)["error"]["type"] == "NotFoundError"
    assert f"There is no table {pair} in us-east-2" in err
    assert not (tmp_path / "out").exists()
