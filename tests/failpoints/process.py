"""``python -m tests.failpoints.process SIGNAL POINT COMMAND...``: `replicator`, and a signal there."""

from __future__ import annotations

import os
import signal
import sys
from types import SimpleNamespace

import pytest

from ddbverify.gate import gate
from replicator.cli import main
from tests.failpoints.points import Points
from tests.replicator import verified

PASSED = SimpleNamespace(open=True, reasons=(), evidence=None, sha256=None)


def run(name: str, point: str, arguments: list[str]) -> None:
    """Run the command in this process; it does not come back from *point* where the signal is SIGKILL."""
    points = Points(most=1000)
    points.chosen = point.__eq__
    points.strike = lambda _: os.kill(os.getpid(), signal.Signals[name])
    patch = pytest.MonkeyPatch()
    points.install(patch)
    patch.setattr(gate, "judge", lambda *_, **__: PASSED)  # a verification is no subject of these
    verified.stand_in(patch)
    with points.running(arguments[0]):
        main(arguments)


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2], sys.argv[3:])
