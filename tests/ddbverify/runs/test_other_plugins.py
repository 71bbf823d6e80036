"""
Other people's pytest plugins, installed for real: they open nothing, break nothing, show nothing.

pip installs each into a folder of its own, and all of them into one, so this needs PyPI: `make test-full`. In
CI there are two of them, and all together.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from ddbverify.config import load as configuration
from ddbverify.errors import ConfigurationError
from ddbverify.gate import gate
from ddbverify.plugins import of_pytest
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

TOGETHER = "all together"
"""Every one of `PLUGINS` in one folder, at work in one run: none is in the way of another."""

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


def named(plugin: str) -> tuple[str, ...]:
    return tuple(PLUGINS) if plugin == TOGETHER else (plugin,)


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """Folder by plugin, each installed once."""
    folders: dict[str, Path] = {}

    def of(plugin: str) -> Path:
        if plugin not in folders:
            folder = folders[plugin] = tmp_path_factory.mktemp(plugin.replace(" ", "-"))
            wanted = {name for one in named(plugin) for name in (one, *PLUGINS[one][0])}
            pip = (sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--disable-pip-version-check")
            subprocess.run([*pip, "--target", str(folder), *sorted(wanted)], check=True)
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
@pytest.mark.parametrize("plugin", [*PLUGINS, TOGETHER])
def test_an_installed_plugin_has_no_say_in_a_gated_run(project, capfd, plugin, suite):
    right = runs.run(project)

    assert (right.exit_code, right.evidence.shortcomings) == (0, ())
    assert gate.judge(configuration(project)).open
    projects.write_spec(project.parent, **WRONG)

    wrong = runs.run(project)

    assert wrong.exit_code == 1
    assert not gate.judge(configuration(project)).open
    written = capfd.readouterr()
    require_hidden(project, written.out + written.err)


@pytest.mark.parametrize("suite", ["user's"])
@pytest.mark.parametrize("plugin", TELLING)
def test_a_plugin_that_tells_is_refused_by_name_in_a_gated_run(project, capfd, plugin, suite):
    conftest = project.parent / "checks" / "conftest.py"
    conftest.write_text(conftest.read_text() + f"\npytest_plugins = [{PLUGINS[plugin][1]!r}]\n")

    with pytest.raises(ConfigurationError, match="what it says stands above"):
        runs.run(project)
    assert not gate.judge(configuration(project)).open
    written = capfd.readouterr()
    assert f"{plugin} keeps or shows what checks print" in written.err
    require_hidden(project, written.out + written.err)


@pytest.mark.parametrize("suite", ["default", "user's"])
@pytest.mark.parametrize("plugin", [*PLUGINS, TOGETHER])
def test_plain_pytest_with_a_plugin_at_work_shows_no_value(project, plugin, suite):
    at_work = [argument for one in named(plugin) for argument in PLUGINS[one][2]]

    def pytest_says() -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "checks", "-p", "no:cacheprovider", "-rA", *at_work],
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


@pytest.fixture
def load(project, monkeypatch, installed):
    """Let a gated run load plugins by its settings; its parent has to find them, too."""
    monkeypatch.syspath_prepend(installed(TOGETHER))

    def forget() -> None:
        of_pytest.installed.cache_clear()
        of_pytest._distributions.cache_clear()

    def listed(plugins: Iterable[str]) -> None:
        quoted = ", ".join(f'"{plugin}"' for plugin in sorted(plugins))
        project.write_text(f"{projects.TOML}\n[checks]\npytest_plugins = [{quoted}]\n")

    forget()
    yield listed
    forget()


HOSTILE = {
    "nothing": USERS_SUITE,
    "a soft assertion": "from pytest_check import check\n{head}    with check:\n        assert not missing\n",
    "another soft assertion": "import pytest\n{head}    pytest.assume(not missing)\n",
    "a block of a plugin": (
        "def describe_orders():\n"
        "    def check_own(pair):\n        assert not pair.comparison.counts.get('missing')\n"
        "    return check_own\n"
    ),
    "a second try": (
        "import pytest\ntries = []\n\n@pytest.mark.flaky(reruns=2)\n"
        "{head}    tries.append(1)\n    assert len(tries) > 1 or not missing\n"
    ),
}
"""What would pass over a missing item if the plugins had a say, or were not loaded."""


@pytest.mark.parametrize("suite", ["user's"])
@pytest.mark.parametrize("plugin", [TOGETHER])
@pytest.mark.parametrize("hostile", HOSTILE)
def test_plugins_that_are_loaded_together_open_no_gate(project, capfd, load, plugin, suite, hostile):
    loaded = PLUGINS.keys() - set(TELLING)
    load(loaded)

    right = runs.run(project)

    assert (right.exit_code, right.evidence.shortcomings) == (0, ())
    assert {one.name for one in right.evidence.extensions} == loaded
    assert gate.judge(configuration(project)).open
    head = "\n\ndef check_own(pair):\n    missing = pair.comparison.counts.get('missing', 0)\n"
    (project.parent / "checks" / "check_shop.py").write_text(HOSTILE[hostile].replace("{head}", head))
    projects.write_spec(project.parent, **WRONG)

    wrong = runs.run(project)

    assert wrong.exit_code == 1
    assert {str(check.state) for check in wrong.evidence.checks} == {"failed"}
    assert not gate.judge(configuration(project)).open
    written = capfd.readouterr()
    require_hidden(project, written.out + written.err)


@pytest.mark.parametrize("suite", ["user's"])
@pytest.mark.parametrize("plugin", [TOGETHER])
def test_all_of_them_in_one_gated_run_are_refused(project, capfd, load, plugin, suite):
    load(PLUGINS)

    with pytest.raises(ConfigurationError, match="what it says stands above"):
        runs.run(project)
    assert not gate.judge(configuration(project)).open
    written = capfd.readouterr()
    assert "keeps or shows what checks print" in written.err
    require_hidden(project, written.out + written.err)
