"""What is measured of a run, a diff, the gate and a cutover: right numbers, few labels, no names of data."""

from __future__ import annotations

import re
from types import SimpleNamespace

import msgspec
import pytest

from ddbverify.compare.causes import Causes
from ddbverify.config import parse
from ddbverify.evidence.evidence import Unclaimed
from ddbverify.evidence.record import CheckState
from ddbverify.gate.reasons import CODES, Reason
from ddbverify.items.states import State
from ddbverify.metrics import measures
from ddbverify.metrics.measures import METRICS
from tests.ddbverify import judged, pages

FILE = (
    'name = "shop"\n[[tables]]\nsource = "orders"\ntarget = "orders-v2"\n[source]\nregion = "eu-west-1"\n'
    + ('[target]\nregion = "eu-central-1"\n')
)
SUMMARY = {
    "complete": True,
    "started": "2026-11-30T10:00:00+00:00",
    "ended": "2026-11-30T10:01:30+00:00",
    "matched": 5,
    "missing": 2,
    "extraneous": 0,
    "different": 3,
    "uncomparable": 0,
    "churning": 0,
    "undecided": 0,
    "items": {"source": 10, "target": 8},
    "read_units": {"source": 5.0, "target": 4.5},
    "converged": 1,
}


CAUSES = {"missing": 2, "type": 1, "value": 1, "of a kind that is new": 1}


@pytest.fixture
def config(tmp_path):
    return parse(FILE, tmp_path)


def numbers(made, metric, **labels):
    """The one number with these labels among its own."""
    found = [one.value for one in made if one.metric == metric and labels.items() <= one.labels.items()]
    assert len(found) == 1, (metric, labels, found)
    return found[0]


def test_a_run_is_what_its_evidence_says(config):
    found = pages.failed_evidence(config)
    (pair,) = found.pairs
    made = measures.of_run(found, "shop")

    assert numbers(made, "run.verdict", verdict="failed") == 1
    assert numbers(made, "run.verdict", verdict="passed") == 0
    assert numbers(made, "run.duration") == found.ended_epoch - found.started_epoch
    assert numbers(made, "run.items", side="source") == pair.comparison.source_items
    assert numbers(made, "run.read_units", side="target") == pair.comparison.target_read_units
    for state in (State.MISSING, State.EXTRANEOUS, State.DIFFERENT, State.UNDECIDED):
        counted = pair.comparison.counts.get(state, 0)
        assert numbers(made, "run.findings", pair=pair.id, state=str(state)) == counted
    kinds = {one.kind for one in pair.comparison.different_in}
    assert kinds
    for kind in kinds:
        counted = sum(one.keys for one in pair.comparison.different_in if one.kind == kind)
        assert numbers(made, "run.differences", cause=kind) == counted
    checks = sum(one.value for one in made if one.metric == "run.checks")
    assert checks == len(found.checks)
    failed = sum(check.state is CheckState.FAILED for check in found.checks)
    assert numbers(made, "run.checks", state="failed") == failed > 0


def test_what_was_not_read_is_no_nought(config):
    found = judged.good_evidence(config)
    (pair,) = found.pairs
    unread = msgspec.structs.replace(found, pairs=(msgspec.structs.replace(pair, comparison=None),))
    named = {one.metric for one in measures.of_run(unread, "shop")}
    assert "run.items" not in named
    assert "run.findings" not in named
    assert "run.verdict" in named


def test_keys_that_nobody_answers_for_are_counted_unless_they_are_allowed(config):
    (pair,) = config.tables
    of = {"pair": pair.id, "why": "because"}
    found = judged.good_evidence(
        config,
        unclaimed=(
            Unclaimed(state="missing", keys=3, allowed=False, **of),
            Unclaimed(state="extraneous", keys=4, allowed=True, **of),
        ),
    )
    made = measures.of_run(found, "shop")
    assert numbers(made, "run.unclaimed_keys", state="missing") == 3
    assert numbers(made, "run.unclaimed_keys", state="extraneous") == 0


def test_a_diff_is_what_its_summary_says_and_names_no_attribute():
    made = measures.of_diff(SUMMARY, CAUSES, "orders", "orders-v2", 1)
    assert numbers(made, "run.verdict", verdict="failed") == 1
    assert numbers(made, "run.duration") == 90
    assert numbers(made, "run.findings", state="missing") == 2
    assert {cause: numbers(made, "run.differences", cause=cause) for cause in measures.CAUSES} == {
        "missing": 2,
        "extraneous": 0,
        "removed": 0,
        "added": 0,
        "type": 1,
        "value": 1,
        "other": 1,
    }


