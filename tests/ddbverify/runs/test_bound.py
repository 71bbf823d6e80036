"""A check that is about some tables is run on their pairs, and asked for on no other."""

from __future__ import annotations

import pytest

from ddbverify.config import load
from ddbverify.gate import gate
from ddbverify.runs import run as runs
from tests.ddbverify import projects
from tests.ddbverify.runs.test_run import project as project

TWO = projects.TOML + '[[tables]]\nsource = "films"\ntarget = "films-v2"\n'
HEAD = "from ddbverify import check, each_item\nimport pytest\n"
BODY = "def check_it(pair):\n    assert pair.source.name == 'films'\n"


def _write(project, text, toml=TWO):
    project.write_text(toml)
    (project.parent / "checks" / "check_own.py").write_text(HEAD + text)


@pytest.mark.parametrize(
    "mark",
    [
        "@check(tables=['films'])\n",
        "@check(tables='films', severity='error')\n",
        "@pytest.mark.ddb_check(tables=['films'])\n",
        "pytestmark = pytest.mark.ddb_check(tables=['films'])\n",
    ],
)
def test_a_bound_check_runs_on_its_pairs_only_and_opens_the_gate(project, mark):
    _write(project, mark + BODY)

    result = runs.run(project)

    own = [one for one in result.evidence.checks if one.name.startswith("check_own")]
    assert [(str(one.state), one.pair.partition("-")[0]) for one in own] == [("passed", "films")]
    assert result.exit_code == 0
    assert gate.judge(load(project)).reasons == ()


def test_a_bound_check_on_items_runs_on_its_pairs_only(project):
    _write(project, "@each_item(tables=['films'])\ndef check_it(target):\n    assert target\n")

    own = [one for one in runs.run(project).evidence.checks if one.name.startswith("check_own")]

    assert [one.pair.partition("-")[0] for one in own] == ["films"]


def test_a_required_check_that_is_about_no_pair_is_refused(project):
    _write(project, "@check(tables=['flims'])\n" + BODY)

    result = runs.run(project)

    assert result.exit_code == 3
    said = [one.message for one in gate.judge(load(project)).reasons]
    assert any("check_own.py::check_it is about no table of this migration" in one for one in said)


@pytest.mark.parametrize("tables", ["['films', 'ordres']", "['film', 'orders', 'films']"])
def test_a_required_check_of_which_one_table_is_misspelt_is_refused(project, tables):
    _write(project, f"@check(tables={tables})\n" + BODY.replace("== 'films'", "in ('films', 'orders')"))

    assert runs.run(project).exit_code == 3
    said = [one.message for one in gate.judge(load(project)).reasons]
    assert any("check_own.py::check_it names" in one and "the source of no pair" in one for one in said)


def test_tables_that_are_not_there_may_be_named_by_a_check_that_is_not_required(project):
    required = '[gate]\nrequired = ["check_items.py::*"]\n'
    _write(project, "@check(tables=['films', 'ordres'])\n" + BODY, TWO + required)

    result = runs.run(project)

    own = [one.pair.partition("-")[0] for one in result.evidence.checks if one.name.startswith("check_own")]
    assert (result.exit_code, own) == (0, ["films"])
    assert gate.judge(load(project)).open


def test_one_that_is_not_required_is_not_listed(project):
    _write(project, "@check(tables=['flims'])\n" + BODY, TWO + '[gate]\nrequired = ["check_items.py::*"]\n')

    result = runs.run(project)

    assert not [one for one in result.evidence.checks if one.name.startswith("check_own")]
    assert result.exit_code == 0
    assert gate.judge(load(project)).open
