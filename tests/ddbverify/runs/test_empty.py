"""A pair without any item passes where `may_be_empty` says that this is right, and nowhere else."""

from __future__ import annotations

import json

import msgspec
import pytest
from click.testing import CliRunner

from ddbverify.cli import main
from ddbverify.compare.controls import HeldTable
from ddbverify.compare.judge import Judge
from ddbverify.compare.one_pass import Pass
from ddbverify.config import Duration, Verification, load
from ddbverify.evidence.record import CheckState, Fact
from ddbverify.gate import gate
from ddbverify.items.form import Form
from ddbverify.items.states import State
from ddbverify.items.transform import Transform
from ddbverify.runs import run as runs
from ddbverify.tables.segments import Plan
from tests.ddbverify import projects
from tests.ddbverify.gate.test_gate import codes
from tests.ddbverify.judged import NOW, good_evidence, leave
from tests.ddbverify.runs.test_run import project as project

replace = msgspec.structs.replace

ALLOWED = "may_be_empty = true\n"
TWO = projects.TOML + '[[tables]]\nsource = "films"\ntarget = "films-v2"\n'
OWN = """\
from ddbverify import State, Verdict, each_item, require

@each_item
def check_on_items(source, target):
    assert source["n"] == target["n"]

@each_item(only="different")
def check_on_different_ones(target):
    assert target

def check_with_a_verdict_of_its_own(pair):
    require(Verdict(examined=pair.comparison.examined))
"""
ASSERTS = "def check_that_asserts(pair):\n    assert pair.verdict(State.MISSING)\n"


def _holding(project, toml=TWO + ALLOWED, **films):
    """Two pairs, of which the films are as said."""
    project.write_text(toml)
    projects.write_spec(project.parent, pairs={"films": films})


def _of_films(result):
    return [one for one in result.evidence.checks if one.pair.startswith("films")]


def _written(project, text=OWN):
    (project.parent / "checks" / "check_own.py").write_text(text)


def empty_in(result):
    return tuple(fact for fact in result.evidence.facts if fact.name == "empty")


def test_a_set_with_an_empty_pair_opens_the_gate_and_shows_it(project):
    _holding(project, counts={})
    _written(project, OWN + ASSERTS)

    result = runs.run(project)

    films = load(project).tables[1].id
    assert (result.exit_code, result.evidence.verdict) == (0, "passed")
    assert empty_in(result) == (Fact(name="empty", about=films, value="may_be_empty = true"),)
    assert {one.state for one in _of_films(result)} == {CheckState.PASSED, CheckState.NOT_APPLICABLE}
    assert not any(one.claims for one in _of_films(result)), "nothing was altered, so nothing is proven"
    assert [one["empty"] for one in result.as_json()["pairs"]] == [False, True]
    assert "films-v2`: empty on both sides" in (result.folder / "summary.md").read_text()
    decision = gate.judge(load(project))
    assert (decision.reasons, decision.open, decision.as_json()["empty"]) == ((), True, [films])
    shown = CliRunner().invoke(main, ["gate", "--config", str(project)])
    assert (
        f"  empty: {films}: neither table holds an item, and may_be_empty = true allows that" in shown.output
    )


def test_without_the_setting_it_is_closed_and_the_line_to_write_is_named(project):
    _holding(project, TWO, counts={})
    _written(project)

    result = runs.run(project)

    assert (result.exit_code, empty_in(result)) == (3, ())
    undecided = [one for one in _of_films(result) if one.state is CheckState.INCONCLUSIVE]
    named = [one.name for one in undecided if "write may_be_empty = true under their [[tables]]" in one.why]
    assert "check_items.py::check_every_item_is_equal" in named
    assert {one.name.partition("::")[2] for one in undecided} >= {
        *("check_on_items", "check_on_different_ones", "check_with_a_verdict_of_its_own"),
    }
    reasons = gate.judge(load(project)).reasons
    assert any("write may_be_empty = true under their [[tables]]" in one.message for one in reasons)


@pytest.mark.parametrize("state", ["missing", "extraneous"])
def test_a_pair_that_is_empty_on_one_side_fails(project, state):
    _holding(project, counts={state: 2})

    result = runs.run(project)

    assert (result.exit_code, result.evidence.empty_pairs) == (1, ())
    assert CheckState.FAILED in {one.state for one in _of_films(result)}
    assert "failed" in codes(gate.judge(load(project)))


@pytest.mark.parametrize(
    "films",
    [
        {"counts": {"excluded": 3}},  # a transform that drops every item: the source holds some
        {"counts": {"known": 2}},
        {"counts": {}, "segments": [2, 1, 2]},
        {"counts": {}, "segments": [1, 1, 2]},
        {"counts": {}, "unexamined": ["segment 3"]},
    ],
)
def test_what_is_not_known_to_hold_nothing_on_both_sides_is_not_excused(project, films):
    _holding(project, **films)

    result = runs.run(project)

    assert (result.exit_code, result.evidence.empty_pairs) == (3, ())
    assert CheckState.INCONCLUSIVE in {one.state for one in _of_films(result)}
    assert not gate.judge(load(project)).open


