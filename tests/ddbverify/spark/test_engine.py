"""The shared pass of checks by tasks is the same comparison; what tasks cannot do is refused by name."""

from __future__ import annotations

import pickle
from types import SimpleNamespace

import pytest

from ddbverify import config as configuration
from ddbverify.compare import runner
from ddbverify.compare.inspection import ItemCheck
from ddbverify.compare.request import Listeners, PassRequest
from ddbverify.config import Pair
from ddbverify.errors import ConfigurationError
from ddbverify.items.states import State
from ddbverify.spark import bound, engine
from ddbverify.spark.cluster import SparkCluster
from ddbverify.suite import engines
from ddbverify.suite.pair import Pair as SuitePair
from ddbverify.suite.pair import shared_pass
from tests.ddbverify.exports.test_in_a_suite import ITEMS, export_of, settings, tables
from tests.ddbverify.fakes import item
from tests.ddbverify.spark.pretending import PretendedCluster

__all__ = ["tables"]


@pytest.fixture
def cluster(monkeypatch):
    made = PretendedCluster()
    monkeypatch.setattr(SparkCluster, "found_or_made", classmethod(lambda _: made))
    return made


def compared(tables, folder, engine_, check=None, **pair):
    """What the checks of a session see of the pair."""
    text = settings(tables, **pair).replace("[verification]\n", f'[verification]\nengine = "{engine_}"\n')
    config = configuration.parse(text, folder)
    seen = SuitePair(config, config.tables[0], secret=b"secret")
    if check is not None:
        seen.subscribe(check)
    return shared_pass(seen)


def plain(comparison):
    """Without what no two passes share."""
    return {
        "counts": dict(comparison.counts),
        "differences": sorted(map(str, comparison.differences)),
        "unexamined": comparison.unexamined,
        "exports": comparison.exports,
        "items": [(side.items, side.scanned) for side in (comparison.source, comparison.target)],
        "inspected": {
            name: (one.examined, one.refuted, one.places) for name, one in comparison.inspected.items()
        },
        "segments": (comparison.segments_planned, comparison.segments_finished),
    }


def test_it_is_the_comparison_of_one_machine_and_says_who_has_made_it(tables, tmp_path, cluster):
    old = [item("key-0", v="0"), item("gone", v="0"), *ITEMS[1:8]]
    client, name = tables[1]
    client.put_item(TableName=name, Item=item("key-9", v="2"))
    exports = {
        "source_export": export_of(tmp_path / "a", tables[0], old[:4], old[4:]),
        "target_export": export_of(tmp_path / "b", tables[1], ITEMS),
    }
    seen = []

    def only(source, target):
        seen.append(target["v"])
        assert source["v"] == target["v"]

    check = ItemCheck("only", "check.py::only", only, ("source", "target"), only_different=True)
    here = compared(tables, tmp_path, "here", check, **exports)
    there = compared(tables, tmp_path, "spark", check, **exports)
    assert plain(there) == plain(here)
    assert (here.engine, there.engine) == ("", "spark (pretended)")
    assert [(one.key["id"]["S"], one.state) for one in there.differences] == [("key-9", State.DIFFERENT)]
    assert seen == ["2", "2"]
    assert cluster.tasks


def test_what_has_changed_is_looked_up_without_spark(monkeypatch):
    monkeypatch.setattr(SparkCluster, "found_or_made", classmethod(lambda _: pytest.fail("Spark was asked")))
    monkeypatch.setattr(runner, "compare", lambda *_: "the comparison of this machine")
    request = PassRequest(changed=())
    assert engine.compare(None, Pair("a", "b", rekeys=True), request, Listeners()) == (
        "the comparison of this machine"
    )


def test_without_the_setting_nothing_of_spark_is_asked(monkeypatch):
    monkeypatch.setattr(engine, "compare", lambda *_: pytest.fail("Spark was asked"))
    monkeypatch.setattr(runner, "compare", lambda *_: "the comparison of this machine")
    config = configuration.Config(tables=(Pair("a", "b"),))
    assert engines.compare(config, config.tables[0], PassRequest(), Listeners())


