"""
What a page on many findings costs: CPU, memory and bytes. It asks AWS for nothing.

``python -m benchmarks.reporting FOLDER`` is the process that is measured.
"""

from __future__ import annotations

import importlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.budgets import Budget
from ddbverify.page import making

FEW: Final = 10
MANY: Final = 1_000_000
MOST_SECONDS: Final = 2.0
MOST_BYTES: Final = 1_000_000
MOST_MORE_MEMORY: Final = 20_000_000

_WAYS: Final[tuple[tuple[str, list[str]], ...]] = (
    ("missing", []),
    ("different", ["price: N -> S"]),
    ("different", ["price: N -> S", "info.rating: value"]),
    ("extraneous", []),
)


def reporting() -> Budget:
    """Make the page on a diff with few findings, and on one with many, in a process of its own each."""
    few, many = _measured(FEW), _measured(MANY)
    more = many["peak_bytes"] - few["peak_bytes"]
    met = (
        many["seconds"] <= MOST_SECONDS
        and max(few["bytes"], many["bytes"]) <= MOST_BYTES
        and more <= MOST_MORE_MEMORY
    )
    return Budget(
        name="report",
        limit=f"≤ {MOST_SECONDS:g} s of CPU, {MOST_BYTES / 1e6:g} MB of page and "
        f"{MOST_MORE_MEMORY / 1e6:g} MB of memory more than for {FEW}, at {MANY:,} findings",
        met=met,
        found=f"{many['seconds']:.2f} s, {few['bytes'] / 1e6:.2f} and {many['bytes'] / 1e6:.2f} MB of page, "
        f"{more / 1e6:.0f} MB of memory more",
    )


def _measured(findings: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        _prepare(Path(name), findings)
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.reporting", name],
            cwd=Path(__file__).parents[1],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def _prepare(folder: Path, findings: int) -> None:
    """The folder of a diff that has found so many."""
    states = ("matched", "missing", "extraneous", "different", "excluded", "uncomparable", "churning")
    sides: dict[str, Any] = {"source": 1, "target": 1}
    summary = {
        "verdict": "different",
        "complete": False,
        "finished": False,
        "reasons": ["it was interrupted"],
        **dict.fromkeys((*states, "undecided", "converged")),
        "read_units": sides,
        "items": sides,
        "segments": {"planned": 1, "finished": 1, "total": 1},
        "causes": [],
        "strata": [],
        "notes": [],
        "tables": {"source": "a", "target": "b"},
        "started": "",
        "ended": "",
    }
    (folder / "settings.json").write_text("{}", encoding="utf-8")
    (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    with (folder / "findings.jsonl").open("w", encoding="ascii") as file:
        for number in range(findings):
            state, paths = _WAYS[number % len(_WAYS)]
            key = {"customer": {"S": f"customer-{number % 5_000}"}, "id": {"S": f"order-{number}"}}
            file.write(json.dumps({"finding": state, "key": key, "paths": paths}) + "\n")


def main(folder: Path) -> None:
    """Make the page on *folder*, and print what it cost beside the start of interpreter and libraries."""
    importlib.import_module("ddbverify.page.rendering")  # and Jinja2 with it
    before = time.process_time()
    made = making.make(folder, None)
    making.write(made.content, folder / making.FILE)
    print(
        json.dumps(
            {
                "seconds": time.process_time() - before,
                "bytes": len(made.content),
                "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
