"""Hooks in a conftest.py, under pytest and in a gated run: taken, or refused; never ignored."""

from __future__ import annotations

import time

import pytest

from ddbverify.config import load
from ddbverify.gate import gate
from ddbverify.runs import run as runs
from tests.ddbverify import projects
from tests.ddbverify.distributions import install
from tests.ddbverify.runs.test_run import project as project
from tests.ddbverify.session.pytest.test_hooks import run as run

BRINGS = """
def ddbverify_check_files():
    return [Path(__file__).parents[1] / "brought" / "check_brought.py"]
"""
FINE = "\ndef ddbverify_gate_veto():\n    return None\n"


def add_to_conftest(folder, text):
    conftest = folder / "checks" / "conftest.py"
    conftest.write_text(conftest.read_text() + text)


def test_a_misfit_is_one_line_and_exit_status_4(pytester, run):
    projects.make_project(pytester.path)
    add_to_conftest(pytester.path, "\ndef ddbverify_vetoes(): pass\n")

    result = run("checks")

    assert result.ret == 4
    says = "ddbverify_vetoes() is no hook; the hook is ddbverify_*"
    result.stderr.fnmatch_lines([f"ERROR: The plugin checks/conftest.py: {says}"])
    assert projects.passes(pytester.path) == 0


def test_hooks_that_come_too_late_are_refused(pytester, run):
    projects.make_project(pytester.path)
    (pytester.path / "checks" / "sub").mkdir()
    (pytester.path / "checks" / "sub" / "conftest.py").write_text(FINE)
    (pytester.path / "checks" / "sub" / "check_sub.py").write_text(
        "def check_sub(pair): assert pair.comparison\n"
    )

    result = run("checks")

    assert result.ret != 0
    result.stdout.fnmatch_lines(["*has hooks of ddbverify, and is loaded too late for them*"])


def test_hooks_in_another_plugin_of_pytest_are_refused(pytester, run):
    projects.make_project(pytester.path)
    pytester.makepyfile(other=FINE)
    pytester.syspathinsert()

    result = run("-p", "other", "checks")

    assert result.ret != 0
    assert (
        "other is a plugin of pytest and has hooks of ddbverify" in result.stderr.str() + result.stdout.str()
    )


def test_hooks_of_an_object_are_refused(pytester, run):
    projects.make_project(pytester.path)
    text = """
class Hidden:
    def ddbverify_compare_values(self, path):
        return True

def pytest_configure(config):
    config.pluginmanager.register(Hidden(), "hidden")
"""
    add_to_conftest(pytester.path, text)

    result = run("checks")

    assert result.ret != 0
    assert (
        "hidden is a plugin of pytest and has hooks of ddbverify" in result.stderr.str() + result.stdout.str()
    )


def test_files_that_a_plugin_brings_run_beside_a_folder_and_not_beside_a_file(pytester, run):
    projects.make_project(pytester.path)
    (pytester.path / "brought").mkdir()
    (pytester.path / "brought" / "check_brought.py").write_text(
        "def check_brought(pair):\n    assert pair.source\n"
    )
    add_to_conftest(pytester.path, BRINGS)

    whole, one = run("checks", "-v"), run("checks/check_items.py")

    assert whole.ret == one.ret == 0
    whole.stdout.fnmatch_lines(["checks/conftest.py:check_brought.py::check_brought?orders-*PASSED*"])
    assert "check_brought" not in one.stdout.str()


def test_without_a_migration_hooks_are_nobodys_business(pytester, run):
    pytester.makeconftest("def ddbverify_no_such_hook(): pass\n")
    pytester.makepyfile("def test_it(): pass\n")
    assert run().ret == 0


# --- gated runs -----------------------------------------------------------------------------


def test_hooks_stand_in_the_evidence_and_reporters_get_it(project):
    text = """
def ddbverify_report(evidence, folder):
    (folder / "reported.txt").write_text(evidence["verdict"])
"""
    add_to_conftest(project.parent, text)

    result = runs.run(project)

    assert (result.exit_code, result.unreported) == (0, ())
    (record,) = result.evidence.extensions
    assert (record.name, record.origin, record.hooks) == (
        "checks/conftest.py",
        "conftest",
        ("ddbverify_report",),
    )
    assert (result.folder / "reported.txt").read_text() == "passed"
    assert gate.judge(load(project)).open


def test_a_reporter_that_fails_ends_the_run_with_3_and_the_evidence_stands(project):
    add_to_conftest(project.parent, "\ndef ddbverify_report():\n    raise ValueError('SENTINEL')\n")

    result = runs.run(project)

    assert (result.exit_code, result.evidence.verdict) == (3, "passed")
    assert result.unreported == ("The plugin checks/conftest.py raised ValueError in ddbverify_report.",)
    assert gate.judge(load(project)).open


@pytest.mark.parametrize(
    "text",
    [
        # Not even the name of a hook stands in the file, so only the child has it.
        "\nglobals()['ddb' + 'verify_compare_values'] = lambda path: True\n",
        # Another one in the child than in the parent.
        "\nif __name__ == 'conftest':\n    def ddbverify_compare_values(path): return True\n"
        "else:\n    def ddbverify_report(): pass\n",
        # A file that changes as it is run.
        "\nPath(__file__).write_text(Path(__file__).read_text() + '# more')\ndef ddbverify_report(): pass\n",
    ],
)
def test_a_plugin_that_shows_two_faces_is_found_out(project, text):
    add_to_conftest(project.parent, text)

    result = runs.run(project)

    assert (result.exit_code, result.evidence.verdict) == (3, "inconclusive")
    assert any("plugin" in one or "check" in one for one in result.evidence.shortcomings)
    assert not gate.judge(load(project)).open


def test_what_is_installed_and_not_allowed_has_no_say(project, monkeypatch):
    site = project.parent / "site"
    install(site, "surprise", "raise SystemExit(0)")
    monkeypatch.setenv("PYTHONPATH", f"{projects.REPOSITORY}:{site}")

    result = runs.run(project)

    assert result.exit_code == 0
    assert result.evidence.extensions == ()


def test_an_empty_suite_is_not_filled_by_a_plugin(project):
    projects.write_spec(project.parent, started_epoch=time.time())
    for file in (project.parent / "checks").glob("check_*.py"):
        file.unlink()
    (project.parent / "brought").mkdir()
    (project.parent / "brought" / "check_brought.py").write_text(
        "def check_brought(pair):\n    assert pair.source\n"
    )
    add_to_conftest(project.parent, BRINGS)

    result = runs.run(project)

    assert (result.exit_code, result.evidence.verdict) == (3, "inconclusive")
    assert "no check was collected but those that plugins bring" in result.evidence.shortcomings
