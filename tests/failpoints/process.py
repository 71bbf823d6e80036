"""``python -m tests.failpoints.process POINT COMMAND...``: `replicator`, and SIGKILL at that point."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from replicator.cli import main
from tests.failpoints.points import Points


def run(point: str, arguments: list[str]) -> None:
    """Run the command in this process; it does not come back from *point*."""
    points = Points(most=1000)
    points.chosen = point.__eq__
    points.strike = lambda _: os.kill(os.getpid(), signal.SIGKILL)
    points.install(pytest.MonkeyPatch())
    with points.running(arguments[0]):
        main(arguments)


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2:])
