"""
What a check started beside itself, and nobody looked at: threads, jobs of executors and pools, processes,
tasks.

Python prints what they raise and goes on, so the check would pass although half of its work has failed. The
shared pass has threads of its own, and looks at all of them itself.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from concurrent.futures import thread as executors
from contextlib import contextmanager
from functools import partial
from multiprocessing import pool as pools
from multiprocessing.process import BaseProcess
from typing import Any

from ddbverify.code.places import OURS, is_environment
from ddbverify.compare.inspection import kind_of

PATIENCE = 5.0
"""Seconds for a daemon thread of the user's to come to its end."""

_POLL = 0.02


class Unlooked:
    """What was met so far."""

    def __init__(self) -> None:
        self._in_threads: list[type[BaseException]] = []
        self._in_tasks: list[type[BaseException]] = []
        self._in_jobs: dict[int, tuple[object, str, type[BaseException]]] = {}
        self.futures: list[weakref.ref[Future[Any]]] = []  # of jobs that were begun
        self.results: list[weakref.ref[Any]] = []  # the same, of pools
        self.iterators: list[Any] = []  # over results of a pool
        self.processes: dict[int, BaseProcess] = {}  # whose exit code nobody has asked for
        self.left: list[str] = []  # other things, in words
        self.has_loop = False

    def thread(self, told: threading.ExceptHookArgs) -> None:
        """For `threading.excepthook`."""
        if told.exc_type is not SystemExit:  # as Python's own does
            self._in_threads.append(told.exc_type)

    def task(self, context: dict[str, Any]) -> None:
        """Of what asyncio would log about an exception that was never retrieved."""
        if isinstance(error := context.get("exception"), BaseException):
            self._in_tasks.append(type(error))

    def job(self, job: object, where: str, error: object) -> None:
        """A job has ended, perhaps with an exception; it is kept so that its number stays its own."""
        if isinstance(error, BaseException):
            self._in_jobs[id(job)] = job, where, type(error)

    def looked_at(self, job: object) -> None:
        """Somebody has asked for the outcome of a job, or for the exit code of a process."""
        self._in_jobs.pop(id(job), None)
        self.processes.pop(id(job), None)

    @property
    def found(self) -> list[str]:
        """What was left, in words: the first of each kind."""
        ended = [
            *(("a thread", error) for error in self._in_threads),
            *((where, error) for _, where, error in self._in_jobs.values()),
            *(("a task", error) for error in self._in_tasks),
        ]
        first = dict(reversed(ended))
        said = [
            f"{where} ended with {kind_of(first[where])}" for where in dict.fromkeys(one for one, _ in ended)
        ]
        return [*said, *dict.fromkeys(self.left)]


_active: list[Unlooked] = []


@contextmanager
def looking() -> Iterator[Unlooked]:
    """Notice inside the block what is left; threads that it has started are waited for at its end."""
    met = Unlooked()
    before, hook = set(threading.enumerate()), threading.excepthook
    threading.excepthook = met.thread
    with _seen(met):
        _active.append(met)
        try:
            yield met
            _wait_for(met, set(threading.enumerate()) - before)
            if met.has_loop:
                gc.collect()  # a task is told about when it goes
        finally:
            _active.remove(met)
            threading.excepthook = hook


def _wait_for(met: Unlooked, threads: set[threading.Thread]) -> None:
    """Let end what will. An executor's threads are left alone: they wait for more when all is done."""
    wait([future for one in met.futures if (future := one()) is not None])
    _wait_for_pools(met)
    for thread in threads:
        if thread.daemon:
            _wait_for_daemon(met, thread)
        elif thread not in executors._threads_queues:  # noqa: SLF001 - nothing else knows them
            thread.join()
    for process in list(met.processes.values()):
        process.join()
        if process.exitcode != 0:  # this asks, too
            met.left.append(f"a process ended with status {process.exitcode}")


def _wait_for_pools(met: Unlooked) -> None:
    for one in met.results:
        while (result := one()) is not None and not result.ready():
            if _is_over(result):
                met.left.append("a job of a pool was never done")
                break
            result.wait(_POLL)
    for iterator in met.iterators:
        while iterator._index != iterator._length and not _is_over(iterator):  # noqa: SLF001
            time.sleep(_POLL)
        for is_well, value in (*iterator._items, *iterator._unsorted.values()):  # noqa: SLF001
            if not is_well:
                met.job(iterator, "a job of a pool", value)


def _is_over(job: Any) -> bool:
    """Whether the pool of a job was ended: what is not done by now never will be."""
    pool = job._pool  # noqa: SLF001 - nobody else can tell
    return pool is not None and pool._state == pools.TERMINATE  # noqa: SLF001


