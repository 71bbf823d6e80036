"""
The processes of a pass: how many there are, begun, listened to, and ended, whatever happens.

A process gets the tables as they were described, loads the transform by its name, and makes clients of its
own. It ends when this one does, since the other ends of its lines close then.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing import Pipe
from pathlib import Path
from types import FunctionType
from typing import Any, Final, NoReturn

from ddbverify.code import reads, source
from ddbverify.code.second_process import Place, load
from ddbverify.compare.crew import Crew, Lane, Ledger
from ddbverify.compare.inspection import Inspected, ItemCheck
from ddbverify.compare.request import Call, Elsewhere
from ddbverify.compare.sides import Role
from ddbverify.compare.work import Hiring
from ddbverify.config import Pair as PairSettings
from ddbverify.config import Side, Verification
from ddbverify.errors import DdbVerifyError, Inconclusive
from ddbverify.items.paths import AttributePath
from ddbverify.tables.capacity import ReadRate
from ddbverify.tables.segments import SEGMENTS_AT_ONCE, Plan
from ddbverify.tables.table import Table

BYTES_PER_PROCESS: Final = 256_000_000
"""Of the larger table. A process takes a second to begin, and this is read and found equal in one or two."""

BYTES_PER_PROCESS_OF_CODE: Final = 64_000_000
"""Likewise, through a transform."""

UNITS_PER_SECOND: Final = 20_000.0
"""Read units of one table that one process keeps up with, at most: more processes would wait for the rate."""

UNITS_PER_SECOND_OF_CODE: Final = 4_000.0
"""Likewise, through a transform of the user's that takes as long as half of them do."""

ENDING_SECONDS: Final = 10.0
QUIET_SECONDS: Final = 5.0
"""A process says once a second that it is there, unless code of the user's holds the interpreter."""

