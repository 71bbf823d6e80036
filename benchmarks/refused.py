"""
``replicator demo`` of whatever build Python finds, with each write timed that a fence refused at first.

A script, started with ``-P`` and that build's root in PYTHONPATH: ``refused.py FILE [OPTIONS]``. It
imports nothing of this build.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any


def main(answer: Path, options: list[str]) -> int:
    """Run it; *answer* gets the seconds of each write that was refused, and taken in the end."""
    from replicator.cli import main as replicator
    from replicator.demo.traffic import Application

    refused: list[float] = []
    write: Any = Application.write

    def timed(self: Any, *arguments: Any, **named: Any) -> Any:
        before, began = self.refused, time.monotonic()
        taken = write(self, *arguments, **named)
        if taken is not False and self.refused > before:
            refused.append(time.monotonic() - began)
        return taken

    Application.write = timed  # type: ignore[method-assign]  # the measurement
    try:
        status: Any = replicator(["demo", *options], prog_name="replicator")
    except SystemExit as ended:
        status = ended.code
    answer.write_text(json.dumps({"refused": refused}), encoding="utf-8")
    return int(status or 0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
