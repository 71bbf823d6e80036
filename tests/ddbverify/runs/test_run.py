"""A run believes its child's record only, and leaves evidence whatever becomes of the child."""

from __future__ import annotations

import errno
import json
import os
import signal
import stat
import subprocess
import sys
import time

import pytest

from ddbverify.config import load
from ddbverify.errors import AccessError, ConfigurationError
from ddbverify.evidence import folders, links, signing
from ddbverify.evidence.envelope import RUN, open_envelope
from ddbverify.evidence.record import CheckState
from ddbverify.gate import gate
from ddbverify.page import making
from ddbverify.runs import run as runs
from ddbverify.runs.clock import Clock
from tests.ddbverify import projects

TOKEN = "SENTINEL-90ab"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project whose child finds the repository, with the default suite."""
    return projects.runnable(tmp_path, monkeypatch)


def with_check(file, body):
    (file.parent / "checks" / "check_own.py").write_text(f"def check_own(pair):\n    {body}\n")


IN_A_FIXTURE = """\
import pytest
from ddbverify import check, require, State


@pytest.fixture
def total(pair):
    return sum(pair.comparison.counts.values())


def check_own(pair, total):
    require(pair.verdict(State.MISSING))
    assert total <= 1000
"""
AS_IT_WAS_MADE = """\
from ddbverify import check, require, State


def check_own(pair):
    require(pair.verdict(State.MISSING))
    assert sum(pair.compared.counts.values()) <= 1000
