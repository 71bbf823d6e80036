"""What `ddbverify run` and `diff --out` leave by themselves, and that nothing else becomes of it."""

from __future__ import annotations

import json
import socket

import pytest
from click.testing import CliRunner

from ddbverify.cli import main
from ddbverify.compare.comparison import Comparison
from ddbverify.evidence import events
from ddbverify.page import making, proof, rendering
from ddbverify.runs import run as runs
from tests.ddbverify import projects

SECRET = "customer-4711"
MISSING = {"state": "missing", "key": {"id": {"S": SECRET}}}


@pytest.fixture
def project(tmp_path, monkeypatch):
    made = projects.runnable(tmp_path, monkeypatch)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.chdir(tmp_path)
    return made


def invoke(*arguments):
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def differing(project):
    projects.write_spec(project.parent, counts={"matched": 2, "missing": 1}, differences=[MISSING])


def test_a_run_leaves_a_page_without_keys_that_is_unaltered(project):
    differing(project)

    done = invoke("run", "--json")

    folder = project.parent / ".ddbverify" / "latest"
    page = (folder / "report.html").read_text()
    assert done.exit_code == 1
    assert json.loads(done.stdout)["verdict"] == "failed"
    assert "1 key missing" in page
    assert SECRET not in page
    assert SECRET in (folder / "findings.jsonl").read_text()
    assert invoke("report", "--verify", str(folder / "report.html")).exit_code == 0


def test_a_run_leaves_how_its_pass_went(project):
    projects.write_spec(project.parent, reports=[["scan", 1, 0], ["scan", 2, 1], ["settle", 3, 1]])

    assert invoke("run").exit_code == 0

    folder = project.parent / ".ddbverify" / "latest"
    found = events.read(folder / "events.jsonl")
    assert found is not None
    assert [(one.phase, one.source_items) for one in found.events] == [
        ("scan", 1),
        ("settle", 3),
        ("ended", 3),
    ]
    assert len({one.pair for one in found.events}) == 1
    assert isinstance(found.lines[0], events.Begun)
    assert (found.lines[0].of, found.lines[0].name) == ("run", folder.resolve().name)
    states = {one.check: one.state for one in found.lines if isinstance(one, events.Checked)}
    assert "passed" in states.values()
    assert "not-run" not in states.values()
    assert isinstance(found.lines[-1], events.Judged)
    assert (found.lines[-1].verdict, found.lines[-1].complete) == ("passed", True)
    assert "6 items of both tables read" in (folder / "report.html").read_text()


@pytest.mark.parametrize("differs", [False, True])
@pytest.mark.parametrize("error", [RuntimeError(SECRET), OSError(28, "No space left"), KeyboardInterrupt()])
def test_a_page_that_cannot_be_made_is_said_in_a_line_and_changes_nothing_else(
    project, monkeypatch, differs, error
):
    if differs:
        differing(project)

    def fail(*_):
        raise error

    monkeypatch.setattr(rendering, "page", fail)
    done = invoke("run")

    folder = project.parent / ".ddbverify" / "latest"
    assert done.exit_code == int(differs)
    (line,) = [line for line in done.stderr.splitlines() if "report.html" in line]
    assert line.startswith("ddbverify: no report.html: ")
    assert SECRET not in done.output
    assert not list(folder.glob("*.html"))
    assert (folder / "evidence.json").exists()


def test_without_the_extra_nothing_is_said(project, monkeypatch):
    monkeypatch.setattr(making, "is_possible", lambda: False)

    done = invoke("run")

    assert done.exit_code == 0
    assert "report" not in done.stderr
    assert not (project.parent / ".ddbverify" / "latest" / "report.html").exists()


def test_where_the_signature_is_not_trusted_there_is_no_page(project, tmp_path):
    other = "ed25519:" + "A" * 43 + "="
    project.write_text(f'{projects.TOML}[gate]\ntrusted_keys = ["{other}"]\n')

    done = invoke("run")

    assert done.exit_code == 0
    assert "no report.html: the evidence is not believed here: it is signed by a key that is not trusted" in (
        done.stderr
    )


@pytest.fixture
def engine(tmp_path, monkeypatch):
    projects.stand_in(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")

    def compare(config, pair, request, listeners) -> Comparison:
        made = projects.comparison(pair.id, counts={"matched": 2, "missing": 1}, differences=[MISSING])
        for one in made.differences:
            listeners.found(one)
        return made

    projects.write_spec(tmp_path)
    monkeypatch.setattr("ddbverify.compare.runner.compare", compare)


def test_a_diff_leaves_one_in_its_folder(engine, tmp_path):
    done = invoke("diff", "orders", "orders-v2", "--settle", "0s", "--out", "out")

    page = (tmp_path / "out" / "report.html").read_text()
    assert done.exit_code == 1
    assert "The tables differ: 1 key missing." in page
    assert SECRET not in page
    content, made_of = proof.read(tmp_path / "out" / "report.html")
    assert proof.verify(content, made_of, tmp_path / "out", None).outcome == "undecided"
    assert invoke("diff", "orders", "orders-v2", "--settle", "0s", "--out", "out").exit_code == 2


def test_a_diff_without_a_folder_leaves_none(engine, tmp_path):
    before = set(tmp_path.iterdir())

    assert invoke("diff", "orders", "orders-v2", "--settle", "0s").exit_code == 1
    assert set(tmp_path.iterdir()) == before


def test_a_page_that_a_diff_cannot_make_changes_nothing_else(engine, tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError(SECRET)

    monkeypatch.setattr(rendering, "page", fail)
    done = invoke("diff", "orders", "orders-v2", "--settle", "0s", "--out", "out", "--format", "jsonl")

    assert done.exit_code == 1
    assert json.loads(done.stdout.splitlines()[-1])["summary"]["verdict"] == "different"
    assert "no report.html: RuntimeError, which nobody has expected" in done.stderr


def test_a_run_by_name_leaves_none(project):
    """The page is the command's: whoever calls the function decides what else is made."""
    assert not (runs.run(project).folder / "report.html").exists()


def test_the_log_of_a_run_holds_no_key(project):
    differing(project)

    assert invoke("run").exit_code == 1

    text = (project.parent / ".ddbverify" / "latest" / "events.jsonl").read_text()
    assert '"verdict":"failed"' in text
    assert SECRET not in text
    found = json.loads((project.parent / ".ddbverify" / "latest" / "findings.jsonl").read_text())
    assert found["key_hash"] not in text


def test_a_run_that_is_watched_says_how_it_goes_in_lines_where_nobody_looks_at_a_terminal(project):
    projects.write_spec(project.parent, reports=[["scan", 1, 0], ["settle", 3, 1]])

    done = invoke("run", "--watch", "--json")

    assert done.exit_code == 0
    assert json.loads(done.stdout)["verdict"] == "passed"
    assert "It has ended: passed." in done.stderr
    assert "3 items of the source, 3 of the target" in done.stderr


def test_a_run_with_a_page_says_its_address_and_one_whose_port_is_taken_does_not_begin(project):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = invoke("run", "--web", "--port", str(port))
    assert refused.exit_code == 2
    assert f"Port {port} of 127.0.0.1 cannot be had: Address already in use." in refused.stderr
    assert not (project.parent / ".ddbverify" / "runs").exists()

    done = invoke("run", "--web", "--port", str(port))
    assert done.exit_code == 0
    assert f"the live page, for you alone: http://127.0.0.1:{port}/" in done.stderr
    assert invoke("run", "--port", "80").exit_code == 2
