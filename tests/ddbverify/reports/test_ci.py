"""What a pipeline shows: never too much of it, and never anything but text."""

from __future__ import annotations

import html
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from ddbverify.cli import main
from ddbverify.config import load, parse
from ddbverify.evidence.record import CheckRecord, CheckState, Fact
from ddbverify.gate.gate import Decision
from ddbverify.gate.reasons import Reason
from ddbverify.reports import ci, summary
from ddbverify.runs import run
from ddbverify.suite.definitions import check_functions
from ddbverify.suite.marks import Severity
from tests.ddbverify import projects
from tests.ddbverify.judged import good_evidence

replace = msgspec.structs.replace

NASTY = (
    "x\n::error::pwned%0A\r| <img src=x onerror=y> [a](javascript:b) `c` \x1b[31m\x00 @all #1 " + "y" * 10_000
)


def check(number=0, *, name=NASTY, state=CheckState.FAILED, **changes):
    return CheckRecord(
        id=str(number), name=name, pair="orders-1", state=state, examined=7, findings=3, **changes
    )


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return good_evidence(load(projects.make_project(tmp_path_factory.mktemp("ci"))))


def test_a_run_that_passed_has_no_annotation(good):
    assert ci.annotations_of_run(good) == []


def test_each_check_that_has_not_passed_is_annotated_with_counts_alone(good):
    found = replace(
        good,
        checks=(
            check(1, name="check_a.py::check_b", severity=Severity.WARN),
            check(2, name="check_a.py::check_a"),
            check(3, state=CheckState.PASSED),
        ),
        shortcomings=("it was interrupted",),
    )

    assert ci.annotations_of_run(found) == [
        "::error title=check_a.py%3A%3Acheck_a orders-1::failed, 3 findings in 7 examined",
        "::warning title=check_a.py%3A%3Acheck_b orders-1::failed, 3 findings in 7 examined",
        "::error title=not complete::it was interrupted",
    ]


@given(st.lists(st.text(), max_size=30))
def test_annotations_are_ten_at_most_and_a_line_each(texts):
    decision = Decision(Path("f"), tuple(Reason("missing", 3, text) for text in [*texts, NASTY]), None)

    lines = ci.annotations_of_gate(decision)

    assert len(lines) == min(10, len(texts) + 1)
    if len(texts) + 1 > 10:
        assert f"{len(texts) + 1 - 9} more" in lines[-1]
    for line in lines:
        assert re.fullmatch(r"::error title=[^:,\r\n]*::[^\r\n]*", line)
        assert line.isprintable()
        assert not re.search(r"%(?!25|3A|2C)", line)
        assert len(line) < 1000


def cells(markdown):
    """The rows of the table, as GitHub would cut them: at bars that no backslash stands before."""
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    return [re.split(r"(?<!\\)\|", row)[1:-1] for row in rows]


def test_names_with_markup_and_control_characters_are_shown_as_text(good):
    found = replace(good, checks=(check(), check(1, name="ok.py::check_ok", state=CheckState.PASSED)))

    markdown = summary.markdown(replace(found, shortcomings=(NASTY,)))

    assert {len(row) for row in cells(markdown)} == {5}
    assert "<img" not in markdown
    assert "<img" in html.unescape(markdown)
    assert "[a](" not in markdown
    assert all(line.isprintable() for line in markdown.splitlines())
    assert max(map(len, markdown.splitlines())) < 2000
    assert markdown.index("error") < markdown.index("check\\_ok")  # what has not passed comes first
    terminal = summary.check_table(found.checks)
    assert all(line.isprintable() for line in terminal.splitlines())
    assert len(terminal) < 2000


def test_what_is_accepted_stands_in_the_summary_and_in_the_evidence(good):
    tag = "tags.te\x1bam: not in the target"
    found = replace(good, checks=(check(state=CheckState.PASSED, accepted=(tag,)),))

    assert json.loads(msgspec.json.encode(found))["checks"][0]["accepted"] == [tag]
    (line,) = [line for line in summary.markdown(found).splitlines() if "accepted:" in line]
    assert "tags.te am: not in the target" in line
    (terminal,) = summary.accepted_lines(found.checks)
    assert terminal.isprintable()


def test_a_check_that_is_not_applicable_is_not_among_those_that_have_not_passed(good):
    aside = check(name="check_items.py::check_a", state=CheckState.NOT_APPLICABLE, why="all is read")
    failed = check(1, name="check_items.py::check_b", why="a price differs")

    def lists(*checks):
        page = summary.markdown(replace(good, checks=checks)).replace("\\", "")
        return [line for line in page.splitlines() if line.endswith((":", "all is read", "a price differs"))]

    not_applicable = ["Not applicable:", "* check_items.py::check_a (orders-1): all is read"]
    assert lists(aside) == not_applicable
    assert lists(aside, failed) == [
        "Has not passed:",
        "* check_items.py::check_b (orders-1): a price differs",
        *not_applicable,
    ]


