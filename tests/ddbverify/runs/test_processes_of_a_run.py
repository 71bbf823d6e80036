"""A gated run in several processes: bound to what these compile and read, ended by name where one hangs."""

from __future__ import annotations

import json

import pytest

from benchmarks.page_server import REGION, Generated, page_server
from ddbverify.runs import run as runs
from tests.ddbverify.projects import REPOSITORY

pytestmark = pytest.mark.usefixtures("on_loopback")

ITEMS = 20_000  # as many as are cut into segments

CHECKS = """\
import os
from ddbverify import State, check, each_item, require


@check(stateless=True)
@each_item
def check_the_number(target):
    assert not target["pk"].endswith("77777")


def check_every_item_is_there(pair):
    require(pair.verdict(State.MISSING, State.EXTRANEOUS, State.DIFFERENT))
"""

COVERING = """\
from ddbverify import check, each_item


@check(stateless=True, covers={"value:total", "removed:total"})
@each_item
def check_the_total(source, target):
    assert target["total"] == source["total"]


@check(stateless=True, covers={"value:note"})
@each_item
def check_nothing_of_the_note(target):
    assert "note" in target
"""

TRANSFORM = """\
import json, os, pathlib

HERE = pathlib.Path(__file__).parent


def same(item):
    (HERE / f"called-in-{os.getpid()}").touch()
    BODY
    return item
"""


@pytest.fixture(scope="module")
def server():
    with page_server({name: Generated(items=ITEMS) for name in ("orders", "orders-v2")}) as running:
        yield running


@pytest.fixture
def ran(server, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setattr("ddbverify.runs.run._identity", lambda side: None)
    for name in ("_other_transforms", "_in_vain"):
        monkeypatch.setattr(f"ddbverify.runs.run.{name}", lambda config: ())

    def run(body="pass", checks=CHECKS, **settings):
        side = f'region = "{REGION}"\nendpoint_url = "{server.endpoint_url}"\n'
        given = {"settle": "0s", "processes": 2} | settings
        lines = "\n".join(f"{name} = {json.dumps(value)}" for name, value in given.items())
        (tmp_path / "shop_moves.py").write_text(TRANSFORM.replace("BODY", body))
        (tmp_path / "checks").mkdir()
        (tmp_path / "checks" / "check_own.py").write_text(checks)
        (tmp_path / "migration.toml").write_text(
            f"[source]\n{side}[target]\n{side}[verification]\n{lines}\n[gate]\nemulator = true\n"
            '[[tables]]\nsource = "orders"\ntarget = "orders-v2"\ntransform = "shop_moves:same"\n'
        )
        return runs.run(tmp_path / "migration.toml").evidence

    return run


def test_both_processes_have_a_part_in_it(ran, tmp_path):
    evidence = ran()

    assert evidence.shortcomings == ()
    assert (evidence.verdict, evidence.complete) == ("passed", True)
    (pair,) = evidence.pairs
    assert pair.comparison.counts["matched"] == ITEMS
    assert {check.examined for check in evidence.checks} == {ITEMS}
    assert len(list(tmp_path.glob("called-in-*"))) >= 2


def test_a_check_that_would_not_have_noticed_is_named(ran, tmp_path):
    evidence = ran(checks=COVERING)

    notes, total = sorted(evidence.checks, key=lambda check: check.name)
    assert len(list(tmp_path.glob("called-in-*"))) >= 2
    assert (total.state, total.examined) == ("passed", ITEMS)
    assert notes.state == "inconclusive"
    assert "altered on purpose, it did not notice: value:note" in str(notes)


def test_what_a_transform_reads_there_has_to_be_bound(ran, tmp_path):
    (tmp_path / "prices.json").write_text("{}")
    evidence = ran('json.loads((HERE / "prices.json").read_text())')

    assert evidence.verdict == "inconclusive"
    assert any("prices.json, which no digest is over" in one for one in evidence.shortcomings)


def test_a_call_that_does_not_come_back_there_is_named(ran):
    evidence = ran(
        "import threading\n    item['pk'].endswith('5') and threading.Event().wait()", time_limit="2s"
    )

    assert evidence.verdict == "inconclusive"
    said = " ".join(evidence.shortcomings)
    assert "the transform shop_moves:same, on an item of" in said
    assert "did not come back within 2 s" in said
