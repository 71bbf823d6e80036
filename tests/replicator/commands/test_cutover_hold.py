"""What a cutover waits for under its fence: the operator's command, and the operator."""

from __future__ import annotations

import io
import json
import os
import sys
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from ddbverify.config import parse
from ddbverify.errors import ConfigurationError, Refused
from replicator.commands import cutover, cutover_hold
from replicator.context import clock
from tests.replicator.commands.test_cutover import FENCE, FILE, Attempt, begun, left_behind
from tests.replicator.fakes import Rooted

SOURCE, TARGET = (f"arn:aws:dynamodb:eu-west-1:123456789012:table/{name}" for name in ("orders", "orders-v2"))
BEFORE = ["fence", "quiet", "drain"]
BEHIND = ["consumer False", "verify", "fasten", "flip", "watching"]


def asking(tmp_path, monkeypatch, body):
    """A cutover whose `before_flip` is this Python."""
    (tmp_path / "agree.py").write_text(
        f"import json, sys, time, pathlib\ntold = json.load(sys.stdin)\n{body}\n"
    )
    made = begun(tmp_path, monkeypatch, f'{FILE}before_flip = "{sys.executable} agree.py"\n')
    made.context.source_table = lambda pair: SimpleNamespace(arn=SOURCE)
    made.context.resources = lambda pair: {"target_arn": TARGET, "consumer_mapping": "uuid"}
    return made


# --- before_flip ----------------------------------------------------------------------------------


def test_the_command_is_told_what_is_to_be_flipped_before_the_consumer_is_off(tmp_path, monkeypatch):
    made = asking(tmp_path, monkeypatch, 'pathlib.Path("told.json").write_text(json.dumps(told))')
    made._behind(FENCE)

    told = json.loads((tmp_path / "told.json").read_text())
    pair = made.context.config.tables[0]
    assert told.pop("seconds_left") in range(890, 901)
    assert told == {
        "migration": "migration",
        "fenced_since": "1970-01-01T00:00:00+00:00",
        "pairs": [{"id": pair.id, "source": SOURCE, "target": TARGET}],
        "pointer": {"/shop/orders-table": "arn:of:the:target"},
    }
    assert made.log == BEFORE + BEHIND
    assert list(made.steps)[2:6] == ["drain", "before-flip", "consumer", "verification"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('print("two orders are open", file=sys.stderr); sys.exit(3)', "ended with 3, saying: two orders"),
        ("time.sleep(60)", "did not end within 1 s"),
    ],
)
def test_one_that_does_not_agree_rolls_back(tmp_path, monkeypatch, body, said):
    monkeypatch.setattr("replicator.aws.operators_command.TIMEOUT_SECONDS", 1.0)
    made = asking(tmp_path, monkeypatch, body)

    with pytest.raises(Refused, match=f"before_flip.* {said}"):
        made._behind(FENCE)
    assert made.log[:3] == BEFORE
    assert "verify" not in made.log
    assert made.log.index("lifted") < made.log.index("consumer True")
    assert left_behind(made.context.config).outcome == "rolled-back"


def test_what_it_says_steers_no_terminal_and_fills_no_evidence(tmp_path, monkeypatch):
    made = asking(tmp_path, monkeypatch, 'sys.exit("\\x1b[2J" + 10_000 * "x")')

    with pytest.raises(Refused) as caught:
        made._behind(FENCE)
    assert r"saying: \x1b[2Jxxx" in caught.value.message
    assert len(left_behind(made.context.config).reason) < 600


def test_one_that_says_what_is_no_text_agrees_all_the_same(tmp_path, monkeypatch):
    asking(tmp_path, monkeypatch, r'sys.stdout.buffer.write(b"\xff\n")')._behind(FENCE)


def test_one_that_cannot_be_run_rolls_back(tmp_path, monkeypatch):
    made = asking(tmp_path, monkeypatch, "")
    made.context.config = parse(f'{FILE}before_flip = "no-such-command-anywhere"\n', tmp_path)

    with pytest.raises(Refused, match="before_flip could not be run"):
        made._behind(FENCE)
    assert "lifted" in made.log


def test_it_gets_no_longer_than_the_fence_may_stand(tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr("replicator.aws.operators_command.run", lambda *_, **more: given.append(more))
    made = asking(tmp_path, monkeypatch, "")
    cutover_hold.ask_command(made.context, {"seconds_left": 7})
    cutover_hold.ask_command(made.context, {"seconds_left": 700})

    assert [one["timeout_seconds"] for one in given] == [7, 120.0]


def test_a_setting_that_names_no_command_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="before_flip names no command"):
        parse(f'{FILE}before_flip = " "\n', tmp_path)


# --- --hold ---------------------------------------------------------------------------------------


@pytest.fixture
def held(tmp_path, monkeypatch):
    monkeypatch.setattr(cutover_hold, "_LOOK_SECONDS", 0.01)
    made = begun(tmp_path, monkeypatch)
    made.answers, answer = os.pipe()
    yield made, lambda text: os.write(answer, text)
    for one in (made.answers, answer):
        if one is not None:
            os.close(one)


@pytest.mark.parametrize("answer", [b"\n", b"yes\n", b" Flip \n"])
def test_a_held_cutover_goes_on_when_it_is_let_go(held, answer):
    made, type_ = held
    type_(answer)
    made._behind(FENCE)

    log = [line for line in made.log if "held:" not in line]
    assert log == BEFORE + BEHIND
    assert made.log.index("drain") < next(at for at, line in enumerate(made.log) if "held:" in line)
    assert list(made.steps)[2:5] == ["drain", "hold", "consumer"]


