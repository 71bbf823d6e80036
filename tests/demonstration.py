"""Runs ``replicator demo`` as a user would, and hands back what it said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Told:
    """Exit status, the JSON document, and the text that a person reads."""

    status: int
    outcome: dict[str, Any]
    text: str

    @property
    def wrong(self) -> int:
        """Items that the proof found lost, resurrected, stale or unexpected."""
        proof = self.outcome["proof"]
        return sum(proof[kind] for kind in ("lost", "resurrected", "stale", "unexpected"))


def demonstrate(*arguments: str, code: Path = ROOT, folder: Path = ROOT / "examples") -> Told:
    """
    Run the demonstration in a child process.

    Args:
        arguments: Further options of ``replicator demo``.
        code: Where the two packages are imported, and bundled, from.
        folder: Working directory; a transform is imported from there.
    """
    environment = os.environ | {"PYTHONPATH": str(code)}
    done = subprocess.run(
        [sys.executable, "-m", "replicator", "demo", "--json", *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=580,
    )
    try:
        outcome = json.loads(done.stdout)
    except ValueError:
        raise AssertionError(f"no JSON, exit {done.returncode}:\n{done.stderr[-3000:]}") from None
    return Told(done.returncode, outcome, done.stderr)
