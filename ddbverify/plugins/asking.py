"""
Calls into plugins: one at a time, on a thread that may be given up.

A plugin is somebody else's code. It may raise, try to end the process, never come back, or answer
what makes no sense; each of these becomes a `PluginError` that names the plugin and the hook, and
none of them an answer.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from ddbverify.errors import PluginError

ANSWER_SECONDS: Final = 60.0
"""For one question to one plugin. It is about single items: a plugin that needs a minute hangs."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Implementation:
    """A plugin's function for one hook."""

    plugin: str
    hook: str
    function: Callable[..., Any]
    takes: tuple[str, ...]

    def __call__(self, **offered: Any) -> Any:
        """Call it with those arguments of the hook that it takes."""
        return self.function(*[offered[name] for name in self.takes])

    def refused(self, what: str) -> PluginError:
        """
        The error for an answer that cannot be used.

        Args:
            what: It did, in words that hold no value: "returned a list, expected True, False or None".
        """
        return _Refusal(
            f"The plugin {self.plugin} {what} in {self.hook}.",
            "mend the plugin, or take it out; what it was asked about is not decided.",
        )


class _Refusal(PluginError):
    """Of our own making: what a plugin raises itself, a PluginError even, is not shown."""


class Asker:
    """Calls plugins, one at a time: their authors need to know nothing of threads."""

    def __init__(self, seconds: float = ANSWER_SECONDS) -> None:
        """
        Ask with a time limit.

        Args:
            seconds: After which a plugin is given up for good. Its thread cannot be ended; it is
                left behind, and ends with the process.
        """
        self._seconds = seconds
        self._given_up: set[str] = set()  # names of plugins
        self._one_at_a_time = threading.Lock()
        self._jobs: queue.SimpleQueue[_Job] | None = None

    def __call__(self, implementation: Implementation, job: Callable[[], _T]) -> _T:
        """
        What *job* returns, which calls *implementation* and nothing else that takes time.

        Raises:
            PluginError: It raised, or did not come back in time, now or once before.
        """
        with self._one_at_a_time:
            if implementation.plugin in self._given_up:
                raise self._no_answer(implementation)
            if self._jobs is None:
                self._jobs = queue.SimpleQueue()
                threading.Thread(
                    target=_work, args=(self._jobs,), name="ddbverify-plugins", daemon=True
                ).start()
            asked = _Job(job)
            self._jobs.put(asked)
            if not asked.done.acquire(timeout=self._seconds):
                self._given_up.add(implementation.plugin)
                self._jobs = None  # the next plugin gets a thread of its own
                raise self._no_answer(implementation)
        if isinstance(asked.error, _Refusal):
            raise asked.error
        if asked.error is not None:
            # Its text may hold values.
            raise implementation.refused(f"raised {type(asked.error).__name__}")
        return asked.answer  # type: ignore[no-any-return]  # what the job returned

    def _no_answer(self, implementation: Implementation) -> PluginError:
        return implementation.refused(f"did not answer within {self._seconds:g} s")


@dataclass(slots=True)
class _Job:
    work: Callable[[], Any]
    done: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    answer: Any = None
    error: BaseException | None = None


def _work(jobs: queue.SimpleQueue[_Job]) -> None:
    while True:
        job = jobs.get()
        try:
            job.answer = job.work()
        # Somebody else's code: whatever it raises, sys.exit included, is no answer.
        except BaseException as error:  # noqa: BLE001
            job.error = error
        job.done.release()
