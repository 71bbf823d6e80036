"""
Checks on single items: run inside the shared pass, on items that decode an attribute when it is touched.

What a check says counts only of a pair of items that belong together: equal as they were read, or
settled. A check that fails on a pair in flight is asked again when the pair has settled.
"""

from __future__ import annotations

import inspect
import linecache
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

import msgspec

from ddbverify.items import JoinKey, typed_key
from ddbverify.names import KeySchema, TypedItem, TypedValue
from ddbverify.values import from_typed

EXAMPLES_KEPT: Final = 5
ARGUMENTS: Final = ("source", "target", "expected")

_VALUES = msgspec.json.Decoder(dict[str, msgspec.Raw])
_VALUE = msgspec.json.Decoder(dict[str, Any])
_SHARED = (str, bytes, bool, type(None))  # and Decimal: what a check cannot change for the next one


class LazyItem(Mapping[str, Any]):
    """
    One item, read-only: Python's own values (Decimal, bytes, set, ...), each decoded when touched.

    ``item["name"]`` raises KeyError where there is no such attribute; ``item.get`` and ``in`` work
    as in any mapping.
    """

    __slots__ = ("_decoded", "_raw", "_values")

    def __init__(self, values: Mapping[str, TypedValue] | None, raw: bytes | msgspec.Raw = b"") -> None:
        """Use `of_raw` or `of_typed`."""
        self._values: Mapping[str, Any] | None = values
        self._raw = raw
        self._decoded: dict[str, Any] = {}

    @classmethod
    def of_raw(cls, raw: bytes | msgspec.Raw) -> Self:
        """An item slice of a scan page."""
        return cls(None, raw)

    @classmethod
    def of_typed(cls, item: TypedItem) -> Self:
        """An item in DynamoDB's typed form."""
        return cls(item)

    def __getitem__(self, name: str) -> Any:
        if name in self._decoded:
            return self._decoded[name]
        value = self._typed[name]
        typed = _VALUE.decode(value) if isinstance(value, msgspec.Raw) else value
        made = from_typed(typed)
        if isinstance(made, _SHARED) or "N" in typed:
            self._decoded[name] = made
        return made

    def __iter__(self) -> Iterator[str]:
        return iter(self._typed)

    def __len__(self) -> int:
        return len(self._typed)

    def __contains__(self, name: object) -> bool:
        return name in self._typed

    def __repr__(self) -> str:
        return f"<item with {', '.join(sorted(self))}>"  # names only: a repr ends up in logs

    @property
    def _typed(self) -> Mapping[str, Any]:
        if self._values is None:
            self._values = _VALUES.decode(self._raw)
        return self._values


@dataclass(frozen=True, slots=True)
class ItemCheck:
    """A user's function over ``source``, ``target`` and ``expected``, or some of them."""

    id: str  # unique
    name: str  # as people see it: ``check_orders.py::check_total``
    function: Callable[..., object]
    wants: tuple[str, ...]

    @classmethod
    def of(cls, function: Callable[..., object]) -> Self:
        """
        Look at the function's arguments.

        Raises:
            TypeError: It has others than `ARGUMENTS`, or none.
        """
        wants = tuple(inspect.signature(function).parameters)
        if not wants or not set(wants) <= set(ARGUMENTS):
            raise TypeError(
                f"{function.__qualname__}({', '.join(wants)}): an @each_item check takes "
                f"{', '.join(ARGUMENTS)}, or some of them; a check of a whole pair takes `pair` and "
                "needs no decorator"
            )
        name = f"{_name(inspect.getfile(function))}::{function.__qualname__}"
        return cls(f"{function.__module__}.{function.__qualname__}", name, function, wants)


@dataclass(frozen=True, slots=True)
class Refutation:
    """One item that a check failed on. The *key* is raw: see `ddbverify.comparison.Difference`."""

    check: str
    key: TypedItem
    where: str  # file, line and source text of the assertion, without operands


@dataclass(slots=True)
class Inspected:
    """What one check has learned of one pair of tables."""

    examined: int = 0  # pairs of items
    missed: int = 0  # pairs that never held still
    refuted: int = 0
    examples: list[Refutation] = field(default_factory=list)  # the first `EXAMPLES_KEPT`
    raised: Counter[str] = field(default_factory=Counter)  # what else than an assertion, and where


class Inspector:
    """Runs every check on every pair of items it is shown, one at a time: user code knows no threads."""

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
        self._checks, self._target_keys, self._refuted = tuple(checks), target_keys, refuted
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._checks)

    def equal(self, key_of: Callable[[msgspec.Raw], JoinKey], item: msgspec.Raw) -> None:
        """Show an item that is the same on both sides."""
        shown = LazyItem.of_raw(item)
        self.pair(lambda: key_of(item), shown, shown, shown)

    def settled(self, key: JoinKey, pair: tuple[TypedItem, TypedItem, TypedItem] | None) -> None:
        """Show what a suspect has settled to; ``None``: both tables hold it, but never at one moment."""
        if pair is None:
            for result in self.results.values():
                result.missed += 1
            return
        self.pair(lambda: key, *map(LazyItem.of_typed, pair))

    def pair(
        self, key: Callable[[], JoinKey], source: LazyItem, target: LazyItem, expected: LazyItem
    ) -> None:
        """Show a pair of items that belong together."""
        arguments = {"source": source, "target": target, "expected": expected}
        with self._lock:
            for check in self._checks:
                result = self.results[check.id]
                result.examined += 1
                try:
                    check.function(*[arguments[name] for name in check.wants])
                except AssertionError as error:
                    refutation = Refutation(
                        check.name, typed_key(key(), self._target_keys), _where(error, check)
                    )
                    result.refuted += 1
                    if len(result.examples) < EXAMPLES_KEPT:
                        result.examples.append(refutation)
                    if self._refuted is not None:
                        self._refuted(refutation)
                # User code: whatever it raises, sys.exit included, decides nothing and spoils no other.
                except (Exception, SystemExit) as error:  # noqa: BLE001
                    result.raised[f"{type(error).__name__} {_where(error, check)}"] += 1


def _where(error: BaseException, check: ItemCheck) -> str:
    """The last line of the check's own file that the error went through; never its text: it holds values."""
    file = inspect.getfile(check.function)
    lines = [
        number for frame, number in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == file
    ]
    if not lines:
        return f"outside {_name(file)}"
    return f"at {_name(file)}:{lines[-1]}: {linecache.getline(file, lines[-1]).strip()}"


def _name(file: str) -> str:
    return file.replace("\\", "/").rpartition("/")[2]
