"""
``python -m benchmarks.under_fence``: the last verification, timed as a cutover waits for it.

This build's is started beforehand and timed from its word to its evidence; the other build's reads the whole
tables, and is timed from its start to its end, as it was started under the fence. Same tables, same changes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
import msgspec
from tabulate import tabulate

from benchmarks import links
from benchmarks.against import worktree
from benchmarks.budgets import Budget
from benchmarks.child import ROOT, environment, timed
from benchmarks.ending import end
from benchmarks.links import CEILING, CHANGED, SIZES
from benchmarks.page_server import Server, page_server

COMMIT: Final = "8a2aec7"
"""The build before changes were looked at by themselves."""

ROUNDS, QUICK_ROUNDS = 3, 1

LEAST_TIMES: Final = 10.0  # shorter than that of the other build, at the largest size under the ceiling
MOST_TIMES: Final = 1.3  # at the largest size, in that at the smallest

_LONGEST_SECONDS: Final = 300.0


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One size of tables under one ceiling."""

    items: int  # in each table
    ceiling: int | None  # read units a second of each table
    from_word: float  # seconds until the evidence was there; the least of several
    whole: float  # seconds of the same command, from its start to its end
    before: float | None = None  # seconds of the other build's; None: it was not run
    wrong: str = ""  # what was said that is not so

    @property
    def times_shorter(self) -> float:
        """Than the other build's."""
        return (self.before or 0.0) / self.from_word


@dataclass(frozen=True, slots=True)
class UnderFence:
    """All that was measured, and what it may take."""

    rows: Sequence[Row]

    @property
    def budgets(self) -> list[Budget]:
        """Each of them. What was not measured is not met, nor is a wrong answer."""
        return [_shorter(self.rows), _growth(self.rows)]

    def shown(self) -> str:
        """The table that a person reads."""
        lines = [
            {
                "items": f"{row.items:,}",
                "changed": f"{CHANGED:,}",
                "read units a second": f"{row.ceiling:,}" if row.ceiling else "-",
                f"s, {COMMIT}": "-" if row.before is None else f"{row.before:.2f}",
                "s from the word": f"{row.from_word:.2f}",
                "of s in all": f"{row.whole:.2f}",
                "times shorter": "-" if row.before is None else f"{row.times_shorter:.1f}",
                "result": "WRONG" if row.wrong else "exact",
            }
            for row in self.rows
        ]
        return tabulate(lines, headers="keys", disable_numparse=True)


def run(*, quick: bool, say: Callable[[str], None]) -> UnderFence:
    """
    Measure both builds.

    Args:
        quick: Each once.
        say: Told each step.
    """
    rows, rounds = [], QUICK_ROUNDS if quick else ROUNDS
    with tempfile.TemporaryDirectory() as temporary, page_server(links.tables()) as server:
        for items, ceiling in (*((items, None) for items in SIZES), (SIZES[-1], CEILING)):
            under = f", {ceiling:,} read units a second" if ceiling else ""
            say(f"last verification: {items:,} items{under} ...")
            folder = Path(temporary) / f"{items}-{ceiling}"
            links.write_project(folder, server, items, ceiling)
            rows.append(_row(folder, items, ceiling, rounds))
            say(f"    {rows[-1].from_word:.2f} s from the word")
        try:
            with worktree(COMMIT) as place:
                rows = [_beside(row, place, Path(temporary), server) for row in rows]
        except click.ClickException as error:
            say(error.message)
    return UnderFence(rows)


def _row(folder: Path, items: int, ceiling: int | None, rounds: int) -> Row:
    base = timed([sys.executable, "-m", "ddbverify", "run", "--json"], folder, ROOT, quiet=True)
    wrong = links.what_is_wrong(base, items, is_link=False)
    took: list[tuple[float, float]] = []
    for number in range(rounds if not wrong else 0):
        from_word, whole, wrong = _given_the_word(folder, json.loads(base.output)["folder"], number)
        took.append((from_word, whole))
        if wrong:
            break
    from_word, whole = min(took, default=(float("inf"), float("inf")))
    return Row(items=items, ceiling=ceiling, from_word=from_word, whole=whole, wrong=wrong)


