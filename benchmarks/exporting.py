"""
``python -m benchmarks.exporting``: what a diff of exports takes, beside that of tables with the same items.

The tables have no scan order in common, and neither have the exports: that is what exports are like. All are
asked for as a user asks, by ``ddbverify diff``; what a diff of two empty tables takes is taken off.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from tabulate import tabulate

from benchmarks.against import Build, diff, startup
from benchmarks.budgets import Budget
from benchmarks.child import ROOT, timed
from benchmarks.page_server import KEYS, REGION, Generated, Server, page_server

ITEMS, QUICK_ITEMS = 300_000, 50_000
ROUNDS = 3
PARTS: Final = 8

MOST: Final = 0.8
"""Times the CPU of tables without a common scan order."""

MOST_IN_ION: Final = 3.2
"""Times the CPU of exports in DynamoDB JSON."""

TABLES, IN_JSON, IN_ION = CASES = ("tables, no common order", "exports", "exports in Ion")

_KEY: Final = ",".join(f"{name}:{kind}" for name, kind in KEYS.items())
_ID: Final = "01700000000000-0a1b2c3d"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One case."""

    case: str
    items: int  # on each side
    cpu_seconds: float  # the median of the rounds, start-up taken off
    wall_seconds: float
    matched: int

    @property
    def microseconds(self) -> float:
        """CPU per item read."""
        return self.cpu_seconds / (2 * self.items) * 1e6


def run(*, quick: bool, say: Callable[[str], None]) -> list[Row]:
    """Measure every case, in turn."""
    items = QUICK_ITEMS if quick else ITEMS
    made = {
        "source": Generated(items=items),
        "scan-order": Generated(items=items, layout="scan-order"),
        "empty": Generated(items=0),
        "void": Generated(items=0),
    }
    with tempfile.TemporaryDirectory() as temporary, page_server(made) as server:
        folder, ours = Path(temporary), Build("now", ROOT)
        say(f"writing exports of {items:,} items ...")
        addresses = {
            case: [
                exported(server, table, folder / f"{table}-{form}", form)
                for table in ("source", "scan-order")
            ]
            for case, form in ((IN_JSON, "DYNAMODB_JSON"), (IN_ION, "ION"))
        }
        begin = startup(ours, server, folder)
        took: dict[str, list[tuple[float, float, int]]] = {case: [] for case in CASES}
        for _ in range(ROUNDS):
            for case in CASES:
                say(f"{case}, {items:,} items ...")
                took[case].append(_once(case, ours, addresses.get(case, []), server, folder))
    return [
        Row(
            case=case,
            items=items,
            cpu_seconds=max(0.0, statistics.median(cpu for cpu, _, _ in rounds) - begin),
            wall_seconds=statistics.median(wall for _, wall, _ in rounds),
            matched=min(matched for _, _, matched in rounds),
        )
        for case, rounds in took.items()
    ]


def _once(
    case: str, ours: Build, addresses: Sequence[str], server: Server, folder: Path
) -> tuple[float, float, int]:
    """CPU and wall time of one diff, and how many keys matched."""
    if case == TABLES:
        cpu, wall, summary = diff(ours, "source", "scan-order", ("--processes", "1"), server, folder)
        return cpu, wall, _matched(summary)
    command = [sys.executable, "-m", "ddbverify", "diff", *addresses, "--key", _KEY]
    done = timed([*command, "--format", "jsonl", "--quiet"], folder, ROOT)
    return done.cpu_seconds, done.wall_seconds, _matched(json.loads(done.output.splitlines()[-1])["summary"])


def _matched(summary: dict[str, Any]) -> int:
    return int(summary.get("matched") or 0)


def judge(rows: Sequence[Row]) -> list[Budget]:
    """Every budget. What was not measured, or found something else, is not met."""
    by_case = {row.case: row for row in rows}
    return [
        _judged(by_case.get(IN_JSON), by_case.get(TABLES), IN_JSON, TABLES, MOST),
        _judged(by_case.get(IN_ION), by_case.get(IN_JSON), IN_ION, IN_JSON, MOST_IN_ION),
    ]


def _judged(row: Row | None, other: Row | None, name: str, others: str, most: float) -> Budget:
    limit = f"≤ {most:g} times that of {others}"
    if row is None or other is None or not other.cpu_seconds:
        return Budget(name=f"CPU per item, {name}", limit=limit, met=False, found="not measured")
    times = row.cpu_seconds / other.cpu_seconds
    found = (
        f"{times:.2f} times at {row.items:,} items "
        f"({row.microseconds:.2f} against {other.microseconds:.2f} µs)"
    )
    wrong = [one for one in (row, other) if one.matched != one.items]
    if wrong:
        found += f"; {wrong[0].case}: {wrong[0].matched:,} of {wrong[0].items:,} matched"
    return Budget(name=f"CPU per item, {name}", limit=limit, met=times <= most and not wrong, found=found)


