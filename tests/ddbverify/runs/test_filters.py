"""A gated run goes by the filters of warnings that plain pytest goes by, wherever they stand."""

from __future__ import annotations

import shutil

import pytest

from ddbverify.errors import ConfigurationError
from ddbverify.runs import run as runs
from ddbverify.runs.filters import project_filters
from tests.ddbverify.runs.test_run import project as project

ERROR = ("error", "ignore:old:DeprecationWarning")
INI = "[{}]\nfilterwarnings =\n    error\n    # of a library\n    ignore:old:DeprecationWarning\n"
TOML = "[{}]\nfilterwarnings = ['error', 'ignore:old:DeprecationWarning']\n"


@pytest.mark.parametrize(
    ("name", "text", "filters"),
    [
        ("pytest.ini", INI.format("pytest"), ERROR),
        (".pytest.ini", INI.format("pytest"), ERROR),
        ("tox.ini", INI.format("pytest"), ERROR),
        ("setup.cfg", INI.format("tool:pytest"), ERROR),
        ("pyproject.toml", TOML.format("tool.pytest.ini_options"), ERROR),
        ("pyproject.toml", TOML.format("tool.pytest"), ERROR),
        ("pytest.toml", TOML.format("pytest"), ERROR),
        ("pytest.ini", "", ()),
        ("pytest.ini", "[pytest]\naddopts = -q\n", ()),
        ("pyproject.toml", "[project]\nname = 'x'\n", None),
        ("setup.cfg", "[metadata]\nname = x\n", None),
    ],
)
def test_the_first_settings_of_pytest_above_the_checks_count(tmp_path, name, text, filters):
    (tmp_path / "tox.ini").write_text("[pytest]\nfilterwarnings = once\n")
    (tmp_path / "project" / "checks").mkdir(parents=True)
    (tmp_path / "project" / name).write_text(text)

    assert project_filters(tmp_path / "project" / "checks") == (("once",) if filters is None else filters)


def test_settings_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "pytest.ini").write_text("filterwarnings = error\n")

    with pytest.raises(ConfigurationError, match=r"pytest\.ini, which may hold settings of pytest"):
        project_filters(tmp_path)


def test_the_default_suite_goes_by_the_project_and_not_by_where_it_is_installed(project, monkeypatch):
    """Above it is the checkout of ddbverify, or whatever the installation lies in."""
    shutil.rmtree(project.parent / "checks")
    (project.parent / "pytest.ini").write_text("[pytest]\nfilterwarnings = once\n")
    monkeypatch.setattr("ddbverify.runs.watching.watch", lambda *_, **__: (False, 1))

    settings = (runs.run(project).folder / "pytest.ini").read_text()

    assert settings.partition("filterwarnings =\n")[2].split() == ["once"]


WARNS = "import warnings\n\n{}def check_it(pair):\n    warnings.warn('old way')\n    assert pair.comparison\n"


@pytest.mark.parametrize(
    ("mark", "ini", "arguments", "exit_code"),
    [
        ("", "", [], 0),
        ("", "[pytest]\nfilterwarnings = error\n", [], 3),
        ("", "", ["-W", "error"], 3),
        ("import pytest\n@pytest.mark.filterwarnings('error')\n", "", [], 3),
        (
            "import pytest\n@pytest.mark.filterwarnings('ignore')\n",
            "[pytest]\nfilterwarnings = error\n",
            [],
            0,
        ),
    ],
)
def test_what_plain_pytest_makes_an_error_is_one_in_a_gated_run(project, mark, ini, arguments, exit_code):
    (project.parent / "checks" / "check_own.py").write_text(WARNS.format(mark))
    if ini:
        (project.parent / "pytest.ini").write_text(ini)

    result = runs.run(project, extra=arguments)

    assert result.exit_code == exit_code
    (state,) = {str(one.state) for one in result.evidence.checks if one.name.endswith("::check_it")}
    assert state == ("errored" if exit_code else "passed")
