"""
``python -m benchmarks.on_spark``: what a diff of two exports takes on Spark, beside that of one process.

Run by a Python that has pyspark (``make bench-spark``). The exports hold the same items in two orders. CPU is
that of all processes, the JVM's and every worker's among them; what is told of an item is the slope between
the two largest sizes, since a JVM and its compiler take seconds before the first.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import click
import msgspec
from tabulate import tabulate

from benchmarks.child import ROOT
from benchmarks.exporting import exported
from benchmarks.page_server import KEYS, Generated, page_server

ITEMS: Final = 100_000
SIZES: Final = 4  # each twice the one before
WORKERS: Final = (1, 2)

MOST_CPU: Final = 1.0  # times the CPU of one process
MOST_SHUFFLED: Final = 64.0  # bytes per item that matches, of either side
MOST_OF_A_WORKER, MOST_OF_THE_JVM = 400_000_000, 1_000_000_000

_ADOPT_ORPHANS: Final = 36  # PR_SET_CHILD_SUBREAPER, see prctl(2)
_SECONDS_BETWEEN_LOOKS: Final = 0.5


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One diff."""

    workers: int  # 0: one process, no Spark
    items: int  # on each side
    matched: int
    cpu_seconds: float
    wall_seconds: float
    worker_bytes: int = 0  # the largest process of Python that ran tasks
    jvm_bytes: int = 0
    shuffled: int = 0  # bytes


def slope(runs: Sequence[Run], workers: int) -> float | None:
    """CPU per item read between the two largest sizes, in µs."""
    of_these = sorted((one for one in runs if one.workers == workers), key=lambda one: one.items)
    if len(of_these) < len(("smaller", "larger")):
        return None
    smaller, larger = of_these[-2:]
    return (larger.cpu_seconds - smaller.cpu_seconds) / (2 * (larger.items - smaller.items)) * 1e6


def judged(runs: Sequence[Run]) -> list[tuple[str, str, str, bool]]:
    """Each budget: its name, its limit, what was found, and whether it is met."""
    here, largest = slope(runs, 0), max(runs, key=lambda one: (one.workers > 0, one.items))
    found = []
    for workers in sorted({one.workers for one in runs if one.workers}):
        there = slope(runs, workers)
        times = None if not here or there is None else there / here
        said = "not measured" if times is None else f"{times:.2f} times ({there:.1f} against {here:.1f} µs)"
        name = f"CPU per item, local[{workers}]"
        found.append(
            (name, f"≤ {MOST_CPU:g} times one process", said, times is not None and 0 < times <= MOST_CPU)
        )
    per_item = largest.shuffled / max(1, 2 * largest.matched)
    found += [
        (
            "bytes shuffled per item that matches",
            f"≤ {MOST_SHUFFLED:g}",
            f"{per_item:.1f}",
            0 < per_item <= MOST_SHUFFLED,
        ),
        _memory("worker", [one.worker_bytes for one in runs if one.workers], MOST_OF_A_WORKER),
        _memory("JVM", [one.jvm_bytes for one in runs if one.workers], MOST_OF_THE_JVM),
    ]
    if any(one.matched != one.items for one in runs):
        found.append(("everything matches", "all", "something does not", False))
    return found


def _memory(what: str, found: Sequence[int], limit: int) -> tuple[str, str, str, bool]:
    most = max(found, default=0)
    return f"memory of a {what}", f"≤ {limit / 1e6:,.0f} MB", f"{most / 1e6:,.0f} MB", 0 < most <= limit


def shown(runs: Sequence[Run]) -> str:
    """A table for people."""
    rows = [
        (
            f"local[{one.workers}]" if one.workers else "one process",
            f"{one.items:,}",
            f"{one.cpu_seconds:.1f}",
            f"{one.wall_seconds:.1f}",
            f"{one.shuffled / max(1, 2 * one.matched):.1f}" if one.workers else "",
            f"{one.worker_bytes / 1e6:,.0f}" if one.workers else "",
            f"{one.jvm_bytes / 1e6:,.0f}" if one.workers else "",
        )
        for one in runs
    ]
    head = ("where", "items", "CPU s", "wall s", "bytes shuffled per item", "worker MB", "JVM MB")
    return tabulate(rows, head, disable_numparse=True)


