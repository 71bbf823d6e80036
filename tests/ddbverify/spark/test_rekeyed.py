"""Re-keyed exports by tasks: contested keys, drops, doubles and refusals come out as in one process."""

from __future__ import annotations

import json
import random
import time

import msgspec
import pytest

from ddbverify.compare import open_claims
from ddbverify.items.quick import UNSURE
from ddbverify.names import canary_key, marker_key
from ddbverify.spark import rekeyed, scan
from ddbverify.spark.receipts import Joined
from ddbverify.spark.rows import RECORD, Kind, Row, place_of
from ddbverify.spark.units import Units
from tests.ddbverify import generated
from tests.ddbverify.exports import test_export_diff
from tests.ddbverify.exports.exporting import full
from tests.ddbverify.spark.pretending import PretendedCluster
from tests.ddbverify.spark.test_scan import MODULE as OTHERS
from tests.ddbverify.spark.test_scan import both, cluster, cut, diff, double, flip, lose

__all__ = ["cluster"]

KEY = "id:S"
MODULE = (
    OTHERS
    + """
def spread(item):
    number = int(item["id"])
    match number % 9:
        case 0: return None                                                # dropped
        case 1: raise ValueError(item["id"])                               # not transformed
        case 2: return [item | {"id": f"{item['id']}-{part}"} for part in "abc"]
        case 3: return item | {"id": f"to-{number // 27}"}                 # three want one key
        case 4: return item | {"id": f"to-{number + 1}", "n": Decimal("1.50") * number}
        case 5: return []
        case 6: return [item | {"id": "everybody"}]
    return item | {"id": f"new-{item['id']}"}

def alike(item): return item | {"id": f"new-{item['id']}"}
def doubled(item): return [item, item]
def bare(item): return {"id": 7}
def flips(item): return item | {"id": f"{item['id']}-{next(CALLS)}"}
"""
)


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The transforms above, in a module of a name that no test has had before."""
    name = f"rekeying_{time.time_ns()}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    return name


def items_of(count, chance=None):
    """Items that `spread` takes; with *chance*, each with attributes of every type."""
    return [
        {"id": {"S": f"{number}"}, "n": {"N": "1"}} | ({"any": generated.any_value(chance)} if chance else {})
        for number in range(count)
    ]


def spread(items):
    """What the transform above makes the target hold, one item for each key."""
    made = {}
    for one in items:
        number = int(one["id"]["S"])
        match number % 9:
            case 0 | 1 | 5:
                continue
            case 2:
                keys = [f"{number}-{part}" for part in "abc"]
            case 3:
                keys = [f"to-{number // 27}"]
            case 4:
                keys, one = [f"to-{number + 1}"], one | {"n": {"N": f"{number * 3 / 2:g}"}}
            case 6:
                keys = ["everybody"]
            case _:
                keys = [f"new-{number}"]
        for key in keys:
            made[key] = one | {"id": {"S": key}}
    return list(made.values())


def differing(chance, made):
    """A copy in another order, with keys that are gone, new, and different."""
    copy = [json.loads(json.dumps(one)) for one in made]
    for one in chance.sample(copy, 12):
        one["planted"] = generated.any_value(chance)
    for one in chance.sample(copy, 8):
        copy.remove(one)
    copy += [{"id": {"S": f"nobodys-{number}"}} for number in range(5)]
    chance.shuffle(copy)
    return copy


@pytest.mark.parametrize("seed", range(4))
def test_it_finds_what_one_process_finds(tmp_path, cluster, module, monkeypatch, seed):
    monkeypatch.setattr(scan, "RECORDS_PER_TASK", 40)
    monkeypatch.setattr(scan, "OPEN_ITEMS_PER_TASK", 9)
    monkeypatch.setattr(rekeyed, "TOLD_AT_ONCE", 3)
    chance = random.Random(seed)
    cluster[0] = PretendedCluster(seed, attempts=1 + seed % 2)
    items = items_of(300, chance)
    held = differing(chance, spread(items))
    source = full(tmp_path / "a", *cut(chance, chance.sample(items, len(items)), 4))
    target = full(tmp_path / "b", *cut(chance, held, 3))
    findings, summary, code = both(source, target, "--rekeys", "--transform", f"{module}:spread", key=KEY)
    assert code == 1
    assert sum("several source items claim this target key" in one for one in findings) == 12
    assert sum("raised ValueError" in one for one in findings) == 34
    assert summary["excluded"] == 67  # what makes nothing
    assert summary["matched"] > 100
    assert cluster[0].tasks[2] > 4  # more than one judges


def test_equal_exports_are_equal(tmp_path, cluster, module):
    chance = random.Random(3)
    items = items_of(120, chance)
    held = [one | {"id": {"S": f"new-{one['id']['S']}"}} for one in items]
    source, target = full(tmp_path / "a", items[:50], items[50:]), full(tmp_path / "b", held[::-1])
    findings, summary, code = both(source, target, "--rekeys", "--transform", f"{module}:alike", key=KEY)
    assert (findings, summary["matched"], code) == ([], 120, 0)


def test_keys_of_another_schema(tmp_path, cluster, module):
    items = [{"pk": {"S": f"{number}"}, "sk": {"N": f"{number}.50"}} for number in range(20)]
    held = [{**one, "sk": {"N": f"{number}.5"}} for number, one in enumerate(items[3:], 3)]
    (tmp_path / f"{module}_2.py").write_text("def same(item): return [item]\n")
    options = ("--rekeys", "--transform", f"{module}_2:same", "--target-key", "sk:N")
    findings, summary, _ = both(
        full(tmp_path / "a", items), full(tmp_path / "b", held), *options, key="pk:S,sk:N"
    )
    assert (len(findings), summary["matched"]) == (3, 17)


@pytest.mark.parametrize("name", ["spread", "doubled", "bare", "contests", "drops", "raises"])
@pytest.mark.parametrize("side", [None, 0, 1], ids=["whole", "source", "target"])
def test_parts_that_are_not_whole_leave_what_they_could_hold_undecided(tmp_path, cluster, module, name, side):
    items = [one | {"pk": one["id"], "sk": {"N": "1"}} for one in items_of(60)]
    held = [one | {"pk": one["id"]} for one in spread(items)]
    sides = [full(tmp_path / "a", items[:20], items[20:]), full(tmp_path / "b", held[:20], held[22:])]
    if side is not None:
        test_export_diff.cut_in_a_stream(sides[side].data[0])
    _, summary, code = both(*sides, "--rekeys", "--transform", f"{module}:{name}", key=KEY)
    assert code != 0
    assert not (summary["complete"] and side is not None)


@pytest.mark.parametrize("memory", [128_000, 1], ids=["memory", "disk"])
def test_a_key_that_the_target_holds_twice_is_never_equal(tmp_path, cluster, module, monkeypatch, memory):
    """By a --target-key that lacks an attribute; whichever comes last would be equal."""
    monkeypatch.setattr("ddbverify.compare.memory.BESIDE_WHAT_WAITS", 1 << 40)
    monkeypatch.setattr("ddbverify.spark.job.MOST_MEMORY", memory)
    good = {"id": {"S": "new-1"}, "n": {"N": "1"}}
    other = [{"id": {"S": name}, "v": {"S": f"{number}"}} for number in range(3) for name in ("new-2", "x")]
    together = [{"id": {"S": "y"}}] * 2  # of one page
    target = full(tmp_path / "b", [good, *other[:3], *together], [other[4], good, *other[3:]])
    options = ("--rekeys", "--transform", f"{module}:alike", "--memory", f"{memory}KB")
    findings, summary, code = both(full(tmp_path / "a", items_of(3)), target, *options, key=KEY)
    assert code != 0
    assert sum("one side holds this key more than once" in one for one in findings) == 4
    assert (summary["matched"], summary["missing"]) == (0, 1)


def test_what_one_item_makes_may_be_in_part_there(tmp_path, cluster, module):
    items = [{"id": {"S": "2"}}]
    held = [{"id": {"S": "2-a"}}, {"id": {"S": "2-b"}, "other": {"S": "1"}}]
    findings, summary, _ = both(
        full(tmp_path / "a", items),
        full(tmp_path / "b", held),
        "--rekeys",
        "--transform",
        f"{module}:spread",
        key=KEY,
    )
    assert (summary["matched"], summary["different"], summary["missing"]) == (1, 1, 1)
    assert len(findings) == 2


def test_of_what_is_not_understood_nothing_is_sure(tmp_path, cluster, module):
    held = [{"id": {"S": f"new-{number}"}, "a": {"X": "1"}} for number in range(7, 9)]
    findings, summary, _ = both(
        full(tmp_path / "a", items_of(8)),
        full(tmp_path / "b", held),
        "--rekeys",
        "--transform",
        f"{module}:alike",
        key=KEY,
    )
    assert summary["matched"] == 0
    assert sum("unknown type" in one for one in findings) == 2


def test_canary_and_markers_are_nobodys_items(tmp_path, cluster, module):
    reserved = [canary_key({"id": "S"}), marker_key({"id": "S"}, 0)]
    source = full(tmp_path / "a", [*items_of(1), *reserved])
    target = full(tmp_path / "b", [reserved[0]], [{"id": {"S": "new-0"}, "n": {"N": "1"}}])
    options = ("--rekeys", "--transform", f"{module}:alike")
    findings, summary, code = both(source, target, *options, key=KEY)
    assert (findings, code, summary["excluded"], summary["matched"]) == ([], 0, 1, 1)


def test_claims_that_do_not_fit_into_memory_wait_on_the_disk(tmp_path, cluster, module, monkeypatch):
    monkeypatch.setattr(open_claims, "_SHARE", 1_000_000_000)
    monkeypatch.setattr("ddbverify.spark.job.MOST_MEMORY", 2_000)
    chance = random.Random(4)
    items = items_of(90, chance)
    held = differing(chance, spread(items))
    options = ("--rekeys", "--transform", f"{module}:spread")
    both(full(tmp_path / "a", items), full(tmp_path / "b", held), *options, key=KEY)


def test_a_key_that_very_many_claim_is_looked_at_twice_and_told_once(tmp_path, cluster, module, monkeypatch):
    fetched = []
    monkeypatch.setattr(
        rekeyed, "_claims_again", lambda *args, made=rekeyed._claims_again: fetched.append(1) or made(*args)
    )
    items = [one | {"pk": one["id"]} for one in items_of(50)]
    (tmp_path / f"{module}_3.py").write_text("def one(item): return {**item, 'id': 'one'}\n")
    findings, _, _ = both(
        full(tmp_path / "a", items),
        full(tmp_path / "b", [{"id": {"S": "one"}}]),
        "--rekeys",
        "--transform",
        f"{module}_3:one",
        key=KEY,
    )
    assert len(findings) == 1
    assert len(fetched) == 2


def test_a_transform_that_is_not_pure_is_never_equal(tmp_path, cluster, module):
    source = full(tmp_path / "a", items_of(5))
    target = full(
        tmp_path / "b", [{"id": {"S": f"{number}-{number}"}, "n": {"N": "1"}} for number in range(5)]
    )
    options = ("--rekeys", "--transform", f"{module}:flips", "--engine", "spark")
    findings, summary, code = diff(source, target, *options, key=KEY)
    assert code != 0
    assert sum("two results" in one for one in findings) == 5
    assert any("transformed otherwise" in one for one in summary["reasons"])


def test_a_transform_whose_results_change_between_two_readings_is_never_equal(
    tmp_path, cluster, module, monkeypatch
):
    monkeypatch.setenv("REKEYING_MOOD", "a")
    (tmp_path / f"{module}_4.py").write_text("""