_PROGRAM: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from ddbverify.compare.worker import main; main(json.loads(sys.argv[2]))"
)


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worthwhile(first: Table, second: Table, read_units: int | None, *, calls_code: bool) -> int:
    """
    How many processes a pass over two tables is worth, at most one for each core.

    Args:
        first: As described: its size is hours old, which costs time at worst.
        second: Likewise.
        read_units: The configured ceiling.
        calls_code: Whether functions of the user's are called for each item.
    """
    size = max(first.size_bytes, second.size_bytes)
    bytes_each = BYTES_PER_PROCESS_OF_CODE if calls_code else BYTES_PER_PROCESS
    units_each = UNITS_PER_SECOND_OF_CODE if calls_code else UNITS_PER_SECOND
    rates = [ReadRate.of(table, read_units) for table in (first, second)]
    allowed = [min(one.ceiling or math.inf, one.capacity or math.inf) for one in rates]
    enough = math.ceil(min(*allowed, units_each * cores()) / units_each)
    return max(1, min(cores(), size // bytes_each, enough))


def chosen(
    settings: Verification,
    pair: PairSettings,
    first: Table,
    second: Table,
    segments: int,
    checks: Sequence[ItemCheck] = (),
) -> int:
    """
    How many processes read the segments of a pass; 1: the threads of the process that asks.

    Args:
        settings: Of the configuration.
        pair: Likewise.
        first: See `worthwhile`.
        second: Likewise.
        segments: That are to be read.
        checks: On items. One that keeps something between items is called in one process.
    """
    seeing_all = [check for check in checks if not check.only_different]
    calls_code = pair.transform is not None or bool(seeing_all)
    worth = worthwhile(first, second, settings.read_units, calls_code=calls_code)
    number = min(settings.processes or worth, segments)
    # Of a re-keyed pair all keys have to meet; and checks are called one at a time, in the order of the scan.
    if number < 2 or pair.rekeys or any(PlacedCheck.of(check) is None for check in seeing_all):
        return 1
    return number


@dataclass(frozen=True, slots=True)
class PlacedCheck:
    """A check on items, and where another process finds its function."""

    check: ItemCheck  # without it
    place: Place

    @classmethod
    def of(cls, check: ItemCheck) -> PlacedCheck | None:
        """``None`` for one that keeps something between items, or that another process cannot find."""
        module = getattr(check.function, "__module__", None) or ""
        home = sys.modules.get(module)
        if not check.stateless or home is None or module == "__main__":
            return None
        for name, value in list(vars(home).items()):
            if isinstance(value, FunctionType) and _function_of(value) is check.function:
                place = Place(module, name, getattr(home, "__file__", None))
                return cls(replace(check, function=_elsewhere), place)
        return None

    def loaded(self) -> ItemCheck:
        """The check, in the process that is to call it. Raises whatever the import of its module raises."""
        return replace(self.check, function=_function_of(load(self.place)))


def _function_of(value: Callable[..., object]) -> Callable[..., object]:
    """What a check on items calls; of `each_item`'s own function."""
    check = getattr(value, "ddb_item_check", None)
    return check.function if isinstance(check, ItemCheck) else value


def _elsewhere() -> NoReturn:
    raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """What a process is told first."""

    sides: Mapping[Role, Side]
    tables: Mapping[Role, Table]
    is_free: Mapping[Role, bool]  # whether neither rate nor budget holds
    transform: str | None
    rekeys: bool
    ignore: tuple[AttributePath, ...]
    secret: bytes = field(repr=False)
    ttl_attributes: tuple[str, ...]
    covered: frozenset[str]
    plan: Plan
    judges: bool
    memory: int
    shares: int
    clock_ahead: float  # of the pass's clock before the machine's that only goes on
    silence_seconds: float  # for which code of the user's may hold the interpreter
    assumed: Mapping[str, Any] = field(repr=False)  # credentials of roles: a code for MFA is good for once
    bound: tuple[frozenset[str], frozenset[str]] | None  # see `source.installed`; None: nothing is bound
    filters: Sequence[Any]  # of warnings
    checks: tuple[PlacedCheck, ...]


@dataclass(frozen=True, slots=True)
class Ready:
    """A process can read."""


@dataclass(frozen=True, slots=True)
class Beat:
    """A process is there."""

    call: tuple[int, str | None] | None  # of the user's code, under way for the longest: as in `Call`
    reads: tuple[str, ...] = ()  # files that the user's code has read since the last beat


@dataclass(frozen=True, slots=True)
class Learned:
    """The last word of a process."""

    results: Mapping[str, Inspected]  # of checks on items, by their ids
    compiled: frozenset[tuple[str, str]]  # texts of the user's
    loaded: frozenset[str]  # files of the user's, from no text


class Processes(Hiring):
    """The processes of one pass."""

    def __init__(
        self,
        number: int,
        begin: Callable[[int], Begin],
        ledgers: Mapping[Role, Ledger],
        stop: threading.Event,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        """
        Begin none yet.

        Args:
            number: Of processes.
            begin: What each is told, given the shares of the memory.
            ledgers: The readers of both tables: rate, budget and counts.
            stop: Set when the pass ends early.
            elsewhere: Told how to find out which call of the user's code is under way.
        """
        self.shares = number + 1
        self._number, self._begin, self._ledgers, self._stop = number, begin, ledgers, stop
        self._elsewhere = elsewhere
        self._members: list[_Member] = []

    def __enter__(self) -> Crew:
        """
        Begin them.

        Raises:
            ConfigurationError: The transform does not load there.
            Inconclusive: One has ended.
        """
        begin = self._begin(self.shares)
        lanes = max(2, math.ceil(SEGMENTS_AT_ONCE / self._number))
        try:
            for number in range(self._number):
                self._members.append(_Member(number, lanes, begin))
            for member in self._members:
                member.wait_until_ready(self._stop)
        except BaseException:
            self._kill()
            raise
        if self._elsewhere is not None:
            self._elsewhere.ask = self._call
        # The lines of one process are not next to each other: few segments use all processes.
        in_turn = [member.lane(place) for place in range(lanes) for member in self._members]
        return Crew(in_turn, self._ledgers, self._stop)

    def __exit__(self, *_: object) -> None:
        """End them, whatever they do."""
        self._kill()

    def finish(self) -> Iterator[Mapping[str, Inspected]]:
        """
        Let them end, once all segments have been read: what the checks on items have learned in each.

        Raises:
            Inconclusive: One has ended otherwise.
        """
        for member in self._members:
            yield member.finish()

    def _kill(self) -> None:
        for member in self._members:
            member.kill()
        self._members = []

    def _call(self) -> Call | None:
        calls = [one for one in (member.call for member in self._members) if one is not None]
        return min(calls, key=lambda one: one[0])[1] if calls else None


class _Member:
    """One process."""

    def __init__(self, number: int, lanes: int, begin: Begin) -> None:
        pipes = [Pipe() for _ in range(lanes + 1)]
        theirs = [other.fileno() for _, other in pipes]
        paths = [path or str(Path.cwd()) for path in sys.path]
        self.number, self._silence = number, begin.silence_seconds
        self._control, *self._lines = [ours for ours, _ in pipes]
        self._process = subprocess.Popen(
            # Bytecode of ours that says that its source need not be looked at is looked at all the same.
            [
                *(sys.executable, "-P", "--check-hash-based-pycs", "always", "-c", _PROGRAM),
                *(json.dumps(paths), json.dumps(theirs)),
            ],
            pass_fds=theirs,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # what the user's code prints may hold values
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is this process's, which ends them
        )
        for _, other in pipes:
            other.close()
        self._ready = threading.Event()
        self._failed: DdbVerifyError | None = None
        self._beats, self._quiet_looks = 0, 0.0
        self._call: tuple[int, str | None] | None = None
        self._call_since = time.monotonic()
        self._ended = threading.Event()
        self._learned: Mapping[str, Inspected] | None = None
        with suppress(OSError):  # it has ended, which is noticed
            self._control.send(begin)
        threading.Thread(target=self._listen, name=f"ddbverify-process-{number}", daemon=True).start()

    def wait_until_ready(self, stop: threading.Event) -> None:
        while not self._ready.wait(0.2):
            if stop.is_set():
                break
            self.look()
        if self._failed is not None:
            raise self._failed

    def lane(self, place: int) -> Lane:
        return Lane(self._lines[place], self.lost, self.look)

    @property
    def call(self) -> tuple[float, Call] | None:
        """The call that is under way, and since when it is known to be."""
        if self._call is None:
            return None
        return self._call_since, Call(self.number, *self._call)

    def look(self) -> None:
        """Raises Inconclusive, the same in each line, once it was quiet for longer than a call may take."""
        if self._quiet_looks > self._silence:
            self._failed = self._failed or Inconclusive(
                f"A process of the comparison did not answer for {self._silence:g} s, and was ended.",
                "look for what in the transform does not come back (a regular expression, say).",
            )
            self.kill()
            raise self._failed

    def lost(self) -> DdbVerifyError:
        """Why it does not answer any more."""
        if self._failed is not None:
            return self._failed
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(ENDING_SECONDS)
        status = self._process.returncode
        how = "does not answer" if status is None else "ended with " + _in_words(status)
        return Inconclusive(
            f"A process of the comparison {how}; what it had not read to the end is not known.",
            "make sure that there is memory for every process ([verification] processes), then run the "
            "command again; `diff --out` goes on with --resume.",
        )

    def finish(self) -> Mapping[str, Inspected]:
        """Let it end: what its checks have learned. What evidence is bound to is noted."""
        with suppress(OSError):
            self._control.send(None)
        if not self._ended.wait(ENDING_SECONDS) or self._learned is None:
            raise self.lost()
        return self._learned

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for line in (self._control, *self._lines):
            with suppress(OSError):
                line.close()

    def _listen(self) -> None:
        with suppress(EOFError, OSError, TypeError):  # a connection that is closed meanwhile is a TypeError
            while True:
                if not self._control.poll(1.0):
                    # Counted in looks: a machine that slept has not been looked at.
                    self._quiet_looks += 1.0
                    if self._quiet_looks == QUIET_SECONDS and self._call is None:
                        self._call, self._call_since = (-1 - self._beats, None), time.monotonic()
                    continue
                self._hear(self._control.recv())
        self._ended.set()
        if not self._ready.is_set():
            self._failed = self._failed or self.lost()
            self._ready.set()

    def _hear(self, word: object) -> None:
        self._quiet_looks = 0.0
        match word:
            case Ready():
                self._ready.set()
            case Beat(call, read):
                self._beats += 1
                if call != self._call:
                    self._call, self._call_since = call, time.monotonic()
                for path in read:
                    reads.seen_elsewhere(path)
            case Learned(results, compiled, loaded):
                source.compiled_elsewhere(compiled)
                for path in loaded:
                    reads.seen_elsewhere(path)
                self._learned = results
                self._ended.set()
            case DdbVerifyError():
                self._failed = word
                self._ready.set()


def _in_words(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"exit status {status}"
