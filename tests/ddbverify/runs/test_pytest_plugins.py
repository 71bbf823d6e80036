"""A check that imports a plugin of pytest needs it loaded; a gated run loads what the configuration lists."""

from __future__ import annotations

import pytest

from ddbverify.config import load
from ddbverify.errors import ConfigurationError
from ddbverify.gate import gate
from ddbverify.plugins import of_pytest
from ddbverify.plugins.of_pytest import NOT_NEEDED, imported_by
from ddbverify.runs import run as runs
from tests.ddbverify import projects
from tests.ddbverify.runs.test_run import project as project

SOFT = """\
import pytest

failures = []

def equal(one, other):
    if one != other:
        failures.append((one, other))

@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    failures.clear()
    yield
    assert not failures
"""
BLOCKS = """\
import pytest

def pytest_pycollect_makeitem(collector, name, obj):
    if name.startswith("describe_"):
        inner = obj()
        inner.__name__ = "check_" + name
        setattr(collector.obj, inner.__name__, inner)
        return list(collector._genfunctions(inner.__name__, inner))
"""
USES = "import soft_checks\n\ndef check_it(pair):\n    soft_checks.equal(pair.source.item_count, -1)\n"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Distributions with plugins of pytest, as the child of a run finds them, too."""
    folder = tmp_path / "installed"

    def install(name, module, text):
        info = folder / f"{module}-1.2.dist-info"
        info.mkdir(parents=True)
        (folder / f"{module}.py").write_text(text)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[pytest11]\n{module}-plugin = {module}\n")
        (info / "RECORD").write_text(
            f"{module}.py,,\n{info.name}/METADATA,,\n{info.name}/entry_points.txt,,\n"
        )
        monkeypatch.setenv("PYTHONPATH", f"{folder}:{projects.REPOSITORY}")
        monkeypatch.syspath_prepend(folder)
        of_pytest.installed.cache_clear()
        of_pytest._distributions.cache_clear()

    yield install
    of_pytest.installed.cache_clear()
    of_pytest._distributions.cache_clear()


def _checks(project, key, *names):
    quoted = ", ".join(f'"{name}"' for name in names)
    project.write_text(f"{projects.TOML}\n[checks]\n{key} = [{quoted}]\n")


def _state(result):
    (check,) = [one for one in result.evidence.checks if one.name.startswith("check_own.py")]
    return str(check.state), check.why


@pytest.mark.parametrize(
    "text",
    [
        USES,
        USES.replace("import soft_checks", "from soft_checks import equal").replace(
            "soft_checks.equal", "equal"
        ),
        USES.replace("import soft_checks", "import pytest\nsoft_checks = pytest.importorskip('soft_checks')"),
        USES.replace(
            "import soft_checks", "import importlib\nsoft_checks = importlib.import_module('soft_checks')"
        ),
    ],
)
def test_a_check_that_imports_a_plugin_that_is_not_loaded_is_undecided(project, installed, text):
    installed("Soft.Checks", "soft_checks", SOFT)
    (project.parent / "checks" / "check_own.py").write_text(text)

    result = runs.run(project)

    state, why = _state(result)
    assert state == "inconclusive"
    assert why.startswith("check_own.py imports soft-checks, a plugin of pytest that is not loaded")
    assert result.exit_code == 3
    assert not gate.judge(load(project)).open


def test_an_import_of_a_conftest_counts_for_every_check(project, installed):
    installed("soft-checks", "soft_checks", SOFT)
    conftest = project.parent / "checks" / "conftest.py"
    conftest.write_text("import soft_checks\n" + conftest.read_text())

    result = runs.run(project)

    assert {str(one.state) for one in result.evidence.checks} == {"inconclusive"}


def test_a_listed_plugin_is_loaded_and_bound(project, installed):
    installed("soft-checks", "soft_checks", SOFT)
    (project.parent / "checks" / "check_own.py").write_text(USES)
    _checks(project, "pytest_plugins", "Soft.Checks")

    result = runs.run(project)

    assert _state(result)[0] == "failed"
    assert result.exit_code == 1
    (plugin,) = result.evidence.extensions
    assert (plugin.name, plugin.origin, plugin.version) == ("soft-checks", "pytest", "1.2")
    assert len(plugin.digest) == 64
    assert result.evidence.plugins["soft-checks"] == "1.2"


def test_what_works_without_its_plugin_can_be_said(project, installed):
    installed("soft-checks", "soft_checks", SOFT)
    (project.parent / "checks" / "check_own.py").write_text(
        "import soft_checks\n\ndef check_it(pair):\n    assert pair.comparison\n"
    )
    _checks(project, "plugins_not_needed", "soft_checks")

    assert _state(runs.run(project))[0] == "passed"


def test_blocks_that_a_plugin_would_collect_are_asked_for_and_run_with_it(project, installed):
    installed("block-checks", "block_checks", BLOCKS)
    (project.parent / "checks" / "check_own.py").write_text(
        "def describe_orders():\n    def it(pair):\n        assert pair.source.arn == 1\n    return it\n"
    )

    (said, *_) = runs.run(project).evidence.shortcomings
    _checks(project, "pytest_plugins", "block-checks")

    assert said.startswith("check_own.py::describe_orders.it is not run, and nothing that runs uses it")
    assert "[checks] pytest_plugins" in said
    assert _state(runs.run(project))[0] == "failed"


def test_a_plugin_that_is_not_installed_is_refused(project):
    _checks(project, "pytest_plugins", "no-such-plugin")

    with pytest.raises(ConfigurationError, match="no distribution 'no-such-plugin'"):
        runs.run(project)


def test_only_what_the_text_itself_imports_counts():
    assert [one.name for one in imported_by(b"import hypothesis.strategies\nimport json")] == ["hypothesis"]
    assert imported_by(b"import json, tests.conftest\n'import hypothesis'\n") == []


WITHOUT_ITS_PLUGIN = {
    "hypothesis": "from hypothesis import given, strategies\n\n"
    "@given(strategies.integers())\ndef _holds(number):\n    assert number < {limit}\n\n"
    "def check_it(pair):\n    _holds()\n    assert pair.comparison\n",
}


@pytest.mark.parametrize("name", sorted(NOT_NEEDED))
@pytest.mark.parametrize(("limit", "state"), [("10**99", "passed"), ("5", "failed")])
def test_each_library_of_the_list_does_what_it_promises_without_its_plugin(project, name, limit, state):
    (project.parent / "checks" / "check_own.py").write_text(WITHOUT_ITS_PLUGIN[name].format(limit=limit))

    assert _state(runs.run(project))[0] == state
