"""
A worker's process: it forwards and applies, by direction and pair, until it is told to end.

Streams are read in threads, one a pair; one more tells CloudWatch of them. Changes are applied in the main
thread, which alone can end a transform that hangs (`replicator.handlers.limit`); more at once are more
processes.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final

from ddbverify.config import Pair
from ddbverify.errors import ConfigurationError, DdbVerifyError
from replicator.aws.workers import CONSUMER, FORWARDER
from replicator.context import live
from replicator.context.context import Context
from replicator.worker.consuming import Consuming, OtherTransform
from replicator.worker.forwarding import Forwarding
from replicator.worker.leases import Keeper, Terms
from replicator.worker.telling import tell

PARTS: Final = (FORWARDER, CONSUMER)

_log = logging.getLogger(__name__)

_LOOK_EVERY: Final = 5.0  # seconds, for directions that have begun or ended
_LONGEST_PAUSE: Final = 30.0  # seconds, behind errors in a row
_IDLE: Final = 0.5  # seconds
_TELL_EVERY: Final = 60.0  # seconds, how far streams are read: the alarm counts minutes
_END_WITHIN: Final = 60.0  # seconds, for the readers to end; one that hangs must not hold the others
_LONG_POLL: Final = 1  # second: so long does switching off wait for an idle worker


@dataclass(slots=True)
class _Pause:
    """How long to wait behind a turn: longer behind each error in a row."""

    seconds: float = 0.0

    def after(self, *, found: bool) -> float:
        self.seconds = 0.0
        return 0.0 if found else _IDLE

    def after_error(self) -> float:
        self.seconds = min(_LONGEST_PAUSE, max(1.0, 2 * self.seconds))
        return self.seconds


@dataclass(slots=True)
class _Reader:
    """The thread that forwards one pair."""

    thread: threading.Thread
    stop: threading.Event
    forwarding: Forwarding

    def end(self, deadline: float) -> bool:
        """Whether it ended by *deadline* (`time.monotonic`); one that has not is let go, with its leases."""
        self.stop.set()
        self.thread.join(max(0.0, deadline - time.monotonic()))
        if self.thread.is_alive():
            self.forwarding.abandon()
        return not self.thread.is_alive()


@dataclass(slots=True)
class Worker:
    """
    One process.

    Args:
        context: Of the migration.
        parts: Which of `PARTS` it does.
        stop: Set from outside: what is in hand is finished, leases are given back, and `run` returns.
        tell: Told, once each, what the operator should know.
        meanwhile: Called now and then in the main thread, between two batches.
    """

    context: Context
    parts: Collection[str]
    stop: threading.Event
    tell: Callable[[str], None]
    meanwhile: Callable[[Context], None] = lambda _: None
    _terms: Terms = field(init=False)
    _keeper: Keeper = field(init=False)
    _readers: dict[tuple[int, str], _Reader] = field(default_factory=dict)
    _consumers: dict[tuple[int, str], Consuming] = field(default_factory=dict)
    _pauses: dict[tuple[int, str], _Pause] = field(default_factory=dict)
    _said: str = ""

    def __post_init__(self) -> None:
        self._terms = Terms.of(emulator=self.context.emulator)
        self._keeper = Keeper(self._terms, self._say)

    def run(self) -> list[str]:
        """
        Work until `stop` is set.

        Returns:
            Names of the readers that hang and were left: their leases end by themselves.

        Raises:
            ConfigurationError: The settings cannot be worked with.
            OtherTransform: Only a worker that is started anew can know the right one.
        """
        self._keeper.start()
        if not self.context.emulator:  # which has no alarms, and often no CloudWatch
            threading.Thread(target=self._tell, name="metric", daemon=True).start()
        try:
            self._work()
            for consuming in self._consumers.values():  # not behind an error: something may be under way
                consuming.release()
        finally:
            left = self._end(list(self._readers.values()))
            self._keeper.stop()
        return left

    def _end(self, readers: Collection[_Reader]) -> list[str]:
        """End readers; the names of those that hang."""
        deadline, left = time.monotonic() + _END_WITHIN, []
        for reader in readers:
            reader.stop.set()
        for reader in readers:
            if not reader.end(deadline):
                left.append(reader.thread.name)
                _log.warning("hangs", extra={"reader": reader.thread.name})
                self._say(f"{reader.thread.name} hangs and is left; its leases end by themselves")
        return left

    def _tell(self) -> None:
        """Put the metric each minute, in a thread of its own: a batch or an audit may take longer."""
        while not self.stop.is_set():
            try:
                for direction in live.around(self.context) if self.context.begun() else ():
                    tell(direction)
            except Exception as error:  # noqa: BLE001  # the work has to go on; the alarm says what is missing
                self._failed("put the metric that the worker's alarm waits for", error)
            self.stop.wait(_TELL_EVERY)

    def _work(self) -> None:
        looked, pause = 0.0, _Pause()
        while not self.stop.is_set():
            if time.monotonic() - looked >= _LOOK_EVERY or not looked:
                looked = time.monotonic()
                try:
                    self._refresh()
                    self.meanwhile(self.context)
                    pause.after(found=True)
                except ConfigurationError:
                    raise
                except Exception as error:  # noqa: BLE001  # AWS may be away for hours, and the work has to go on
                    self._failed("look at the migration", error)
                    self.stop.wait(pause.after_error())
                    continue
            if not self._consume():
                self.stop.wait(_IDLE)

    def _refresh(self) -> None:
        """Work on the directions that have begun; none before `up`, and none behind `down`."""
        found: dict[tuple[int, str], tuple[Context, Pair]] = {}
        if self.context.begun():
            for direction in live.around(self.context):
                found |= {(direction.cycle, pair.id): (direction, pair) for pair in direction.config.tables}
            self._say("at work")
        else:
            self._say("waiting for `replicator up`")
        self._end([self._readers.pop(key) for key in self._readers.keys() - found.keys()])
        for key in [key for key, reader in self._readers.items() if not reader.thread.is_alive()]:
            self._died(self._readers.pop(key))  # and is started anew below
        for key in self._consumers.keys() - found.keys():
            self._consumers.pop(key).release()
        for key, (direction, pair) in found.items():
            if FORWARDER in self.parts and key not in self._readers:
                self._readers[key] = self._reader(direction, pair)
            if CONSUMER in self.parts and key not in self._consumers:
                self._consumers[key] = Consuming(
                    direction, pair, self._keeper, self._terms, direction.target_identity
                )

    def _consume(self) -> bool:
        """One batch of each pair."""
        wait = _LONG_POLL if len(self._consumers) == 1 else 0
        found = False
        for key, consuming in self._consumers.items():
            if self.stop.is_set():
                break
            try:
                found |= consuming.turn(wait)
                self._pauses.pop(key, None)
            except OtherTransform:
                raise
            except Exception as error:  # noqa: BLE001  # as in a function: the batch comes again
                self._failed(f"apply a batch of {consuming.pair}", error)
                self.stop.wait(self._pauses.setdefault(key, _Pause()).after_error())
        return found

    def _reader(self, direction: Context, pair: Pair) -> _Reader:
        stop = threading.Event()
        forwarding = Forwarding(direction, pair, self._keeper, self._terms, direction.target_identity)

        def read() -> None:
            pause = _Pause()
            while not stop.is_set() and not self.stop.is_set():
                try:
                    seconds = pause.after(found=forwarding.turn())
                except Exception as error:  # noqa: BLE001  # as in a function: it is read again from its place
                    self._failed(f"forward {pair}", error)
                    seconds = pause.after_error()
                stop.wait(seconds)
            try:
                forwarding.release()
            except Exception as error:  # noqa: BLE001  # a lease that is left behind expires
                self._failed(f"give back the shards of {pair}", error)

        thread = threading.Thread(target=read, name=f"forwarder-{pair.id}", daemon=True)
        thread.start()
        return _Reader(thread, stop, forwarding)

    def _died(self, reader: _Reader) -> None:
        reader.forwarding.abandon()
        _log.warning("died", extra={"reader": reader.thread.name})
        self._say(f"{reader.thread.name} has died and is started anew; its leases end by themselves")

    def _failed(self, doing: str, error: Exception) -> None:
        # The type, and ours in words; the text of others' may hold values.
        told = error.message if isinstance(error, DdbVerifyError) else type(error).__name__
        _log.warning("failed", extra={"doing": doing, "error": told})
        self._say(f"could not {doing}: {told}; trying again")

    def _say(self, text: str) -> None:
        if text != self._said:
            self._said = text
            self.tell(text)
