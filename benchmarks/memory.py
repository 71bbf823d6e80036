"""
The most memory that ``ddbverify diff`` holds where every item differs: ``python -m benchmarks.memory``.

A first run with a wrong transform looks like that. What waits then is a suspect for each key, and nearly
all of them are on the disk: about a gigabyte for a million items, where `tempfile` puts its files.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import Any, Final

import click

from benchmarks.child import ROOT, environment
from benchmarks.measure import STATUS
from benchmarks.page_server import REGION, Generated, page_server

ITEMS: Final = 10_000_000
MOST_BYTES: Final = 512_000_000


@dataclass(frozen=True, slots=True)
class Held:
    """What one comparison took, and what it said."""

    peak_bytes: int  # of the largest process
    cpu_seconds: float
    findings: int
    summary: dict[str, Any]


def measure(items: int) -> Held:
    """Compare two tables of which every item differs in one attribute, without a settle time."""
    tables = {"source": Generated(items=items), "target": Generated(items=items, changed_every=1)}
    with page_server(tables) as server, tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "ddbverify", "diff", "source", "target"]
        for side in ("source", "target"):
            command += [f"--{side}-endpoint-url={server.endpoint_url}", f"--{side}-region={REGION}"]
        with subprocess.Popen(
            [*command, "--settle", "0s", "--format", "jsonl", "--quiet"],
            cwd=folder,
            env=environment() | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
        ) as child:
            findings, last = -1, b"{}"  # the last line is the summary
            for line in child.stdout or ():
                findings, last = findings + 1, line
            _, status, used = os.wait4(child.pid, 0)  # of the largest process: this one, or one that it began
            child.returncode = os.waitstatus_to_exitcode(status)
    return Held(
        peak_bytes=used.ru_maxrss * (1024 if STATUS.exists() else 1),
        cpu_seconds=used.ru_utime + used.ru_stime,
        findings=findings,
        summary=json.loads(last).get("summary", {}),
    )


def verdict(items: int, held: Held) -> tuple[str, bool]:
    """What is met or missed, in words."""
    found = held.summary.get("different")
    if (found, held.findings, held.summary.get("complete")) != (items, items, True):
        said = {name: held.summary.get(name) for name in ("verdict", "different", "reasons")}
        return f"NOT met: wrong, {held.findings:,} findings and {json.dumps(said)}", False
    shown = f"{held.peak_bytes / 1e6:.0f} MB, {held.cpu_seconds / (2 * items) * 1e6:.1f} µs per item read"
    met = held.peak_bytes <= MOST_BYTES
    return f"{'met' if met else 'NOT met'}: {shown}; at most {MOST_BYTES / 1e6:g} MB", met


@click.command()
@click.option("--items", type=click.IntRange(min=1000), default=ITEMS, show_default=True, help="Per table.")
def main(items: int) -> None:
    """Compare tables of which every item differs; ends with status 1 if they take too much memory."""
    said, met = verdict(items, measure(items))
    click.echo(f"memory, all of {items:,} items differ: {said}")
    sys.exit(not met)


if __name__ == "__main__":
    main()
