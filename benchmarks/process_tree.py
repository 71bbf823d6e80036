"""CPU time and memory of a Spark on this machine: its driver, its JVM and its workers of Python, by /proc."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

DRIVER, JVM, WORKER = KINDS = ("driver", "jvm", "worker")

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_FORGET_PEAK: Final = "5"  # see proc(5), clear_refs


class Process(NamedTuple):
    """One process as /proc has it."""

    kind: str
    cpu_seconds: float  # its own, and that of children that have ended and were waited for
    peak_bytes: int  # since it began, or since `forget_peaks`


def processes(session: int, root: Path = Path("/proc")) -> Iterator[Process]:
    """Every process of one session of processes, whose leader is the driver."""
    for place in _places(session, root):
        try:
            command = (place / "cmdline").read_bytes()
            # Behind the command's name, which may hold anything: proc(5) counts from 1, this begins at 3.
            fields = (place / "stat").read_text().rpartition(")")[2].split()
            status = dict(line.partition(":")[::2] for line in (place / "status").read_text().splitlines())
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile; whoever waited for it has its time
        is_jvm = b"org.apache.spark" in command
        kind = DRIVER if int(place.name) == session else JVM if is_jvm else WORKER
        ticks = sum(map(int, fields[11:15]))  # utime, stime, cutime, cstime
        yield Process(kind, ticks / _TICKS, int(status.get("VmHWM", "0").split()[0]) * 1024)


def cpu_seconds(session: int) -> dict[str, float]:
    """By kind, since each has begun."""
    found = dict.fromkeys(KINDS, 0.0)
    for one in processes(session):
        found[one.kind] += one.cpu_seconds
    return found


def peak_bytes(session: int) -> dict[str, int]:
    """By kind, the largest process of each."""
    found = dict.fromkeys(KINDS, 0)
    for one in processes(session):
        found[one.kind] = max(found[one.kind], one.peak_bytes)
    return found


def forget_peaks(session: int) -> None:
    """From now on `peak_bytes` tells what was held since now."""
    for place in _places(session, Path("/proc")):
        try:
            (place / "clear_refs").write_text(_FORGET_PEAK)
        except (FileNotFoundError, ProcessLookupError):
            continue  # likewise


def _places(session: int, root: Path) -> Iterator[Path]:
    for place in root.glob("[0-9]*"):
        try:
            if os.getsid(int(place.name)) == session:
                yield place
        except ProcessLookupError:
            continue  # likewise
