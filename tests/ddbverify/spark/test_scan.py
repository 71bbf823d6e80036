"""A comparison by tasks finds what one process finds, and believes nothing without proof."""

from __future__ import annotations

import json
import random
import time

import pytest
from click.testing import CliRunner

from ddbverify.cli import main
from ddbverify.exports import parts
from ddbverify.names import canary_key, marker_key
from ddbverify.spark import scan, tasks
from ddbverify.spark.cluster import SparkCluster
from ddbverify.spark.rows import Kind, Row
from tests import shared_data
from tests.ddbverify import generated
from tests.ddbverify.exports import test_export_diff
from tests.ddbverify.exports.exporting import AT, Exported, changes, deleted, full
from tests.ddbverify.fakes import item
from tests.ddbverify.spark.pretending import PretendedCluster

SCHEMA = {"pk": "S", "sk": "N"}
OF_ORDER = ("reasons", "causes", "notes")
MODULE = """
from decimal import Decimal
import itertools
CALLS = itertools.count()
def same(item): return item
def spelt(item): return {**item, "n": Decimal("1.50") * 2}
def raises(item):
    if item["pk"].startswith("1"): raise ValueError(item["pk"])
    return item
def drops(item): return None if item["pk"].startswith("1") else item
def doubles(item): return [item, item]
def contests(item): return {**item, "pk": "one"}
def changes(item): return {**item, "calls": Decimal(next(CALLS))}
def renames(item): return {**item, "seen": "yes"}
"""


@pytest.fixture
def cluster(monkeypatch):
    """What runs the tasks; a test may put another one here."""
    held = [PretendedCluster()]
    monkeypatch.setattr(SparkCluster, "found_or_made", classmethod(lambda _: held[0]))
    monkeypatch.setattr("ddbverify.tables.aws.client", lambda *_, **__: pytest.fail("AWS was asked"))
    return held


def diff(source, target, *options, key="pk:S,sk:N"):
    """Run it; the findings, sorted, and the summary without what no two runs share."""
    command = ["diff", source.address, target.address, "--key", key, "--format", "jsonl", "--quiet", *options]
    done = CliRunner().invoke(main, command, catch_exceptions=False)
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert lines, done.output
    summary = lines[-1].get("summary", lines[-1])
    for name in OF_ORDER:
        summary[name] = sorted(summary.get(name, []), key=str)
    for name in ("started", "ended", "requests"):  # an empty part is asked twice for its end in one process
        summary.pop(name, None)
    findings = sorted(json.dumps(one, sort_keys=True) for one in lines if "finding" in one)
    return findings, summary, done.exit_code


def both(source, target, *options, key="pk:S,sk:N"):
    """Run it by tasks and in this process, and hold one against the other."""
    here = diff(source, target, *options, key=key)
    there = diff(source, target, *options, "--engine", "spark", key=key)
    there[1]["notes"] = [note for note in there[1]["notes"] if "by a later attempt" not in note]
    for name in here[1] | there[1]:
        assert (name, there[1].get(name)) == (name, here[1].get(name))
    assert there == here
    return there


def cut(chance, items, pieces):
    places = sorted(chance.randrange(len(items) + 1) for _ in range(pieces - 1))
    return [items[begin:end] for begin, end in zip([0, *places], [*places, len(items)], strict=True)]


def planted(chance, items):
    """A copy in another order, with differences of every kind; and how many keys differ."""
    copy = [json.loads(json.dumps(one)) for one in items]
    differing = chance.sample(range(len(copy)), 30)
    for place in differing[:20]:
        copy[place]["planted"] = generated.any_value(chance)
    gone = [copy[place] for place in differing[20:]]
    copy = [one for one in copy if one not in gone]
    copy += [one | {"pk": {"S": f"{one['pk']['S']}+"}} for one in gone[:5]]
    chance.shuffle(copy)
    return copy, 35