def test_the_kinds_of_causes_are_those_of_the_module_that_counts_them():
    causes = Causes()
    for path in ("a.b: removed", "c` is not: added", "d[0]: value", "e: N -> S"):
        causes.add(State.DIFFERENT, (path,))
    causes.add(State.MISSING)
    causes.add(State.EXTRANEOUS)
    causes.add(State.CHURNING, reason="it is never the same")
    causes.add(State.DIFFERENT, ("(and 7 more)",))
    assert causes.kinds() == {**dict.fromkeys(measures.CAUSES, 1), "other": 2}


def test_a_diff_that_was_cut_short_says_what_it_knows():
    unknown = {"source": None, "target": None}
    cut = {
        **SUMMARY,
        "items": unknown,
        "read_units": {**unknown, "both": 3.0},
        "converged": None,
        "missing": 0,
    }
    cut |= {"complete": False, "churning": None}
    made = measures.of_diff(cut, {}, "orders", "orders-v2", 3)
    assert numbers(made, "run.verdict", verdict="inconclusive") == 1
    assert numbers(made, "run.complete") == 0
    assert "run.items" not in {one.metric for one in made}
    assert not [one for one in made if one.labels.get("state") == "churning"], "not known is not none"


def test_the_gate_counts_its_reasons():
    reasons = (Reason("stale", 4, "old"), Reason("failed", 1, "a"), Reason("failed", 1, "b"))
    made = measures.of_gate(SimpleNamespace(open=False, reasons=reasons), "shop", 1000.5)
    assert numbers(made, "gate.open") == 0
    assert numbers(made, "gate.judged.timestamp") == 1000.5
    assert numbers(made, "gate.reasons", code="failed") == 2
    assert numbers(made, "gate.reasons", code="stale") == 1
    assert {one.labels["code"] for one in made if "code" in one.labels} <= set(CODES)


AT = "2026-11-30T10:00:{:02}+00:00"


@pytest.mark.parametrize(
    ("steps", "refused"),
    [
        ({"gate": 0, "fence": 5, "fence-holds": 10, "quiet": 20, "flip": 40}, 30),
        ({"gate": 0, "fence": 5, "quiet": 20, "flip": 40}, 35),
        ({"gate": 0, "fence": 5, "lifted": 12}, 7),
        ({"gate": 0}, None),
        ({"gate": 0, "fence": 5, "quiet": 9}, None),
    ],
)
def test_refused_is_from_the_moment_in_which_the_fence_holds(steps, refused):
    times = {name: AT.format(second) for name, second in steps.items()}
    made = measures.of_cutover("shop", "flipped", times, fence_limit=900.0)
    found = [one.value for one in made if one.metric == "cutover.refused"]
    assert found == ([] if refused is None else [refused])
    assert numbers(made, "cutover.outcome", outcome="flipped") == 1
    assert numbers(made, "cutover.outcome", outcome="rolled-back") == 0
    assert {one.labels["step"] for one in made if "step" in one.labels} == set(steps)


def test_of_the_replication_only_what_is_known_is_said():
    made = measures.of_replication(
        "shop", {"orders-1": {"lag": 3, "oldest_message": None, "canary_lag 0.99": 2}}
    )
    assert [(one.metric, one.value, dict(one.labels)) for one in made] == [
        ("replication.lag", 3, {"migration": "shop", "pair": "orders-1"}),
        (
            "replication.canary_lag",
            2,
            {"migration": "shop", "pair": "orders-1", "quantile": "0.99"},
        ),
    ]


def everything(config):
    replication = {"lag": 1, "canary_lag 0.5": 1, "gap": 0}
    return [
        *measures.of_run(pages.failed_evidence(config), "shop"),
        *measures.of_diff(SUMMARY, CAUSES, "orders", "orders-v2", 1),
        *measures.of_gate(SimpleNamespace(open=True, reasons=()), "shop", 1.0),
        *measures.of_replication("shop", {"orders-1": replication}),
        *measures.of_cutover(
            "shop", "flipped", {"fence": AT.format(1), "flip": AT.format(2)}, fence_limit=9.0
        ),
    ]


def test_labels_are_few_and_of_our_own_words(config):
    words = {"migration", "pair", "side", "state", "cause", "verdict", "outcome", "step", "code", "quantile"}
    for one in everything(config):
        assert one.labels.keys() <= words, one
        assert one.metric in METRICS
        assert not re.search(r"\d{12}|arn:", "".join(one.labels.values())), "no account"


def test_names_are_as_prometheus_wants_them():
    for metric in METRICS.values():
        name = metric.prometheus
        assert re.fullmatch(r"ddbverify_[a-z_]+", name)
        assert (metric.unit == "s") is name.endswith("_seconds")
        assert not name.endswith("_total"), "that is a counter's, and these are gauges"
        assert metric.meaning.endswith(".")
