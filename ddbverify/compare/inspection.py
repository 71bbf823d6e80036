"""
Checks on single items: run inside the shared pass, on items as `ddbverify.items.lazy` makes them.

What a check says counts only of a pair of items that belong together: equal as they were read, or
settled. A check that fails on a pair in flight is asked again when the pair has settled.
"""

from __future__ import annotations

import linecache
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NoReturn

import msgspec

from ddbverify import interrupts
from ddbverify.items.keys import JoinKey, typed_key
from ddbverify.items.lazy import LazyItem
from ddbverify.names import KeySchema, TypedItem

EXAMPLES_KEPT: Final = 5
ARGUMENTS: Final = ("source", "target", "expected")
BATCH: Final = 256  # items that are decoded at one time, per thread


@dataclass(frozen=True, slots=True)
class ItemCheck:
    """A user's function over ``source``, ``target`` and ``expected``, or some of them."""

    id: str  # unique
    name: str  # as people see it: ``check_orders.py::check_total``
    function: Callable[..., object]
    wants: tuple[str, ...]
    file: str = ""  # that it is written in
    only_different: bool = False  # it does not want to see items that are as expected
    stateless: bool = False  # it keeps nothing between items: any process may call it, in any order


@dataclass(frozen=True, slots=True)
class Refutation:
    """One item that a check failed on. The *key* is raw: see `ddbverify.compare.comparison.Difference`."""

    check: str
    key: TypedItem
    where: str  # file, line and source text of the assertion, without operands


@dataclass(slots=True)
class Inspected:
    """What one check has learned of one pair of tables."""

    calls: int = 0
    examined: int = 0  # pairs of items
    seconds: float = 0.0  # that the calls took
    missed: int = 0  # pairs that never held still
    refuted: int = 0
    examples: list[Refutation] = field(default_factory=list)  # the first `EXAMPLES_KEPT`
    places: Counter[str] = field(default_factory=Counter)  # file and line of the assertion -> items
    raised: Counter[str] = field(default_factory=Counter)  # what else than an assertion, and where

    def add(self, other: Inspected) -> None:
        """Add what the same check has learned elsewhere."""
        self.calls += other.calls
        self.examined += other.examined
        self.seconds += other.seconds
        self.missed += other.missed
        self.refuted += other.refuted
        self.examples += other.examples[: EXAMPLES_KEPT - len(self.examples)]
        self.places.update(other.places)
        self.raised.update(other.raised)


class ReturnedInsteadOfAsserted(Exception):
    """A check has returned something: ``return a == b`` passes on anything, and so does what only awaits."""