def _given_the_word(folder: Path, since: str, number: int) -> tuple[float, float, str]:
    """Seconds from the word to the evidence, seconds of all of it, and what was wrong."""
    out = folder / f"out-{number}"
    waits = ("--since", since, "--out", str(out), "--at-word", f"{_LONGEST_SECONDS:g}s")
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        with subprocess.Popen(
            [sys.executable, "-m", "ddbverify", "run", "--json", *waits],
            cwd=folder,
            env=environment() | {"PYTHONPATH": str(ROOT)},
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=errors,
        ) as process:
            _await(process, out / "waiting")
            time.sleep(0.2)  # what loading has left to do is not timed
            given = time.perf_counter()
            if process.stdin is None:
                raise RuntimeError("a child process without a pipe")  # it was asked for
            process.stdin.write(b"now\n")
            _await(process, out / "evidence.json")
            from_word = time.perf_counter() - given
            status = process.wait(_LONGEST_SECONDS)
            whole = time.perf_counter() - began
        said.seek(0)
        errors.seek(0)
        done = links.Ended(status, said.read(), errors.read().decode(errors="replace"))
    return from_word, whole, links.what_is_wrong(done, CHANGED, is_link=True)


def _await(process: subprocess.Popen[bytes], file: Path) -> None:
    deadline = time.monotonic() + _LONGEST_SECONDS
    while not file.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)


def _beside(row: Row, place: Path, folder: Path, server: Server) -> Row:
    """The same with what the other build takes, which knows no `stream_lag`."""
    if row.items != SIZES[-1] or row.wrong:
        return row
    project = folder / f"other-{row.items}-{row.ceiling}"
    links.write_project(project, server, row.items, row.ceiling)
    settings = project / "migration.toml"
    settings.write_text(settings.read_text("utf-8").replace(links.STREAM_LAG, ""), encoding="utf-8")
    done = timed([sys.executable, "-m", "ddbverify", "run", "--json"], project, place, quiet=True)
    wrong = "" if done.status == 0 else f"{COMMIT}: status {done.status}: {done.errors[-300:]}"
    return msgspec.structs.replace(row, before=done.wall_seconds, wrong=wrong)


# --- budgets ----------------------------------------------------------------------------


def _shorter(rows: Sequence[Row]) -> Budget:
    name = f"last verification, {SIZES[-1]:,} items, {CHANGED:,} changed keys"
    limit = f"≥ {LEAST_TIMES:g} times shorter than {COMMIT}'s, at {CEILING:,} read units a second"
    row = next((one for one in rows if (one.items, one.ceiling) == (SIZES[-1], CEILING)), None)
    if row is None or row.before is None or row.wrong:
        found = f"wrong: {row.wrong}" if row is not None and row.wrong else "not measured"
        return Budget(name=name, limit=limit, met=False, found=found)
    found = f"{row.times_shorter:.1f} times ({row.from_word:.1f} s from the word against {row.before:.1f} s)"
    free = next((one for one in rows if (one.items, one.ceiling) == (SIZES[-1], None)), None)
    if free is not None and free.before is not None:
        found += (
            f"; without a ceiling {free.times_shorter:.1f} ({free.from_word:.1f} against {free.before:.1f} s)"
        )
    return Budget(name=name, limit=limit, met=row.times_shorter >= LEAST_TIMES, found=found)


def _growth(rows: Sequence[Row]) -> Budget:
    name = "last verification where the tables are larger"
    limit = f"≤ {MOST_TIMES:g} times at {SIZES[-1]:,} items what it is at {SIZES[0]:,}"
    free = {row.items: row for row in rows if row.ceiling is None}
    wrong = next((row.wrong for row in rows if row.wrong), "")
    if wrong or not set(SIZES) <= free.keys():
        return Budget(name=name, limit=limit, met=False, found=f"wrong: {wrong}" if wrong else "not measured")
    first, last = (free[items].from_word for items in (SIZES[0], SIZES[-1]))
    found = f"{last / first:.2f} times ({last:.2f} s from the word against {first:.2f} s)"
    return Budget(name=name, limit=limit, met=last / first <= MOST_TIMES, found=found)


@click.command()
@click.option("--quick", is_flag=True, help="Each once.")
def main(quick: bool) -> None:
    """Time the last verification of this build and another; ends with status 1 if a budget is missed."""
    found = run(quick=quick, say=lambda line: click.echo(line, err=True))
    end(found.shown(), found.budgets)


if __name__ == "__main__":
    main()
