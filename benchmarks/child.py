"""What the benchmark starts in processes of their own: measurements, and servers on loopback."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import msgspec

ROOT: Final = Path(__file__).parents[1]

_Measured = TypeVar("_Measured", bound=msgspec.Struct)


def measured(module: str, job: msgspec.Struct, kind: type[_Measured], **more: str) -> _Measured:
    """
    What *module* writes to standard output, as *kind*, when it is run and finds *job* on standard input.

    Args:
        more: Variables, beside credentials that are nobody's.

    Raises:
        RuntimeError: The child failed; its standard error says why.
    """
    done = subprocess.run(
        [sys.executable, "-m", module],
        input=msgspec.json.encode(job),
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env=environment() | more,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"A measurement ended with status {done.returncode}; its standard error says why.")
    return msgspec.json.decode(done.stdout, type=kind)


@dataclass(frozen=True, slots=True)
class Timed:
    """A command that has ended, and what it took."""

    cpu_seconds: float  # of all its processes, user and system
    wall_seconds: float
    status: int
    output: bytes
    errors: str  # its standard error, where nobody else was shown it


def timed(command: Sequence[str], folder: Path, root: Path, *, quiet: bool = False) -> Timed:
    """
    Run *command* to its end.

    Args:
        command: And its arguments.
        folder: Where.
        root: Of the checkout that Python finds our packages in.
        quiet: Keep what it writes to standard error, in place of showing it.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        child = subprocess.Popen(
            command,
            cwd=folder,
            env=environment() | {"PYTHONPATH": str(root)},
            stdout=out,
            stderr=errors if quiet else None,
        )
        _, status, used = os.wait4(child.pid, 0)  # its own CPU time, and that of its children
        child.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - began
        out.seek(0)
        errors.seek(0)
        said = errors.read().decode(errors="replace")
        return Timed(used.ru_utime + used.ru_stime, wall, child.returncode, out.read(), said)


def environment() -> dict[str, str]:
    """The environment of this process, with credentials that are nobody's and no proxy on loopback."""
    # The user's own AWS is none of a benchmark's business.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return inherited | {
        "AWS_ACCESS_KEY_ID": "benchmark",
        "AWS_SECRET_ACCESS_KEY": "benchmark",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "127.0.0.1",
    }


@contextmanager
def serving(module: str, first_line: bytes | None = None) -> Iterator[str]:
    """
    The endpoint URL of a server that *module* is, for the length of a ``with`` block.

    It prints its port, and ends at the end of its standard input: with the block, or with this process.

    Args:
        first_line: What it reads from standard input before that.

    Raises:
        RuntimeError: The server did not start; its standard error says why.
    """
    command = [sys.executable, "-m", module]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as child:
        if child.stdin is None or child.stdout is None:
            raise RuntimeError("a child process without pipes")  # they were asked for
        if first_line is not None:
            child.stdin.write(first_line + b"\n")
            child.stdin.flush()
        port = child.stdout.readline().strip()
        if not port:
            raise RuntimeError(f"The server {module} did not start; its standard error says why.")
        yield f"http://127.0.0.1:{int(port)}"
        # Leaving the block closes its standard input.