def test_what_was_typed_before_it_was_held_lets_nothing_go(tmp_path, monkeypatch):
    """An Enter while the fence spread was taken for the answer: nobody was asked, and it was flipped."""
    terminal, answers = os.openpty()
    made = begun(tmp_path, monkeypatch)
    made.answers, told = answers, made.context.console.line

    def say(line):
        told(line)
        if "held:" in line:
            os.write(terminal, b"no\n")

    made.context.console.line = say
    os.write(terminal, b"\n")
    try:
        with pytest.raises(Refused, match="held, and the answer was not to go on"):
            made._behind(FENCE)
    finally:
        os.close(terminal)
        os.close(answers)
    assert "verify" not in made.log


@pytest.mark.parametrize("answer", [b"no\n", b"rollback\n", b"yes, but\n", b"\xff\n"])
def test_any_other_answer_rolls_back(held, answer):
    made, type_ = held
    type_(answer)

    with pytest.raises(Refused, match="held, and the answer was not to go on"):
        made._behind(FENCE)
    assert "verify" not in made.log
    assert made.log.index("lifted") < made.log.index("consumer True")


def test_without_anybody_to_answer_it_rolls_back(tmp_path, monkeypatch):
    made = begun(tmp_path, monkeypatch)
    made.answers, answer = os.pipe()
    os.close(answer)

    with pytest.raises(Refused, match="standard input has ended"):
        made._behind(FENCE)
    os.close(made.answers)
    assert "lifted" in made.log


def test_nobody_answers_until_the_fence_has_stood_for_too_long(held, monkeypatch):
    made, _ = held
    now = [clock.seconds()]

    def later():
        now[0] += 20.0
        return now[0]

    monkeypatch.setattr("replicator.context.clock.seconds", later)
    with pytest.raises(Refused, match="fence_limit: nobody has let it go on"):
        made._behind(FENCE)
    assert "lifted" in made.log


def test_one_whose_lease_ends_while_it_is_held_takes_nothing_back(held):
    made, _ = held
    check, asked = made.lock.check, []

    def lost():
        asked.append(1)
        if len(asked) > 8:
            made.lock.lost, made.lock.free = True, False
        check()

    made.lock.check = lost
    with pytest.raises(Refused, match="another operator has taken over"):
        made._behind(FENCE)
    assert "lifted" not in made.log


def test_ctrl_c_while_it_is_held_rolls_back(held, monkeypatch):
    made, _ = held

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cutover_hold.select, "select", interrupted)
    with pytest.raises(Refused, match="interrupted, and rolled back"):
        made._behind(FENCE)
    assert "lifted" in made.log


def test_an_answer_in_parts_is_read_to_its_end(held, monkeypatch):
    made, type_ = held
    read, parts = os.read, [b"n", b"o\n"]
    type_(b"x")
    monkeypatch.setattr(os, "read", lambda *_: parts.pop(0))

    with pytest.raises(Refused, match="not to go on"):
        made._behind(FENCE)
    monkeypatch.setattr(os, "read", read)


@contextmanager
def opened(path, mode="r"):
    with Path(path).open(mode) as given:
        yield given


@contextmanager
def closed_pipe():
    reads, writes = os.pipe()
    os.close(writes)
    with os.fdopen(reads) as given:
        yield given


@contextmanager
def read_to_its_end(path):
    path.write_text("yes\n")
    with path.open() as given:
        os.lseek(given.fileno(), 0, os.SEEK_END)
        yield given


NOBODY = {
    "none": (lambda _: nullcontext(None), "there is none"),
    "closed": (lambda _: nullcontext(io.StringIO()), "there is none"),
    "/dev/null": (lambda _: opened(os.devnull), "that is at its end"),
    "a pipe whose writer has gone": (lambda _: closed_pipe(), "that is at its end"),
    "a file that was read": (lambda path: read_to_its_end(path / "answers"), "that is at its end"),
    "not to be read": (lambda path: opened(path / "out", "w"), "it cannot be read"),
}


@pytest.mark.parametrize("given", NOBODY)
def test_where_nobody_can_answer_nothing_is_begun(tmp_path, monkeypatch, given):
    touched = []
    here = Rooted(
        config=parse(FILE, tmp_path),
        console=SimpleNamespace(warn=touched.append),
        need_begun=lambda: None,
        need_no_restart=lambda: None,
        locked=lambda _: touched.append("lease"),
        whole={},
    )
    monkeypatch.setattr(cutover.cutover_preflight, "check", lambda _: None)
    made, why = NOBODY[given]
    with made(tmp_path) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        with pytest.raises(Refused, match=f"and {why}"):
            cutover.cutover(here, hold=True)
    assert touched == []


def test_whoever_may_still_answer_is_waited_for(tmp_path, monkeypatch):
    reads, writes = os.pipe()
    with os.fdopen(reads) as pipe:
        monkeypatch.setattr(sys, "stdin", pipe)
        assert cutover_hold.need_input() == reads
        os.write(writes, b"yes\n")
        os.close(writes)
        assert cutover_hold.need_input() == reads, "the answer is in it already"
    (tmp_path / "answers").write_text("yes\n")
    with (tmp_path / "answers").open() as given:
        monkeypatch.setattr(sys, "stdin", given)
        assert cutover_hold.need_input() == given.fileno()
    terminal, answers = os.openpty()
    with os.fdopen(answers) as given:
        monkeypatch.setattr(sys, "stdin", given)
        assert cutover_hold.need_input() == answers
    os.close(terminal)


def test_the_steps_of_one_that_is_not_held_are_those_of_before(tmp_path, monkeypatch):
    made = begun(tmp_path, monkeypatch)
    made._behind(FENCE)

    assert {"hold", "before-flip"}.isdisjoint(made.steps)
    assert Attempt.log == BEFORE + BEHIND
