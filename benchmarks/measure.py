"""
One measurement, in a process of its own so that CPU time and peak memory are its own.

``python -m benchmarks.measure`` reads a `Job` from standard input and writes a `Measured`.
"""

from __future__ import annotations

import gc
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from benchmarks.child import measured
from benchmarks.page_server import REGION

STATUS = Path("/proc/self/status")

Who = Literal["ours", "plain", "checks", "loop"]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to compare, and how often."""

    who: Who
    endpoint_url: str
    source: str
    target: str
    empty: tuple[str, str]  # a pair without items: what it costs is start-up
    memory: int | None = None  # bytes that may wait; None: the default
    processes: int = 1
    transform: str | None = None
    rounds: int = 1  # at most
    patience_seconds: float = 0.0  # of CPU; once they are spent, no further round


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one comparison found."""

    matched: int = 0
    others: int = 0  # keys in any other state
    segments: int = 1
    read_units: dict[str, float] | None = None  # per side, as reported; None: it keeps no account
    incomplete: tuple[str, ...] = ()  # why it could not answer, in words


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What a comparison took. Seconds are the least of all rounds, start-up taken off."""

    cpu_seconds: float
    wall_seconds: float
    startup_cpu_seconds: float
    peak_bytes: int  # of the process, start-up and the first round
    rounds: int
    outcome: Outcome  # incomplete if the rounds do not agree


def measure(job: Job) -> Measured:
    """
    Run *job* in a child process.

    Raises:
        RuntimeError: The child failed; its standard error says why.
    """
    return measured("benchmarks.measure", job, Measured)


def run(job: Job) -> Measured:
    """Like `measure`, in this process."""
    compare = {"ours": _ours, "checks": _ours, "plain": _plain, "loop": _loop}[job.who](job)
    compare(*job.empty)  # imports, endpoint data, and the like are paid once, by nobody
    whole = [_timed(compare, job.source, job.target)]
    peak = peak_bytes()  # of one comparison, as a user would run it
    startup = [_timed(compare, *job.empty)]
    while len(whole) < job.rounds and sum(one.cpu for one in whole) < job.patience_seconds:
        whole.append(_timed(compare, job.source, job.target))
        startup.append(_timed(compare, *job.empty))
    fixed_cpu, fixed_wall = min(one.cpu for one in startup), min(one.wall for one in startup)
    return Measured(
        cpu_seconds=max(0.0, min(one.cpu for one in whole) - fixed_cpu),
        wall_seconds=max(0.0, min(one.wall for one in whole) - fixed_wall),
        startup_cpu_seconds=fixed_cpu,
        peak_bytes=peak,
        rounds=len(whole),
        outcome=_agreed([one.outcome for one in whole]),
    )


def peak_bytes() -> int:
    """The most memory that this process has held, or one that it has begun and that has ended."""
    begun = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    if begun:
        # On Linux that begins with the size of this process, so it can only be too high.
        return max(_own_peak_bytes(), begun * (1024 if STATUS.exists() else 1))
    return _own_peak_bytes()


def _own_peak_bytes() -> int:
    if STATUS.exists():
        # Not ru_maxrss: on Linux that begins with the size of the process that forked this one.
        fields = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
        return int(fields["VmHWM"].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


class _Timed(NamedTuple):
    cpu: float  # seconds of all threads and processes, user and system
    wall: float
    outcome: Outcome


def _timed(compare: Callable[[str, str], Outcome], source: str, target: str) -> _Timed:
    gc.collect()  # what the round before has left is not this one's
    cpu, wall = _cpu_seconds(), time.perf_counter()
    outcome = compare(source, target)
    return _Timed(_cpu_seconds() - cpu, time.perf_counter() - wall, outcome)


def _cpu_seconds() -> float:
    """Of this process, and of those that it has begun and that have ended."""
    begun = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + begun.ru_utime + begun.ru_stime


def _agreed(outcomes: Sequence[Outcome]) -> Outcome:
    first = outcomes[0]
    if all(outcome == first for outcome in outcomes):
        return first
    return msgspec.structs.replace(first, incomplete=(*first.incomplete, "the rounds do not agree"))


def _ours(job: Job) -> Callable[[str, str], Outcome]:
    from benchmarks.thirty_checks import item_checks
    from ddbverify.compare import runner
    from ddbverify.compare.request import PassRequest
    from ddbverify.config import Config, Pair, Side, Size, Verification
    from ddbverify.errors import Inconclusive
    from ddbverify.items.states import State
    from ddbverify.tables.segments import SEGMENTS_AT_ONCE

    side = Side(region=REGION, endpoint_url=job.endpoint_url)
    settings = Verification(processes=job.processes)
    if job.memory is not None:
        settings = msgspec.structs.replace(settings, memory=Size(job.memory))
    # Tables without items would be read by one process, and so would pay for the start of no other.
    segments = SEGMENTS_AT_ONCE if job.processes > 1 else None

    def compare(source: str, target: str) -> Outcome:
        pair = Pair(source=source, target=target, transform=job.transform)
        config = Config(tables=(pair,), source=side, target=side, verification=settings)
        checks = item_checks() if job.who == "checks" else []
        try:
            found = runner.compare(config, pair, PassRequest(item_checks=checks, segments=segments))
        except Inconclusive as error:
            return Outcome(incomplete=(error.message,))
        matched = found.counts[State.MATCHED]
        inspected = found.inspected.values()
        blind = sum(one.examined != matched or bool(one.raised) for one in inspected)
        return Outcome(
            matched=matched,
            others=sum(found.counts.values()) - matched + sum(one.refuted for one in inspected) + blind,
            segments=found.segments_total,
            read_units={"source": found.source.read_units, "target": found.target.read_units},
            incomplete=found.unexamined,
        )

    return compare


def _plain(job: Job) -> Callable[[str, str], Outcome]:
    from benchmarks.plain import diff

    def compare(source: str, target: str) -> Outcome:
        found = diff(job.endpoint_url, REGION, source, target)
        return Outcome(matched=found["matched"], others=found.total() - found["matched"])

    return compare


def _loop(job: Job) -> Callable[[str, str], Outcome]:
    from benchmarks.thirty_checks import by_hand

    def compare(source: str, target: str) -> Outcome:
        count, failed = by_hand(job.endpoint_url, REGION, source, target)
        return Outcome(matched=count, others=failed.total())

    return compare


if __name__ == "__main__":
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    sys.stdout.buffer.write(msgspec.json.encode(run(job)))
