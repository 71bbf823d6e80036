"""Checks read whole tables: they run when they are asked for, and otherwise are collected as nothing."""

from __future__ import annotations

import pytest

from tests.ddbverify import projects
from tests.ddbverify.session.pytest.test_hooks import run as run

PAIR = "def test_pair(pair):\n    assert pair.comparison\n\ndef test_ordinary():\n    pass\n"
OWN = "import pytest\n@pytest.fixture\ndef pair():\n    return 1\ndef test_own(pair):\n    assert pair == 1\n"


@pytest.fixture
def project(pytester):
    projects.make_project(pytester.path)
    for folder in ("tests", "more"):
        (pytester.path / folder).mkdir()
    (pytester.path / "tests" / "test_it.py").write_text("def test_it():\n    pass\n")
    (pytester.path / "more" / "check_more.py").write_text("def check_more(pair):\n    assert pair.source\n")
    (pytester.path / "test_beside.py").write_text(PAIR)
    (pytester.path / "checks" / "test_checks.py").write_text(PAIR)
    (pytester.path / "tests" / "test_own.py").write_text(OWN)
    conftest = (pytester.path / "checks" / "conftest.py").read_text().replace("parents[1]", "parent")
    (pytester.path / "conftest.py").write_text(conftest)
    return pytester.path


@pytest.mark.parametrize(
    ("arguments", "ini", "passed"),
    [
        ((), "", 4),
        ((".",), "", 4),
        ((), "testpaths = tests checks", 3),
        (("tests",), "", 2),
        (("-p", "no:cacheprovider", "-k", "not nothing"), "", 4),
        ((), "python_files = check_*.py test_*.py", 4),
    ],
)
def test_pytest_in_a_projects_root_leaves_checks_alone_and_says_so(project, run, arguments, ini, passed):
    (project / "pytest.ini").write_text(f"[pytest]\n{ini}\n")

    result = run(*arguments)

    assert result.parseoutcomes() == {"passed": passed}
    assert projects.passes(project) == 0
    said = "migration checks in * were left alone: `ddbverify run`, or `pytest checks/`, runs them*"
    if "tests" not in arguments:
        result.stdout.fnmatch_lines([said])


@pytest.mark.parametrize(
    ("arguments", "ini"),
    [
        (("checks",), ""),
        (("./checks/",), ""),
        (("checks/check_items.py",), ""),
        (("checks/check_items.py::check_every_item_is_equal",), ""),
        (("more",), ""),
        (("test_beside.py::test_pair",), ""),
        (("checks/test_checks.py",), ""),
        ((), "ddb_checks = true"),
        ((".",), "ddb_checks = true"),
        ((".", "checks"), ""),
    ],
)
def test_checks_run_where_they_are_asked_for(project, run, arguments, ini):
    (project / "pytest.ini").write_text(f"[pytest]\n{ini}\n")

    result = run(*arguments, "-v")

    assert result.ret == 0
    result.stdout.fnmatch_lines(["*[[]orders-*PASSED*"])


def test_a_broken_migration_disturbs_no_ordinary_test(project, run):
    (project / "migration.toml").write_text("broken = [")

    assert run().parseoutcomes() == {"passed": 4}
