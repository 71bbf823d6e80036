"""A child process that ends with its parent, whatever happens to the parent."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from ddbverify.errors import EngineError

HOST = "127.0.0.1"
STOP_SECONDS = 60.0
"""
Until we say that a child would not end. It takes a fraction of a second, but for its folder: with the
unpacked code of many functions in it, removing that takes longer on a busy disk.
"""
TAIL_BYTES = 2_000  # of a log, quoted in an error

_LAUNCHER = Path(__file__).with_name("launcher.py")

# Everything else of the user's environment stays outside: AWS_* and PYTHON* would reach the
# Lambda workers, and the emulator has some 60 variables of its own (LOCALSTACK_*, SERVICES, ...).
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH", "JAVA_HOME")


class Child:
    """A running child, as its starter sees it."""

    def __init__(self, launcher: subprocess.Popen[bytes], log: Path) -> None:
        self._launcher = launcher
        # Opened now: the folder of the log may be gone by the time it is needed.
        self._log = log.open("rb")
        self._log.seek(0, os.SEEK_END)
        self._start = self._log.tell()

    def ended(self) -> int | None:
        """Say with which status the child ended by itself; ``None`` while it runs."""
        return self._launcher.poll()

    def tail(self) -> str:
        """Return the end of what the child printed, at most ``TAIL_BYTES`` bytes."""
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(self._start, size - TAIL_BYTES))
        return self._log.read().decode(errors="replace").strip()

    def stop(self) -> None:
        """
        End the child and everything it started, and wait for that.

        Raises:
            EngineError: It is still there after ``STOP_SECONDS``.
        """
        if self._launcher.stdin is not None:
            self._launcher.stdin.close()
        try:
            self._launcher.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise EngineError(
                f"the child process {self._launcher.pid} still runs {STOP_SECONDS:g} s after its end was due",
                f"look at it with `ps -g {self._launcher.pid}` and end it by hand",
            ) from None
        finally:
            self._log.close()


@contextmanager
def child_folder(prefix: str) -> Iterator[Path]:
    """Make a temporary folder for one child; the launcher removes it, or we do if there was none."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def child_process(
    command: Sequence[str], environment: Mapping[str, str], *, folder: Path, log: Path
) -> Iterator[Child]:
    """
    Run *command* for the length of a ``with`` block, and never longer.

    It ends, with every process it started, when the block ends, and within a
    second or two when this process is killed. Ctrl-C does not reach it: the
    block decides.

    Args:
        command: Program and arguments.
        environment: Its whole environment (see ``clean_environment``).
        folder: Its working folder, removed when it is gone.
        log: Takes its output, appended.
    """
    with log.open("ab") as output:
        child = Child(
            subprocess.Popen(
                [sys.executable, "-I", str(_LAUNCHER), str(os.getpid()), str(folder), *command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                cwd=folder,
                start_new_session=True,
            ),
            log,
        )
    try:
        yield child
    finally:
        child.stop()


def clean_environment(folder: Path) -> dict[str, str]:
    """Return an environment with nothing of the user's but ``PATH`` and the like; *folder* is its home."""
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return environment | {
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "NO_PROXY": "*",
        "no_proxy": "*",
    }


def free_port() -> int:
    """Return a port of 127.0.0.1 that was free a moment ago; another process may take it first."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
