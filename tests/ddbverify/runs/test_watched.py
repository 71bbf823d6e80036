"""A run that somebody watches: its log from first line to verdict, and the checks' output in lines."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from click.testing import CliRunner

from ddbverify.cli import main
from ddbverify.evidence import events
from ddbverify.live import terminal
from ddbverify.runs import run as runs
from tests.ddbverify import projects


@pytest.fixture
def project(tmp_path, monkeypatch):
    made = projects.runnable(tmp_path, monkeypatch, default_suite=False)
    (made.parent / "checks" / "check_own.py").write_text(
        "def check_own(pair):\n    assert pair.comparison.examined\n"
    )
    return made


class Watched:
    """What somebody who watches is told."""

    def __init__(self):
        self.lines, self.log, self.first = [], None, None

    def __call__(self, log):
        self.log, self.first = log, events.read(log)
        return self.lines.append

    @property
    def last(self):
        return events.read(self.log)


def test_it_is_shown_from_its_first_line_to_its_verdict_and_takes_what_the_checks_say(project, capfd):
    watched = Watched()
    result = runs.run(project, watched=watched)

    assert result.exit_code == 0
    assert [type(line).__name__ for line in watched.first.lines] == ["Begun"]
    assert isinstance(watched.last.lines[-1], events.Judged)
    assert any("1 passed" in line for line in watched.lines)
    assert not any("\n" in line for line in watched.lines)
    assert capfd.readouterr().out == ""


def test_interrupted_it_ends_as_any_other_run_does(project):
    watched = Watched()
    projects.write_spec(project.parent, reads_until_interrupted=7)

    def interrupt():
        while not (project.parent / "reading").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    result = runs.run(project, watched=watched)
    thread.join()

    assert result.exit_code == 3
    assert "it was interrupted" in result.evidence.shortcomings
    assert watched.last.lines[-1].verdict == "inconclusive"
    assert watched.last.damage == ""


def test_on_a_terminal_the_checks_output_stands_above_what_is_drawn(project, monkeypatch):
    monkeypatch.setattr(terminal, "is_looked_at", lambda *_: True)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.chdir(project.parent)

    done = CliRunner().invoke(main, ["run", "--watch"], catch_exceptions=False)

    assert done.exit_code == 0
    output, _, drawn = done.stdout.partition("✓ passed")
    assert "1 passed" in output
    assert "It has ended: passed." in drawn
    assert "reading: " not in done.stderr