def _wait_for_daemon(met: Unlooked, thread: threading.Thread) -> None:
    """
    Give a daemon thread that runs a function of the user's some time: it does work of the check.

    A library's may go on for ever.
    """
    if _is_of_the_user(thread):
        thread.join(PATIENCE)
        if thread.is_alive():
            met.left.append("a daemon thread has not come to its end")


def _is_of_the_user(thread: threading.Thread) -> bool:
    run: Any = getattr(thread, "function", None) if isinstance(thread, threading.Timer) else None
    run = run or getattr(thread, "_target", None) or type(thread).run
    return _is_of_the_users(run)


def _is_of_the_users(function: Any) -> bool:
    """Whether the code of a function, whatever it is wrapped in, is no installed one, and none of ours."""
    while isinstance(function, partial):
        function = function.func
    if str(getattr(function, "__module__", "")).partition(".")[0] in OURS:  # an editable install
        return False
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return code is not None and not is_environment(code.co_filename)


@contextmanager
def not_looking() -> Iterator[None]:
    """Do something that looks after its own threads and jobs."""
    active, _active[:] = _active[:], []
    try:
        yield
    finally:
        _active[:] = active


@contextmanager
def _seen(met: Unlooked) -> Iterator[None]:
    """Futures, pools, processes and loops tell, for as long as the block lasts."""
    loop, result, iterator = asyncio.BaseEventLoop, pools.ApplyResult, pools.IMapIterator
    wrapped: list[tuple[Any, str, Callable[..., Any]]] = [
        (Future, "__init__", _begun),
        (Future, "set_exception", _failed),
        (Future, "result", _asked),
        (Future, "exception", _asked),
        (result, "__init__", _begun_in_a_pool),
        (result, "_set", _set_by_a_pool),
        (pools.MapResult, "_set", _set_by_a_pool),
        (result, "get", _asked_a_pool),
        (result, "successful", _asked_a_pool),
        (iterator, "__init__", _begun_to_iterate),
        (BaseProcess, "start", _started),
        (loop, "run_forever", _run),
        (loop, "default_exception_handler", lambda met, _original, _loop, context: met.task(context)),
    ]
    exit_code: Any = BaseProcess.__dict__["exitcode"]
    originals = [owner.__dict__[name] for owner, name, _ in wrapped]
    for (owner, name, wrap), original in zip(wrapped, originals, strict=True):
        function = partial(wrap, met, original)
        setattr(owner, name, lambda *given, _function=function, **named: _function(*given, **named))
    BaseProcess.exitcode = property(partial(_exit_code, met, exit_code))  # type: ignore[assignment,method-assign]
    try:
        yield
    finally:
        for (owner, name, _), original in zip(wrapped, originals, strict=True):
            setattr(owner, name, original)
        BaseProcess.exitcode = exit_code  # type: ignore[method-assign]


def _begun(met: Unlooked, original: Any, future: Future[Any]) -> None:
    original(future)
    if _active:
        met.futures.append(weakref.ref(future))


def _failed(met: Unlooked, original: Any, future: Future[Any], exception: BaseException | None) -> None:
    if _active:
        met.job(future, "a job of an executor", exception)
    original(future, exception)


def _asked(met: Unlooked, original: Any, future: Future[Any], timeout: float | None = None) -> Any:
    try:
        return original(future, timeout)
    finally:
        if future.done():
            met.looked_at(future)


def _begun_in_a_pool(met: Unlooked, original: Any, result: Any, *given: Any, **named: Any) -> None:
    original(result, *given, **named)
    if _active:
        met.results.append(weakref.ref(result))


def _set_by_a_pool(met: Unlooked, original: Any, result: Any, *given: Any) -> None:
    """Whoever gave an ``error_callback`` looks at what fails."""
    is_well, value = given[-1]
    if _active and not is_well and result._error_callback is None:  # noqa: SLF001
        met.job(result, "a job of a pool", value)
    original(result, *given)


def _asked_a_pool(met: Unlooked, original: Any, result: Any, *given: Any, **named: Any) -> Any:
    try:
        return original(result, *given, **named)
    finally:
        if result.ready():
            met.looked_at(result)


def _begun_to_iterate(met: Unlooked, original: Any, iterator: Any, *given: Any) -> None:
    original(iterator, *given)
    if _active:
        met.iterators.append(iterator)


def _started(met: Unlooked, original: Any, process: BaseProcess) -> None:
    """Those of libraries, a manager's for instance, look after themselves, and may go on for ever."""
    function = getattr(process, "_target", None) or type(process).run  # the first is forgotten at the start
    original(process)
    if _active and not process.daemon and _is_of_the_users(function):
        met.processes[id(process)] = process


def _exit_code(met: Unlooked, original: property, process: BaseProcess) -> int | None:
    met.looked_at(process)
    return original.fget(process)  # type: ignore[misc,no-any-return]  # it can be read


def _run(met: Unlooked, original: Any, loop: asyncio.BaseEventLoop) -> None:
    met.has_loop = True
    original(loop)