def test_of_a_pair_all_of_whose_items_are_left_out_it_is_said_why_it_is_not_excused(project):
    _holding(project, counts={"excluded": 3})

    said = [one.why for one in _of_films(runs.run(project)) if one.why]

    assert any("may_be_empty excuses tables without any item only" in one for one in said)


def test_with_items_the_setting_changes_nothing(project):
    _holding(project, counts={"matched": 2, "different": 1})
    assert runs.run(project).exit_code == 1
    _holding(project, counts={"matched": 3})

    result = runs.run(project)

    assert (result.exit_code, empty_in(result)) == (0, ())
    assert "unclaimed" not in (result.folder / "summary.md").read_text()


# --- the gate judges by the evidence ----------------------------------------------------------------


def _empty_evidence(config, **changes):
    """A run in which every check of the one pair has passed on two empty tables."""
    found = good_evidence(config)
    (pair,) = found.pairs
    nothing = replace(pair.comparison, counts={}, examined=0, source_items=0, target_items=0)
    made = {
        "pairs": (replace(pair, comparison=nothing),),
        "checks": tuple(replace(one, examined=0) for one in found.checks),
        "facts": (Fact(name="empty", about=pair.id, value="may_be_empty = true"),),
    }
    return replace(found, **made | changes)


@pytest.fixture
def judged(tmp_path, monkeypatch):
    def judge(toml, made):
        file = projects.make_project(tmp_path, toml=toml)
        projects.stand_in(tmp_path, monkeypatch)
        config = load(file)
        leave(config, made(config))
        return gate.judge(config, now=NOW)

    return judge


def test_evidence_and_settings_have_to_agree(judged):
    assert judged(projects.TOML + ALLOWED, _empty_evidence).open


def test_checks_of_an_empty_pair_are_vacuous_where_the_evidence_does_not_say_that_it_may_be(judged):
    decision = judged(projects.TOML + ALLOWED, lambda config: _empty_evidence(config, facts=()))

    assert codes(decision) == {"vacuous"}


def test_evidence_of_settings_that_allowed_it_does_not_open_a_gate_whose_settings_do_not(judged):
    """The digest of migration.toml would say so, too: here it is that of the settings as they are now."""
    assert codes(judged(projects.TOML, _empty_evidence)) == {"vacuous"}


@pytest.mark.parametrize("turned", [(ALLOWED, ""), ("", ALLOWED)])
def test_a_setting_that_was_changed_since_the_run_closes(project, turned):
    before, after = turned
    _holding(project, TWO + before, counts={})
    runs.run(project)
    project.write_text(TWO + after)

    assert "changed" in codes(gate.judge(load(project)))


@pytest.mark.parametrize(
    "altered",
    [
        {"counts": {"missing": 1}, "examined": 1, "source_items": 1},
        {"counts": {"excluded": 2}, "examined": 2},
        {"segments_finished": 0},
        {"unexamined": ("segment 3",)},
    ],
)
def test_evidence_that_calls_tables_empty_in_which_it_has_counted_keys_contradicts_itself(judged, altered):
    def made(config):
        found = _empty_evidence(config)
        (pair,) = found.pairs
        return replace(found, pairs=(replace(pair, comparison=replace(pair.comparison, **altered)),))

    assert "contradiction" in codes(judged(projects.TOML + ALLOWED, made))


def test_a_fact_about_another_pair_excuses_nothing(judged):
    def made(config):
        return _empty_evidence(
            config, facts=(Fact(name="empty", about="films", value="may_be_empty = true"),)
        )

    assert {"contradiction", "vacuous"} <= codes(judged(projects.TOML + ALLOWED, made))


# --- the engine ------------------------------------------------------------------------------------


def _pass(source, target, function=None, *, rekeys=False):
    keys = {"id": "S"}
    judge = Judge(Transform("", function, keys, keys, rekeys=rekeys), Form.of(()), ())
    tables = (HeldTable(source, keys), HeldTable(target, keys))
    return Pass("orders", *tables, judge, Plan(1, (0,)), Verification(settle=Duration(0))).run()


@pytest.mark.parametrize("rekeys", [False, True])
def test_the_engine_counts_nothing_in_empty_tables_and_what_a_transform_drops_in_others(rekeys):
    items = [{"id": {"S": str(number)}} for number in range(3)]

    assert _pass([], []).holds_nothing
    assert _pass([], [], lambda item: item, rekeys=rekeys).holds_nothing
    assert not _pass(items, [], rekeys=False).holds_nothing
    assert not _pass([], items).holds_nothing
    dropped = _pass(items, [], lambda item: None, rekeys=rekeys)
    assert (dropped.holds_nothing, dropped.counts[State.EXCLUDED]) == (False, 3)


def test_json_of_the_gate_names_it(project):
    _holding(project, counts={})
    runs.run(project)

    shown = CliRunner().invoke(main, ["gate", "--config", str(project), "--json"])

    assert json.loads(shown.stdout)["empty"] == [load(project).tables[1].id]
