"""
``ddbverify plan`` of exports: what reading them takes, by their manifests. No data file is opened.

Exports cost no read units and are read as fast as the processor goes; a live table beside one is planned as
any table is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from tabulate import tabulate

from ddbverify.diff.request import Work
from ddbverify.exports.export import Export
from ddbverify.exports.store import BucketStore
from ddbverify.reports.plan import SideEstimate, estimate
from ddbverify.tables.table import Table
from ddbverify.words import about, duration_in_words, instant_in_words, money, number_of, size_in_words

JSON_CPU_SECONDS: Final = 5.5e-6
"""For one item that is read from an export and equal, no transform: docs/benchmarks.md."""

ION_CPU_SECONDS: Final = 14.5e-6
"""Likewise, in Amazon Ion."""

FILES_IN_HAND: Final = 16
"""Eight at a time on each side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedSide:
    """One side; of a live table as any plan has it."""

    role: str
    table: Table
    export: Export | None
    live: SideEstimate | None

    @property
    def items(self) -> int:
        """That are read, the lines of incremental exports among them."""
        if self.export is None:
            return self.table.item_count
        return self.export.full.items + sum(one.manifest.items for one in self.export.changes)

    @property
    def files(self) -> int:
        """Data files."""
        if self.export is None:
            return 0
        return len(self.export.full.parts) + sum(len(one.manifest.parts) for one in self.export.changes)

    @property
    def files_in_buckets(self) -> int:
        """Those that S3 is asked for; the changes may lie elsewhere than the full export."""
        if self.export is None:
            return 0
        its = (
            (self.export.store, self.export.full),
            *((one.store, one.manifest) for one in self.export.changes),
        )
        return sum(len(one.parts) for store, one in its if isinstance(store, BucketStore))

    @property
    def cpu_seconds(self) -> float:
        """Of one core."""
        in_ion = self.export is not None and self.export.full.output_format == "ION"
        return self.items * (ION_CPU_SECONDS if in_ion else JSON_CPU_SECONDS)

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        if self.live is not None:
            return self.live.as_json()
        return {
            "table": self.table.arn,
            "export": None if self.export is None else self.export.as_json(),
            "items": self.items,
            "size_bytes": self.table.size_bytes,
            "files": self.files,
            "read_units": 0,
            "usd": 0.0,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportsPlan:
    """What a comparison of exports takes, as far as their manifests tell."""

    sides: tuple[PlannedSide, PlannedSide]
    units_per_key: tuple[int, int] | None  # for each key that differs, with ``--settle live``
    notes: tuple[str, ...]
    exit_code: int = 0

    @property
    def read_units(self) -> int:
        """Of live tables."""
        return sum(side.live.read_units for side in self.sides if side.live is not None)

    @property
    def money(self) -> float:
        """US dollars for the reads of live tables."""
        return sum(side.live.money or 0.0 for side in self.sides if side.live is not None)

    @property
    def cpu_seconds(self) -> float:
        """Of one core."""
        return sum(side.cpu_seconds for side in self.sides)

    @property
    def seconds(self) -> float:
        """Until both are read and compared, where the data files come as fast as they are read."""
        return max(self.cpu_seconds, *(side.live.seconds if side.live else 0.0 for side in self.sides))

    @property
    def bound_by(self) -> str:
        """What decides how long it takes, in words."""
        slow = next((side for side in self.sides if side.live and side.live.seconds > self.cpu_seconds), None)
        return "the processor" if slow is None else f"the read rate of the {slow.role}"

    def as_json(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        return {
            "command": "plan",
            "exit_code": self.exit_code,
            **{side.role: side.as_json() for side in self.sides},
            "read_units": self.read_units,
            "usd": self.money,
            "seconds": self.seconds,
            "bound_by": self.bound_by,
            "cpu": {"seconds": self.cpu_seconds},
            "read_units_per_key": None if self.units_per_key is None else list(self.units_per_key),
            "notes": list(self.notes),
        }


def plan(work: Work, *, price: float | None = None) -> ExportsPlan:
    """
    What *work* takes.

    Args:
        work: At least one side of it is an export.
        price: As `reports.plan.estimate` has it.
    """
    tables = estimate(work.config, work.source, work.target, price=price)
    sides = tuple(
        PlannedSide(
            role=role,
            table=table,
            export=work.exports.get(role),
            live=None if role in work.exports else live,
        )
        for role, table, live in (
            ("source", work.source, tables.source),
            ("target", work.target, tables.target),
        )
    )
    notes = [note for export in work.exports.values() for note in export.notes]
    (pair,) = work.config.tables
    if pair.transform is not None:
        notes.append("what the transform takes is not in it: no item was read to measure it on")
    return ExportsPlan(
        sides=(sides[0], sides[1]),
        units_per_key=tables.settling.units_per_key if work.options.settles_live else None,
        notes=tuple(notes),
    )


def text(made: ExportsPlan) -> str:
    """A plan for people."""
    rows = [
        ("table", *(side.table.name for side in made.sides)),
        ("read from", *(_from(side) for side in made.sides)),
        ("items", *(f"{side.items:,}" for side in made.sides)),
        ("size", *(size_in_words(side.table.size_bytes) for side in made.sides)),
        ("data files", *(f"{side.files:,}" if side.export else "" for side in made.sides)),
        ("read units", *(f"{side.live.read_units if side.live else 0:,}" for side in made.sides)),
    ]
    return "\n".join([tabulate(rows, ("", "source", "target"), disable_numparse=True), "", *_lines(made)])


def _lines(made: ExportsPlan) -> Iterator[str]:
    units = f"{made.read_units:,}, strongly consistent" if made.read_units else "none"
    yield f"read units  {units}"
    if made.units_per_key is not None:
        least, most = made.units_per_key
        yield f"settling    {least} to {most} read units for each key that differs; nobody knows how many do"
    cost = [f"{about(money(made.money))} for the reads"] if made.read_units else []
    if in_buckets := sum(side.files_in_buckets for side in made.sides):
        cost.append(f"what S3 asks for {number_of(in_buckets, 'data file')}, a request for each 8 MB")
    yield f"money       {', and '.join(cost) or 'none'}"
    yield f"time        {about(duration_in_words(made.seconds))}, bound by {made.bound_by}"
    yield f"processor   {about(duration_in_words(made.cpu_seconds))} of one core, as for items that are equal"
    yield (
        f"disk        TMPDIR holds up to {FILES_IN_HAND} of the data files at a time, where they are in a "
        "bucket, and what does not fit into --memory"
    )
    yield ""
    yield "No item was read. Items and sizes of exports are those of their manifests."
    yield from (f"note: {note}" for note in made.notes)


def _from(side: PlannedSide) -> str:
    if side.export is None:
        return "the table, as it is now"
    changes = len(side.export.changes)
    on_top = f" and {number_of(changes, 'incremental one')}" if changes else ""
    form = "Ion" if side.export.full.output_format == "ION" else "DynamoDB JSON"
    return f"an export{on_top} in {form}, as of {instant_in_words(side.export.until)}"
