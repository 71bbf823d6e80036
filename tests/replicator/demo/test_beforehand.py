"""Whether the process of a demonstration is still there: a number that another process has got is not it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from replicator.demo import beforehand
from replicator.demo.beforehand import birth, is_alive

HERE = {"host": socket.gethostname(), "process": os.getpid()}


def test_a_process_is_known_by_its_number_where_nothing_more_is_noted():
    assert is_alive(HERE) is True
    assert is_alive({**HERE, "host": "elsewhere"}) is None
    assert is_alive({"host": HERE["host"]}) is False


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")
def test_another_process_with_the_same_number_is_not_it():
    born = birth(os.getpid())
    assert born is not None
    assert born == birth(os.getpid())
    assert is_alive({**HERE, "birth": born}) is True
    boot, began = born.split()
    assert is_alive({**HERE, "birth": f"{boot} {int(began) - 1}"}) is False
    assert is_alive({**HERE, "birth": f"another-boot {began}"}) is False


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")
def test_two_processes_have_two_births(tmp_path):
    named = tmp_path / "a ) b"  # what stands in brackets in /proc/PID/stat
    named.symlink_to(sys.executable)
    other = subprocess.Popen([named, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert birth(other.pid) not in (None, birth(os.getpid()))
    finally:
        other.communicate(b"\n")
    assert birth(other.pid) is None


def test_where_the_system_does_not_say_the_number_decides(monkeypatch):
    monkeypatch.setattr(beforehand, "birth", lambda _: None)
    assert is_alive({**HERE, "birth": "a boot 17"}) is True
