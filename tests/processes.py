"""Which processes are there, and what they listen on: read from /proc, so Linux only."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

LISTENING = "0A"
DEADLINE_SECONDS = 20.0

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def processes_of(folder: Path) -> dict[int, str]:
    """Return pid and command line of each process whose temporary folder is *folder*, children included."""
    wanted = f"TMPDIR={folder}".encode()
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (process / "environ").read_bytes().split(b"\0"):
                found[int(process.name)] = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue  # ended meanwhile, or not ours
    return found


def listening_addresses(pids: set[int]) -> set[str]:
    """Return the hexadecimal ``address:port`` of each TCP socket on which one of *pids* listens."""
    sockets = set()
    for pid in pids:
        for handle in Path(f"/proc/{pid}/fd").iterdir():
            try:
                sockets.add(str(handle.readlink()))
            except OSError:
                continue
    addresses = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING and f"socket:[{fields[9]}]" in sockets:
                addresses.add(fields[1])
    return addresses


def wait_until(holds: Callable[[], bool], what: str) -> None:
    """Wait for *holds*; fails with *what* after ``DEADLINE_SECONDS``."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"still not so after {DEADLINE_SECONDS:g} s: {what}")
        time.sleep(0.05)
