"""The last verification is loaded before the fence, waits for its word, and ends with the cutover."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from ddbverify.config import load
from ddbverify.errors import EngineError, Refused
from replicator.commands import last_verification, marking
from tests.ddbverify import projects
from tests.replicator.commands.test_cutover import quiet_step
from tests.replicator.fakes import Rooted

VERIFIES = """\
import sys, time
from pathlib import Path

folder = Path(sys.argv[sys.argv.index("--out") + 1])
{first}
folder.mkdir(parents=True)
(folder / "waiting").touch()
word = sys.stdin.readline()
(folder / "waiting").unlink()
if word == "now\\n":
    {then}
    (folder / "evidence.json").write_text("{{}}")
    sys.stdin.read()
(folder / "ended").touch()
"""


@pytest.fixture
def context(tmp_path):
    told = []
    file = projects.make_project(tmp_path)
    return Rooted(
        config=load(file),
        config_path=file,
        flips_with="cutback",
        told=told,
        server_time=lambda: 7.0,
        console=SimpleNamespace(step=quiet_step, warn=told.append),
        source=SimpleNamespace(scan=lambda **_: {"Items": []}),
        target=SimpleNamespace(scan=lambda **_: {"Items": []}),
    )


@pytest.fixture
def folder(context):
    return context.config.folder / ".ddbverify" / "cutover-7"


def verifies(monkeypatch, first="", then="pass"):
    """Let a program of ours stand for `ddbverify run`; returns the options that it is started with."""
    program, options = VERIFIES.format(first=first, then=then), []

    def command(_, *given, follows):
        options.extend(given)
        return [sys.executable, "-c", program, *given]

    monkeypatch.setattr(last_verification, "_command", command)
    monkeypatch.setattr(last_verification, "_ENDING_SECONDS", 5.0)
    return options


def test_it_waits_until_it_is_given_the_word(monkeypatch, context, folder):
    options = verifies(monkeypatch)
    judged = SimpleNamespace(open=True, reasons=(), evidence=None)
    monkeypatch.setattr(last_verification.gate, "judge", lambda *_, **how: asked.append(how) or judged)
    asked, done = [], []

    with last_verification.waiting(context, follows=False) as waiting:
        assert (folder / "waiting").exists()
        found = last_verification.verify(
            context,
            waiting,
            fenced_at=5.0,
            limit_seconds=60.0,
            meanwhile=lambda: done.append((folder / "evidence.json").exists()),
        )
        assert found is judged
        waiting.process.stdin.close()

    assert len(done) == 1
    assert asked == [{"not_before": 5.0, "allow_churning": False}]
    assert options == ["--out", str(folder), "--at-word", "1500s"]
    assert waiting.process.poll() == 0, "it is let come to its end"


@pytest.mark.parametrize("why", ["", "others read the stream"])
def test_whether_markers_are_written_is_known_before_it_is_started(monkeypatch, context, why):
    monkeypatch.setattr(marking, "why_not", lambda _: why)
    options = verifies(monkeypatch)

    with last_verification.waiting(context, follows=True) as waiting:
        waiting.process.stdin.close()

    assert ("--markers" in options) is waiting.marked is (not why)
    assert [why in line for line in context.told] == ([True] if why else [])


def test_one_that_cannot_be_loaded_is_told_with_its_reason(monkeypatch, context):
    said = """print('{"error": {"message": "no module named shop"}}'); sys.exit(2)"""
    verifies(monkeypatch, first=said)

    with (
        pytest.raises(Refused, match=r"nothing was touched: no module named shop[^$]*`replicator cutback`"),
        last_verification.waiting(context, follows=False),
    ):
        pytest.fail("it is not there")


def test_one_that_dies_without_a_word_is_told_too(monkeypatch, context):
    verifies(monkeypatch, first="sys.exit(7)")

    with (
        pytest.raises(Refused, match="`ddbverify run` does"),
        last_verification.waiting(context, follows=False),
    ):
        pytest.fail("it is not there")


def test_one_that_does_not_come_to_wait_is_ended(monkeypatch, context):
    verifies(monkeypatch, first="time.sleep(600)")
    monkeypatch.setattr(last_verification, "LONGEST_LOADING_SECONDS", 0.2)

    with (
        pytest.raises(Refused, match=r"took 0 s to load[^$]*`replicator cutback`"),
        last_verification.waiting(context, follows=False),
    ):
        pytest.fail("it is not there")


def test_a_cutover_that_fails_before_the_word_ends_it(monkeypatch, context, folder):
    verifies(monkeypatch)

    with (
        pytest.raises(EngineError, match="writes still reach the source"),
        last_verification.waiting(context, follows=False) as waiting,
    ):
        raise EngineError("writes still reach the source", "x")

    assert waiting.process.poll() is not None
    assert not (folder / "evidence.json").exists()


def test_one_that_takes_too_long_is_told_before_it_is_ended(monkeypatch, context):
    """The fence is lifted first: its end may take as long as its own child does."""
    verifies(monkeypatch, then="time.sleep(600)")

    with last_verification.waiting(context, follows=False) as waiting:
        with pytest.raises(EngineError, match=r"did not end within[^$]*`replicator cutback`"):
            last_verification.verify(context, waiting, fenced_at=5.0, limit_seconds=0.2)
        assert waiting.process.poll() is None
        monkeypatch.setattr(last_verification, "_ENDING_SECONDS", 0.2)

    assert waiting.process.poll() is not None


def test_one_that_has_died_does_not_open_the_gate(monkeypatch, context):
    verifies(monkeypatch)
    closed = SimpleNamespace(open=False, reasons=("it has left no evidence",))
    monkeypatch.setattr(last_verification.gate, "judge", lambda *_, **__: closed)

    with last_verification.waiting(context, follows=False) as waiting:
        waiting.process.kill()
        waiting.process.wait()
        with pytest.raises(EngineError, match=r"it has left no evidence[^$]*`replicator cutback`"):
            last_verification.verify(context, waiting, fenced_at=5.0, limit_seconds=60.0)
