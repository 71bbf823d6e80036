"""How a run ends that comes to nothing: by name, never like a verdict, and without a process left."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from ddbverify.config import load
from ddbverify.evidence.record import CheckState
from ddbverify.gate import gate
from ddbverify.items.states import Difference, State
from ddbverify.runs import run as runs
from ddbverify.session.checking import Checking
from tests.ddbverify import projects


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project whose child finds the repository, with one check that passes."""
    made = projects.runnable(tmp_path, monkeypatch, default_suite=False)
    with_check(made, "assert pair.comparison.examined")
    return made


def with_check(project, body, name="check_own"):
    (project.parent / "checks" / f"{name}.py").write_text(f"def {name}(pair):\n    {body}\n")


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (["--version"], "left with exit status 0"),
        (["--help"], "left with exit status 0"),
        (["--markers"], "left with exit status 0"),
        ([], "was ended by SIGKILL"),
        ([], "left with exit status 0"),
    ],
    ids=["version", "help", "markers", "killed early", "left early"],
)
def test_where_nothing_was_run_evidence_and_gate_say_so_and_nothing_else(project, request, extra, said):
    early = {
        "killed early": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "left early": "import os; os._exit(0)",
    }.get(request.node.callspec.id)
    if early is not None:
        (project.parent / "checks" / "conftest.py").write_text(early)

    result = runs.run(project, extra=extra)

    assert (result.exit_code, result.evidence.verdict) == (3, "inconclusive")
    (shortcoming,) = result.evidence.shortcomings
    assert shortcoming.startswith("nothing was run: pytest ")
    assert said in shortcoming
    decision = gate.judge(load(project))
    assert {reason.code for reason in decision.reasons} == {"incomplete", "missing", "coverage"}


# --- processes --------------------------------------------------------------------------------------

# The command line with tables from spec.json, in a process of its own.
CLI = """
import sys
from pathlib import Path
from tests.ddbverify import projects
from ddbverify import cli
from ddbverify.runs import run
projects.stand_in(Path(sys.argv[1]))
run._identity = lambda side: None
cli.main(sys.argv[2:])
"""


def started(project, *, limit=None):
    """``ddbverify run --json`` as a process, its output a pipe; *limit*: bytes that a file may have."""
    return subprocess.Popen(
        [sys.executable, "-c", CLI, str(project.parent), "run", "--config", str(project), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=project.parent,
        start_new_session=True,
        preexec_fn=None if limit is None else lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit,) * 2),
    )


def wait_for(file, process):
    while not (file.exists() and file.read_text()):
        assert process.poll() is None
        time.sleep(0.05)
    return int(file.read_text())


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # Nobody waits here for a process whose parent has ended.
    return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("where", ["in a check", "while it is collected"])
def test_the_child_ends_when_its_parent_is_killed(project, where):
    pid = project.parent / "pid"
    wait = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    if where == "in a check":
        with_check(project, wait)
    else:
        (project.parent / "checks" / "check_own.py").write_text(wait)
    parent = started(project)
    child = wait_for(pid, parent)

    parent.kill()
    parent.communicate()

    deadline = time.monotonic() + 60
    while is_alive(child):
        assert time.monotonic() < deadline, "it goes on without its parent"
        time.sleep(0.05)


FORKS = {
    "os.fork": "if os.fork() == 0:\n        {wait}",
    "multiprocessing": "multiprocessing.get_context('fork').Process(target=hold, daemon=True).start()",
    "subprocess": "subprocess.Popen([sys.executable, '-c', 'import os, time; {wait}'.replace('|', chr(39))])",
}


@pytest.mark.parametrize("how", FORKS)
def test_a_process_that_a_check_leaves_behind_does_not_hold_the_output(project, how):
    pid = project.parent / "pid"
    quote = "|" if how == "subprocess" else "'"
    wait = f"open({quote}{pid}{quote}, {quote}w{quote}).write(str(os.getpid())); time.sleep(600)"
    (project.parent / "checks" / "check_own.py").write_text(
        "import multiprocessing, os, subprocess, sys, time, warnings\n"
        f"def hold():\n    {wait if how != 'subprocess' else 'pass'}\n"
        "def check_own(pair):\n"
        "    assert pair.comparison.examined\n"
        "    warnings.simplefilter('ignore')\n"
        f"    {FORKS[how].format(wait=wait)}\n"
    )
    run = started(project)
    left_behind = wait_for(pid, run)
    try:
        # Were the output held, this would wait for as long as the process lives.
        printed, _ = run.communicate(timeout=120)
        assert is_alive(left_behind) or how == "multiprocessing"
    finally:
        with suppress(ProcessLookupError):
            os.kill(left_behind, signal.SIGKILL)

    document = json.loads(printed)
    assert (document["complete"], [check["state"] for check in document["checks"]]) == (True, ["passed"])


def test_a_fork_that_comes_back_from_its_check_ends_and_the_session_goes_on_once(project):
    with_check(
        project, "import os, warnings; warnings.simplefilter('ignore'); os.fork(); assert pair.comparison"
    )
    with_check(project, "assert pair.comparison", name="check_then")

    result = runs.run(project)

    assert result.evidence.complete, result.evidence.shortcomings
    assert {check.state for check in result.evidence.checks} == {CheckState.PASSED}


@pytest.mark.parametrize("limit", [3_000, 1])
def test_a_folder_that_takes_no_more_is_named_and_there_is_no_verdict(project, limit):
    for number in range(20):
        with_check(project, "assert pair.comparison.examined", name=f"check_number_{number}")

    run = started(project, limit=limit)
    printed, said = run.communicate(timeout=120)

    assert run.returncode in (2, 3, 6)
    assert "File too large" in said, said
    assert '"verdict": "passed"' not in printed


def test_a_session_of_its_own_whose_findings_cannot_be_written_goes_on(project, monkeypatch):
    checking = Checking(project)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("ddbverify.evidence.findings.FindingsFile.write", full)
    for number in range(2):
        checking._found("orders", Difference(state=State.MISSING, key={"id": {"S": str(number)}}), "ab")

    assert "No space left on device" in checking.unwritten
    assert checking.causes["orders"].findings == 2


@pytest.mark.parametrize(
    "body",
    ["while True:\n        time.sleep(1)", "threading.Event().wait()", "re.match('(a*)*b', 'a' * 60)"],
    ids=["sleeps", "waits", "holds the interpreter"],
)
def test_a_transform_that_does_not_come_back_ends_the_run_by_name(project, monkeypatch, body):
    (project.parent / "shop.py").write_text(f"import re, threading, time\ndef hangs(item):\n    {body}\n")
    project.write_text(projects.TOML + 'transform = "shop:hangs"\n[verification]\ntime_limit = "1s"\n')
    (project.parent / "checks" / "conftest.py").write_text(
        projects.CONFTEST
        + "from ddbverify.compare import runner\n"
        + "from ddbverify.session import watchdog\n"
        + "watchdog.SLACK_SECONDS = 1.0\n"
        + "def compare(config, pair, request, listeners):\n"
        + "    request.transform({'id': {'S': 'x'}})\n"
        + "runner.compare = compare\n"
    )

    result = runs.run(project)

    assert (result.exit_code, result.evidence.verdict) == (3, "inconclusive")
    (said, *_) = result.evidence.shortcomings
    if "re.match" in body:
        assert "exit status 1" in said
        assert "it hung at shop.py:3 in hangs" in said
    else:
        assert "the transform shop:hangs, on an item of" in said
        assert "did not come back within 1 s" in said