@pytest.mark.parametrize(("sample", "expected"), [(None, "s3://shop/staging"), (0.5, None)])
def test_items_of_whole_live_tables_may_wait_where_the_settings_say(monkeypatch, cluster, sample, expected):
    told = []

    def compare(*_, staging):
        told.append(staging)

    monkeypatch.setattr(engine.live, "compare", compare)
    monkeypatch.setattr(engine, "replace", lambda made, **_: made)
    verification = configuration.Verification(engine="spark", spark_staging="s3://shop/staging")
    config = configuration.Config(tables=(Pair("a", "b"),), verification=verification)

    engines.compare(config, config.tables[0], PassRequest(sample=sample), Listeners())

    assert told == [expected]


def plugins(*hooks):
    """Of whom some implement hooks."""
    return SimpleNamespace(implementations=lambda hook: [hook] if hook in hooks else [])


CHECK = ItemCheck("all", "check_orders.py::check_total", print, ("source",))
DIFFERENT = ItemCheck("some", "check_orders.py::check_those", print, ("source",), only_different=True)
BOTH = {"source_export": "s3://a", "target_export": "s3://b"}
REKEYED = BOTH | {"rekeys": True, "transform": "shop:new"}


@pytest.mark.parametrize(
    ("pair", "request_", "message"),
    [
        ({"source_export": "s3://a"}, {}, "no table beside an export"),
        ({"target_export": "s3://a"}, {}, "no table beside an export"),
        (REKEYED | {"source_changes": ("s3://c",)}, {}, "incremental exports of a re-keyed pair"),
        (REKEYED | {"target_changes": ("s3://c",)}, {}, "incremental exports of a re-keyed pair"),
        ({"rekeys": True, "transform": "shop:new"}, {}, "live tables of a re-keyed pair"),
        (REKEYED, {"plugins": plugins("ddbverify_compare_values")}, "no comparer or normaliser"),
        (REKEYED, {"plugins": plugins("ddbverify_normalise_item")}, "no comparer or normaliser"),
        (REKEYED, {"item_checks": [DIFFERENT]}, "check_orders.py::check_those is a check on items"),
        (BOTH, {"item_checks": [DIFFERENT, CHECK]}, "check_orders.py::check_total is a check on items, and"),
        ({}, {"item_checks": [CHECK]}, "check_orders.py::check_total is a check on items, and"),
    ],
)
def test_what_tasks_would_leave_out_is_refused_before_anything_is_read(monkeypatch, pair, request_, message):
    monkeypatch.setattr(SparkCluster, "found_or_made", classmethod(lambda _: pytest.fail("Spark was asked")))
    with pytest.raises(ConfigurationError, match=message) as refused:
        engine.compare(None, Pair("orders", "orders-v2", **pair), PassRequest(**request_), Listeners())
    assert 'engine = "spark"' in refused.value.message
    assert refused.value.hint


@pytest.mark.parametrize(
    ("pair", "request_"),
    [
        (BOTH, {"plugins": plugins("ddbverify_compare_values"), "item_checks": [DIFFERENT]}),
        (REKEYED, {"plugins": plugins("ddbverify_known_difference")}),
        ({}, {"plugins": plugins("ddbverify_compare_values"), "item_checks": [DIFFERENT]}),
    ],
)
def test_what_this_process_does_anyway_is_not(pair, request_):
    engine.require_comparable(Pair("orders", "orders-v2", **pair), PassRequest(**request_))


# --- what is bound --------------------------------------------------------------------------


def test_a_process_that_is_not_bound_says_nothing_of_its_code(monkeypatch):
    monkeypatch.setattr(bound.source, "installed", lambda: None)  # tests before this one may have bound it
    assert bound.here() is None
    assert bound.seen(None, {}) == b""
    bound.begin(None)
    bound.take(b"")


def test_what_a_task_has_seen_is_taken_for_seen_here(monkeypatch):
    told, compiled = [], []
    monkeypatch.setattr("ddbverify.code.reads.seen_elsewhere", told.append)
    monkeypatch.setattr("ddbverify.code.source.compiled_elsewhere", compiled.extend)
    monkeypatch.setattr("ddbverify.code.source.loaded_otherwise", lambda: {"/made/of.so"})
    monkeypatch.setattr("ddbverify.code.source.compiled", lambda: {("/t.py", "known"), ("/u.py", "other")})
    monkeypatch.setattr("ddbverify.code.reads._seen", {"/word.txt"})
    said = bound.seen(bound.Bound(frozenset(), frozenset()), {"t.py": "known"})
    bound.take(pickle.loads(pickle.dumps(said)))
    assert told == ["/word.txt", "/made/of.so"]
    assert compiled == [("/u.py", "other")]