"""


@pytest.mark.parametrize("text", [IN_A_FIXTURE, AS_IT_WAS_MADE])
def test_a_check_that_reads_the_comparison_on_another_way_is_noted_as_well(project, text):
    """Shown changes only, it would count these, and call a bound kept that is not."""
    own = project.parent / "checks" / "check_own.py"
    own.write_text(text)

    found = runs.run(project).evidence
    assert (found.verdict, links.reads_whole(found)) == ("passed", ["check_own.py::check_own"])

    own.write_text(text.replace("def check_own", "@check(by_key=True)\ndef check_own"))
    found = runs.run(project).evidence
    assert (found.verdict, links.reads_whole(found)) == ("passed", [])


def test_a_run_that_passes_opens_the_gate(project):
    result = runs.run(project)

    assert (result.exit_code, result.evidence.verdict, result.evidence.complete) == (0, "passed", True)
    assert {path.name for path in result.folder.iterdir()} == {
        *("evidence.json", "findings.jsonl", "junit.xml", "summary.md", "record.jsonl", "pytest.ini"),
        *("stuck.txt", "events.jsonl", "repair.json", "repair.key"),
    }
    for name in ("findings.jsonl", "repair.json", "repair.key"):
        assert stat.S_IMODE((result.folder / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(result.folder.stat().st_mode) == 0o700
    assert result.new_key is not None
    assert projects.passes(project.parent) == 1
    assert (project.parent / ".ddbverify" / "latest").resolve() == result.folder
    decision = gate.judge(load(project))
    assert decision.reasons == ()
    assert runs.run(project).new_key is None


def test_a_check_that_is_not_applicable_satisfies_the_gate_and_nothing_passes_by_it_alone(project):
    project.write_text(projects.TOML + '[gate]\nrequired = ["check_sampled_items_are_equal"]\n')

    result = runs.run(project)

    assert (result.exit_code, result.evidence.verdict) == (0, "passed")
    assert gate.judge(load(project)).open
    for file in (project.parent / "checks").glob("check_*.py"):
        if file.name != "check_transform.py":
            file.unlink()
    assert (runs.run(project).exit_code, gate.judge(load(project)).open) == (3, False)


def test_one_item_that_differs_fails_one_check(project):
    projects.write_spec(
        project.parent,
        counts={"matched": 2, "different": 1},
        differences=[{"state": "different", "key": {"id": {"S": "1"}}, "paths": ["n: values differ"]}],
    )

    result = runs.run(project)

    assert result.exit_code == 1
    failed = [one.name for one in result.evidence.checks if one.state is CheckState.FAILED]
    assert failed == ["check_items.py::check_every_item_is_equal"]


def test_findings_outrank_everything(project):
    projects.write_spec(project.parent, counts={"matched": 2, "missing": 1})
    with_check(project, "import pytest; pytest.skip()")

    result = runs.run(project)

    assert (result.exit_code, result.evidence.verdict, result.evidence.complete) == (1, "failed", False)
    assert gate.judge(load(project)).exit_code == 3


@pytest.mark.parametrize(
    "body",
    [
        "import os; os._exit(0)",
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "import os, signal; os.kill(os.getpid(), signal.SIGINT)",
        "import pytest; pytest.exit('enough', returncode=0)",
        "import atexit, os; atexit.register(os._exit, 0); raise KeyError('x')",
        "import pytest; pytest.skip()",
        "import pytest; pytest.xfail()",
        "raise SystemExit(0)",
        "raise KeyboardInterrupt",
        "raise GeneratorExit",
    ],
)
def test_whatever_a_check_does_to_the_process_it_never_passes(project, body):
    with_check(project, body)

    result = runs.run(project)

    assert (result.exit_code, result.evidence.verdict, result.evidence.complete) == (3, "inconclusive", False)
    assert result.evidence.shortcomings
    decision = gate.judge(load(project))
    assert not decision.open
    assert decision.exit_code == 3


def test_evidence_says_of_each_check_why_it_has_not_passed_and_names_no_key(project):
    (project.parent / "checks" / "check_own.py").write_text(
        "from ddbverify import Finding, Verdict, require\n"
        "def check_a(pair):\n"
        f"    assert pair.id == '{TOKEN}'\n"
        "def check_b(pair):\n"
        "    require(Verdict(examined=3, findings=(Finding('missing ' + '0123456789abcdef'),)))\n"
        "def check_c(pair):\n"
        "    require(Verdict(examined=3, unexamined=('0123456789abcdef\\nis a folder',)))\n"
        "def check_d(pair):\n"
        "    {}['no such']\n"
        "def check_e(pair):\n"
        "    return pair.id == 'orders'\n"
    )

    result = runs.run(project)

    assert {check.name[-1]: check.why for check in result.evidence.checks if "own" in check.name} == {
        "a": "AssertionError at check_own.py:3",
        "b": "check_own.py:5",  # what its own findings say may be about keys
        "c": "(a key) is a folder",
        "d": "KeyError at check_own.py:9",
        "e": "the check returned a value, and nobody looks at that",
    }
    reasons = "\n".join(map(str, gate.judge(load(project)).reasons))
    assert "check_b[orders" in reasons.replace("check_own.py::", "")
    assert "0123456789abcdef" not in reasons
    assert TOKEN not in reasons


def test_a_check_that_hangs_ends_the_run_which_says_so_and_what_was_done(project):
    with_check(project, "pair.comparison; import time; time.sleep(600)")

    project.write_text(project.read_text() + '[verification]\ntime_limit = "2s"\n')

    result = runs.run(project)

    assert (result.exit_code, result.evidence.verdict) == (3, "inconclusive")
    (said,) = [one for one in result.evidence.shortcomings if "check_own" in one]
    assert "check_own.py::check_own[orders-a9911116] (call) did not come back within 2 s" in said
    states = {check.name: check.state for check in result.evidence.checks}
    assert states["check_items.py::check_every_item_is_equal"] is CheckState.PASSED
    assert states["check_own.py::check_own"] is CheckState.NOT_RUN
    assert result.evidence.pairs[0].comparison is not None
    assert not gate.judge(load(project)).open


def test_a_check_that_ends_the_process_is_named(project):
    with_check(project, "pair.comparison; import os; os._exit(0)")

    (said, *_) = runs.run(project).evidence.shortcomings

    assert said.startswith(
        "the checks did not come to their end (exit status 0) during check_own.py::check_own["
    )


def test_a_name_that_no_terminal_should_see_is_refused(project, capfd):
    (project.parent / "checks" / "check_\x1b[31m.py").write_text("def check_it(pair): pass\n")

    result = runs.run(project)

    assert (result.exit_code, result.evidence.checks) == (3, ())
    printed = capfd.readouterr().err
    assert "check_\\x1b[31m.py::check_it" in printed
    assert "none of them a control character" in printed
    assert not gate.judge(load(project)).open


def test_what_extra_arguments_leave_out_closes_the_gate(project):
    for extra, state in ((["-k", "counts"], CheckState.DESELECTED), (["--co"], CheckState.NOT_RUN)):
        result = runs.run(project, extra=extra)

        assert result.exit_code == 3
        assert state in {check.state for check in result.evidence.checks}
        assert not gate.judge(load(project)).open


def test_an_ignored_file_is_missed_by_the_run_and_by_the_gate(project):
    conftest = project.parent / "checks" / "conftest.py"
    conftest.write_text(conftest.read_text() + '\ncollect_ignore = ["check_items.py"]\n')

    result = runs.run(project)

    assert result.exit_code == 3
    assert {"incomplete", "missing"} <= {reason.code for reason in gate.judge(load(project)).reasons}


def test_no_setting_of_the_project_or_the_user_reaches_the_child(project, monkeypatch, tmp_path_factory):
    (project.parent / "pytest.ini").write_text("[pytest]\naddopts = -k nothing\n")
    (project.parent / "conftest.py").write_text("raise RuntimeError('loaded')\n")
    monkeypatch.setenv("PYTEST_ADDOPTS", "--co")
    monkeypatch.setenv("PYTEST_PLUGINS", "no_such_plugin")

    result = runs.run(project, out=tmp_path_factory.mktemp("out"))

    assert result.exit_code == 0
    assert result.evidence.plugins.keys() == {"ddbverify", "pytest"}


def test_a_child_that_leaves_after_its_last_check_has_not_passed(project):
    conftest = project.parent / "checks" / "conftest.py"
    conftest.write_text(
        conftest.read_text() + "\n\ndef pytest_sessionfinish():\n    import os\n    os._exit(0)\n"
    )

    result = runs.run(project)

    assert not any(check.is_open for check in result.evidence.checks)
    assert (result.exit_code, result.evidence.verdict) == (3, "inconclusive")


def test_an_empty_suite_is_inconclusive(project):
    for file in (project.parent / "checks").glob("check_*.py"):
        file.unlink()

    assert runs.run(project).exit_code == 3


def test_without_a_folder_of_checks_the_default_suite_runs(project):
    import shutil

    shutil.rmtree(project.parent / "checks")

    result = runs.run(project, extra=["--co"])

    assert len(result.evidence.checks) == 15


def test_arguments_that_pytest_refuses_are_a_usage_error(project):
    with pytest.raises(ConfigurationError, match="refused its arguments"):
        runs.run(project, extra=["--no-such-option"])


def test_what_changes_during_the_run_makes_it_incomplete(project):
    spec = {"tables": {"orders": {"TableId": "made anew"}}}
    file = str(projects.spec_file(project.parent))
    with_check(
        project,
        "from pathlib import Path; here = Path(__file__).parents[1]; "
        f"Path({file!r}).write_text({json.dumps(projects.CLEAN | spec)!r}); "
        "(here / 'checks' / 'check_new.py').write_text('')",
    )

    result = runs.run(project)

    assert result.exit_code == 3
    said = " ".join(result.evidence.shortcomings)
    assert "a table was deleted and made anew" in said
    assert "a check, a transform or ddbverify itself was changed" in said


def test_settings_that_are_others_while_the_checks_run_leave_it_incomplete(project):
    """Before and after they are the same: whoever looks then sees nothing of it."""
    honest = project.read_text()
    other = honest + 'ignore = ["price"]\n'
    with (project.parent / "checks" / "conftest.py").open("a") as file:
        file.write(
            f"\nSETTINGS = Path({str(project)!r})\nSETTINGS.write_text({other!r})\n"
            f"def pytest_unconfigure(config):\n    SETTINGS.write_text({honest!r})\n"
        )

    result = runs.run(project)

    assert result.exit_code == 3
    assert [said for said in result.evidence.shortcomings if "with other settings" in said]
    assert not gate.judge(load(project)).open


@pytest.mark.parametrize(("moved", "was_set"), [(0, False), (4, False), (60, True), (-60, True)])
def test_a_clock_that_is_set_during_the_run_is_noticed_one_that_is_wrong_is_not(
    project, monkeypatch, moved, was_set
):
    off = [3600.0]
    monkeypatch.setattr("ddbverify.tables.table.server_time", lambda *_: time.time() + off[0])
    clock = Clock(load(project))
    assert abs(clock.now() - time.time() - 3600) < 5

    off[0] += moved

    assert bool(clock.was_set()) is was_set


@pytest.mark.parametrize("mark", ["", "pytestmark = pytest.mark.ddb_check(coverage='sample')"])
def test_a_sample_never_passes_and_never_opens_the_gate(project, mark):
    projects.write_spec(project.parent, segments=[1, 1, 9])
    for file in (project.parent / "checks").glob("check_*.py"):
        file.write_text(f"{file.read_text()}\nimport pytest\n{mark}\n")

    result = runs.run(project, coverage="10%")

    assert (result.exit_code, result.evidence.coverage) == (3, "10%")
    assert (result.evidence.verdict, result.evidence.complete) == ("inconclusive", False)
    (said,) = result.evidence.shortcomings
    assert said.endswith(" a sample was read: 1 of 9 segments were to be read")
    decision = gate.judge(load(project))
    codes = {reason.code for reason in decision.reasons}
    assert {"incomplete", "coverage"} <= codes
    assert "changed" not in codes
    assert decision.exit_code == 3
    assert any("run again without --sample" in reason.message for reason in decision.reasons)


def test_a_configured_sample_passes_where_it_is_enough_for_every_check(project):
    projects.write_spec(project.parent, segments=[1, 1, 9])
    project.write_text(f'{projects.TOML}\n[verification]\ncoverage = "10%"\n')
    assert runs.run(project).exit_code == 3
    for file in (project.parent / "checks").glob("check_*.py"):
        file.unlink()
    (project.parent / "checks" / "check_few.py").write_text(
        "from ddbverify import State, check, require\n"
        "@check(coverage='sample')\n"
        "def check_few(pair):\n"
        "    require(pair.verdict(State.MISSING, of=pair.sample))\n"
    )

    assert runs.run(project).exit_code == 0


def test_churning_alone_is_told_apart(project):
    projects.write_spec(project.parent, counts={"matched": 2, "churning": 1})

    result = runs.run(project)

    assert (result.exit_code, result.evidence.only_churning) == (3, True)
    assert result.as_json()["only_churning"] is True
    config = load(project)
    assert gate.judge(config, allow_churning=True).open
    assert not gate.judge(config).open


def test_nothing_starts_where_aws_refuses(project, monkeypatch):
    def refuse(*_):
        raise AccessError("no", "log in")

    monkeypatch.setattr("ddbverify.tables.table.describe_pair", refuse)
    with pytest.raises(AccessError):
        runs.run(project)
    assert not (project.parent / ".ddbverify" / "runs").exists()
    # A key that this run made would be told by none: the next one finds it there.
    assert not (project.parent / ".ddbverify" / "key.pem").exists()


def test_another_transform_than_the_consumers_is_said_first_fails_the_check_and_closes_the_gate(
    project,
):
    why = "the target is made with the transform shop:old, and migration.toml names no transform"
    projects.write_spec(project.parent, other_transform=why, problems=[why])

    said = []

    def warn(line):
        said.append((line, projects.passes(project.parent)))

    result = runs.run(project, say=warn)

    assert said == [(f"warning: orders -> orders-v2: {why}", 0)]  # before anything was read
    (failed,) = [check for check in result.evidence.checks if check.is_open]
    assert (failed.name, failed.state) == ("check_pipeline.py::check_the_pipeline_is_healthy", "failed")
    assert any(why in str(reason) for reason in gate.judge(load(project)).reasons)


def test_a_migration_that_was_cut_over_is_said_before_anything_is_read(project):
    said, moved = [], "This migration was cut over: nothing follows the source any more"
    projects.write_spec(project.parent, moved=moved, problems=[moved])

    result = runs.run(project, say=lambda line: said.append((line, projects.passes(project.parent))))

    assert said == [(f"warning: {moved}.", 0)]
    assert result.exit_code == 1
    assert "cut-over" in {reason.code for reason in gate.judge(load(project)).reasons}


def test_a_state_table_that_cannot_be_read_is_left_to_the_check(project, monkeypatch):
    def refuse(*_):
        raise AccessError("no", "log in")

    said = []
    for name in ("other_transform", "in_vain"):
        monkeypatch.setattr(f"ddbverify.pipeline.health.{name}", refuse)

    assert runs.run(project, say=said.append).exit_code == 0
    assert said == []


@pytest.mark.parametrize("file", ["summary.md", "evidence.json"])
def test_a_disk_that_is_full_leaves_no_evidence_and_is_said(project, monkeypatch, file):
    kept = folders.write_atomically

    def until_it_is_full(path, content, **others):
        if path.name == file:
            raise OSError(errno.ENOSPC, "No space left on device")
        kept(path, content, **others)

    monkeypatch.setattr(folders, "write_atomically", until_it_is_full)

    with pytest.raises(ConfigurationError, match=r"cannot be written to .*: No space left.* no evidence"):
        runs.run(project)

    assert not gate.judge(load(project)).open


def test_two_runs_at_once_keep_apart(project):
    first = runs.run(project)
    second = runs.run(project)

    assert first.folder != second.folder
    assert first.evidence.run_id != second.evidence.run_id


def test_a_token_in_every_key_is_in_nothing_but_the_findings(project, capfd):
    differences = [
        {"state": state, "key": {"id": {"S": TOKEN}}, "paths": [f"m.{TOKEN}: S -> N"], "reason": "x"}
        for state in ("missing", "extraneous", "different", "uncomparable", "churning", "undecided")
    ]
    projects.write_spec(
        project.parent,
        counts={one["state"]: 1 for one in differences},
        differences=differences,
    )

    result = runs.run(project)

    written = capfd.readouterr()
    assert TOKEN not in written.out + written.err
    assert "findings" in written.out
    document = json.loads((result.folder / "evidence.json").read_text())
    key = signing.signing_key(load(project)).public
    payload = open_envelope((result.folder / "evidence.json").read_bytes(), RUN, (key,))
    assert TOKEN.encode() not in payload
    assert document["payloadType"].endswith("evidence+json")
    making.leave(result.folder, lambda: load(project), pytest.fail)
    assert (result.folder / "report.html").exists()
    holding = {
        path.name
        for path in project.parent.rglob("*")
        if path.is_file() and TOKEN in path.read_text(errors="replace")
    }
    assert holding == {"findings.jsonl", "repair.json"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_leaves_incomplete_evidence_and_no_child(project, number):
    pid_file = project.parent / "pid"
    with_check(
        project,
        f"import os, time; open({str(pid_file)!r}, 'w').write(str(os.getpid())); time.sleep(120)",
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", _CLI, str(project.parent), "run", "--config", str(project), "--json"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=project.parent,
        start_new_session=True,
    )
    try:
        while not (pid_file.exists() and pid_file.read_text()):
            assert parent.poll() is None
            time.sleep(0.05)
        parent.send_signal(number)
        printed, _ = parent.communicate(timeout=60)
    finally:
        if parent.poll() is None:
            os.killpg(parent.pid, signal.SIGKILL)
    assert parent.returncode == 3
    document = json.loads(printed)
    assert document["verdict"] == "inconclusive"
    assert "it was interrupted" in document["shortcomings"]
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


@pytest.mark.parametrize(
    ("differences", "found"),
    [
        (
            [("missing", "a", []), *(("different", key, ["price: N -> S"]) for key in "bc")],
            "`price` is S instead of N (2 findings); not in the target (1 finding)",
        ),
        ([], "no difference"),
    ],
)
def test_ctrl_c_shows_in_one_line_what_had_been_found(project, differences, found):
    projects.write_spec(
        project.parent,
        differences=[
            {"state": state, "key": {"id": {"S": key}}, "paths": paths} for state, key, paths in differences
        ],
        reads_until_interrupted=1200,
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", _CLI, str(project.parent), "run", "--config", str(project)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=project.parent,
        start_new_session=True,
    )
    try:
        while not (project.parent / "reading").exists():
            assert parent.poll() is None
            time.sleep(0.05)
        os.killpg(parent.pid, signal.SIGINT)  # as a terminal does
        printed, _ = parent.communicate(timeout=60)
    finally:
        if parent.poll() is None:
            os.killpg(parent.pid, signal.SIGKILL)

    assert parent.returncode == 3
    lines = printed.splitlines()
    assert f"Interrupted. Found so far, in 1,200 items read: {found}. Checks that had ended: none." in lines
    assert [line for line in lines if "not complete" in line] == ["  not complete: it was interrupted"]
    assert "not-run" not in printed
    assert not [line for line in lines if "  check_" in line]


# The command line with tables from the spec file, in a process of its own.
_CLI = """
import sys
from pathlib import Path
from tests.ddbverify import projects
from ddbverify import cli
from ddbverify.runs import run
projects.stand_in(Path(sys.argv[1]))
run._identity = lambda side: None
cli.main(sys.argv[2:])
"""


def test_evidence_says_by_cause_how_a_pair_differs(project):
    different = {"state": "different", "key": {"id": {"S": TOKEN}}, "paths": [f"n.{TOKEN}: value"]}
    projects.write_spec(project.parent, counts={"matched": 2, "different": 1}, differences=[different])

    result = runs.run(project)

    (fact,) = [fact for fact in result.evidence.facts if fact.name == "causes"]
    assert (fact.name, fact.about) == ("causes", load(project).tables[0].id)
    assert fact.value == ("`n` has another value (1 finding)",)
    assert TOKEN not in (result.folder / "evidence.json").read_text()


@pytest.mark.parametrize(
    "body",
    ["def check_it():\n    assert True\n", "def check_it(pair):\n    assert pair.source.arn\n"],
    ids=["no pair", "a pair whose items nobody reads"],
)
def test_a_run_that_has_read_no_table_has_not_passed(project, body):
    for file in (project.parent / "checks").glob("*.py"):
        file.unlink()
    (project.parent / "checks" / "check_own.py").write_text(body)

    result = runs.run(project)

    assert result.exit_code == 3
    assert any("no check has read the tables of" in one for one in result.evidence.shortcomings)
