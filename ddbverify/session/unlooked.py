"""
What a check started beside itself, and nobody looked at: exceptions in threads, jobs of executors, tasks.

Python prints them and goes on, so the check would pass although half of its work has failed. The shared
pass has threads of its own, and looks at all of them itself.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from concurrent.futures import thread as pools
from contextlib import contextmanager
from functools import partial
from typing import Any


class Unlooked:
    """What was met so far."""

    def __init__(self) -> None:
        self._in_threads: list[type[BaseException]] = []
        self._in_tasks: list[type[BaseException]] = []
        self._in_jobs: dict[int, tuple[Future[Any], type[BaseException]]] = {}
        self.jobs: list[weakref.ref[Future[Any]]] = []  # that were begun
        self.has_loop = False

    def thread(self, told: threading.ExceptHookArgs) -> None:
        """For `threading.excepthook`."""
        if told.exc_type is not SystemExit:  # as Python's own does
            self._in_threads.append(told.exc_type)

    def task(self, context: dict[str, Any]) -> None:
        """Of what asyncio would log about an exception that was never retrieved."""
        if isinstance(error := context.get("exception"), BaseException):
            self._in_tasks.append(type(error))

    def job(self, future: Future[Any], error: BaseException | None) -> None:
        """A job has ended with an exception; it is kept so that its number stays its own."""
        if error is not None:
            self._in_jobs[id(future)] = future, type(error)

    def looked_at(self, future: Future[Any]) -> None:
        """Somebody has asked for the outcome of a job."""
        self._in_jobs.pop(id(future), None)

    @property
    def found(self) -> dict[str, type[BaseException]]:
        """Where one was left -> the first of them."""
        met = {
            "a thread": self._in_threads,
            "a job of an executor": [error for _, error in self._in_jobs.values()],
            "a task": self._in_tasks,
        }
        return {where: errors[0] for where, errors in met.items() if errors}


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
    wait([job for one in met.jobs if (job := one()) is not None])
    for thread in threads:
        if not thread.daemon and thread not in pools._threads_queues:  # noqa: SLF001 - nothing else knows them
            thread.join()


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
    """Futures and loops tell, for as long as the block lasts."""
    loop = asyncio.BaseEventLoop
    wrapped: list[tuple[Any, str, Callable[[Any], Any]]] = [
        (Future, "__init__", lambda original: partial(_begun, met, original)),
        (Future, "set_exception", lambda original: partial(_failed, met, original)),
        (Future, "result", lambda original: partial(_asked, met, original)),
        (Future, "exception", lambda original: partial(_asked, met, original)),
        (loop, "run_forever", lambda original: partial(_run, met, original)),
        (loop, "default_exception_handler", lambda _: lambda _loop, context: met.task(context)),
    ]
    originals = [owner.__dict__[name] for owner, name, _ in wrapped]
    for (owner, name, wrap), original in zip(wrapped, originals, strict=True):
        function = wrap(original)
        setattr(owner, name, lambda *given, _function=function, **named: _function(*given, **named))
    try:
        yield
    finally:
        for (owner, name, _), original in zip(wrapped, originals, strict=True):
            setattr(owner, name, original)


def _begun(met: Unlooked, original: Any, future: Future[Any]) -> None:
    original(future)
    if _active:
        met.jobs.append(weakref.ref(future))


def _failed(met: Unlooked, original: Any, future: Future[Any], exception: BaseException | None) -> None:
    if _active:
        met.job(future, exception)
    original(future, exception)


def _asked(met: Unlooked, original: Any, future: Future[Any], timeout: float | None = None) -> Any:
    try:
        return original(future, timeout)
    finally:
        if future.done():
            met.looked_at(future)


def _run(met: Unlooked, original: Any, loop: asyncio.BaseEventLoop) -> None:
    met.has_loop = True
    original(loop)
