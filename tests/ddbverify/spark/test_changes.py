"""Incremental exports by tasks: the last word on a key stands, and what is damaged proves nothing."""

from __future__ import annotations

import json
import random
import time

import pytest

from ddbverify.names import canary_key, marker_key
from ddbverify.spark import changes as changing
from ddbverify.spark import scan
from ddbverify.spark.cluster import SparkCluster
from ddbverify.spark.rows import Kind
from tests.ddbverify import generated
from tests.ddbverify.exports import test_export_diff
from tests.ddbverify.exports.exporting import AT, changes, deleted, full, put
from tests.ddbverify.fakes import item
from tests.ddbverify.spark.pretending import PretendedCluster
from tests.ddbverify.spark.test_scan import MODULE, SCHEMA, both, cut, diff, double, flip, lose, planted


@pytest.fixture
def cluster(monkeypatch):
    """What runs the tasks; a test may put another one here."""
    held = [PretendedCluster()]
    monkeypatch.setattr(SparkCluster, "found_or_made", classmethod(lambda _: held[0]))
    monkeypatch.setattr("ddbverify.tables.aws.client", lambda *_, **__: pytest.fail("AWS was asked"))
    return held


def moving(chance, folder, items, rounds):
    """A full export, incremental ones on top of it, and what the table holds at last."""
    now = {json.dumps(one["pk"]) + json.dumps(one["sk"]): one for one in items}
    begun = full(folder, *cut(chance, items, 4))
    made = []
    for number in range(rounds):
        lines = []
        for key in chance.sample(sorted(now), len(now) // 3):
            if chance.random() < 0.3:
                lines.append(deleted({name: now[key][name] for name in SCHEMA}))
                del now[key]
            else:
                now[key] = now[key] | {"moved": generated.any_value(chance)}
                lines.append(put(now[key], *SCHEMA))
        for new in range(5):
            one = {"pk": {"S": f"new {number}"}, "sk": {"N": f"{new}"}, "v": {"N": "1"}}
            now[json.dumps(one["pk"]) + json.dumps(one["sk"])] = one
            lines.append(put(one, *SCHEMA))
        since = AT + 900 * number
        pieces = chance.randrange(1, 4)
        made.append(changes(folder, lines, since, since + 900, pieces=pieces, export_id=f"0{number}-0a"))
    return begun, made, list(now.values())


def options_of(side, made):
    return [option for one in made for option in (f"--{side}-changes", one.address)]


@pytest.mark.parametrize("seed", range(4))
def test_it_finds_what_one_process_finds(tmp_path, cluster, seed, monkeypatch):
    monkeypatch.setattr(scan, "RECORDS_PER_TASK", 50)
    monkeypatch.setattr(scan, "OPEN_ITEMS_PER_TASK", 7)
    chance = random.Random(seed)
    cluster[0] = PretendedCluster(seed, attempts=1 + seed % 2)
    source, ours, now = moving(chance, tmp_path / "a", generated.items(chance, SCHEMA, 300), 1 + seed % 3)
    copy, differing = planted(chance, now)
    target, theirs, at_last = moving(chance, tmp_path / "b", copy, seed % 2)
    on_top = options_of("source", ours) + options_of("target", theirs)
    findings, summary, _ = both(source, target, *on_top)
    assert summary["items"]["source"] == len(now)
    assert summary["items"]["target"] == len(at_last)
    if not theirs:
        assert (len(findings), summary["matched"]) == (differing, len(now) - 30)


def test_what_the_last_word_makes_equal_is_equal(tmp_path, cluster):
    chance = random.Random(11)
    source, made, now = moving(chance, tmp_path / "a", generated.items(chance, SCHEMA, 200), 3)
    findings, summary, code = both(source, full(tmp_path / "b", now), *options_of("source", made))
    assert (findings, code, summary["matched"]) == ([], 0, len(now))


@pytest.mark.parametrize("name", ["spelt", "raises", "drops"])
def test_images_go_through_the_transform(tmp_path, cluster, monkeypatch, name):
    module = f"made_on_top_{name}_{time.time_ns()}"
    (tmp_path / f"{module}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    items = [{"pk": {"S": f"{number}"}, "sk": {"N": "1"}, "n": {"N": "1"}} for number in range(20)]
    lines = [put(one | {"n": {"N": "7"}}, *SCHEMA) for one in items[10:15]] + [
        deleted(items[number]) for number in (1, 2)
    ]
    made = [one | {"n": {"N": "3"} if name == "spelt" else one["n"]} for one in items]
    on_top = changes(tmp_path / "a", lines, AT, AT + 900)
    options = ("--transform", f"{module}:{name}", "--source-changes", on_top.address)
    findings, _, _ = both(full(tmp_path / "a", items[:9], items[9:]), full(tmp_path / "b", made), *options)
    assert findings


def test_items_that_a_key_stands_for_more_than_once_are_all_replaced(tmp_path, cluster):
    twice = [item("a", v="1"), item("a", v="2")]
    source = full(tmp_path / "a", twice[:1], twice[1:])
    on_top = changes(tmp_path / "a", [put(item("a", v="3"), "id")], AT, AT + 900)
    target = full(tmp_path / "b", [item("a", v="3")])
    findings, summary, code = both(source, target, "--source-changes", on_top.address, key="id:S")
    assert (findings, code, summary["matched"], summary["items"]["source"]) == ([], 0, 1, 1)


@pytest.mark.parametrize("is_gone", [False, True])
def test_canary_and_markers_are_nobodys_items_in_them_either(tmp_path, cluster, is_gone):
    reserved = [canary_key(test_export_diff.KEY), *(marker_key(test_export_diff.KEY, n) for n in (0, 1))]
    lines = [deleted(one) if is_gone else put(one, "id") for one in reserved]
    on_top = changes(tmp_path / "a", [*lines, put(item("b"), "id")], AT, AT + 900)
    source, target = (
        full(tmp_path / "a", [item("a"), *reserved[:2]]),
        full(tmp_path / "b", [item("a"), item("b")]),
    )
    findings, summary, code = both(source, target, "--source-changes", on_top.address, key="id:S")
    assert (findings, code, summary["excluded"], summary["matched"]) == ([], 0, int(not is_gone), 2)


# --- what is not whole ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage", test_export_diff.DAMAGE, ids=["empty", "member", "stream", "bit", "absent"]
)
@pytest.mark.parametrize("side", ["source", "target"])
def test_a_damaged_one_leaves_the_whole_side_undecided(tmp_path, cluster, damage, side):
    """What is equal in the full exports may have been written since: nobody knows by which keys."""
    folders = {"source": tmp_path / "a", "target": tmp_path / "b"}
    source, target = (full(folder, [item("a"), item("b")], [item("c")]) for folder in folders.values())
    lines = [put(item("a", v="2"), "id"), deleted(item("b"))]
    on_top = [
        changes(folders[side], lines, AT, AT + 900),
        changes(folders[side], lines, AT + 900, AT + 1800, pieces=2),
    ]
    damage(on_top[1].data[1])
    findings, summary, _ = both(source, target, *options_of(side, on_top), key="id:S")
    assert summary["matched"] == 0
    assert [json.loads(one)["finding"] for one in findings] == ["undecided"] * 3
    assert summary["verdict"] != "equal"
    assert not summary["complete"]


def test_damage_on_either_side_at_once_proves_nothing(tmp_path, cluster):
    folders = {"source": tmp_path / "a", "target": tmp_path / "b"}
    sides = [full(folder, [item("a")]) for folder in folders.values()]
    on_top = {side: [changes(folder, [deleted(item("a"))], AT, AT + 900)] for side, folder in folders.items()}
    for (one,) in on_top.values():
        test_export_diff.cut_in_a_stream(one.data[0])
    options = options_of("source", on_top["source"]) + options_of("target", on_top["target"])
    findings, summary, code = both(*sides, *options, key="id:S")
    assert (findings, summary["matched"], code) == ([], 0, 3)


def test_one_that_is_damaged_behind_its_proof_ends_the_comparison(tmp_path, cluster, monkeypatch):
    source, target = full(tmp_path / "a", [item("a")]), full(tmp_path / "b", [item("a")])
    on_top = changes(tmp_path / "a", [deleted(item("a"))], AT, AT + 900)
    prove = changing.ProveChanges.__call__

    def proven_once(self, numbers, attempt=0):
        yield from prove(self, numbers, attempt)
        test_export_diff.cut_in_a_stream(on_top.data[0])

    monkeypatch.setattr(changing.ProveChanges, "__call__", proven_once)
    options = ("--source-changes", on_top.address, "--engine", "spark")
    findings, summary, code = diff(source, target, *options, key="id:S")
    assert (findings, code) == ([], 3)
    assert any("was whole, and is not any more" in reason for reason in summary["reasons"])


def test_a_key_that_lacks_an_attribute_is_refused(tmp_path, cluster):
    items = [item("a", sk="1"), item("a", sk="2"), item("b", sk="1")]
    source, target = full(tmp_path / "a", items), full(tmp_path / "b", items[2:])
    on_top = changes(tmp_path / "a", [deleted(items[0])], AT, AT + 900)
    _, summary, code = both(source, target, "--source-changes", on_top.address, key="id:S")
    assert code == 3
    assert any("keys of other attributes than id" in reason for reason in summary["reasons"])


@pytest.mark.parametrize("alter", [lose, double, flip])
def test_what_is_lost_or_doubled_of_them_is_never_equal(tmp_path, cluster, alter):
    cluster[0] = PretendedCluster(losing=alter("joined", Kind.RECORDS))
    source, target = full(tmp_path / "a", [item("a")]), full(tmp_path / "b", [item("a")])
    lines = [put(item(f"{number}", v="2"), "id") for number in range(30)]
    on_top = [changes(tmp_path / name, lines, AT, AT + 900) for name in "ab"]
    options = (*options_of("source", on_top[:1]), *options_of("target", on_top[1:]), "--engine", "spark")
    findings, summary, code = diff(source, target, *options, key="id:S")
    assert (findings, code) == ([], 3)
    assert any("lost or doubled" in reason for reason in summary["reasons"])


@pytest.mark.parametrize("alter", [lose, double])
def test_a_proof_that_is_lost_or_doubled_is_none(tmp_path, cluster, alter):
    cluster[0] = PretendedCluster(losing=alter("joined", Kind.READ))
    source, target = full(tmp_path / "a", [item("a")]), full(tmp_path / "b", [item("a")])
    on_top = changes(tmp_path / "a", [put(item("b"), "id")], AT, AT + 900)
    options = ("--source-changes", on_top.address, "--engine", "spark")
    _, summary, code = diff(source, target, *options, key="id:S")
    assert code == 3
    assert any("1 part was planned" in reason for reason in summary["reasons"])
