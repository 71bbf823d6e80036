"""A check that somebody wrote and nothing runs makes the run incomplete, by name, before anything is read."""

from __future__ import annotations

import pytest

from ddbverify.commands.starter import _MINE_TEXT, MINE
from ddbverify.config import load
from ddbverify.errors import ConfigurationError
from ddbverify.gate import gate
from ddbverify.runs import run as runs
from tests.ddbverify import projects
from tests.ddbverify.runs.test_run import project as project

CHECK = "def check_total(pair):\n    assert pair.comparison\n"
TWO = "def check_total(pair):\n    assert False\n\n{}def check_total(pair):\n    assert pair.comparison\n"
LIB = {
    "lib.py": "def made(name):\n    def check_it(pair):\n        assert pair.comparison\n"
    "    return check_it\n",
    "check_a.py": "from lib import made\ncheck_a = made('a')\n",
}
MADE = "from lib import made\ncheck_b = made('b')\n"
EACH = "from ddbverify import each_item\n\n"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {"check_a.py": "import pytest\npytest.skip('later', allow_module_level=True)\n" + CHECK},
            "check_a.py::check_total is not run: its file skips itself when it is imported",
        ),
        (
            {"check_a.py": "import pytest\npytest.importorskip('no_such_module')\n" + CHECK},
            "check_a.py::check_total is not run: its file skips itself when it is imported",
        ),
        (
            {"check_a.py": "raise RuntimeError\n" + CHECK},
            "check_a.py::check_total is not run: its file raises when it is imported",
        ),
        (
            {"check_a.py": CHECK, "sub/conftest.py": "", "conftest.py": "collect_ignore = ['check_a.py']\n"},
            "check_a.py::check_total is not run: the file is left out",
        ),
        (
            {"check_a.py": CHECK, "conftest.py": "collect_ignore_glob = ['*_a.py']\n"},
            "check_a.py::check_total is not run: the file is left out",
        ),
        (
            {
                "check_a.py": CHECK,
                "conftest.py": "def pytest_ignore_collect(collection_path):\n"
                "    return True if collection_path.name == 'check_a.py' else None\n",
            },
            "check_a.py::check_total is not run: the file is left out",
        ),
        ({"build/check_a.py": CHECK}, "build/check_a.py::check_total is not run: the file is left out"),
        ({".old/check_a.py": CHECK}, ".old/check_a.py::check_total is not run: the file is left out"),
        (
            {"check_a.py": "__test__ = False\n" + CHECK},
            "check_a.py::check_total is not run: `__test__`",
        ),
        (
            {"check_a.py": CHECK + "check_total.__test__ = False\n"},
            "check_a.py::check_total is not run: `__test__`",
        ),
        (
            LIB | {"check_b.py": "import pytest\npytest.importorskip('no_such_module')\n" + MADE},
            "check_b.py::check_b is not run: its file skips itself when it is imported",
        ),
        (
            LIB | {"check_b.py": MADE, "conftest.py": "collect_ignore = ['check_b.py']\n"},
            "check_b.py::check_b is not run: the file is left out",
        ),
        (LIB | {"build/check_b.py": MADE}, "build/check_b.py::check_b is not run: the file is left out"),
        (
            LIB | {"check_b.py": MADE + "check_b = made('c')\n"},
            "check_b.py::check_b is defined in line 2 and again in line 3",
        ),
        ({"check_a.py": TWO.format("")}, "check_a.py::check_total is defined in line 1 and again in line 4"),
        (
            {"check_a.py": TWO.format("import functools\n@functools.cache\n")},
            "check_a.py::check_total is defined in line 1 and again in line ",
        ),
        (
            {
                "check_a.py": EACH + "@each_item\ndef check_a(target):\n    assert False\n"
                "@each_item\ndef check_a(target):\n    assert target\n"
            },
            "check_a.py::check_a is defined in line 4 and again in line 7",
        ),
        (
            {"check_a.py": CHECK + "from check_b import check_total\n", "check_b.py": CHECK},
            "check_a.py::check_total is defined in line 1 and again in line 3",
        ),
        (
            {"check_a.py": CHECK + "class OrderChecks:\n    def check_b(self, pair): assert False\n"},
            "check_a.py::OrderChecks.check_b is not run, and nothing",
        ),
        (
            {"check_a.py": CHECK + "def checks_d(pair):\n    assert False\n"},
            "check_a.py::checks_d is not run, and nothing",
        ),
        (
            {"check_a.py": CHECK + EACH + "@each_item\ndef total_is_right(target):\n    assert False\n"},
            "check_a.py::total_is_right is not run, and nothing",
        ),
        ({"check-b.py": CHECK}, "check-b.py::check_total is not run, and nothing"),
        (
            {"orders_check.py": CHECK},
            "orders_check.py::check_total is not run, and nothing",
        ),
        (
            {
                "check_a.py": "def describe_orders():\n    def check_total(pair):\n        assert False\n"
                + CHECK
            },
            "check_a.py::describe_orders.check_total is not run, and nothing",
        ),
        (
            {"check_a.py": CHECK + "\n    def check_b(pair):\n        assert False\n"},
            "check_a.py::check_total.check_b is not run, and nothing",
        ),
        (
            {
                "test_a.py": "class TestOrders:\n"
                "    def test_a(self, pair):\n        assert pair.comparison\n"
                "    def check_b(self, pair):\n        assert False\n"
            },
            "test_a.py::TestOrders.check_b is not run, and nothing",
        ),
        ({"conftest.py": CHECK}, "conftest.py::check_total is not run, and nothing"),
        ({"helpers.py": "def same(pair)\n"}, "helpers.py is not valid Python"),
    ],
)
def test_a_check_that_vanishes_makes_the_run_incomplete_before_anything_is_read(project, files, said):
    _write(project, files)

    result = runs.run(project)

    assert (result.exit_code, result.evidence.complete) == (3, False)
    assert result.evidence.shortcomings[0].startswith(said)
    assert projects.passes(project.parent) == 0
    assert not gate.judge(load(project)).open


