"""
Other people's pytest plugins, installed for real: they open nothing, break nothing, show nothing.

pip installs each into a folder of its own, so this needs PyPI: `make test-full`, and two of them in CI.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ddbverify.config import load
from ddbverify.errors import ConfigurationError
from ddbverify.gate import gate
from ddbverify.runs import run as runs
from tests.ddbverify import projects

pytestmark = pytest.mark.full

TOKEN = "SENTINEL-31fe"

# What pip installs beside it (pytest is here already), its module for pytest, and how it is put to work.
PLUGINS: dict[str, tuple[tuple[str, ...], str, tuple[str, ...]]] = {
    "allure-pytest": (("allure-python-commons", "attrs"), "allure_pytest.plugin", ("--alluredir=kept",)),
    "pytest-json-report": (
        ("pytest-metadata",),
        "pytest_jsonreport.plugin",
        # Log records go to a handler of its own, past every report: docs/checks.md says to leave them out.
        ("--json-report", "--json-report-file=kept.json", "--json-report-omit=log"),
    ),
    "flaky": ((), "flaky.flaky_pytest_plugin", ("--force-flaky",)),
    "pytest-retry": ((), "pytest_retry", ("--retries=1",)),
    "pytest-timeout": ((), "pytest_timeout", ("--timeout=60", "--timeout-method=thread")),
    "pytest-check": ((), "pytest_check", ()),
    "pytest-assume": (("six",), "pytest_assume.plugin", ()),
    "pytest-describe": ((), "pytest_describe.plugin", ()),
    "pytest-html": (("pytest-metadata", "jinja2", "markupsafe"), "pytest_html", ("--html=kept.html",)),
    "pytest-rerunfailures": (("packaging",), "pytest_rerunfailures", ("--reruns=1",)),
}
TELLING = ("allure-pytest", "pytest-json-report", "flaky", "pytest-retry", "pytest-timeout")

USERS_SUITE = f"""\
import logging

from ddbverify import State, each_item, require

TOKEN = "".join({list(TOKEN)!r})


def check_equal(pair):
    print(TOKEN)
    logging.getLogger("shop").warning("item %s", TOKEN)
    require(pair.verdict(State.MISSING, State.EXTRANEOUS, State.DIFFERENT))


def check_counts(pair):
    print(TOKEN)
    differing = pair.comparison.counts.get("missing", 0)
    assert differing == 0, TOKEN
"""


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """Folder by plugin, each installed once."""
    folders: dict[str, Path] = {}

    def of(plugin: str) -> Path:
        if plugin not in folders:
            folder = folders[plugin] = tmp_path_factory.mktemp(plugin)
            pip = (sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--disable-pip-version-check")
            subprocess.run([*pip, "--target", str(folder), plugin, *PLUGINS[plugin][0]], check=True)
        return folders[plugin]

    return of


@pytest.fixture
def project(tmp_path, monkeypatch, installed, request):
    """A project in whose environment a plugin is installed."""
    plugin, suite = request.getfixturevalue("plugin"), request.getfixturevalue("suite")
    made = projects.runnable(tmp_path, monkeypatch, installed(plugin), default_suite=suite == "default")
    if suite == "user's":
        (tmp_path / "checks" / "check_shop.py").write_text(USERS_SUITE)
    return made


def require_hidden(project: Path, said: str) -> None:
    stored = {
        path.name
        for path in project.parent.rglob("*")
        if path.is_file() and TOKEN in path.read_text(errors="replace")
    }
    assert TOKEN not in said
    assert stored == set()


WRONG = {"counts": {"matched": 2, "missing": 1}}


@pytest.mark.parametrize("suite", ["default", "user's"])
@pytest.mark.parametrize("plugin", PLUGINS)
def test_an_installed_plugin_has_no_say_in_a_gated_run(project, capfd, plugin, suite):
    right = runs.run(project)

    assert (right.exit_code, right.evidence.shortcomings) == (0, ())
    assert gate.judge(load(project)).open
    projects.write_spec(project.parent, **WRONG)

    wrong = runs.run(project)

    assert wrong.exit_code == 1
    assert not gate.judge(load(project)).open
    written = capfd.readouterr()
    require_hidden(project, written.out + written.err)


@pytest.mark.parametrize("suite", ["user's"])
@pytest.mark.parametrize("plugin", TELLING)
def test_a_plugin_that_tells_is_refused_by_name_in_a_gated_run(project, capfd, plugin, suite):
    conftest = project.parent / "checks" / "conftest.py"
    conftest.write_text(conftest.read_text() + f"\npytest_plugins = [{PLUGINS[plugin][1]!r}]\n")

    with pytest.raises(ConfigurationError, match="what it says stands above"):
        runs.run(project)
    assert not gate.judge(load(project)).open
    written = capfd.readouterr()
    assert f"{plugin} keeps or shows what checks print" in written.err
    require_hidden(project, written.out + written.err)


@pytest.mark.parametrize("suite", ["default", "user's"])
@pytest.mark.parametrize("plugin", PLUGINS)
def test_plain_pytest_with_a_plugin_at_work_shows_no_value(project, plugin, suite):
    def pytest_says() -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "checks", "-p", "no:cacheprovider", "-rA", *PLUGINS[plugin][2]],
            cwd=project.parent,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    status, said = pytest_says()
    assert status == 0, said
    require_hidden(project, said)
    projects.write_spec(project.parent, **WRONG)

    status, said = pytest_says()
    assert status == 1, said
    require_hidden(project, said)