import os
def moody(item):
    if os.environ["REKEYING_MOOD"] == item["mood"]:
        return {**item, "id": "new-" + item["id"]}
    if item["mood"] == "a":
        return {**item, "id": "newer-" + item["id"]}
    raise ValueError
""")

    def losing(shuffle, rows):
        monkeypatch.setenv("REKEYING_MOOD", "a" if shuffle == "joined" else "b")
        return rows

    cluster[0] = PretendedCluster(losing=losing)
    items = [{"id": {"S": f"{number}"}, "mood": {"S": "ab"[number % 2]}} for number in range(4)]
    target = full(tmp_path / "b", [{"id": {"S": "new-0"}}, {"id": {"S": "new-1"}}])
    options = ("--rekeys", "--transform", f"{module}_4:moody", "--engine", "spark")
    findings, summary, code = diff(full(tmp_path / "a", items), target, *options, key=KEY)
    assert code != 0
    assert sum("two results" in one for one in findings) == 4
    assert any("2 items of the source were transformed otherwise" in one for one in summary["reasons"])


def test_two_records_that_are_not_understood_are_no_match():
    (packed,) = {RECORD.pack(b"k" * 16, UNSURE, place_of(unit, 0))[:32] for unit in (0, 1)}
    rows = [Row(0, Kind.RECORDS, packed + place_of(unit, 0).to_bytes(8, "big")) for unit in (0, 1)]
    receipt = msgspec.msgpack.decode(
        list(rekeyed.JoinClaims(Units((1, 1), (0, 0)))(rows))[-1].content, type=Joined
    )
    assert (receipt.matched, receipt.open) == (0, (1, 1))


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
def test_what_is_lost_or_doubled_on_the_way_is_never_equal(tmp_path, cluster, module, alter, shuffle, kind):
    cluster[0] = PretendedCluster(losing=alter(shuffle, kind))
    items = items_of(60)
    held = spread(items)[1:]
    sides = full(tmp_path / "a", items[:15], items[15:]), full(tmp_path / "b", held)
    options = ("--rekeys", "--transform", f"{module}:spread", "--engine", "spark")
    _, summary, code = diff(*sides, *options, key=KEY)
    assert not summary["complete"]
    assert any(
        "lost or doubled" in reason or "task of Spark failed" in reason for reason in summary["reasons"]
    )
    assert code in (1, 3), "what is left may differ, or be nothing that anybody could compare"
