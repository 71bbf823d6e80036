"""
Checks on items that see equal ones, in tasks: how they get there, what they have learned, and its proof.

A task calls them by the same `Inspector` as a process of one machine does, on the items that it has. What
they have learned comes back in the task's receipt, and what they refute in rows of its own. No item does.
"""

from __future__ import annotations

import hashlib
import inspect
import io
import linecache
import pickle
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from ddbverify.code.places import is_environment
from ddbverify.compare.inspection import Inspected, Inspector, ItemCheck, Refutation
from ddbverify.compare.processes import PlacedCheck
from ddbverify.errors import ConfigurationError
from ddbverify.names import KeySchema
from ddbverify.spark.receipts import not_whole
from ddbverify.words import page

REFUTED_AT_ONCE: Final = 500
"""That travel in one row."""


@dataclass(frozen=True, slots=True)
class TaskChecks:
    """The checks of a pass that want to see every pair of items, as tasks are given them."""

    placed: tuple[PlacedCheck, ...] = ()
    code: Mapping[str, str] = field(default_factory=dict)  # name of a module -> SHA-256 of its file
    folders: tuple[str, ...] = ()  # that modules are looked for in, where they are there
    filters: tuple[Any, ...] = ()  # of warnings

    @classmethod
    def of(cls, checks: Iterable[ItemCheck]) -> TaskChecks:
        """
        Those of *checks* that see equal items; there may be none.

        Raises:
            ConfigurationError: One keeps something between items, or cannot be found by a task.
        """
        placed = tuple(_placed(check) for check in checks if not check.only_different)
        if not placed:
            return cls()
        code = {one.place.module: _digest_of(sys.modules[one.place.module]) for one in placed}
        folders = (path or str(Path.cwd()) for path in sys.path)
        own = tuple(path for path in folders if not is_environment(str(Path(path) / "x")))
        # A category that is nobody's but pytest's, say, need not be where the task is.
        filters = (one for one in warnings.filters if one[2].__module__ == "builtins")
        return cls(placed, code, own, tuple(filters))

    def __bool__(self) -> bool:
        return bool(self.placed)

    def inspector(self, target_keys: KeySchema, refuted: Callable[[Refutation], None]) -> Inspector:
        """
        What calls the checks in this process, with nothing learned.

        Args:
            target_keys: Key schema of the target.
            refuted: Told of every refutation.

        Raises:
            ConfigurationError: A check does not load here, or is another one than where the run is.
        """
        for path in self.folders:
            if path not in sys.path and Path(path).exists():
                sys.path.append(path)
        with self.silently():
            return Inspector([self._loaded(one) for one in self.placed], target_keys, refuted)

    @contextmanager
    def silently(self) -> Iterator[None]:
        """Call code of the user's: what it prints may hold values, and logs of a cluster stay."""
        nowhere = _Nowhere()
        with redirect_stdout(nowhere), redirect_stderr(nowhere), warnings.catch_warnings():
            warnings.filters[:] = self.filters  # type: ignore[index]
            yield

    def _loaded(self, placed: PlacedCheck) -> ItemCheck:
        name, place = placed.check.name, placed.place
        if place.file is None or not Path(place.file).is_file():  # as a part of an archive, perhaps
            place = replace(place, file=None)
        try:
            check = replace(placed, place=place).loaded()
            module = sys.modules[place.module]
            is_same = _digest_of(module) == self.code[place.module]
        # Whatever the user's module raises may quote what it has read.
        except BaseException as error:  # noqa: BLE001
            raise _not_here(f"{name} does not load in a task of Spark ({type(error).__name__})") from None
        if not is_same:
            raise _not_here(f"{name} is another one in a task of Spark than where the run is")
        file = inspect.getfile(check.function)
        linecache.lazycache(file, vars(module))  # its text may be in an archive
        return replace(check, file=file)


def _placed(check: ItemCheck) -> PlacedCheck:
    placed = PlacedCheck.of(check)
    if placed is None and not check.stateless:
        raise ConfigurationError(
            f"{check.name} is a check on items, and tasks call only such as keep nothing between items.",
            "mark it @check(stateless=True) if that is so (--reveal keeps what checks say), or "
            '@each_item(only="different") if that will do.',
        )
    if placed is None or placed.place.file is None:
        raise ConfigurationError(
            f"{check.name} is a check on items that no task can find in its module.",
            "define it at the top level of its module.",
        )
    return placed


def _not_here(what: str) -> ConfigurationError:
    return ConfigurationError(
        f"The check on items {what}.",
        f"put the same files of the checks where every task finds them; see {page('spark.md')}.",
    )


def _digest_of(module: Any) -> str:
    text: bytes = module.__spec__.loader.get_data(module.__file__)
    return hashlib.sha256(text).hexdigest()


class _Nowhere(io.TextIOBase):
    """Takes what is printed, and keeps nothing."""

    def write(self, text: str) -> int:
        return len(text)


# --- what comes back ------------------------------------------------------------------------


class Refutations:
    """What the checks of one task refute, in rows' contents."""

    def __init__(self) -> None:
        """There is none yet."""
        self._some: list[Refutation] = []

    def take(self, one: Refutation) -> None:
        """Take one."""
        self._some.append(one)

    def due(self, *, at_least: int = REFUTED_AT_ONCE) -> Iterator[bytes]:
        """Contents of rows, once so many wait."""
        while self._some and len(self._some) >= at_least:
            some, self._some = self._some[:REFUTED_AT_ONCE], self._some[REFUTED_AT_ONCE:]
            yield pickle.dumps(some, pickle.HIGHEST_PROTOCOL)


def refutations_in(content: bytes) -> list[Refutation]:
    """Of one row."""
    some: list[Refutation] = pickle.loads(content)  # noqa: S301 - a task of ours has made it
    return some


def learned(inspector: Inspector | None) -> bytes:
    """What the checks of a task have learned, for its receipt; nothing where there are none."""
    return b"" if inspector is None else pickle.dumps(inspector.results, pickle.HIGHEST_PROTOCOL)


def seen_by_all(checks: TaskChecks, receipt: bytes, matched: int) -> Mapping[str, Inspected]:
    """
    What checks have learned in one task, if each has seen every pair of items that the task found equal.

    Args:
        checks: That the task was given.
        receipt: As `learned` has made it.
        matched: Pairs of items that the task has found equal.

    Raises:
        Inconclusive: A check has not seen all of them.
    """
    results: Mapping[str, Inspected] = pickle.loads(receipt) if receipt else {}  # noqa: S301 - likewise
    wanted = {one.check.id for one in checks.placed}
    if results.keys() != wanted or any(one.examined != matched for one in results.values()):
        raise not_whole(
            f"of {matched:,} pairs of items that a task found equal, not every check has seen all"
        )
    return results


def require_all_told(results: Iterable[Mapping[str, Inspected]], told: int) -> None:
    """Raises Inconclusive unless as many refutations came back as tasks have counted in *results*."""
    counted = sum(one.refuted for some in results for one in some.values())
    if counted != told:
        raise not_whole(f"checks on items have refuted {counted:,} items, and {told:,} refutations came back")
