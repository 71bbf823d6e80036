"""
``python -m benchmarks.against COMMIT``: this build beside that of another commit, on the same tables.

Both are driven through the command line only (``ddbverify diff``), in turn, against one page server, so
that neither the layout of the other build nor a change of the machine's speed matters. The other build
is a worktree of its commit, and runs with the libraries that are installed here.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import click
from tabulate import tabulate

from benchmarks.child import ROOT, timed
from benchmarks.page_server import REGION, Generated, Server, Table, page_server

ITEMS: Final = 50_000
ROUNDS: Final = 3

TRANSFORMS: Final = """\
def identity(item):
    return item


def rename(item):
    item["amount"] = item.pop("total")
    return item
"""


@dataclass(frozen=True, slots=True)
class Case:
    """
    One comparison that both builds are asked for.

    Args:
        name: As the table shows it.
        target: Name of the target table; the source is always the plain one.
        options: Of ``ddbverify diff``.
        differs: One item in so many is changed in the target; 0 for none.
        least: How many times less CPU per item than the other build; below 1 for "no worse than".
        most_passes: What all reads may cost, in units of one pass over both tables.
    """

    name: str
    target: str = "equal"
    options: tuple[str, ...] = ()
    differs: int = 0
    least: float = 0.9
    most_passes: float | None = None


CASES: Final = (
    Case("equal"),
    Case("attribute order", "attribute-order"),
    Case("other borders", "other-borders"),
    Case("scan order", "scan-order"),
    Case("identity transform", options=("--transform", "shapes:identity"), least=5),
    Case("rename transform", "renamed", ("--transform", "shapes:rename"), least=5),
    Case("re-keyed", options=("--transform", "shapes:identity", "--rekeys"), least=3),
    Case("all differ, settle 0s", "changed-1", ("--settle", "0s"), 1, least=12, most_passes=3),
    Case("10 % differ, settle 0s", "changed-10", ("--settle", "0s"), 10, least=4, most_passes=3),
    Case("1 % differ, settle 0s", "changed-100", ("--settle", "0s"), 100, most_passes=1.3),
    Case("all differ", "changed-1", (), 1, least=25, most_passes=3),
    Case("10 % differ", "changed-10", (), 10, least=8, most_passes=3),
    Case("1 % differ", "changed-100", (), 100, most_passes=1.3),
)


@dataclass(slots=True)
class Build:
    """One build of ddbverify, and what it took for each case."""

    name: str
    root: Path
    startup: float = 0.0  # seconds of CPU for two empty tables
    cpu: dict[str, list[float]] = field(default_factory=dict)  # seconds, start-up taken off
    wall: dict[str, list[float]] = field(default_factory=dict)
    units: dict[str, float] = field(default_factory=dict)  # read units, as the server billed them
    wrong: dict[str, str] = field(default_factory=dict)  # what it said that is not so


def tables(items: int) -> dict[str, Table]:
    """Every table that a case names."""
    made: dict[str, Table] = {
        "source": Generated(items=items),
        "equal": Generated(items=items),
        "attribute-order": Generated(items=items, layout="attribute-order"),
        "other-borders": Generated(items=items, page_items=2_000),
        "scan-order": Generated(items=items, layout="scan-order"),
        "renamed": Generated(items=items, renamed={"total": "amount"}),
        "empty": Generated(items=0),
        "void": Generated(items=0),
    }
    for every in {case.differs for case in CASES if case.differs}:
        made[f"changed-{every}"] = Generated(
            items=items, planted=dict.fromkeys(range(0, items, every), "changed")
        )
    return made


@contextmanager
def worktree(commit: str) -> Iterator[Path]:
    """
    A checkout of *commit* beside this one, gone at the end.

    Raises:
        click.ClickException: The commit is not in this clone.
    """
    known = subprocess.run(
        ["git", "cat-file", "-e", f"{commit}^{{commit}}"], cwd=ROOT, check=False, capture_output=True
    )
    if known.returncode:
        raise click.ClickException(
            f"The commit {commit} is not in this clone, so there is nothing to compare with.\n"
            "  Try: git fetch --unshallow, or name another commit."
        )
    with tempfile.TemporaryDirectory(prefix="ddbverify-against-") as folder:
        place = Path(folder) / "build"
        subprocess.run(
            ["git", "worktree", "add", "--quiet", "--detach", str(place), commit], cwd=ROOT, check=True
        )
        try:
            yield place
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(place)], cwd=ROOT, check=True)


def measure(build: Build, case: Case, server: Server, items: int, folder: Path) -> None:
    """Ask *build* for one comparison, and note what it took and whether it said what is so."""
    before = _units(server)
    cpu, wall, summary = diff(build, "source", case.target, case.options, server, folder)
    build.cpu.setdefault(case.name, []).append(max(0.0, cpu - build.startup))
    build.wall.setdefault(case.name, []).append(wall)
    build.units[case.name] = _units(server) - before
    expected = len(range(0, items, case.differs)) if case.differs else 0
    if (summary.get("matched"), summary.get("different")) != (items - expected, expected):
        said = {name: summary.get(name) for name in ("verdict", "matched", "different", "reasons")}
        build.wrong[case.name] = json.dumps(said)


def startup(build: Build, server: Server, folder: Path) -> float:
    """Seconds of CPU that *build* takes for two empty tables."""
    return min(diff(build, "empty", "void", (), server, folder)[0] for _ in range(3))


def diff(
    build: Build, source: str, target: str, options: Sequence[str], server: Server, folder: Path
) -> tuple[float, float, dict[str, object]]:
    """CPU and wall time of one ``ddbverify diff`` with all its processes, and its summary."""
    command = [sys.executable, "-m", "ddbverify", "diff", source, target, *sides(server), *options]
    done = timed([*command, "--format", "jsonl", "--quiet"], folder, build.root)
    last = done.output.splitlines()[-1:]
    summary = json.loads(last[0])["summary"] if last and done.status in (0, 1, 3) else {}
    return done.cpu_seconds, done.wall_seconds, summary


def sides(server: Server) -> list[str]:
    """Options that say how both tables are reached."""
    reached = [f"--{side}-endpoint-url={server.endpoint_url}" for side in ("source", "target")]
    return reached + [f"--{side}-region={REGION}" for side in ("source", "target")]


def _units(server: Server) -> float:
    return sum(asked.units for operations in server.stats().values() for asked in operations.values())


def _verdict(case: Case, ours: Build, theirs: Build, one_pass: float) -> tuple[str, bool]:
    """What is met or missed of a case, in words."""
    times = _median(theirs.cpu[case.name]) / max(1e-9, _median(ours.cpu[case.name]))
    passes = ours.units[case.name] / one_pass
    missed = []
    if case.name in ours.wrong:
        missed.append(f"wrong: {ours.wrong[case.name]}")
    if times < case.least:
        missed.append(f"CPU {times:.1f} x, budget {case.least:g} x")
    if case.most_passes is not None and passes > case.most_passes:
        missed.append(f"{passes:.2f} passes, budget {case.most_passes:g}")
    return "; ".join(missed) or "met", not missed


def _median(numbers: Sequence[float]) -> float:
    return statistics.median(numbers)


def _shown(cases: Sequence[Case], ours: Build, theirs: Build, items: int) -> tuple[str, bool]:
    one_pass, rows, met = ours.units[cases[0].name], [], True
    for case in cases:
        said, is_met = _verdict(case, ours, theirs, one_pass)
        met &= is_met
        new, old = (_median(build.cpu[case.name]) / (2 * items) * 1e6 for build in (ours, theirs))
        rows.append(
            (
                case.name,
                f"{old:.2f}",
                f"{new:.2f}",
                f"{old / new:.1f}" if new else "-",
                f"{_median(theirs.wall[case.name]):.1f}",
                f"{_median(ours.wall[case.name]):.1f}",
                f"{theirs.units[case.name] / one_pass:.2f}",
                f"{ours.units[case.name] / one_pass:.2f}",
                said,
            )
        )
    headers = ("case", "µs then", "µs now", "times", "s then", "s now", "passes then", "now", "budget")
    return tabulate(rows, headers, disable_numparse=True), met


@click.command()
@click.argument("commit")
@click.option("--items", type=click.IntRange(min=1000), default=ITEMS, show_default=True, help="Per table.")
@click.option("--rounds", type=click.IntRange(min=1), default=ROUNDS, show_default=True, help="Of each case.")
@click.option("--case", "names", multiple=True, help="Only these cases (and equal); a part of their names.")
def main(commit: str, items: int, rounds: int, names: tuple[str, ...]) -> None:
    """Compare this build's cost with that of COMMIT; ends with status 1 if a budget is missed."""
    cases = [
        case for case in CASES if case is CASES[0] or not names or any(one in case.name for one in names)
    ]
    with (
        worktree(commit) as place,
        tempfile.TemporaryDirectory() as temporary,
        page_server(tables(items)) as server,
    ):
        folder = Path(temporary)
        (folder / "shapes.py").write_text(TRANSFORMS, encoding="utf-8")
        ours, theirs = Build("now", ROOT), Build(commit, place)
        for build in (ours, theirs):
            build.startup = startup(build, server, folder)
        for case in cases:
            for number in range(rounds):
                for build in (theirs, ours) if number % 2 else (ours, theirs):
                    click.echo(f"{case.name}, {build.name} ...", err=True)
                    measure(build, case, server, items, folder)
    table, met = _shown(cases, ours, theirs, items)
    click.echo(
        f"\nCPU per item read, {items:,} items a table, medians of {rounds} rounds in turn\n\n{table}\n"
    )
    sys.exit(not met)


if __name__ == "__main__":
    main()