def measured(addresses: Sequence[str], items: int, workers: int, folder: Path) -> Run:
    """Run one diff."""
    command = [sys.executable, "-m", "ddbverify", "diff", *addresses, "--format", "jsonl", "--quiet"]
    command += ["--key", ",".join(f"{name}:{kind}" for name, kind in KEYS.items())]
    events = folder / f"events-{items}-{workers}"
    events.mkdir()
    environment = dict(os.environ, PYTHONPATH=str(ROOT), SPARK_LOCAL_IP="127.0.0.1")
    if workers:
        command += ["--engine", "spark"]
        environment["PYSPARK_SUBMIT_ARGS"] = (
            f"--master local[{workers}] --driver-memory 600m --conf spark.ui.enabled=false "
            "--conf spark.driver.bindAddress=127.0.0.1 --conf spark.driver.host=127.0.0.1 "
            f"--conf spark.local.dir={folder} --conf spark.eventLog.enabled=true "
            f"--conf spark.eventLog.compress=false --conf spark.eventLog.dir=file://{events} pyspark-shell"
        )
    ctypes.CDLL(None).prctl(_ADOPT_ORPHANS, 1, 0, 0, 0)  # a JVM whose Python has ended is ours to wait for
    before, began = _cpu(), time.monotonic()
    largest = {"worker": 0, "jvm": 0}
    with (folder / "output").open("w+b") as output:
        child = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, start_new_session=True)
        while child.poll() is None:
            _look(child.pid, largest)
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        took = time.monotonic() - began
        _wait_for_all()
        output.seek(0)
        summary = json.loads(output.read().splitlines()[-1])["summary"]
    return Run(
        workers=workers,
        items=items,
        matched=summary["matched"] or 0,
        cpu_seconds=_cpu() - before,
        wall_seconds=took,
        worker_bytes=largest["worker"],
        jvm_bytes=largest["jvm"],
        shuffled=sum(_shuffled(events)),
    )


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _wait_for_all() -> None:
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


def _look(session: int, largest: dict[str, int]) -> None:
    """Note the largest process of each kind in a session."""
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            if os.getsid(int(status.parent.name)) != session:
                continue
            command = (status.parent / "cmdline").read_bytes()
            fields = dict(line.partition(":")[::2] for line in status.read_text().splitlines())
        except (OSError, ProcessLookupError):
            continue  # it has ended meanwhile
        kind = "jvm" if b"org.apache.spark" in command else "worker" if b"pyspark.daemon" in command else ""
        if kind and "VmHWM" in fields:
            largest[kind] = max(largest[kind], int(fields["VmHWM"].split()[0]) * 1024)


def _shuffled(events: Path) -> Iterator[int]:
    """Bytes that each task has written for a shuffle, by the event log."""
    for path in events.rglob("*"):
        for line in path.read_text().splitlines() if path.is_file() else ():
            event = json.loads(line) if '"SparkListenerTaskEnd"' in line else {}
            yield (
                (event.get("Task Metrics") or {})
                .get("Shuffle Write Metrics", {})
                .get("Shuffle Bytes Written", 0)
            )


@click.command()
@click.option("--items", default=ITEMS, show_default=True, help="On each side, at the largest size.")
@click.option("--sizes", default=SIZES, show_default=True, help="That are measured, each half of the next.")
@click.option("--workers", multiple=True, type=int, default=WORKERS, show_default=True)
def main(items: int, sizes: int, workers: tuple[int, ...]) -> None:
    """Compare exports on Spark and in one process; ends with status 1 if a budget is missed."""
    runs = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for size in (items >> halves for halves in reversed(range(sizes))):
            made = {"source": Generated(items=size), "other": Generated(items=size, layout="scan-order")}
            with page_server(made) as server:
                addresses = [
                    exported(server, table, folder / f"{table}-{size}", "DYNAMODB_JSON") for table in made
                ]
            for number in (0, *workers):
                runs.append(measured(addresses, size, number, folder))
                click.echo(f"\n{runs[-1]}", err=True)
    click.echo(shown(runs))
    budgets = judged(runs)
    for name, limit, found, is_met in budgets:
        click.echo(f"{'met   ' if is_met else 'MISSED'}  {name}: {found} ({limit})")
    sys.exit(not all(is_met for *_, is_met in budgets))


if __name__ == "__main__":
    main()