@pytest.mark.parametrize("schema", [{"h": "S"}, {"h": "N"}, {"h": "B"}, {"h": "N", "r": "B"}], ids=str)
def test_equal_exports_are_equal_whatever_their_keys_and_the_order(tmp_path, cluster, schema):
    chance = random.Random(5)
    items = generated.items(chance, schema, 150)
    source = full(tmp_path / "a", *cut(chance, items, 4))
    target = full(tmp_path / "b", *cut(chance, chance.sample(items, len(items)), 2))
    key = ",".join(f"{name}:{kind}" for name, kind in schema.items())
    findings, summary, code = both(source, target, key=key)
    assert (findings, summary["matched"], code) == ([], 150, 0)


@pytest.mark.parametrize("seed", range(4))
def test_it_finds_what_one_process_finds_in_items_of_every_type(tmp_path, cluster, seed, monkeypatch):
    monkeypatch.setattr(scan, "RECORDS_PER_TASK", 50)
    monkeypatch.setattr(scan, "OPEN_ITEMS_PER_TASK", 7)
    chance = random.Random(seed)
    items = generated.items(chance, SCHEMA, 400)
    copy, differing = planted(chance, items)
    cluster[0] = PretendedCluster(seed, attempts=1 + seed % 2)
    findings, summary, _ = both(
        full(tmp_path / "a", *cut(chance, items, 5)), full(tmp_path / "b", *cut(chance, copy, 3))
    )
    assert len(findings) == differing
    assert summary["matched"] == 400 - 30
    assert cluster[0].tasks[0] > 8  # more than one joins, and more than one judges
    assert cluster[0].tasks[2] > 4


def test_every_alteration_is_found(tmp_path, cluster):
    alterations = list(generated.alterations())
    sides = [
        [
            {"pk": {"S": f"{number}"}, "sk": {"N": "1"}} | ({} if value is None else {"a": value})
            for number, value in enumerate(values)
        ]
        for values in ([one.before for one in alterations], [one.after for one in alterations])
    ]
    findings, summary, _ = both(full(tmp_path / "a", sides[0]), full(tmp_path / "b", sides[1]))
    assert len(findings) == summary["different"] == len(alterations)


def test_spellings_of_one_item_are_equal(tmp_path, cluster):
    chance = random.Random(9)
    items = generated.items(chance, SCHEMA, 200)
    source, target = full(tmp_path / "a", items), full(tmp_path / "b", [])
    target.files.clear()
    lines = [b'{"Item":%s}' % generated.spelt_item(chance, one).replace(b"\n", b" ") for one in items]
    lines = [line.replace(b"\r", b" ") for line in lines]
    import gzip

    target.write_part(
        f"{target.export_id}/data/x.json.gz", gzip.compress(b"".join(line + b"\n" for line in lines)), 200
    )
    target.summary["itemCount"] = 200
    target.write_manifests()
    findings, summary, _ = both(source, target)
    assert (findings, summary["matched"]) == ([], 200)


@pytest.mark.parametrize(
    "name", ["same", "spelt", "raises", "drops", "doubles", "contests", "changes", "renames"]
)
@pytest.mark.parametrize("is_damaged", [False, True], ids=["whole", "damaged"])
def test_transforms_do_the_same_in_a_task(tmp_path, cluster, monkeypatch, name, is_damaged):
    module = f"made_{name}_{int(is_damaged)}_{time.time_ns()}"
    (tmp_path / f"{module}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    items = [
        {"pk": {"S": f"{number}"}, "sk": {"N": "1"}, "n": {"N": "1"}, "when": {"B": "AQI="}}
        for number in range(40)
    ]
    made = [dict(one) for one in items[1:]]
    for one in made:
        one |= {"n": {"N": "3"}} if name == "spelt" else {"seen": {"S": "yes"}} if name == "renames" else {}
    source, target = full(tmp_path / "a", items[:9], items[9:]), full(tmp_path / "b", made[:20], made[20:])
    if is_damaged:
        test_export_diff.cut_in_a_stream(target.data[0])
    options = ("--transform", f"{module}:{name}")
    here = diff(source, target, *options)
    there = diff(source, target, *options, "--engine", "spark")
    if name == "changes":  # the function is not pure: which reason is told first depends on chance
        assert here[2] == there[2] != 0
        assert len(here[0]) == len(there[0])
        return
    assert there == here
    assert there[1]["verdict"] != "equal"


