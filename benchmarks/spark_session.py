"""
One Spark session in a process of its own, asked for one comparison after another.

A JVM takes seconds of CPU before its first task, and more or less of them each time. So a session is begun
once, made warm by a comparison that nobody measures, and of each further one it is told what its processes
(driver, JVM, workers of Python) have taken since it was asked for. ``python -m benchmarks.spark_session``
reads an `Asked` a line from standard input and writes a `Took`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from benchmarks import labs_diff, process_tree
from benchmarks.child import ROOT, environment
from benchmarks.page_server import KEYS

DRIVER_MEMORY: Final = "600m"

DDBVERIFY, LABS, LABS_PAGES = "ddbverify", "labs", "labs-pages"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison."""

    what: str  # who compares
    sides: tuple[str, str]  # addresses of exports, or names of tables
    options: tuple[str, ...] = ()  # of `ddbverify diff`
    endpoint: str = ""  # of the tables
    segments: int = 0  # of the tables


class Took(msgspec.Struct, frozen=True, kw_only=True):
    """What it took, and what it found."""

    cpu: dict[str, float]  # seconds, by the kind of process
    wall_seconds: float
    peak: dict[str, int]  # bytes, of the largest process of each kind, while it ran
    shuffled: int  # bytes
    matched: int
    others: int  # keys in any other state
    refused: str = ""  # why it was not done

    @property
    def cpu_seconds(self) -> float:
        """Of all processes."""
        return sum(self.cpu.values())


class Session:
    """A session under way."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        """Ask *child*, which has just been started."""
        self._child = child

    def ask(self, asked: Asked) -> Took:
        """
        Have one comparison made.

        Raises:
            RuntimeError: The session has ended; its standard error says why.
        """
        if self._child.stdin is None or self._child.stdout is None:
            raise RuntimeError("a child process without pipes")  # they were asked for
        self._child.stdin.write(msgspec.json.encode(asked) + b"\n")
        self._child.stdin.flush()
        line = self._child.stdout.readline()
        if not line:
            raise RuntimeError("The Spark session has ended; its standard error says why.")
        return msgspec.json.decode(line, type=Took)


@contextmanager
def spark_session(workers: int, folder: Path) -> Iterator[Session]:
    """
    A session of ``local[workers]``, for the length of a ``with`` block.

    Args:
        folder: For its event log and what it shuffles; also where transforms are looked for.
    """
    events = folder / f"events-{workers}"
    events.mkdir()
    settings = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.eventLog.enabled": "true",
        "spark.eventLog.compress": "false",
        "spark.eventLog.rolling.enabled": "false",
        "spark.eventLog.dir": f"file://{events}",
        "spark.local.dir": str(folder),
        "spark.log.level": "ERROR",
    }
    told = " ".join(f"--conf {name}={value}" for name, value in settings.items())
    master = f"--master local[{workers}] --driver-memory {DRIVER_MEMORY}"
    of_spark = {
        "PYTHONPATH": str(ROOT),
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_SUBMIT_ARGS": f"{master} {told} pyspark-shell",
    }
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.spark_session", str(events)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=folder,
        env=environment() | of_spark,
        start_new_session=True,
    ) as child:
        yield Session(child)
        # Leaving the block closes its standard input, at whose end it ends.


def serve(events: Path) -> None:
    """What the child does until the end of its standard input."""
    from pyspark.sql import SparkSession

    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever else writes there is not in the way of the answers
    session = SparkSession.builder.appName("benchmark").getOrCreate()
    for line in sys.stdin.buffer:
        asked = msgspec.json.decode(line, type=Asked)
        out.write(msgspec.json.encode(_took(session, asked, events)) + b"\n")
        out.flush()
    session.stop()


def _took(session: Any, asked: Asked, events: Path) -> Took:
    leader = os.getpid()
    process_tree.forget_peaks(leader)
    since, began = time.time(), time.monotonic()
    before = process_tree.cpu_seconds(leader)
    matched, others, refused = _compared(session, asked)
    after = process_tree.cpu_seconds(leader)
    took = time.monotonic() - began
    return Took(
        cpu={kind: after[kind] - before[kind] for kind in after},
        wall_seconds=took,
        peak=process_tree.peak_bytes(leader),
        shuffled=shuffled(events, since),
        matched=matched,
        others=others,
        refused=refused,
    )


def _compared(session: Any, asked: Asked) -> tuple[int, int, str]:
    if asked.what == DDBVERIFY:
        return _diff([*asked.sides, *asked.options])
    pairs: list[tuple[labs_diff.Segment, labs_diff.Segment]]
    if asked.what == LABS:
        files = [labs_diff.files_of(side) for side in asked.sides]
        pairs = [
            (partial(labs_diff.in_file, one), partial(labs_diff.in_file, other))
            for one, other in zip(*files, strict=True)
        ]
    else:
        of = partial(labs_diff.scanned, asked.endpoint)
        source, target = asked.sides
        pairs = [
            (partial(of, source, number, asked.segments), partial(of, target, number, asked.segments))
            for number in range(asked.segments)
        ]
    found = labs_diff.on_spark(session, pairs, list(KEYS))
    return found.equal, found.missing + found.extraneous + found.different, ""


def _diff(arguments: Sequence[str]) -> tuple[int, int, str]:
    """``ddbverify diff`` in this process, in whose session it then runs."""
    from click.testing import CliRunner

    from ddbverify.cli import main

    command = ["diff", *arguments, "--engine", "spark", "--format", "jsonl", "--quiet"]
    done = CliRunner().invoke(main, command)
    last = json.loads(done.stdout.splitlines()[-1]) if done.stdout else {}
    summary = last.get("summary")
    if summary is None:
        return (
            0,
            0,
            (last.get("error") or {}).get("message") or f"exit status {done.exit_code}: {done.stderr}",
        )
    others = sum(summary[name] for name in ("missing", "extraneous", "different", "undecided"))
    return summary["matched"] or 0, others, ""


def shuffled(events: Path, since: float) -> int:
    """Bytes that tasks begun since a moment have written for a shuffle, by the event log."""
    total = 0
    for path in events.iterdir():
        for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
            if '"SparkListenerTaskEnd"' not in line:
                continue
            event = json.loads(line)
            if event["Task Info"]["Launch Time"] >= since * 1000:
                metrics = event.get("Task Metrics") or {}
                total += metrics.get("Shuffle Write Metrics", {}).get("Shuffle Bytes Written", 0)
    return total


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
