"""
``python -m benchmarks.links``: what a verification of changes costs, beside that of the whole tables.

``ddbverify run`` and then ``ddbverify run --since latest`` as a user runs them, on tables of two sizes with
as many changed keys: the second has to cost what has changed, and not what there is. Before that, the reading
of a stream by itself.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
import msgspec
from tabulate import tabulate

from benchmarks.budgets import ROLES, Budget
from benchmarks.child import ROOT, Timed, measured, timed
from benchmarks.ending import end
from benchmarks.page_server import REGION, Asked, Generated, Server, Table, page_server
from benchmarks.page_streams import StreamView
from benchmarks.stream_reading import Job, Measured

RECORDS, QUICK_RECORDS = 200_000, 20_000
ROUNDS, QUICK_ROUNDS = 3, 2
VIEWS: Final[tuple[StreamView, ...]] = ("KEYS_ONLY", "NEW_IMAGE")

SIZES = (20_000, 200_000)
CHANGED = 2_000
CEILING = 1_000  # read units a second of each table: what is granted beside an application
LARGER: Final = (10_000_000, 100_000_000)

LEAST_RECORDS: Final = 20_000  # per second and core
MOST_UNITS: Final = 4.0  # per changed key and side
MOST_TIMES: Final = 1.3  # CPU of a link at the largest size, in that at the smallest

_PROJECT: Final = """\
[source]
region = "{region}"
endpoint_url = "{url}"

[target]
region = "{region}"
endpoint_url = "{url}"

[[tables]]
source = "{source}"
target = "{target}"

[verification]
{verification}

[cutover]
stream_lag = "0s"

[gate]
emulator = true
"""

_CHECK: Final = """\
from ddbverify import State, require


def check_every_item(pair):
    require(pair.verdict(State.MISSING, State.EXTRANEOUS, State.DIFFERENT))
