"""Processes of `replicator worker`, for tests: started, killed, ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[3]


class Workers:
    """
    Some worker processes of one migration.

    Args:
        folder: Of its migration.toml; the workers' lines are in ``worker-N.log`` there.
        environment: Of the processes, beside this one's.
        code: Where the packages lie.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], code: Path = ROOT) -> None:
        self.folder, self.environment, self.code = folder, environment, code
        self.running: list[subprocess.Popen[bytes]] = []
        self.started = 0

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        self.started += 1
        path = os.pathsep.join([str(self.code), str(self.folder)])
        with (self.folder / f"worker-{self.started}.log").open("wb") as log:
            made = subprocess.Popen(
                [sys.executable, "-m", "replicator", "worker", *options],
                cwd=self.folder,
                env={**os.environ, **self.environment, "PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.running.append(made)
        return made

    def again(self) -> int:
        """Start those anew that have died, as systemd does; how many."""
        dead = [one for one in self.running if one.poll() is not None]
        for one in dead:
            self.start()
            self.running.remove(one)
        return len(dead)

    def kill(self, one: subprocess.Popen[bytes]) -> None:
        one.send_signal(signal.SIGKILL)
        one.wait()
        self.running.remove(one)

    def end(self) -> None:
        """SIGTERM, and wait until what was in hand is finished."""
        for one in self.running:
            one.terminate()
        for one in self.running:
            one.wait()
        self.running.clear()

    def said(self) -> str:
        """All that the workers have said, for a failed test."""
        logs = sorted(self.folder.glob("worker-*.log"))
        return "\n".join(one.read_text(encoding="utf-8", errors="replace")[-3000:] for one in logs)


@contextmanager
def workers(folder: Path, environment: Mapping[str, str], number: int = 1) -> Iterator[Workers]:
    """So many workers for the length of a block."""
    made = Workers(folder, environment)
    try:
        for _ in range(number):
            made.start()
        yield made
    finally:
        made.end()
