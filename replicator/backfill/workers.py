"""A load in as many processes as there are cores: one lease, one ceiling, one count."""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeAlias, cast

import msgspec

from ddbverify import errors
from ddbverify.errors import DdbVerifyError, EngineError
from replicator.backfill.share import Share
from replicator.backfill.worker import Begin, Told, Word
from replicator.context.context import Context
from replicator.context.lock import Lock

BYTES_PER_PROCESS = 256 * 2**20
"""A process takes a second to begin, and this is loaded in some ten."""

Heard: TypeAlias = "queue.Queue[tuple[_Worker, Told | None]]"
"""What workers said, and which; ``None`` once one has ended."""

_WORD_EVERY_SECONDS = 1.0
_ENDING_SECONDS = 15.0

_FOREIGN = Told(
    failed="EngineError",
    message="A process of the load wrote to its standard output what is no word of its own.",
    hint="look for a tool that prints where Python begins (sitecustomize, a .pth file), "
    "and run the same command again: the load goes on where it was.",
)


def processes_for(size_bytes: int) -> int:
    """How many processes a table of this size is worth, at most one for each core."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, size_bytes // BYTES_PER_PROCESS))


@dataclass(slots=True, eq=False)
class _Worker:
    process: subprocess.Popen[bytes]
    words: IO[bytes]  # to it
    read: int = 0
    units: float = 0.0
    done: dict[str, int] | None = None
    error: DdbVerifyError | None = None
    ended: bool = False

    def say(self, word: Begin | Word) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has ended, which its output tells
            self.words.write(msgspec.json.encode(word) + b"\n")
            self.words.flush()

    def hear(self, told: Told) -> None:
        if told.failed:
            kind = getattr(errors, told.failed, None)
            ours = isinstance(kind, type) and issubclass(kind, DdbVerifyError) and told.message
            self.error = kind(told.message, told.hint) if ours else _failed(told.failed)  # type: ignore[misc]
        elif told.done is not None:
            self.done = told.done
        else:
            self.read, self.units = told.read, told.units


def run(
    context: Context, lock: Lock, shares: Sequence[Share], progress: Callable[[int, float], None]
) -> dict[str, int]:
    """
    Load all *shares*, each in a process; whatever ends one of them ends all, with the pages in hand.

    Returns:
        As `Load.run`, of all shares together.

    Raises:
        DdbVerifyError: What ended the first, or that it ended without a word.
    """
    heard: Heard = queue.Queue()
    workers: list[_Worker] = []
    first: DdbVerifyError | None = None
    told_at = 0.0
    try:
        for share in shares:
            worker = _begin(heard)
            workers.append(worker)
            worker.say(Begin(share, lock.until))
        while not all(worker.ended for worker in workers):
            context.need_going_on()
            _hear(heard, workers, progress)
            # Those that are stopped for it fail, too.
            first = first or next((worker.error for worker in workers if worker.error), None)
            failed = first is not None
            if failed or time.monotonic() - told_at >= _WORD_EVERY_SECONDS:
                told_at = time.monotonic()
                for worker in workers:
                    worker.say(Word(lock.until, stop=failed))
    finally:
        _end(workers)
    if first is not None:
        raise first
    counts: dict[str, int] = {}
    for worker in workers:
        for name, number in (worker.done or {}).items():
            counts[name] = counts.get(name, 0) + number
    return counts


def _begin(heard: Heard) -> _Worker:
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "replicator.backfill.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)},
        start_new_session=True,  # Ctrl-C is the command's, which tells them
    )
    worker = _Worker(process, cast("IO[bytes]", process.stdin))

    def listen() -> None:
        try:
            with cast("IO[bytes]", process.stdout) as said:
                for line in said:
                    heard.put((worker, msgspec.json.decode(line, type=Told)))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            process.kill()  # what it says from here on nobody hears
            heard.put((worker, _FOREIGN))
        finally:
            heard.put((worker, None))

    threading.Thread(target=listen, daemon=True).start()
    return worker


def _hear(heard: Heard, workers: Sequence[_Worker], progress: Callable[[int, float], None]) -> None:
    """What one of the workers says, if any does within a moment."""
    try:
        worker, told = heard.get(timeout=_WORD_EVERY_SECONDS)
    except queue.Empty:
        return
    if told is not None:
        worker.hear(told)
        progress(sum(one.read for one in workers), sum(one.units for one in workers))
        return
    worker.ended = True
    if worker.done is None and worker.error is None:
        worker.error = _failed(f"exit status {worker.process.wait()}")


def _end(workers: Sequence[_Worker]) -> None:
    """Let them end with the request in hand: their lease is over with their input."""
    for worker in workers:
        with contextlib.suppress(BrokenPipeError):
            worker.words.close()
    until = time.monotonic() + _ENDING_SECONDS
    for worker in workers:
        try:
            worker.process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.process.kill()  # before the command's lease goes: nothing is written without it
            worker.process.wait()


def _failed(how: str) -> EngineError:
    return EngineError(
        f"A process of the load ended with {how}.",
        "look at what it wrote above, and run the same command again: the load goes on where it was.",
    )