"""


STREAM_LAG: Final = '[cutover]\nstream_lag = "0s"\n'
"""Of that, the part that earlier builds do not know."""


class Ended(NamedTuple):
    """What a command said."""

    status: int
    output: bytes
    errors: str


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """A stream that was read by itself."""

    view: StreamView
    records: int  # of as many keys
    measured: Measured

    @property
    def per_second_and_core(self) -> float:
        """Records per second of CPU."""
        return self.records / self.measured.cpu_seconds if self.measured.cpu_seconds else 0.0

    @property
    def is_exact(self) -> bool:
        """Whether every key was found."""
        return self.measured.keys == self.records


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One command, or the least of several. Start-up is in it."""

    cpu_seconds: float  # of all its processes
    wall_seconds: float
    units: dict[str, float]  # read units of each side, as the server billed them
    scans: int  # requests for pages of tables


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A full pass, and the link that goes on from it."""

    items: int  # in each table
    changed: int  # keys
    ceiling: int | None  # read units a second of each table
    full: Run
    link: Run
    wrong: str = ""  # what was said that is not so; empty where all of it was

    @property
    def units_per_key(self) -> float:
        """Of the link, for each changed key and side: of the dearer side."""
        return max(self.link.units.values()) / self.changed

    def times_shorter(self, items: int) -> float:
        """
        How many times less time the link takes on tables of *items*, with as many changes.

        What a larger table adds to the full pass is computed, from its units and the ceiling.
        """
        units = max(self.full.units.values())
        more = units * (items / self.items - 1) / self.ceiling if self.ceiling is not None else 0.0
        return (self.full.wall_seconds + more) / self.link.wall_seconds


@dataclass(frozen=True, slots=True)
class Links:
    """All that was measured, and what it may cost."""

    readings: Sequence[Reading]
    rows: Sequence[Row]

    @property
    def budgets(self) -> list[Budget]:
        """Each of them. What was not measured is not met, nor is a wrong answer."""
        return [_reading(self.readings), _units(self.rows), _growth(self.rows)]

    def shown(self) -> str:
        """The tables that a person reads."""
        return "\n\n".join((_shown_readings(self.readings), _shown_rows(self.rows), *_in_words(self.rows)))


def run(*, quick: bool, say: Callable[[str], None]) -> Links:
    """
    Measure everything.

    Args:
        quick: A shorter stream, and fewer rounds.
        say: Told each step.
    """
    records, rounds = (QUICK_RECORDS, QUICK_ROUNDS) if quick else (RECORDS, ROUNDS)
    readings = []
    for view in VIEWS:
        say(f"a stream of {records:,} records, {view} ...")
        readings.append(_read(view, records))
    rows = []
    with tempfile.TemporaryDirectory() as temporary, page_server(tables()) as server:
        for items, ceiling in (*((items, None) for items in SIZES), (SIZES[-1], CEILING)):
            under = f", {ceiling:,} read units a second" if ceiling else ""
            say(f"full pass and link: {items:,} items{under} ...")
            folder = Path(temporary) / f"{items}-{ceiling}"
            write_project(folder, server, items, ceiling)
            row = _row(folder, server, items, ceiling, 1 if ceiling else rounds)
            say(f"    full {row.full.wall_seconds:.1f} s, link {row.link.wall_seconds:.1f} s")
            rows.append(row)
    return Links(readings, rows)


def _read(view: StreamView, records: int) -> Reading:
    table = Generated(items=records, records=records, stream_view=view)
    with page_server({"written": table}) as server:
        job = Job(endpoint_url=server.endpoint_url, table="written", rounds=ROUNDS)
        found = measured("benchmarks.stream_reading", job, Measured)
    return Reading(view=view, records=records, measured=found)


def tables() -> dict[str, Table]:
    """Of all sizes, each with a stream."""
    # The target's stream names the same keys: whatever was written was replicated.
    return {
        name: Generated(items=items, records=CHANGED) for items in SIZES for name in _names(items).values()
    }


def _names(items: int) -> dict[str, str]:
    return dict(zip(ROLES, (f"orders-{items}", f"orders-{items}-v2"), strict=True))


def write_project(folder: Path, server: Server, items: int, ceiling: int | None) -> None:
    """A migration of two of the tables, and a check."""
    verification = f"read_units = {ceiling}" if ceiling else ""
    (folder / "checks").mkdir(parents=True)
    (folder / "checks" / "check_items.py").write_text(_CHECK, encoding="utf-8")
    text = _PROJECT.format(region=REGION, url=server.endpoint_url, verification=verification, **_names(items))
    (folder / "migration.toml").write_text(text, encoding="utf-8")


def _row(folder: Path, server: Server, items: int, ceiling: int | None, rounds: int) -> Row:
    full, done = _run(folder, server, items)
    wrong = what_is_wrong(done, items, is_link=False)
    found: list[Run] = []
    since = "latest"
    for _ in range(rounds):
        if wrong:  # there is nothing to go on from
            break
        link, linked = _run(folder, server, items, "--since", since)
        wrong = what_is_wrong(linked, CHANGED, is_link=True)
        found.append(link)
        since = json.loads(done.output)["folder"]  # from the full pass again, and so with as many changes
    link = _least(found) if found else full
    return Row(items=items, changed=CHANGED, ceiling=ceiling, full=full, link=link, wrong=wrong)


def _run(folder: Path, server: Server, items: int, *options: str) -> tuple[Run, Timed]:
    before = server.stats()
    done = timed([sys.executable, "-m", "ddbverify", "run", *options, "--json"], folder, ROOT, quiet=True)
    after = server.stats()

    def asked(role: str, operation: str) -> Asked:
        then, now = (stats[_names(items)[role]].get(operation, Asked()) for stats in (before, after))
        return Asked(now.requests - then.requests, now.items - then.items, now.units - then.units)

    return Run(
        cpu_seconds=done.cpu_seconds,
        wall_seconds=done.wall_seconds,
        units={role: sum(asked(role, what).units for what in ("Scan", "BatchGetItem")) for role in ROLES},
        scans=sum(asked(role, "Scan").requests for role in ROLES),
    ), done


def what_is_wrong(done: Ended | Timed, looked_at: int, *, is_link: bool) -> str:
    """What a run said that is not so, in short."""
    if done.status:
        return f"status {done.status}: {done.errors[-300:]}"
    said: dict[str, Any] = json.loads(done.output)
    (pair,) = said["pairs"]
    counts: Mapping[str, int] = {state: count for state, count in pair["counts"].items() if count}
    due = {"matched": looked_at}
    changed = looked_at if is_link else None
    if (counts, pair["changed"], said["full_pass"]) == (due, changed, None):
        return ""
    return json.dumps({"counts": counts, "changed": pair["changed"], "full_pass": said["full_pass"]})


def _least(runs: Sequence[Run]) -> Run:
    """The least time of all; the most of what does not depend on the machine."""
    return Run(
        cpu_seconds=min(one.cpu_seconds for one in runs),
        wall_seconds=min(one.wall_seconds for one in runs),
        units={role: max(one.units[role] for one in runs) for role in ROLES},
        scans=max(one.scans for one in runs),
    )


# --- budgets ----------------------------------------------------------------------------


def _reading(readings: Sequence[Reading]) -> Budget:
    name = "records of a stream, per second and core"
    limit = f"≥ {LEAST_RECORDS:,}, each key found"
    if {one.view for one in readings} != set(VIEWS):
        return Budget(name=name, limit=limit, met=False, found="not measured")
    wrong = [one for one in readings if not one.is_exact]
    if wrong:
        found = f"{wrong[0].view}: {wrong[0].measured.keys:,} keys of {wrong[0].records:,}"
        return Budget(name=name, limit=limit, met=False, found=found)
    worst = min(readings, key=lambda one: one.per_second_and_core)
    found = f"{worst.per_second_and_core:,.0f} ({worst.view})"
    return Budget(name=name, limit=limit, met=worst.per_second_and_core >= LEAST_RECORDS, found=found)


def _units(rows: Sequence[Row]) -> Budget:
    name = "link, read units"
    limit = f"≤ {MOST_UNITS:g} per changed key and side, none for others"
    wrong = _unusable(rows)
    if wrong:
        return Budget(name=name, limit=limit, met=False, found=wrong)
    worst = max(rows, key=lambda row: row.units_per_key)
    scans = sum(row.link.scans for row in rows)
    grows = len({tuple(sorted(row.link.units.items())) for row in rows}) > 1
    found = f"{worst.units_per_key:g}, {scans} pages of tables"
    if grows:
        found += ", and more at one size than at another"
    met = worst.units_per_key <= MOST_UNITS and not scans and not grows
    return Budget(name=name, limit=limit, met=met, found=found)


def _growth(rows: Sequence[Row]) -> Budget:
    name = "link, CPU where the tables are larger"
    limit = f"≤ {MOST_TIMES:g} times at {SIZES[-1]:,} items what it is at {SIZES[0]:,}"
    wrong = _unusable(rows)
    if wrong:
        return Budget(name=name, limit=limit, met=False, found=wrong)
    first, last = (_at(rows, items) for items in (SIZES[0], SIZES[-1]))
    least = first.link.cpu_seconds
    times = last.link.cpu_seconds / least if least else float("inf")
    found = f"{times:.2f} times ({last.link.cpu_seconds:.2f} s against {least:.2f} s)"
    return Budget(name=name, limit=limit, met=times <= MOST_TIMES, found=found)


def _unusable(rows: Sequence[Row]) -> str:
    """Why nothing can be said of the links; empty where something can."""
    if not {(items, None) for items in SIZES} <= {(row.items, row.ceiling) for row in rows}:
        return "not measured"
    return next((f"wrong: {row.wrong}" for row in rows if row.wrong), "")


def _at(rows: Sequence[Row], items: int) -> Row:
    return next(row for row in rows if (row.items, row.ceiling) == (items, None))


# --- as text ----------------------------------------------------------------------------


def _shown_readings(readings: Sequence[Reading]) -> str:
    lines = [
        {
            "stream": one.view,
            "records": f"{one.records:,}",
            "per second and core": f"{one.per_second_and_core:,.0f}",
            "µs per record": f"{one.measured.cpu_seconds / one.records * 1e6:.1f}",
            "wall s": f"{one.measured.wall_seconds:.2f}",
            "result": "exact" if one.is_exact else "WRONG",
        }
        for one in readings
    ]
    return tabulate(lines, headers="keys", disable_numparse=True)


def _shown_rows(rows: Sequence[Row]) -> str:
    lines = [
        {
            "items": f"{row.items:,}",
            "changed": f"{row.changed:,}",
            "read units a second": f"{row.ceiling:,}" if row.ceiling else "-",
            "CPU s, full": f"{row.full.cpu_seconds:.2f}",
            "link": f"{row.link.cpu_seconds:.2f}",
            "wall s, full": f"{row.full.wall_seconds:.1f}",
            "of the link": f"{row.link.wall_seconds:.1f}",
            "units, full": _both(row.full.units),
            "of the link ": _both(row.link.units),
            "result": "WRONG" if row.wrong else "exact",
        }
        for row in rows
    ]
    return tabulate(lines, headers="keys", disable_numparse=True)


def _both(units: Mapping[str, float]) -> str:
    return " + ".join(f"{units[role]:,.0f}" for role in ROLES)


def _in_words(rows: Sequence[Row]) -> list[str]:
    said = []
    for row in rows:
        if row.ceiling is None or row.wrong:
            continue
        computed = " and ".join(f"{row.times_shorter(items):,.0f} times at {items:,}" for items in LARGER)
        said.append(
            f"At {row.ceiling:,} read units a second the link of {row.changed:,} changed keys is "
            f"{row.times_shorter(row.items):.1f} times shorter than the full pass at {row.items:,} items; "
            f"computed from units, {computed}."
        )
    return said


@click.command()
@click.option("--quick", is_flag=True, help="A shorter stream, and fewer rounds.")
def main(quick: bool) -> None:
    """Measure what a verification of changes costs; ends with status 1 if a budget is missed."""
    found = run(quick=quick, say=lambda line: click.echo(line, err=True))
    end(found.shown(), found.budgets)


if __name__ == "__main__":
    main()