def test_a_transform_that_is_another_one_in_a_task_is_refused(tmp_path, cluster, monkeypatch):
    module = f"another_{time.time_ns()}"
    (tmp_path / f"{module}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    sides = [full(tmp_path / name, [item("a")]) for name in "ab"]
    made = tasks.ReadParts.__call__

    def other(self, units, attempt=0):
        (tmp_path / f"{module}.py").write_text(MODULE + "# another version\n")
        return made(self, units, attempt)

    monkeypatch.setattr(tasks.ReadParts, "__call__", other)
    _, summary, code = diff(*sides, "--transform", f"{module}:same", "--engine", "spark", key="id:S")
    assert code == 2
    assert "is not the same in a task" in summary["error"]["message"]


@pytest.mark.parametrize(
    "damage", test_export_diff.DAMAGE, ids=["empty", "member", "stream", "bit", "absent"]
)
@pytest.mark.parametrize("side", [0, 1], ids=["source", "target"])
def test_a_part_that_is_not_whole_leaves_what_it_could_hold_undecided(tmp_path, cluster, damage, side):
    sides = [
        full(tmp_path / name, [item("a"), item("b")], [item("c"), item("d")], [item("only" + name)])
        for name in "ab"
    ]
    damage(sides[side].data[0])
    findings, summary, _ = both(*sides, key="id:S")
    assert summary["verdict"] != "equal"
    assert not summary["complete"]
    assert any('"undecided"' in one for one in findings)


def test_what_came_before_a_broken_line_counts(tmp_path, cluster, monkeypatch):
    monkeypatch.setattr(parts, "PAGE_BYTES", 200)
    monkeypatch.setattr(parts, "READ_BYTES", 50)
    items = [item(f"{number:03}", v="x" * 20) for number in range(60)]
    lines = [{"Item": one} for one in items]
    source = Exported(tmp_path / "a", [[*lines[:40], {"Items": 1}, *lines[40:]], lines[:0]])
    target = full(tmp_path / "b", items[::-1])
    findings, summary, _ = both(source, target, key="id:S")
    assert summary["matched"] > 0
    assert any("form that exports have" in reason for reason in summary["reasons"])
    assert len(findings) + summary["matched"] == 60


def test_of_what_is_not_understood_nothing_is_sure(tmp_path, cluster):
    """Two items of a type that this version does not know have no state; they are no match for that."""
    unknown = [item(f"{number}") | {"a": {"X": f"{number}"}} for number in range(4)]
    other = [one | {"a": {"X": "another"}} for one in unknown[:2]]
    findings, summary, _ = both(
        full(tmp_path / "a", unknown), full(tmp_path / "b", other, unknown[2:]), key="id:S"
    )
    assert (len(findings), summary["matched"]) == (2, 2)


def test_canary_and_markers_are_nobodys_items(tmp_path, cluster):
    reserved = [canary_key(test_export_diff.KEY), marker_key(test_export_diff.KEY, 0)]
    source = full(tmp_path / "a", [item("a"), *reserved])
    target = full(tmp_path / "b", [reserved[0]], [item("a")])
    findings, summary, code = both(source, target, key="id:S")
    assert (findings, code, summary["excluded"], summary["matched"]) == ([], 0, 1, 1)


def test_attributes_that_do_not_count_are_left_out(tmp_path, cluster):
    source = full(tmp_path / "a", [item("a", seen="1", v="1"), item("b", seen="1", v="1")])
    target = full(tmp_path / "b", [item("b", seen="2", v="2"), item("a", seen="2", v="1")])
    findings, summary, _ = both(source, target, "--ignore", "seen", key="id:S")
    assert (len(findings), summary["matched"]) == (1, 1)


def held(*values, name="a"):
    """Items of one key, as they look by a --key that lacks an attribute; None: a number spelt otherwise."""
    return [
        {"id": {"S": name}, "v": {"N": "1.0"} if value is None else {"N": f"{value}"}} for value in values
    ]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("ours", "theirs", "states"),
    [
        ([1, 2, 1], [2, 1, 1], []),  # each has an equal partner
        ([1, None], [1, 1], []),
        ([1, 1], [1], ["missing"]),
        ([1, 2, 3], [3, 1], ["missing"]),
        ([2], [2, 1], ["extraneous"]),
        ([1, 2], [], ["uncomparable"]),
        ([1, 2, 3], [2], ["uncomparable"]),
        ([4, 1], [1, 2, 3], ["uncomparable"]),
        ([], [1, 1], ["uncomparable"]),
    ],
    ids=str,
)
def test_items_of_one_key_pair_up_with_equal_ones(tmp_path, cluster, seed, ours, theirs, states):
    """In whatever order they come: an item that has no equal partner is never passed over."""
    chance = random.Random(seed)
    sides = []
    for name, values in (("a", ours), ("b", theirs)):
        items = [*held(*values), *(item(f"other-{number}") for number in range(20))]
        sides.append(full(tmp_path / name, *cut(chance, chance.sample(items, len(items)), 3)))
    findings, summary, code = both(*sides, key="id:S")
    assert [json.loads(one)["finding"] for one in findings] == states
    assert (code == 0) == (not states)
    assert summary["matched"] == 20 + sum(map(min, *counts(ours, theirs)))