class Inspector:
    """
    Runs every check on every pair of items it is shown, one at a time: user code knows no threads.

    Items that are equal as they were read come in batches, and each check goes over a whole batch:
    there one object stands for all three items, decoded once for all checks.
    """

    def __init__(
        self,
        checks: Sequence[ItemCheck],
        target_keys: KeySchema,
        refuted: Callable[[Refutation], None] | None = None,
    ) -> None:
        """
        Start from nothing.

        Args:
            checks: Run in this order; without any, nothing is decoded.
            target_keys: Key schema of the target.
            refuted: Told of every refutation, one call at a time.
        """
        self.results = {check.id: Inspected() for check in checks}
        self._target_keys, self._refuted = target_keys, refuted
        self._all = [(check, self.results[check.id]) for check in checks]
        self._of_equal_items = [(check, result) for check, result in self._all if not check.only_different]
        self._lock = threading.Lock()
        self._running: tuple[ItemCheck, Inspected] | None = None

    def anew(self) -> Inspector:
        """The same checks, with nothing learned; nobody is told of what they refute."""
        return Inspector([check for check, _ in self._all], self._target_keys)

    def __bool__(self) -> bool:
        return bool(self._all)

    @property
    def wants_equal(self) -> bool:
        """Whether any check wants to see items that are equal; if none does they cost nothing."""
        return bool(self._of_equal_items)

    @property
    def running(self) -> tuple[ItemCheck, int] | None:
        """The check that is being called now, and a number that grows with its every call."""
        running = self._running
        return (running[0], running[1].calls) if running else None

    def learn(self, results: Mapping[str, Inspected]) -> None:
        """Add what the same checks have learned in another process."""
        with self._lock:
            for name, other in results.items():
                self.results[name].add(other)

    def tell(self, refutation: Refutation) -> None:
        """Hand on what a check in another process has found; it is counted by `learn`."""
        with self._lock:
            if self._refuted is not None:
                self._refuted(refutation)

    def equal(self, key_of: Callable[[msgspec.Raw], JoinKey], items: Sequence[msgspec.Raw]) -> None:
        """Show items that are the same on both sides."""
        for start in range(0, len(items), BATCH):
            batch = [LazyItem.of_raw(item) for item in items[start : start + BATCH]]
            with self._lock:
                for check, result in self._of_equal_items:
                    self._over(check, result, batch, lambda n: key_of(items[start + n]))  # noqa: B023

    def pair(
        self,
        key: Callable[[], JoinKey],
        source: LazyItem,
        target: LazyItem,
        expected: LazyItem,
        *,
        different: bool = False,
    ) -> None:
        """Show a pair of items that belong together; *different*: the target is not what is expected."""
        arguments = {"source": source, "target": target, "expected": expected}
        with self._lock:
            for check, result in self._all if different else self._of_equal_items:
                self._begin(check, result)
                self._called(check, result, key, [arguments[name] for name in check.wants])
            self._running = None

    def settled(
        self, key: JoinKey, pair: tuple[TypedItem, TypedItem, TypedItem] | None, *, different: bool
    ) -> None:
        """Show what a suspect has settled to; ``None``: both tables hold it, but never at one moment."""
        if pair is None:
            for _, result in self._all if different else self._of_equal_items:
                result.missed += 1
            return
        self.pair(lambda: key, *map(LazyItem.of_typed, pair), different=different)

    def _over(
        self, check: ItemCheck, result: Inspected, batch: Sequence[LazyItem], key: Callable[[int], JoinKey]
    ) -> None:
        """Call one check for each item of a batch. The one loop that is as long as the tables."""
        self._begin(check, result)
        began = time.perf_counter()
        function, count = check.function, len(check.wants)
        position = 0
        while position < len(batch):
            try:
                # Three loops, because an argument list that is made anew costs as much as the call.
                if count == 1:
                    for position in range(position, len(batch)):  # noqa: B020 - goes on where it stopped
                        result.calls += 1
                        if function(batch[position]) is not None:
                            _refuse_what_was_returned()
                elif count == 2:
                    for position in range(position, len(batch)):  # noqa: B020
                        result.calls += 1
                        one = batch[position]
                        if function(one, one) is not None:
                            _refuse_what_was_returned()
                else:
                    for position in range(position, len(batch)):  # noqa: B020
                        result.calls += 1
                        one = batch[position]
                        if function(one, one, one) is not None:
                            _refuse_what_was_returned()
            # User code: whatever it raises, sys.exit included, decides nothing and spoils no other.
            except BaseException as error:  # noqa: BLE001
                self._raised(check, result, error, lambda: key(position))  # noqa: B023
            position += 1
        result.examined += len(batch)
        result.seconds += time.perf_counter() - began
        self._running = None

    def _begin(self, check: ItemCheck, result: Inspected) -> None:
        self._running = (check, result)

    def _called(
        self, check: ItemCheck, result: Inspected, key: Callable[[], JoinKey], arguments: Sequence[LazyItem]
    ) -> None:
        result.calls += 1
        result.examined += 1
        began = time.perf_counter()
        try:
            if check.function(*arguments) is not None:
                _refuse_what_was_returned()
        except BaseException as error:  # noqa: BLE001 - as above
            self._raised(check, result, error, key)
        result.seconds += time.perf_counter() - began

    def _raised(
        self, check: ItemCheck, result: Inspected, error: BaseException, key: Callable[[], JoinKey]
    ) -> None:
        if isinstance(error, KeyboardInterrupt) and interrupts.came():
            raise error
        if not isinstance(error, AssertionError):
            result.raised[f"{kind_of(type(error))} {_where(error, check)}"] += 1
            return
        refutation = Refutation(check.name, typed_key(key(), self._target_keys), _where(error, check))
        result.refuted += 1
        result.places[refutation.where.removeprefix("at ").partition(": ")[0]] += 1
        if len(result.examples) < EXAMPLES_KEPT:
            result.examples.append(refutation)
        if self._refuted is not None:
            self._refuted(refutation)


def _refuse_what_was_returned() -> NoReturn:
    raise ReturnedInsteadOfAsserted


def kind_of(kind: type) -> str:
    """
    The name of a class, such as an exception's, as it may be shown.

    One that was made while code ran can be called anything, after an item for instance: then it is
    the name of the nearest class above it that stands in a module under its own name.
    """
    for one in kind.__mro__:
        name = str(one.__name__)
        if getattr(sys.modules.get(one.__module__), name, None) is one:
            return name
    return "object"


def _where(error: BaseException, check: ItemCheck) -> str:
    """The last line of the check's own file that the error went through; never its text: it holds values."""
    file = check.file
    lines = [
        number for frame, number in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == file
    ]
    if not lines:
        return f"outside {name_of_file(file)}"
    return f"at {name_of_file(file)}:{lines[-1]}: {linecache.getline(file, lines[-1]).strip()}"


def name_of_file(file: str) -> str:
    """The last part of a path, whatever separates its parts."""
    return file.replace("\\", "/").rpartition("/")[2]
