"""The same findings as in one process, on a real Spark; see `tests/ddbverify/spark` for what needs none."""

from __future__ import annotations

import random
import shutil

import pytest

from tests import shared_data
from tests.ddbverify import generated
from tests.ddbverify.exports import test_export_diff
from tests.ddbverify.exports.exporting import full
from tests.ddbverify.fakes import item
from tests.ddbverify.spark import test_changes, test_rekeyed, test_scan
from tests.ddbverify.spark.test_scan import SCHEMA, both, cut, diff, planted

pytestmark = [pytest.mark.usefixtures("session"), pytest.mark.filterwarnings("ignore")]

TRANSFORM = '''
from decimal import Decimal
from pathlib import Path

def everything(item):
    """It raises, drops, doubles, changes keys, and now and then does as it should."""
    match int(item["number"]) % 7:
        case 1: raise ValueError(item["pk"])
        case 2: return None
        case 3: return [item, item]
        case 4: return {**item, "pk": "one"}
        case 5: return {**item, "number": item["number"] * Decimal("1.0")}
    return {**item, "seen": "yes"}

def in_a_task():
    import pyspark
    return pyspark.TaskContext.get() is not None

def breaks_once(item):
    """What no transform may do, and what no handler of ours catches: once in each place."""
    flag = Path(__file__).with_name(f"flag-{item['pk']}")
    if in_a_task() and item["breaks"] and not flag.exists():
        flag.touch()
        raise KeyboardInterrupt(item["pk"])
    return item

def breaks_always(item):
    if in_a_task():
        raise KeyboardInterrupt(item["pk"])
    return item
'''


@pytest.fixture(autouse=True)
def nobody_is_asked(monkeypatch, tmp_path):
    monkeypatch.setattr("ddbverify.tables.aws.client", lambda *_, **__: pytest.fail("AWS was asked"))
    monkeypatch.chdir(tmp_path)


def test_items_of_every_type_and_differences_of_every_kind(tmp_path):
    chance = random.Random(1)
    items = generated.items(chance, SCHEMA, 600)
    copy, differing = planted(chance, items)
    source, target = full(tmp_path / "a", *cut(chance, items, 3)), full(tmp_path / "b", *cut(chance, copy, 2))
    findings, summary, _ = both(source, target)
    assert (len(findings), summary["matched"]) == (differing, 570)


def test_every_alteration_is_found(tmp_path):
    test_scan.test_every_alteration_is_found(tmp_path, None)


def test_odd_items_large_ones_and_keys_that_are_no_text(tmp_path):
    odd = [
        {"id": {"B": "/w=="}, "Name": {"S": "a"}, "name": {"S": "b"}},
        {"id": {"B": "AP8="}, "m": {"M": {}}, "": {"M": {"": {"M": {}}}}},
        {"id": {"B": "AA=="}, "n": {"N": "1" * 38}, "e": {"N": "1E125"}, "s": {"N": "-1E-130"}},
        *(
            {"id": {"B": generated.b64(bytes([9, number]))}, "v": {"S": "x" * 400_000}}
            for number in range(12)
        ),
    ]
    differing = [{**one, "n": {"N": "2"}} for one in odd[::-1]]
    assert both(full(tmp_path / "a", odd), full(tmp_path / "b", odd[:4], odd[4:]), key="id:B")[2] == 0
    findings, _, _ = both(full(tmp_path / "c", odd), full(tmp_path / "d", differing), key="id:B")
    assert len(findings) == len(odd)


def test_transforms_that_raise_drop_double_and_change_keys(tmp_path):
    (tmp_path / "on_spark.py").write_text(TRANSFORM)
    items = [
        {"pk": {"S": f"{number}"}, "sk": {"N": "1"}, "number": {"N": f"{number}"}} for number in range(70)
    ]
    made = [one | ({} if int(one["number"]["N"]) % 7 == 5 else {"seen": {"S": "yes"}}) for one in items[:60]]
    source, target = full(tmp_path / "a", items[:30], items[30:]), full(tmp_path / "b", made)
    findings, summary, code = both(source, target, "--transform", "on_spark:everything")
    assert code == 1
    assert summary["uncomparable"] == 30
    assert summary["matched"] == 25
    assert any('"extraneous"' in one for one in findings)  # what is dropped, and there