def shown(rows: Sequence[Row]) -> str:
    """A table for people."""
    return tabulate(
        [(row.case, f"{row.items:,}", f"{row.microseconds:.2f}", f"{row.wall_seconds:.1f}") for row in rows],
        ("case", "items", "µs per item", "wall s"),
        disable_numparse=True,
    )


# --- exports as AWS writes them -------------------------------------------------------------


def exported(server: Server, table: str, folder: Path, form: str) -> str:
    """Write an export of what the server has under *table*; its address."""
    data = folder / "AWSDynamoDB" / _ID / "data"
    data.mkdir(parents=True)
    ending = "ion" if form == "ION" else "json"
    line = _in_ion if form == "ION" else _in_json
    items = list(_scanned(server, table))
    files = []
    for number in range(PARTS):
        some = items[number * len(items) // PARTS : (number + 1) * len(items) // PARTS]
        content = gzip.compress("".join(map(line, some)).encode(), 6)
        path = data / f"part{number}.{ending}.gz"
        path.write_bytes(content)
        key = f"AWSDynamoDB/{_ID}/data/{path.name}"
        files.append({"itemCount": len(some), "md5Checksum": _md5(content), "dataFileS3Key": key})
    arn = f"arn:aws:dynamodb:eu-west-1:123456789012:table/{table}"
    summary = {
        "version": "2020-06-30",
        "exportArn": f"{arn}/export/{_ID}",
        "startTime": "2026-01-01T00:00:00Z",
        "endTime": "2026-01-01T00:05:00Z",
        "tableArn": arn,
        "tableId": table,
        "exportTime": "2026-01-01T00:00:00Z",
        "s3Bucket": "exports",
        "s3Prefix": None,
        "s3SseAlgorithm": "AES256",
        "s3SseKmsKeyId": None,
        "manifestFilesS3Key": f"AWSDynamoDB/{_ID}/manifest-files.json",
        "billedSizeBytes": 0,
        "itemCount": len(items),
        "outputFormat": form,
    }
    (data.parent / "manifest-summary.json").write_text(json.dumps(summary))
    (data.parent / "manifest-files.json").write_text("".join(json.dumps(one) + "\n" for one in files))
    return f"file://{data.parent}"


def _scanned(server: Server, table: str) -> Iterator[dict[str, Any]]:
    """Every item of a table, in its scan order."""
    import boto3

    client = boto3.client(
        "dynamodb",
        endpoint_url=server.endpoint_url,
        region_name=REGION,
        aws_access_key_id="benchmark",
        aws_secret_access_key="benchmark",
    )
    for page in client.get_paginator("scan").paginate(TableName=table):
        yield from page["Items"]


def _in_json(item: dict[str, Any]) -> str:
    return json.dumps({"Item": item}, separators=(",", ":"), default=_base64) + "\n"


def _in_ion(item: dict[str, Any]) -> str:
    return f"$ion_1_0 {{Item:{_ion({'M': item})}}}\n"


def _ion(value: dict[str, Any]) -> str:
    ((kind, content),) = value.items()
    if kind == "M":
        # Without quotation marks, as DynamoDB writes the names that need none; here none does.
        return "{" + ",".join(f"{name}:{_ion(one)}" for name, one in content.items()) + "}"
    if kind == "L":
        return "[" + ",".join(map(_ion, content)) + "]"
    if kind in ("SS", "NS", "BS"):
        return f"$dynamodb_{kind}::[" + ",".join(_ion({kind[0]: one}) for one in content) + "]"
    if kind == "N":
        return (
            content.lower().replace("e+", "d").replace("e", "d")
            if "e" in content.lower()
            else _point(content)
        )
    if kind == "B":
        return "{{" + _base64(content) + "}}"
    return "null" if kind == "NULL" else json.dumps(content)


def _point(number: str) -> str:
    return number if "." in number else f"{number}."


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _md5(content: bytes) -> str:
    return _base64(hashlib.md5(content, usedforsecurity=False).digest())


@click.command()
@click.option("--quick", is_flag=True, help="A smaller number of items.")
def main(*, quick: bool) -> None:
    """Compare exports and tables; ends with status 1 if a budget is missed."""
    rows = run(quick=quick, say=lambda line: click.echo(line, err=True))
    budgets = judge(rows)
    click.echo(f"\n{shown(rows)}\n")
    for budget in budgets:
        click.echo(f"{'met' if budget.met else 'NOT met':8}{budget.name}: {budget.found} [{budget.limit}]")
    sys.exit(not all(budget.met for budget in budgets))


if __name__ == "__main__":
    main()
