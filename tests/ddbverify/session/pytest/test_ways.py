"""The ways in which people call pytest: selected, again, by an editor, by ini, with a price, by test_*.py."""

from __future__ import annotations

import re

import pytest

from ddbverify.evidence import record
from ddbverify.evidence.record import CheckState
from tests.ddbverify import projects
from tests.ddbverify.session.pytest.test_hooks import run  # noqa: F401 - a fixture

OWN = """\
import pytest
from ddbverify import Finding, State, Verdict, require

def {kind}_passes(pair):
    assert pair.comparison

def {kind}_fails(pair):
    require(Verdict(examined=3, findings=(Finding("it is red"),)))

def {kind}_is_undecided(pair):
    require(Verdict(examined=0))
"""


@pytest.fixture
def own(pytester):
    projects.make_project(pytester.path, default_suite=False)
    (pytester.path / "checks" / "check_own.py").write_text(OWN.format(kind="check"))
    return pytester.path


def test_what_failed_last_runs_again_and_x_stops_at_the_first(own, run):  # noqa: F811
    result = run("checks")
    assert result.parseoutcomes() == {"failed": 1, "inconclusive": 1, "passed": 1}

    result = run("--lf", "checks")
    assert result.parseoutcomes() == {"failed": 1, "inconclusive": 1}

    result = run("-x", "checks")
    assert result.parseoutcomes() == {"failed": 1, "passed": 1}
    result.stdout.fnmatch_lines(["  not-run *  check_is_undecided"])


def test_an_editor_collects_at_no_cost_and_runs_single_checks_by_their_ids(own, run):  # noqa: F811
    (own / "checks" / "conftest.py").rename(own / "conftest.txt")  # whatever reached AWS would fail
    collected = run(f"--rootdir={own}", "--collect-only", "-q", "-p", "no:cacheprovider")
    ids = [line for line in collected.outlines if "::" in line]

    assert [re.sub(r"\[.*", "", name) for name in ids] == [
        f"checks/check_own.py::check_{name}" for name in ("passes", "fails", "is_undecided")
    ]
    (own / "conftest.txt").rename(own / "checks" / "conftest.py")
    chosen = [f"{own}/{ids[0]}", f"{own}/{ids[2]}"]
    assert run(f"--rootdir={own}", *chosen).parseoutcomes() == {"passed": 1, "inconclusive": 1}


def test_functions_of_test_files_are_checks_if_they_take_a_pair(own, run):  # noqa: F811
    (own / "checks" / "check_own.py").unlink()
    (own / "checks" / "test_own.py").write_text(
        OWN.format(kind="test") + "\ndef test_ordinary():\n    assert 41 == 42\n"
    )
    (own / "tests").mkdir()
    (own / "tests" / "test_other.py").write_text(
        "import pytest\n@pytest.fixture\ndef pair(): return 'socks'\n"
        "def test_it(pair): assert pair == 'socks'\n"
        "@pytest.mark.parametrize('pair', [1, 2])\ndef test_numbers(pair): assert pair\n"
    )
    (own / "test_beside.py").write_text((own / "tests" / "test_other.py").read_text())

    result = run("checks", "tests", "test_beside.py")

    assert result.parseoutcomes() == {"failed": 2, "inconclusive": 1, "passed": 7}
    result.stdout.fnmatch_lines(["*assert 41 == 42*", "*1 finding: it is red*"], consecutive=False)
    said = result.stdout.str()
    assert said.count("  test_") == 3  # lines of the table: ordinary tests are no checks


def test_a_gated_session_counts_test_files_too(own, run):  # noqa: F811
    (own / "checks" / "test_own.py").write_text(OWN.format(kind="test"))

    run("--ddb-record", "record.jsonl", "checks")

    states = {check.name: check.state for check in record.read(own / "record.jsonl").checks.values()}
    assert states["checks/test_own.py::test_fails"] is CheckState.FAILED
    assert len(states) == 6


def test_an_ini_file_may_set_what_options_set(own, run):  # noqa: F811
    (own / "elsewhere").mkdir()
    (own / "migration.toml").rename(own / "elsewhere" / "migration.toml")
    (own / "pytest.ini").write_text(
        "[pytest]\nddb_config = elsewhere/migration.toml\nddb_sample = 5%\nddb_time_limit = 90s\n"
    )

    result = run("--co", "-q", "checks", "-v")
    result.stdout.fnmatch_lines(
        [
            "migration: */elsewhere/migration.toml",
            "  coverage 5% (ini ddb_sample), settle 60 s (default), *time_limit 90 s (ini ddb_time_limit)",
        ]
    )
    result = run("--co", "checks", "--ddb-sample", "7%")
    result.stdout.fnmatch_lines(["  coverage 7% (--ddb-sample), *"])
    assert run("--co", "checks", "--ddb-time-limit", "soon").ret == pytest.ExitCode.USAGE_ERROR


def test_the_price_is_printed_and_nothing_is_read(own, run):  # noqa: F811
    result = run("--ddb-plan", "checks")

    assert projects.passes(own) == 0
    result.stdout.fnmatch_lines(["*orders-*: what one pass costs*", "money *per million read units*"])
    assert result.ret == 0


READER = """
from types import SimpleNamespace
from ddbverify.reports import plan_cpu
from ddbverify.tables.pages import PageDecoder

page = PageDecoder({"id": "S"}).page_of([{"id": {"S": "a"}, "n": {"N": "1"}}])
plan_cpu.TableReader = lambda *_, **__: SimpleNamespace(scan_page=lambda *_: page, read_units=0.5)
"""


def test_a_plan_measures_checks_on_items(own, run):  # noqa: F811
    (own / "checks" / "check_own.py").write_text(
        "from ddbverify import each_item\n\n@each_item\ndef check_n(source):\n    assert source['n']\n"
    )
    with (own / "checks" / "conftest.py").open("a") as conftest:
        conftest.write(READER)

    result = run("--ddb-plan", "checks")

    result.stdout.fnmatch_lines(["processor *measured on 1 item", "1 item of the source was measured*"])


def test_many_checks_that_passed_are_counted(own, run):  # noqa: F811
    (own / "checks" / "check_many.py").write_text(
        "".join(f"def check_{number}(pair):\n    assert pair.comparison\n" for number in range(70))
    )

    result = run("checks")
    assert "  check_fails\n" in result.stdout.str()
    assert "  check_69\n" not in result.stdout.str()
    result.stdout.fnmatch_lines(["71 checks more passed without a finding; -v lists them"])
    run("checks", "-v").stdout.fnmatch_lines(["  passed *  check_69"])