def test_re_keyed_pairs_with_keys_that_are_contested_dropped_and_doubled(tmp_path):
    (tmp_path / "re_keying.py").write_text(test_rekeyed.MODULE)
    chance = random.Random(2)
    items = test_rekeyed.items_of(300, chance)
    held = test_rekeyed.differing(chance, test_rekeyed.spread(items))
    source, target = full(tmp_path / "a", *cut(chance, items, 3)), full(tmp_path / "b", *cut(chance, held, 2))
    options = ("--rekeys", "--transform", "re_keying:spread")
    findings, summary, _ = both(source, target, *options, key="id:S")
    assert sum("several source items claim" in one for one in findings) == 12
    assert summary["matched"] > 100


def test_incremental_exports_say_what_stands_and_one_that_is_damaged_proves_nothing(tmp_path):
    chance = random.Random(4)
    items = generated.items(chance, SCHEMA, 200)
    source, made, now = test_changes.moving(chance, tmp_path / "a", items, 2)
    copy, differing = planted(chance, now)
    target = full(tmp_path / "b", *cut(chance, copy, 3))
    options = test_changes.options_of("source", made)
    findings, summary, _ = both(source, target, *options)
    assert (len(findings), summary["matched"]) == (differing, len(now) - 30)
    test_export_diff.cut_in_a_stream(made[0].data[0])
    findings, summary, code = both(source, target, *options)
    assert (len(findings), summary["matched"], code) == (len(copy), 0, 3)


@pytest.mark.parametrize("side", [0, 1], ids=["source", "target"])
def test_parts_that_are_not_whole_are_never_equal_whatever_spark_ignores(tmp_path, session, side):
    settings = ("spark.sql.files.ignoreCorruptFiles", "spark.sql.files.ignoreMissingFiles")
    for name in settings:
        session.conf.set(name, "true")
    try:
        pieces = [[item(f"{part}-{number}") for number in range(3)] for part in range(6)]
        sides = [full(tmp_path / name, *pieces, [item("only" + name)]) for name in "ab"]
        for damage, path in zip(test_export_diff.DAMAGE, sides[side].data, strict=False):
            damage(path)
        findings, summary, _ = both(*sides, key="id:S")
    finally:
        for name in settings:
            session.conf.unset(name)
    assert summary["matched"] == 3
    assert sum('"undecided"' in one for one in findings) == 16
    assert len([one for one in summary["reasons"] if one.startswith("segment")]) == 5


def test_a_task_that_breaks_is_done_again_and_counts_once(tmp_path):
    (tmp_path / "on_spark.py").write_text(TRANSFORM)
    items = [{"id": {"S": f"{number}"}, "pk": {"S": f"{number}"}} for number in range(20)]
    items = [one | {"breaks": {"BOOL": number in (3, 15)}} for number, one in enumerate(items)]
    sides = full(tmp_path / "a", items[:10], items[10:]), full(tmp_path / "b", [*items[1:], item("new")])
    options = ("--transform", "on_spark:breaks_once", "--engine", "spark")
    findings, summary, code = diff(*sides, *options, key="id:S")
    assert (len(findings), summary["matched"], summary["complete"], code) == (2, 19, True, 1)
    assert any("2 parts by a later attempt" in note for note in summary["notes"])


def test_a_task_that_always_breaks_is_told_by_its_type_and_place(tmp_path):
    (tmp_path / "on_spark.py").write_text(TRANSFORM)
    items = [{"id": {"S": "1"}, "pk": {"S": "telltale"}}]
    sides = full(tmp_path / "a", items), full(tmp_path / "b", items)
    options = ("--transform", "on_spark:breaks_always", "--engine", "spark")
    findings, summary, code = diff(*sides, *options, key="id:S")
    assert (findings, code, summary["verdict"]) == ([], 3, "inconclusive")
    assert "failed with KeyboardInterrupt in on_spark line" in str(summary["reasons"])


def test_the_session_is_left_as_it_was(tmp_path, session):
    before = session.conf.get("spark.sql.execution.arrow.maxRecordsPerBatch")
    sides = [full(tmp_path / name, [item("a")]) for name in "ab"]
    assert diff(*sides, "--engine", "spark", key="id:S")[2] == 0
    assert session.conf.get("spark.sql.execution.arrow.maxRecordsPerBatch") == before
    assert session.range(3).count() == 3


def test_a_real_export_of_aws_is_read(tmp_path):
    shutil.copytree(shared_data.export(), tmp_path / "a" / "AWSDynamoDB")
    (real,) = (tmp_path / "a" / "AWSDynamoDB").iterdir()

    class Real:
        address = f"file://{real}"

    findings, _, _ = both(Real, full(tmp_path / "c", [item("bar")]), key="id:S")
    assert len(findings) == 3
