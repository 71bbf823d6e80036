"""
What a load through a transform costs per item: scan pages in, batch writes out, beside the plain load.

``python -m benchmarks.loading`` reads a `Job` from standard input and writes a `Loaded`: one load, in a
process of its own. The pages come from the page server; writes and state table are the loopback's.
"""

from __future__ import annotations

import gc
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal

import msgspec
from tabulate import tabulate

from benchmarks.budgets import Budget
from benchmarks.child import measured
from benchmarks.loopback import Billed, Loopback, loopback
from benchmarks.measure import peak_bytes
from benchmarks.page_server import KEYS, REGION, Generated, Server, page_server

ITEMS, QUICK_ITEMS = 100_000, 10_000
ROUNDS = 3

LEAST = 3.0  # times less CPU per item than the plain load

Who = Literal["ours", "plain"]
WHO: Final[tuple[Who, ...]] = ("ours", "plain")

SOURCE, EMPTY, TARGET = "source", "empty", "target"
TRANSFORM: Final = "benchmarks.shapes:identity"


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Which load to make, from where to where."""

    who: Who
    source_url: str
    target_url: str


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """What one load took, that of an empty table taken off."""

    cpu_seconds: float
    wall_seconds: float
    peak_bytes: int
    written: int  # items, as the load counts them


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """One way to load, the cheapest of its rounds, and what the target was asked."""

    who: Who
    items: int  # of the source
    loaded: Loaded
    bill: dict[str, Billed]

    @property
    def microseconds(self) -> float:
        """CPU per item."""
        return self.loaded.cpu_seconds / self.items * 1e6

    @property
    def asked(self) -> Billed:
        """Items that the target was asked to write."""
        return self.bill.get(f"BatchWriteItem {TARGET}", Billed())

    @property
    def is_exact(self) -> bool:
        """Whether each item was written, and once."""
        return self.loaded.written == self.asked.entries == self.items


def run(*, quick: bool, say: Callable[[str], None]) -> list[Load]:
    """Measure both ways, in turn."""
    items = QUICK_ITEMS if quick else ITEMS
    tables = {SOURCE: Generated(items=items), EMPTY: Generated(items=0)}
    found: dict[Who, list[Load]] = {who: [] for who in WHO}
    with page_server(tables) as pages, loopback() as target:
        for _ in range(1 if quick else ROUNDS):
            for who in WHO:
                say(f"load through a transform, {who}: {items:,} items ...")
                found[who].append(_load(pages, target, who, items))
                say(f"    {found[who][-1].microseconds:.1f} µs per item")
    return [min(loads, key=lambda one: one.loaded.cpu_seconds) for loads in found.values()]


def _load(pages: Server, target: Loopback, who: Who, items: int) -> Load:
    target.reset()
    job = Job(who=who, source_url=pages.endpoint_url, target_url=target.endpoint_url)
    loaded = measured("benchmarks.loading", job, Loaded)
    return Load(who=who, items=items, loaded=loaded, bill=target.bill())


def judge(loads: Sequence[Load]) -> Budget:
    """The budget of the load. What was not measured, or differs from what plain writes, does not meet it."""
    name, limit = "CPU per item, load through a transform", f"≥ {LEAST:g} times less than the plain load"
    by_who = {load.who: load for load in loads}
    ours, plain = by_who.get("ours"), by_who.get("plain")
    if ours is None or plain is None:
        return Budget(name=name, limit=limit, met=False, found="not measured")
    wrote = {load.who: (load.asked.entries, load.asked.payload, load.asked.units) for load in (ours, plain)}
    if not ours.is_exact or wrote["ours"] != wrote["plain"]:
        found = f"wrong: items, bytes and write units are {wrote['ours']}, of the plain load {wrote['plain']}"
        return Budget(name=name, limit=limit, met=False, found=found)
    times = plain.microseconds / ours.microseconds if ours.microseconds else 0.0
    found = f"{times:.1f} times ({ours.microseconds:.1f} against {plain.microseconds:.1f} µs)"
    return Budget(name=name, limit=limit, met=times >= LEAST, found=found)


def shown(loads: Sequence[Load]) -> str:
    """As a table."""
    lines = [
        {
            "load": load.who,
            "items": f"{load.items:,}",
            "µs per item": f"{load.microseconds:.1f}",
            "items per s and core": f"{1e6 / load.microseconds:,.0f}" if load.microseconds else "-",
            "peak MB": f"{load.loaded.peak_bytes / 1e6:.0f}",
            "wall s": f"{load.loaded.wall_seconds:.1f}",
            "requests per 1,000": f"{load.bill['BatchWriteItem'].requests / load.items * 1000:.0f}",
            "write units per item": f"{load.asked.units / load.items:.2f}",
            "result": "exact" if load.is_exact else "WRONG",
        }
        for load in loads
    ]
    return tabulate(lines, headers="keys", disable_numparse=True)


# --- in the process that is measured -------------------------------------------------------


def once(job: Job) -> Loaded:
    """One load; what that of an empty table takes is paid by nobody."""
    with tempfile.TemporaryDirectory() as folder:
        load = {"ours": _ours, "plain": _plain}[job.who](job, Path(folder))
        load(EMPTY)  # imports, endpoint data, and the like
        (empty_cpu, empty_wall, _), (cpu, wall, written) = (_timed(load, name) for name in (EMPTY, SOURCE))
    return Loaded(
        cpu_seconds=max(0.0, cpu - empty_cpu),
        wall_seconds=max(0.0, wall - empty_wall),
        peak_bytes=peak_bytes(),
        written=written,
    )


def _timed(load: Callable[[str], int], table: str) -> tuple[float, float, int]:
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    written = load(table)
    return time.process_time() - cpu, time.perf_counter() - wall, written


def _ours(job: Job, folder: Path) -> Callable[[str], int]:
    """The load of a share, as a process of `replicator restore` makes it."""
    from ddbverify import config as configuration
    from ddbverify.config import Pair
    from replicator.backfill.load import LOADERS
    from replicator.backfill.share import Share, load_of
    from replicator.context import clock
    from replicator.context.console import Console
    from replicator.context.context import Context
    from replicator.context.lock import Borrowed
    from replicator.handlers.state import State

    class BesideTheTarget(Context):
        """A migration whose state table is the loopback's, since the page server only reads."""

        def state(self, pair: Pair) -> State:
            return State.of_pair(self.target, self.state_table, pair.id)

    path = folder / "migration.toml"
    sides = {"source": job.source_url, "target": job.target_url}
    path.write_text(
        'name = "benchmark"\n\n'
        + "".join(f'[{side}]\nregion = "{REGION}"\nendpoint_url = "{url}"\n\n' for side, url in sides.items())
        + f'[[tables]]\nsource = "{SOURCE}"\ntarget = "{TARGET}"\ntransform = {json.dumps(TRANSFORM)}\n',
        encoding="utf-8",
    )
    context = BesideTheTarget(configuration.load(path), Console(as_json=True), path)
    (pair,) = context.config.tables
    keys: dict[str, str] = dict(KEYS)
    transform = context.transform(pair, keys, keys)
    lease = context.lease = Borrowed("load", clock.seconds() + 86_400)

    def load(table: str) -> int:
        share = Share(
            config=str(path),
            pair=pair.id,
            origin=table,
            target=TARGET,
            source_keys=keys,
            target_keys=keys,
            digest="",
            ledger="ledger",
            reading=table,
            segments=tuple(range(LOADERS)),
            of=LOADERS,
            read_units=None,
        )
        made = load_of(context, pair, share, transform, lease, lambda *_: None, threading.Event())
        return made.run()["written"]

    return load


def _plain(job: Job, folder: Path) -> Callable[[str], int]:
    from benchmarks import plain_load
    from benchmarks.shapes import identity

    del folder  # of ours

    def load(table: str) -> int:
        return plain_load.load(job.source_url, job.target_url, REGION, table, TARGET, identity)

    return load


if __name__ == "__main__":
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    sys.stdout.buffer.write(msgspec.json.encode(once(job)))
