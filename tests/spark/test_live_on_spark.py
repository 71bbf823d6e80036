"""Live tables on a real Spark; see `tests/ddbverify/spark/test_live.py` for what needs none."""

from __future__ import annotations

import random

import pytest

from tests.ddbverify import generated
from tests.ddbverify.spark.lively import REGIONS, SCHEMA, Tables
from tests.spark.test_on_spark import TRANSFORM

pytestmark = [
    pytest.mark.engine("ministack"),
    pytest.mark.usefixtures("session"),
    pytest.mark.filterwarnings("ignore"),
]

CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_EC2_METADATA_DISABLED", "NO_PROXY")


@pytest.fixture
def tables(aws, unique, monkeypatch, session, tmp_path):
    """Makes two tables; tasks are told whose credentials they have, and nothing of an endpoint."""
    variables = aws.variables(REGIONS[0])
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for name in CREDENTIALS:
        monkeypatch.setitem(session.sparkContext.environment, name, variables[name])
    monkeypatch.chdir(tmp_path)
    return lambda schema=None: Tables(aws, unique("live"), schema)


def numbered(count, **more):
    return [
        {"pk": {"S": f"key-{number}"}, "sk": {"N": "1"}, "v": {"S": "x"}} | more for number in range(count)
    ]


def test_items_of_every_type_and_differences_of_every_kind(tables):
    chance = random.Random(4)
    items = generated.items(chance, SCHEMA, 120)
    copy = [dict(one) for one in items]
    for place in range(0, 120, 7):
        copy[place]["planted"] = generated.any_value(chance)
    findings, summary, code = tables().fill(items[2:], copy[:-3]).both("--segments", "2")
    assert code == 1
    assert len(findings) + summary["matched"] == 120


def test_transforms_that_raise_drop_double_and_change_keys(tables, tmp_path):
    (tmp_path / "live_on_spark.py").write_text(TRANSFORM)
    items = [
        {"pk": {"S": f"{number}"}, "sk": {"N": "1"}, "number": {"N": f"{number}"}} for number in range(70)
    ]
    made = [one | ({} if int(one["number"]["N"]) % 7 == 5 else {"seen": {"S": "yes"}}) for one in items[:60]]
    pair = tables().fill(items, made)
    _, summary, code = pair.both("--segments", "2", "--transform", "live_on_spark:everything")
    assert (code, summary["uncomparable"], summary["matched"]) == (1, 30, 25)


def test_a_task_that_breaks_reads_again_and_its_reading_is_on_the_bill(tables, tmp_path):
    (tmp_path / "live_breaks.py").write_text(TRANSFORM)
    items = [one | {"breaks": {"BOOL": number == 3}} for number, one in enumerate(numbered(20))]
    pair = tables().fill(items, [one | {"v": {"S": "y"}} for one in items])
    here = pair.diff("--segments", "1", "--processes", "1", "--transform", "live_breaks:breaks_once")
    there = pair.diff("--segments", "1", "--engine", "spark", "--transform", "live_breaks:breaks_once")
    assert there[0] == here[0]
    assert there[1]["complete"]
    assert sum(there[1]["read_units"].values()) > sum(here[1]["read_units"].values())
    assert any("1 segment by a later attempt than the first (1)" in note for note in there[1]["notes"])


def test_credentials_of_this_machine_only_are_refused_by_name(tables, session, monkeypatch):
    for name in CREDENTIALS[:2]:
        monkeypatch.setitem(session.sparkContext.environment, name, "")
    _, summary, code = tables().fill(numbered(1), numbered(1)).diff("--engine", "spark")
    assert code == 2
    assert "no usable AWS credentials" in summary["error"]["message"]
    assert "those of the executors' role" in summary["error"]["message"]


def test_what_has_no_partner_is_staged_and_joined_by_tasks(tables, tmp_path):
    items = numbered(60)
    pair = tables().fill(items[:40], items[20:])
    place = f"file://{tmp_path}/staged"
    findings, summary, _ = pair.both("--segments", "3", "--spark-staging", place)
    assert (len(findings), summary["matched"], summary["missing"], summary["extraneous"]) == (40, 20, 20, 20)
    assert [one for one in (tmp_path / "staged").rglob("*") if one.is_file()] == []
