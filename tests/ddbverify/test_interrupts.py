"""A terminal that goes away ends a command as Ctrl-C does, and keeps nothing from being taken back."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
import time

import pytest

from tests.ddbverify.projects import REPOSITORY

# What a command does that is at work with a live line, and that has something to take back and to tell.
WORK = """
import sys, time
from pathlib import Path
from ddbverify.interrupts import end_as_ctrl_c_does
from replicator.context.console import Console

end_as_ctrl_c_does()
console, taken_back, ready = Console(), Path(sys.argv[1]), Path(sys.argv[2])
try:
    with console.step("at work") as step:
        ready.touch()
        time.sleep(60)
except KeyboardInterrupt:
    console.warn("AWS does not take it yet")
    time.sleep(1)  # a second signal comes meanwhile
    print("taking it back", flush=True)
    print("taking it back", file=sys.stderr, flush=True)
    taken_back.write_text("taken back")
"""


def begin(folder, *, terminal=None, ignoring=False):
    def prepare():
        if terminal is not None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        if ignoring:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    shown = subprocess.DEVNULL if terminal is None else terminal
    running = subprocess.Popen(
        [sys.executable, "-c", WORK, str(folder / "taken back"), str(folder / "ready")],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "TERM": "xterm"},
        stdin=shown,
        stdout=shown,
        stderr=shown,
        start_new_session=True,
        preexec_fn=prepare,
    )
    deadline = time.monotonic() + 60
    while not (folder / "ready").exists():
        assert time.monotonic() < deadline
        assert running.poll() is None
        time.sleep(0.02)
    return running


@pytest.mark.parametrize("again", [False, True], ids=["once", "and again by the shell"])
def test_a_terminal_that_goes_away_keeps_nothing_from_being_taken_back(tmp_path, again):
    """Nothing listened: the cutover died with its fence up. Each line is an error by then, too."""
    ours, theirs = pty.openpty()
    running = begin(tmp_path, terminal=theirs)
    os.close(theirs)
    time.sleep(0.3)  # the live line is drawn
    os.close(ours)
    if again:
        time.sleep(0.5)
        running.send_signal(signal.SIGHUP)
    running.wait(60)

    assert (tmp_path / "taken back").read_text() == "taken back"


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_signal_to_a_command_without_a_terminal_does(tmp_path, number):
    running = begin(tmp_path)
    running.send_signal(number)
    running.wait(60)

    assert (tmp_path / "taken back").exists()


def test_one_that_was_started_with_nohup_goes_on(tmp_path):
    running = begin(tmp_path, ignoring=True)
    running.send_signal(signal.SIGHUP)
    time.sleep(1)

    assert running.poll() is None
    assert not (tmp_path / "taken back").exists()
    running.send_signal(signal.SIGTERM)
    running.wait(60)
    assert (tmp_path / "taken back").exists()