def counts(*sides):
    """How often each value is on each side."""
    same = [[1 if value is None else value for value in side] for side in sides]
    return [[side.count(value) for value in {*same[0], *same[1]}] for side in same]


@pytest.mark.parametrize("seed", range(3))
def test_one_item_of_each_side_that_is_left_differs(tmp_path, cluster, seed):
    """Where they differ is known as far as these two have met, which in one process depends on the order."""
    chance = random.Random(seed)
    sides = []
    for name, values in (("a", [1, 2, 5]), ("b", [3, 5, 1])):
        items = held(*values)
        sides.append(full(tmp_path / name, *cut(chance, chance.sample(items, 3), 2)))
    here, there = (diff(*sides, *options, key="id:S") for options in ((), ("--engine", "spark")))
    for findings, summary, code in (here, there):
        (finding,) = map(json.loads, findings)
        assert (finding["finding"], summary["matched"], code) == ("different", 2, 1)
    assert json.loads(there[0][0])["paths"] == ["v: value"]


def test_odd_items_are_the_same_in_a_task(tmp_path, cluster):
    odd = [
        item("Name"),
        item("name"),
        {"id": {"S": "map"}, "m": {"M": {}}, "": {"M": {"": {"M": {}}}}},
        {"id": {"S": "38"}, "n": {"N": "1" * 38}, "e": {"N": "1E125"}, "s": {"N": "-1E-130"}},
        {"id": {"S": "cases"}, "Name": {"S": "a"}, "name": {"S": "b"}},
        {"id": {"S": "large"}, "v": {"S": "x" * 400_000}},
    ]
    differing = [{**one, "n": {"N": "2"}} for one in odd]
    assert both(full(tmp_path / "a", odd), full(tmp_path / "b", odd[::-1]), key="id:S")[2] == 0
    findings, _, _ = both(full(tmp_path / "c", odd), full(tmp_path / "d", differing), key="id:S")
    assert len(findings) == 6