def test_a_summary_of_20000_checks_fits_on_a_page(good):
    checks = tuple(check(number, name=f"check_{'ü' * 80}.py::check_{number}") for number in range(20_000))

    page = summary.cut(summary.markdown(replace(good, checks=checks)))

    assert 800_000 < len(page) <= summary.MOST_BYTES
    assert page.decode().endswith("It is in the run's evidence.)\n")


@given(st.text(max_size=400), st.integers(0, 500))
def test_a_cut_text_is_never_too_long_and_is_utf8(text, most):
    page = summary.cut(text, most)

    assert len(page) <= most
    assert page.decode("utf-8") == text.encode("utf-8", "replace").decode() or b"Cut here" in page or not page


def test_the_summary_of_a_step_is_shared_by_all_of_its_commands(tmp_path):
    file = tmp_path / "summary"
    environment = {"GITHUB_STEP_SUMMARY": str(file)}

    assert ci.append_summary("one\n", environment) is None
    assert ci.append_summary("two\n", environment) is None
    assert file.read_text() == "one\ntwo\n"
    for _ in range(3):
        assert ci.append_summary("line\n" * 100_000, environment) is None
    assert file.stat().st_size <= summary.MOST_BYTES
    assert ci.append_summary("one\n", {}) is None
    assert "could not be written" in (ci.append_summary("x", {"GITHUB_STEP_SUMMARY": str(tmp_path)}) or "")


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(projects.REPOSITORY))
    monkeypatch.setattr(run, "_identity", lambda side: None)
    projects.stand_in(tmp_path, monkeypatch)
    return projects.make_project(tmp_path, counts={"matched": 2, "missing": 1})


@pytest.mark.parametrize("as_json", [(), ("--json",)])
def test_a_job_on_github_gets_annotations_and_a_summary(project, monkeypatch, tmp_path, as_json):
    file = tmp_path / "step-summary"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(file))

    ran = CliRunner().invoke(main, ["run", "--config", str(project), *as_json])
    judged = CliRunner().invoke(main, ["gate", "--config", str(project), *as_json])

    assert (ran.exit_code, judged.exit_code) == (1, 1)
    for done, said in (
        (ran, "::error title=check_counts"),
        (judged, "::error title=gate closed%3A failed::"),
    ):
        assert said in (done.stderr if as_json else done.stdout)
        assert "::error" not in (done.stdout if as_json else done.stderr)
    assert "# Verification failed" in file.read_text()
    assert "## Gate closed" in file.read_text()
    # And the report for the test view: every check with its counts, and no value anywhere.
    suite = ET.parse(project.parent / ".ddbverify/latest/junit.xml").getroot()
    cases = list(suite.iter("testcase"))
    assert len(cases) == len(check_functions(project.parent / "checks"))
    for case in cases:
        names = {one.get("name") for one in case.iter("property")}
        assert {"ddb_state", "ddb_examined", "ddb_findings"} <= names


def test_elsewhere_nothing_of_it_is_shown(project, monkeypatch):
    for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)

    assert "::error" not in CliRunner().invoke(main, ["gate", "--config", str(project)]).output


def test_names_of_any_kind_survive_a_run_and_open_the_gate(project, capfd):
    folder = project.parent
    for file in (folder / "checks").glob("check_*.py"):
        if file.name != "check_keys.py":
            file.unlink()
    name = "check_" + "x" * 800
    (folder / "checks" / "check_<img src=x>|`%0A_error'\".py").write_text(
        f"def {name}(pair):\n    assert pair.comparison\n"
    )
    projects.write_spec(folder)

    done = CliRunner().invoke(main, ["run", "--config", str(project)])
    judged = CliRunner().invoke(main, ["gate", "--config", str(project)])

    assert (done.exit_code, judged.exit_code, judged.output.count("\n")) == (0, 0, 1)
    run_folder = folder / ".ddbverify" / "latest"
    assert len(list(ET.parse(run_folder / "junit.xml").getroot().iter("testcase"))) == 3
    page = (run_folder / "summary.md").read_text()
    assert "<img" not in page
    assert len(page) < 10_000
    assert not [line for line in page.splitlines() if line.startswith("::")]
    projects.write_spec(folder, problems=["a\n::error::pwned \x1b[2J"])
    closed = CliRunner().invoke(main, ["gate", "--config", str(project)])
    assert closed.exit_code == 3
    assert all(line.isprintable() for line in closed.output.splitlines())
    assert not [line for line in closed.output.splitlines() if line.startswith("::")]
    printed = capfd.readouterr().out
    assert not [line for line in printed.splitlines() if line.startswith("::error")], "pytest's own output"


@pytest.mark.parametrize(
    ("facts", "said"),
    [((), "coverage full"), ((Fact(name="since", about="", value="0" * 64),), "changes only")],
)
def test_the_summary_of_a_link_does_not_say_that_all_was_read(tmp_path, facts, said):
    found = replace(good_evidence(parse(projects.TOML, tmp_path)), facts=facts)
    assert f"Run `{found.run_id}`, {said}" in summary.markdown(found)
