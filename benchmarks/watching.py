"""
What the event log costs a pass, and what a live page costs while somebody looks at it.

``python -m benchmarks.watching`` is the process that is measured; its job comes on standard input.
"""

from __future__ import annotations

import socket
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from benchmarks.budgets import Budget
from benchmarks.child import measured

MOST_SHARE: Final = 0.01
REGION: Final = "eu-west-1"


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What a process is to measure."""

    what: str  # "log" or "page"
    endpoint_url: str = ""
    source: str = ""
    target: str = ""
    seconds: float = 0.0


class Share(msgspec.Struct, frozen=True):
    """CPU seconds, and what they are held against."""

    seconds: float
    whole: float  # CPU seconds of the pass, or seconds of the clock

    @property
    def share(self) -> float:
        """The first of the second."""
        return self.seconds / self.whole if self.whole else 1.0


def log_of_a_pass(endpoint_url: str, source: str, target: str) -> Budget:
    """CPU time of threads inside the log's calls, against that of the whole pass."""
    job = Job(what="log", endpoint_url=endpoint_url, source=source, target=target)
    return _judged("event log", "of the pass's CPU time", measured("benchmarks.watching", job, Share))


def page(seconds: float) -> Budget:
    """CPU time of a process that serves a page whose log grows each second, with a reader."""
    found = measured("benchmarks.watching", Job(what="page", seconds=seconds), Share)
    return _judged("live page", "of one core, with a log that grows and a reader", found)


def _judged(name: str, of: str, found: Share) -> Budget:
    return Budget(
        name=name,
        limit=f"≤ {MOST_SHARE:.0%} {of}",
        met=found.share <= MOST_SHARE,
        found=f"{found.share:.2%}, {found.seconds:.3f} of {found.whole:.1f} s",
    )


def _log(job: Job) -> Share:
    from ddbverify.compare import runner
    from ddbverify.compare.request import Listeners, PassRequest, Progress
    from ddbverify.config import Config, Pair, Side, Verification
    from ddbverify.evidence.events import EventLog

    side = Side(region=REGION, endpoint_url=job.endpoint_url)
    pair = Pair(source=job.source, target=job.target)
    config = Config(tables=(pair,), source=side, target=side, verification=Verification(processes=1))
    spent, guard = [0.0], threading.Lock()
    with tempfile.TemporaryDirectory() as folder:
        log = EventLog(Path(folder) / "events.jsonl")
        log.begin("run", "benchmark")
        before = time.process_time()
        with log.passing(pair.id, 1e-6) as note:

            def timed(progress: Progress) -> None:
                began = time.thread_time()
                note(progress)
                took = time.thread_time() - began
                with guard:
                    spent[0] += took

            runner.compare(config, pair, PassRequest(), Listeners(progress=timed))
        whole = time.process_time() - before
    return Share(spent[0], whole)


def _page(job: Job) -> Share:
    from ddbverify.compare.request import Progress
    from ddbverify.evidence.events import EventLog
    from ddbverify.items.states import State
    from ddbverify.live import web
    from ddbverify.live.address import Address
    from ddbverify.live.watching import Watching

    with tempfile.TemporaryDirectory() as folder:
        path, now = Path(folder) / "events.jsonl", [time.time() - 3_000]
        log = EventLog(path, lambda: now[0])
        log.begin("run", "benchmark")
        with log.passing("orders") as note:

            def grow(second: int) -> None:
                now[0] += 1
                counts = {State.MATCHED: 1_000 * second, State.MISSING: second}
                note(Progress("scan", 1, 9, 1_000 * second, 1_000 * second, 1.0, second, counts=counts))

            for second in range(3_000):
                grow(second)
            served = web.Page(Address(port=0, token="t" * 43))
            with Watching(path, None, served), _reader(served.address.url):
                time.sleep(2)  # what a beginning costs is paid once
                cpu, wall = time.process_time(), time.monotonic()
                ours = 0.0
                while time.monotonic() - wall < job.seconds:
                    began = time.thread_time()
                    second += 1
                    grow(second)
                    ours += time.thread_time() - began
                    time.sleep(1)
                return Share(time.process_time() - cpu - ours, time.monotonic() - wall)


def _reader(url: str) -> socket.socket:
    """Somebody who looks at the page, and is told of each event."""
    parts = urlsplit(url)
    client = socket.create_connection((parts.hostname or "", parts.port or 0))
    client.sendall(f"GET {parts.path}events HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())

    def read() -> None:
        with suppress(OSError):  # closed, at the end
            while client.recv(2**16):
                continue

    threading.Thread(target=read, daemon=True).start()
    return client


if __name__ == "__main__":
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    sys.stdout.buffer.write(msgspec.json.encode({"log": _log, "page": _page}[asked.what](asked)))
