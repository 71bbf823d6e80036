"""Suspects that are too many for one process: tasks find what it would, and each key comes back once."""

from __future__ import annotations

import json
import pickle
import threading
from types import SimpleNamespace

import pytest

from ddbverify.compare import settling
from ddbverify.errors import AccessError, Inconclusive
from ddbverify.spark import segments, settled
from tests.ddbverify.fakes import item
from tests.ddbverify.spark.pretending import PretendedLiveCluster
from tests.ddbverify.spark.test_item_checks import Both
from tests.ddbverify.spark.test_item_checks import tables as both_tables
from tests.ddbverify.spark.test_live import cluster, double, flip, lose, numbered, tables

__all__ = ["both_tables", "cluster", "tables"]

pytestmark = pytest.mark.engine("ministack")


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Few are many here."""
    monkeypatch.setattr(settling, "SUSPECTS_AT_ONCE", 5)
    monkeypatch.setattr(settled, "KEYS_PER_TASK", 7)


def steps_of(cluster):
    return [step for _, step in cluster.steps if isinstance(step, settled.SettleKeys)]


def differing(pair):
    """40 items, of which 12 differ, 6 are missing and 4 extraneous."""
    items = numbered(40)
    changed = [one | {"v": {"S": "telltale"}} for one in items[:12]]
    more = [one | {"sk": {"N": "2"}} for one in items[:4]]
    return pair.fill(items, [*changed, *items[18:], *more])


def test_they_find_what_this_process_finds(tables, cluster, monkeypatch):
    came = []
    cluster[0] = PretendedLiveCluster(losing=lambda _, rows: came.append(rows) or rows)
    pair = differing(tables())
    here = pair.diff("--segments", "2", "--processes", "1")
    there = pair.diff("--segments", "2", "--engine", "spark")
    assert len(here[0]) == 22
    for name in ("matched", "different", "missing", "extraneous", "complete", "reasons", "causes", "items"):
        assert (name, there[1][name]) == (name, here[1][name])
    assert (there[0], there[2]) == (here[0], here[2])
    assert [len(step._suspects) for step in steps_of(cluster[0])] == [7, 7, 7, 1]
    rows = [row for some in came for row in some if row.kind == settled.SETTLED]
    assert sum(len(pickle.loads(row.content)) for row in rows) == 22
    assert not any(b"telltale" in row.content for row in rows)


def test_few_are_looked_at_here(tables, cluster, monkeypatch):
    monkeypatch.setattr(settling, "SUSPECTS_AT_ONCE", 22)
    assert len(differing(tables()).diff("--engine", "spark")[0]) == 22
    assert not steps_of(cluster[0])


def test_what_follows_meanwhile_converges(tables, cluster):
    pair = tables().fill(numbered(20), numbered(20)[8:])
    moved = []

    def follow(_, attempt):
        if steps_of(cluster[0]) and not moved:
            moved.append(pair.fill([], numbered(8)))

    cluster[0] = PretendedLiveCluster(before=follow)
    findings, summary, code = pair.diff("--segments", "1", "--engine", "spark", "--settle", "1s")
    assert (findings, code, summary["matched"], summary["converged"]) == ([], 0, 20, 8)


def test_a_later_attempt_is_told_and_costs_twice(tables, cluster):
    pair = differing(tables())
    once = pair.diff("--segments", "2", "--engine", "spark")
    cluster[0] = PretendedLiveCluster(attempts=2)
    twice = pair.diff("--segments", "2", "--engine", "spark")
    assert (twice[0], twice[2]) == (once[0], once[2])
    assert any("settled by 4 later attempts of a task" in note for note in twice[1]["notes"])
    for name in ("source", "target"):
        assert twice[1]["requests"][name] > 1.8 * once[1]["requests"][name]
        assert twice[1]["read_units"][name] > 1.8 * once[1]["read_units"][name]


@pytest.mark.parametrize("is_alone", [False, True])
def test_under_a_budget_a_second_attempt_settles_under_a_share_of_its_own(tables, cluster, is_alone):
    pair = differing(tables())
    once, failed = cluster[0].once, []

    def fails_once(unit, read, group):
        if isinstance(read, settled.SettleKeys) and not failed:
            failed.append(unit)
            return list(pickle.loads(pickle.dumps(read))(iter([unit]), 1))
        return once(unit, read, group)

    cluster[0].once = fails_once
    options = ("--segments", "1" if is_alone else "3", "--engine", "spark", "--max-read-units", "10000")
    findings, summary, code = pair.diff(*options)
    if is_alone:  # it had all of it, and what that took is not known
        assert (code, summary["complete"], summary["undecided"]) == (3, False, 22)
        assert "The read budget of 10,000 units is spent" in str(findings)
    else:
        assert (len(findings), code) == (22, 1)


def test_the_budget_is_a_hard_limit_for_them_too(tables, cluster):
    pair = differing(tables())
    whole = sum(pair.diff("--segments", "2", "--engine", "spark")[1]["read_units"].values())
    limit = int(whole * 0.5)
    findings, summary, code = pair.diff(
        "--segments", "2", "--engine", "spark", "--max-read-units", f"{limit}"
    )
    assert code in (1, 3)
    assert not summary["complete"]
    assert sum(summary["read_units"].values()) <= limit + 3 * 30
    assert len([one for one in findings if json.loads(one)["finding"] != "undecided"]) < 22


# --- proof ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alter", "kind"),
    [
        *((alter, settled.SETTLED) for alter in (lose, double, flip)),
        *((alter, segments.RECEIPT) for alter in (lose, double)),
    ],
)
def test_what_is_lost_or_doubled_on_the_way_is_never_believed(tables, cluster, alter, kind):
    def losing(_, rows):
        return alter(rows, kind) if any(row.kind == settled.SETTLED for row in rows) else rows

    cluster[0] = PretendedLiveCluster(losing=losing)
    findings, summary, code = differing(tables()).diff("--segments", "2", "--engine", "spark")
    assert (findings, code, summary["complete"]) == ([], 3, False)
    assert "lost or doubled" in str(summary["reasons"])


@pytest.mark.parametrize("came", [["a"], ["a", "a"], ["a", "c"], ["a", "b", "b"]])
def test_each_key_has_to_come_back_once(came):
    def whole(keys):
        some = [settled.Settled(suspect=suspect(key), state=None) for key in keys]
        content = pickle.dumps(some)
        made = settled.Sum()
        made.add(content)
        receipt = settled.KeysSettled(attempt=0, rows=made.rows, sum=made.value)
        return settled._whole([suspect("a"), suspect("b")], receipt, [content])

    assert len(whole(["b", "a"])) == 2
    with pytest.raises(Inconclusive, match="2 keys were to be settled"):
        whole(came)


def suspect(key):
    return settled.Suspect(key=key, owners={key}, expected=None, target=None)


# --- what ends it ---------------------------------------------------------------------------


def test_a_task_that_cannot_begin_is_told_as_one(tables, cluster, monkeypatch):
    pair = differing(tables())
    member_of = segments.member_of

    def refused(live):
        if steps_of(cluster[0]):
            raise AccessError("AWS refused: no.", "ask")
        return member_of(live)

    monkeypatch.setattr(settled, "member_of", refused)
    _, summary, code = pair.diff("--engine", "spark")
    assert code == 6
    assert "In a task: it has credentials of its own" in summary["error"]["message"]


def test_tasks_that_nobody_waits_for_are_ended(tables, cluster):
    """The first of two is refused; the other one is still at it."""
    pair = differing(tables())
    began, done = threading.Event(), threading.Event()
    once, cancel = cluster[0].once, cluster[0].cancel
    first = []

    def waits(unit, read, group):
        if not isinstance(read, settled.SettleKeys):
            return once(unit, read, group)
        if not first:
            first.append(unit)
            began.wait()
            raise AccessError("AWS refused.", "try")
        began.set()
        done.wait()
        raise AccessError("ended", "")

    def ended(group):
        cancel(group)
        done.set()

    cluster[0].once, cluster[0].cancel = waits, ended
    _, summary, code = pair.diff("--engine", "spark", "--segments", "2")
    assert (code, len(cluster[0].cancelled)) == (6, 1)
    assert summary["error"]["message"] == "AWS refused."


def test_where_checks_want_to_see_items_this_process_looks(both_tables, tmp_path, monkeypatch):
    both = Both(both_tables, tmp_path, monkeypatch)
    client, name = both_tables[1]
    for number in range(8):
        client.put_item(TableName=name, Item=item(f"key-{number}", v="2"))
    said = both.agree()
    assert said["inspected"]["only_different"][:2] == (8, 8)
    assert not steps_of(both.live)


@pytest.mark.parametrize(
    ("rulings", "inspector", "goes"), [(None, None, True), ("plugins", None, False), (None, "checks", False)]
)
def test_what_asks_plugins_or_shows_items_stays_here(rulings, inspector, goes):
    crew = SimpleNamespace(settle=print)
    work = SimpleNamespace(crew=crew, judge=SimpleNamespace(rulings=rulings), inspector=inspector)
    assert settling.Settling(work)._elsewhere() is (print if goes else None)