@pytest.mark.parametrize(
    "files",
    [
        {
            "check_a.py": "from helpers import same\n\ndef check_a(pair):\n    same(pair)\n"
            "    assert pair.comparison\n",
            "helpers.py": "def same(pair):\n    return _same(pair)\n\ndef _same(pair):\n    return True\n",
        },
        {
            "check_a.py": "import helpers\n\ndef check_a(pair):\n    assert helpers.Orders().same(pair)\n",
            "helpers.py": "class Orders:\n    def same(self, pair):\n        return pair.comparison\n",
        },
        {"check_a.py": "from lib.shared import *\n", "lib/__init__.py": "", "lib/shared.py": CHECK},
        {
            "conftest.py": "import pytest\n\n@pytest.fixture\ndef rows(pair):\n    return pair.comparison\n",
            "check_a.py": "def check_a(rows):\n    assert rows\n",
        },
        {
            "check_a.py": "import sys\nif sys.version_info > (3,):\n"
            + CHECK.replace("def", "    def").replace("    assert", "        assert")
            + "else:\n"
            + CHECK.replace("def", "    def").replace("    assert", "        assert")
        },
        {
            "check_a.py": "def _made(name):\n    def check_it(pair):\n        assert pair.comparison\n"
            "    return check_it\n\ncheck_a, check_b = _made('a'), _made('b')\n"
        },
        {
            "check_a.py": "import functools\n\ndef _decorated(function):\n    @functools.wraps(function)\n"
            "    def inner(pair):\n        assert pair.comparison\n    return inner\n\n@_decorated\n" + CHECK
        },
        {"check_a.py": CHECK + "check_total = (lambda one: one)(check_total)\n"},
        {"test_own.py": "class TestIt:\n    def test_total(self, pair):\n        assert pair.source\n"},
        {"check_a.py": EACH + "@each_item\ndef check_a(target):\n    assert target\n"},
        {"check_a.py": CHECK, MINE: _MINE_TEXT},
        {"check_a.py": CHECK, MINE: _MINE_TEXT.replace("# from", "from")},
        {"check_a.py": CHECK, MINE: "import os\nfrom ddbverify import each_item\n"},
    ],
)
def test_what_runs_or_helps_is_left_alone(project, files):
    _write(project, files)

    result = runs.run(project)

    assert result.evidence.shortcomings == ()
    assert result.exit_code in (0, 3)  # a stand-in's pass shows no items to checks on items


@pytest.mark.parametrize("exempt", ["orders_check.py", "orders_check.py::check_total", "check_t*"])
def test_what_is_no_check_can_be_said_by_name(project, exempt):
    _write(project, {"orders_check.py": CHECK})
    project.write_text(f'{projects.TOML}\n[checks]\nnot_checks = ["{exempt}"]\n')

    assert runs.run(project).exit_code == 0


@pytest.mark.parametrize(
    ("conftest", "said"),
    [
        ("", "team/check_b.py::chek_b is not run, and nothing"),
        (
            "collect_ignore_glob = ['team/*']\n",
            "team/check_b.py::check_total is not run: the file is left out",
        ),
    ],
)
def test_checks_behind_a_link_do_not_vanish(project, tmp_path_factory, conftest, said):
    shared = tmp_path_factory.mktemp("shared")
    (shared / "check_b.py").write_text(CHECK + "\ndef chek_b(pair):\n    assert not pair.comparison\n")
    _write(project, {"check_a.py": CHECK, "conftest.py": conftest})
    (project.parent / "checks" / "team").symlink_to(shared)

    result = runs.run(project)

    assert result.evidence.shortcomings[0].startswith(said)
    assert not gate.judge(load(project)).open


@pytest.mark.parametrize(
    "made", [lambda place: place.symlink_to("nowhere"), lambda place: place.write_text("x")]
)
def test_a_suite_that_cannot_be_reached_is_not_replaced_by_the_default_one(project, made):
    """A link into a repository that was not checked out; Git without links writes a file with its target."""
    place = project.parent / "checks"
    place.rename(project.parent / "shared")
    made(place)

    with pytest.raises(ConfigurationError, match="checks is no folder"):
        runs.run(project)
    with pytest.raises(ConfigurationError, match="checks is no folder"):
        gate.judge(load(project))


def _write(project, files):
    for name, text in files.items():
        file = project.parent / "checks" / name
        file.parent.mkdir(exist_ok=True)
        before = file.read_text() if file.exists() else ""
        file.write_text(before + text)