def test_a_real_export_of_aws_is_read(tmp_path, cluster):
    import shutil

    shutil.copytree(shared_data.export(), tmp_path / "a" / "AWSDynamoDB")
    (real,) = (tmp_path / "a" / "AWSDynamoDB").iterdir()

    class Real:
        address = f"file://{real}"

    findings, _, _ = both(Real, full(tmp_path / "c", [item("bar")]), key="id:S")
    assert len(findings) == 3


def test_empty_exports_prove_nothing(tmp_path, cluster):
    _, summary, code = both(full(tmp_path / "a"), full(tmp_path / "b", []), key="id:S")
    assert code == 3
    assert any("no key was compared" in reason for reason in summary["reasons"])


# --- proof ----------------------------------------------------------------------------------


def _of_kind(rows, kind):
    """Their places, those that hold most first: a receipt of nothing may be lost."""
    places = [number for number, row in enumerate(rows) if row.kind == kind]
    return sorted(places, key=lambda place: -len(rows[place].content))


def lose(name, kind):
    def losing(shuffle, rows):
        places = _of_kind(rows, kind) if shuffle == name else []
        return [row for number, row in enumerate(rows) if number not in places[:1]]

    return losing


def double(name, kind):
    def losing(shuffle, rows):
        places = _of_kind(rows, kind) if shuffle == name else []
        return rows + [rows[place] for place in places[:1]]

    return losing


def flip(name, kind):
    def losing(shuffle, rows):
        for place in (_of_kind(rows, kind) if shuffle == name else [])[:1]:
            content = bytearray(rows[place].content)
            content[-1] ^= 1
            rows[place] = Row(rows[place].bucket, rows[place].kind, bytes(content))
        return rows

    return losing


@pytest.mark.parametrize(
    ("alter", "shuffle", "kind"),
    [
        *((alter, "joined", Kind.RECORDS) for alter in (lose, double, flip)),
        *((alter, "joined", Kind.READ) for alter in (lose, double)),
        *((alter, "fetched", Kind.OPEN) for alter in (lose, double)),
        *((alter, "judged", Kind.ITEMS) for alter in (lose, double, flip)),
        *((alter, "judged", Kind.FETCHED) for alter in (lose, double)),
    ],
)
def test_what_is_lost_or_doubled_on_the_way_is_never_equal(tmp_path, cluster, alter, shuffle, kind):
    cluster[0] = PretendedCluster(losing=alter(shuffle, kind))
    items = [item(f"{number}", v="1") for number in range(30)]
    sides = full(tmp_path / "a", items[:15], items[15:]), full(tmp_path / "b", [*items[1:], item("new")])
    findings, summary, code = diff(*sides, "--engine", "spark", key="id:S")
    assert not summary["complete"]
    assert any(
        "lost or doubled" in reason or "task of Spark failed" in reason for reason in summary["reasons"]
    )
    assert code == (1 if findings else 3)
    if shuffle == "joined":
        assert findings == []  # nothing is judged before everything is there


def test_a_later_attempt_is_told(tmp_path, cluster):
    cluster[0] = PretendedCluster(attempts=2)
    sides = [full(tmp_path / name, [item("a")], [item("b")]) for name in "ab"]
    _, summary, code = diff(*sides, "--engine", "spark", key="id:S")
    assert code == 0
    assert any("4 parts by a later attempt" in note for note in summary["notes"])


# --- what is refused ------------------------------------------------------------------------


def test_what_is_not_compared_on_spark_is_refused_by_name(tmp_path, cluster):
    source, target = (full(tmp_path / name, [item("a")]) for name in "ab")
    on_top = changes(tmp_path / "a", [deleted(item("a"))], AT, AT + 900)

    class Table:
        address = "orders"

    for sides, options, message in (
        ((source, Table), (), "one side is a live table, and the other an export"),
        (
            (source, target),
            ("--source-changes", on_top.address, "--rekeys", "--transform", "any:thing"),
            "incremental exports of a re-keyed pair",
        ),
    ):
        _, summary, code = diff(*sides, "--engine", "spark", *options, key="id:S")
        assert code == 2
        assert message in summary["error"]["message"]
