"""
``replicator demo`` of whatever build Python finds, with each write timed that a fence refused at first.

A script, started with ``-P`` and that build's root in PYTHONPATH: ``refused.py FILE [--one-way] [OPTIONS]``.
It imports nothing of this build.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

ONE_WAY = "--one-way"


def _go_over_only() -> None:
    """Let the demonstration leave no way back: one flip, as an earlier build made it."""
    from replicator.demo import stage
    from replicator.demo.story import Story

    write_settings: Any = stage.write_settings
    flip: Any = Story._flip  # noqa: SLF001  # a hook that only a measurement needs

    def without(folder: Path, *given: Any, **named: Any) -> None:
        write_settings(folder, *given, **named)
        with (folder / "migration.toml").open("a", encoding="utf-8") as file:
            file.write('way_back = "off"\n')  # its last section is [cutover]

    def once(self: Any, *given: Any) -> None:
        flip(self, *given)
        self.function = dict  # it ends there, as of a pair whose transform nobody can undo

    stage.write_settings = without
    Story._flip = once  # type: ignore[method-assign, assignment]  # noqa: SLF001


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
    if ONE_WAY in options:
        options.remove(ONE_WAY)
        _go_over_only()
    try:
        status: Any = replicator(["demo", *options], prog_name="replicator")
    except SystemExit as ended:
        status = ended.code
    answer.write_text(json.dumps({"refused": refused}), encoding="utf-8")
    return int(status or 0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
