"""A gated run whose pass is made on a real Spark: its evidence, and what the gate says of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.ddbverify import projects
from tests.ddbverify.exports.test_in_a_suite import ITEMS, export_of, settings, tables
from tests.ddbverify.fakes import item

__all__ = ["tables"]

pytestmark = [pytest.mark.engine("ministack"), pytest.mark.filterwarnings("ignore")]

TRANSFORM = """
import sys
from pathlib import Path

def made(item):
    pyspark = sys.modules.get("pyspark")
    if pyspark is None or pyspark.TaskContext.get() is None:
        return {**item, "word": "seen"}
    return {**item, "word": Path(__file__).with_name("word.txt").read_text()}
"""


@pytest.fixture
def ddbverify(aws, tmp_path):
    """Runs a command in a folder; status, document and standard error."""
    options = (
        "--master local[1] --driver-memory 600m --conf spark.ui.enabled=false "
        "--conf spark.driver.host=127.0.0.1 --conf spark.sql.shuffle.partitions=2 "
        f"--conf spark.local.dir={tmp_path / 'local'} pyspark-shell"
    )
    environment = aws.environment("eu-west-1") | {
        "PYTHONPATH": str(projects.REPOSITORY),
        "PYSPARK_SUBMIT_ARGS": options,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "JAVA_HOME": os.environ.get("JAVA_HOME", ""),
    }
    environment = {name: value for name, value in environment.items() if value}

    def run(*arguments):
        done = subprocess.run(
            [sys.executable, "-m", "ddbverify", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout.startswith("{"), done.stderr[-3000:]
        return done.returncode, json.loads(done.stdout), done.stderr

    return run


def on_spark(text, **pair):
    more = "".join(f"{name} = {json.dumps(value)}\n" for name, value in pair.items())
    return text.replace("\n[verification]\n", f'{more}\n[verification]\nengine = "spark"\n')


def facts_of(tmp_path, run):
    shown = run("evidence", str(tmp_path / ".ddbverify" / "latest" / "evidence.json"))[1]
    return {fact["name"]: fact["value"] for fact in shown["facts"]}


def test_a_run_on_live_tables_opens_the_gate_and_names_the_engine(tables, tmp_path, ddbverify):
    (tmp_path / "migration.toml").write_text(on_spark(settings(tables)))
    code, ran, said = ddbverify("run", "--json")
    assert (code, ran["verdict"]) == (0, "passed"), said
    assert ran["pairs"][0]["counts"]["matched"] == len(ITEMS)
    assert facts_of(tmp_path, ddbverify)["engine"].startswith("spark ")
    code, judged, _ = ddbverify("gate", "--json")
    assert (code, judged["reasons"]) == (0, [])
    tables[1][0].put_item(TableName=tables[1][1], Item=item("key-3", v="2"))
    code, ran, _ = ddbverify("run", "--json")
    assert (code, ran["pairs"][0]["counts"]["different"]) == (1, 1)
    assert ddbverify("gate", "--json")[0] == 1


@pytest.mark.full
def test_a_run_on_exports_leaves_the_evidence_of_one_and_no_gate_opens_on_it(tables, tmp_path, ddbverify):
    addresses = [export_of(tmp_path / name, table, ITEMS) for name, table in zip("ab", tables, strict=True)]
    text = settings(tables, source_export=addresses[0], target_export=addresses[1])
    (tmp_path / "migration.toml").write_text(on_spark(text))
    code, ran, said = ddbverify("run", "--json")
    assert (code, ran["verdict"]) == (0, "passed"), said
    assert facts_of(tmp_path, ddbverify).keys() >= {"engine", "source-export", "target-export"}
    code, judged, _ = ddbverify("gate", "--json")
    assert (code, {one["code"] for one in judged["reasons"]}) == (3, {"exports"})


@pytest.mark.full
@pytest.mark.parametrize("is_exported", [False, True], ids=["tables", "exports"])
def test_what_a_transform_reads_in_a_task_alone_is_bound_like_what_it_reads_here(
    tables, tmp_path, ddbverify, is_exported
):
    client, name = tables[1]
    made = [one | {"word": {"S": "seen"}} for one in ITEMS]
    for one in made:
        client.put_item(TableName=name, Item=one)
    exports = {}
    if is_exported:
        exports = {
            "source_export": export_of(tmp_path / "a", tables[0], ITEMS),
            "target_export": export_of(tmp_path / "b", tables[1], made),
        }
    (tmp_path / "reads_a_file.py").write_text(TRANSFORM)
    (tmp_path / "word.txt").write_text("seen")
    text = on_spark(settings(tables, **exports), transform="reads_a_file:made")
    (tmp_path / "migration.toml").write_text(text)
    code, ran, said = ddbverify("run", "--json")
    assert (code, ran["verdict"]) == (3, "inconclusive"), said
    assert ran["pairs"][0]["counts"]["matched"] == len(ITEMS)
    assert "read word.txt, which no digest is over" in said


CHECKS = """
from ddbverify import check, each_item

@check(stateless=True)
@each_item
def check_number(source, target):
    print("printed:", source["id"])
    assert int(source["id"].rpartition("-")[2]) % 3, source["id"]

@check(stateless=True)
@each_item
def check_raises(expected):
    if expected["id"] == "key-4":
        raise KeyError(expected["id"])
"""


@pytest.mark.parametrize(
    "is_exported", [False, pytest.param(True, marks=pytest.mark.full)], ids=["tables", "exports"]
)
def test_checks_that_see_equal_items_say_what_they_say_here(tables, tmp_path, ddbverify, is_exported):
    exports = {}
    if is_exported:
        exports = {
            "source_export": export_of(tmp_path / "a", tables[0], ITEMS[:4], ITEMS[4:]),
            "target_export": export_of(tmp_path / "b", tables[1], ITEMS),
        }
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks" / "check_numbers.py").write_text(CHECKS)
    text = settings(tables, **exports)
    said = []
    for settings_ in (text, on_spark(text)):
        (tmp_path / "migration.toml").write_text(settings_)
        code, ran, errors = ddbverify("run", "--json")
        assert "printed:" not in errors
        checks = [one for one in ran["checks"] if one["name"].startswith("check_numbers.py")]
        for one in checks:
            del one["seconds"]
        said.append((code, ran["verdict"], ran["pairs"][0]["counts"], checks))
    assert said[0] == said[1]
    assert said[1][:2] == (1, "failed")
    assert [(one["state"], one["examined"], one["findings"]) for one in said[1][3]] == [
        ("failed", 10, 4),
        ("inconclusive", 10, 0),
    ]
    assert facts_of(tmp_path, ddbverify)["engine"].startswith("spark ")


PASSING = """
from ddbverify import check, each_item

@check(stateless=True)
@each_item
def check_number(source, target, expected):
    assert source["id"] == target["id"] == expected["id"]
"""


@pytest.mark.full
def test_the_gate_opens_on_a_check_that_tasks_have_called(tables, tmp_path, ddbverify):
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks" / "check_numbers.py").write_text(PASSING)
    (tmp_path / "migration.toml").write_text(on_spark(settings(tables)))
    code, ran, said = ddbverify("run", "--json")
    assert (code, ran["verdict"]) == (0, "passed"), said
    (check,) = [one for one in ran["checks"] if one["name"] == "check_numbers.py::check_number"]
    assert (check["state"], check["examined"]) == ("passed", len(ITEMS))
    code, judged, _ = ddbverify("gate", "--json")
    assert (code, judged["reasons"]) == (0, [])
