"""What the benchmark starts in processes of their own: measurements, and servers on loopback."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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
