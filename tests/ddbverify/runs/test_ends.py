"""How a run ends that comes to nothing: by name, never like a verdict, and without a process left."""

from __future__ import annotations

import pytest

from ddbverify.config import load
from ddbverify.gate import gate
from ddbverify.runs import run as runs
from tests.ddbverify import projects


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project whose child finds the repository, with one check that passes."""
    monkeypatch.setenv("PYTHONPATH", str(projects.REPOSITORY))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    monkeypatch.setattr(runs, "_identity", lambda side: None)
    projects.stand_in(tmp_path, monkeypatch)
    made = projects.make_project(tmp_path, default_suite=False)
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
