"""Code that stops before each of its requests, so that a model can choose who goes on, and how."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any

from tests.replicator.fakes import no_answer, refusal


class Killed(BaseException):
    """The process is gone: no ``except`` of the product runs on."""


class Fate(Enum):
    """What becomes of a request."""

    GOES_WELL = "goes well"
    REFUSED = "refused for now"
    LOST = "never arrives, no answer"
    UNANSWERED = "carried out, no answer"
    KILLED_BEFORE = "the caller dies before it"
    KILLED_AFTER = "the caller dies after it"

    def __repr__(self) -> str:
        return f"Fate.{self.name}"


class Actor:
    """
    One run of *work*; its clients are made by `client`.

    Nothing runs at the same time as anything else: the actor's thread holds still while the
    model's runs, and the other way round. `finish` on a run that never stopped needs no thread.
    """

    def __init__(self, work: Callable[[Actor], Any]) -> None:
        self._work = work
        self._thread: threading.Thread | None = None
        self._mine, self._yours = threading.Semaphore(0), threading.Semaphore(0)
        self._fate = Fate.GOES_WELL
        self.request = ""  # what it is about to ask for
        self.table = ""  # of it, where it names one
        self.over = False
        self.result: Any = None
        self.error: BaseException | None = None

    def client(self, client: Any) -> Any:
        """*client*, with a stop before each request."""
        return _Client(client, self)

    def start(self) -> None:
        """Run to the first request."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._yours.acquire()

    def step(self, fate: Fate = Fate.GOES_WELL) -> None:
        """Let the request have its *fate*, and run to the next one."""
        assert not self.over
        self._fate = fate
        self._mine.release()
        self._yours.acquire()

    def finish(self) -> None:
        """Run to the end, every request going well."""
        if self._thread is None:
            self._run()
        while not self.over:
            self.step()

    def ask(self, name: str, call: Callable[[], Any]) -> Any:
        """One request of the actor's."""
        if self._thread is None:
            return call()
        self.request = name
        self._yours.release()
        self._mine.acquire()
        fate = self._fate
        if fate is Fate.KILLED_BEFORE:
            raise Killed
        if fate is Fate.REFUSED:
            raise refusal("ThrottlingException", name)
        if fate is Fate.LOST:
            raise no_answer()
        answer = call()
        if fate is Fate.UNANSWERED:
            raise no_answer()
        if fate is Fate.KILLED_AFTER:
            raise Killed
        return answer

    def _run(self) -> None:
        try:
            self.result = self._work(self)
        # Kept for the model, which tells a failed run from a bug.
        except BaseException as error:
            self.error = error
        self.over = True
        self._yours.release()


class _Client:
    def __init__(self, client: Any, actor: Actor) -> None:
        self._client, self._actor = client, actor

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if name == "get_paginator":
            return lambda operation: _Paginator(method(operation), operation, self._actor)

        def call(**arguments: Any) -> Any:
            self._actor.table = arguments.get("TableName", "")
            return self._actor.ask(name, lambda: method(**arguments))

        return call


class _Paginator:
    def __init__(self, paginator: Any, operation: str, actor: Actor) -> None:
        self._paginator, self._operation, self._actor = paginator, operation, actor

    def paginate(self, **arguments: Any) -> Iterator[Any]:
        pages = iter(self._paginator.paginate(**arguments))
        while (page := self._actor.ask(self._operation, lambda: next(pages, None))) is not None:
            yield page
