"""A build beside another one: what it is asked, and that a budget can be missed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from benchmarks import against
from benchmarks.against import CASES, Build, main, tables, worktree
from benchmarks.page_server import page_server

EQUAL = CASES[0]


def a_build(name: str, *, cpu: float, units: float = 100.0) -> Build:
    build = Build(name, Path())
    for case in CASES:
        build.cpu[case.name], build.wall[case.name], build.units[case.name] = [cpu], [1.0], units
    return build


def verdict(case_name: str, ours: Build, theirs: Build) -> tuple[str, bool]:
    (case,) = [case for case in CASES if case.name == case_name]
    return against._verdict(case, ours, theirs, 100.0)


def test_every_table_that_a_case_names_is_there():
    made = tables(1000)

    assert {case.target for case in CASES} | {"source", "empty", "void"} == made.keys()


def test_a_budget_of_cpu_can_be_met_and_missed():
    assert verdict("identity transform", a_build("now", cpu=1), a_build("then", cpu=5)) == ("met", True)
    said, met = verdict("identity transform", a_build("now", cpu=1), a_build("then", cpu=4))
    assert (said, met) == ("CPU 4.0 x, budget 5 x", False)


def test_a_budget_of_reads_can_be_missed():
    said, met = verdict("all differ", a_build("now", cpu=1, units=301), a_build("then", cpu=100))

    assert (said, met) == ("3.01 passes, budget 3", False)


def test_a_wrong_answer_is_never_met_however_fast():
    ours = a_build("now", cpu=0.001)
    ours.wrong["equal"] = "{}"

    assert verdict("equal", ours, a_build("then", cpu=1)) == ("wrong: {}", False)


def test_a_commit_that_is_not_here_is_named():
    done = CliRunner().invoke(main, ["0" * 40])

    assert done.exit_code == 1
    assert "is not in this clone" in done.output


def test_the_other_build_is_a_worktree_that_is_gone_at_the_end():
    listed = ["git", "worktree", "list", "--porcelain"]
    with worktree("HEAD") as place:
        assert (place / "ddbverify" / "__init__.py").is_file()
    assert str(place) not in subprocess.run(listed, capture_output=True, text=True, check=True).stdout


def test_an_answer_that_is_not_so_is_noted(tmp_path: Path):
    with page_server(tables(300)) as server:
        build = Build("now", against.ROOT)
        against.measure(build, EQUAL, server, 300, tmp_path)
        assert not build.wrong
        lying = against.Case("lying", "changed-100", ("--settle", "0s"))
        against.measure(build, lying, server, 300, tmp_path)

    assert '"different": 3' in build.wrong["lying"]
    assert build.units["equal"] > 0


def test_no_commit_is_a_usage_error():
    with pytest.raises(click.MissingParameter):
        main.make_context("against", [])
