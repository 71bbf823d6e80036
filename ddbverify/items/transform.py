"""
A user's transform: loaded strictly, its results held to the contract.

Backfill, consumer and verifier run the same function through the same `Transform`.
Standard library only: the consumer imports this module in Lambda.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Context
from pathlib import Path
from typing import Any

from ddbverify.errors import ConfigurationError, TransformError
from ddbverify.items.values import ValueNotAllowed, item_from_typed, item_to_typed
from ddbverify.names import KeySchema, TypedItem

TransformFunction = Callable[[dict[str, Any]], Any]
"""``item -> item | None``; with ``rekeys`` also ``item -> list of items``. Pure."""

_KEY_DIGITS = Context(prec=38)  # as many as a DynamoDB number has

MANIFEST = "ddbverify-transforms.json"
"""In a bundle: ``module:function`` of each transform -> places of the files that its digest is over."""

BUNDLE = Path(__file__).parents[2]
"""Where the bundle is unpacked that this module is in."""


@dataclass(frozen=True, slots=True)
class Before:
    """What a function has made of an item in a call before; ``None``: it raised."""

    results: list[TypedItem] | None

    @classmethod
    def of(cls, result: Any) -> Before | None:
        """
        What was returned, in typed form: two results may share a list that grows with every call.

        It is ``None`` where that cannot be had. The contract is asked of the next call's result.
        """
        results = [] if result is None else result if isinstance(result, list) else [result]
        try:
            return cls([item_to_typed(one) for one in results])
        # Reading it can run the user's code again. What is wrong the next call shows, and says.
        except (Exception, SystemExit, GeneratorExit):  # noqa: BLE001
            return None


@dataclass(frozen=True, slots=True)
class Transform:
    """
    What a source item becomes in the target.

    Args:
        name: ``module:function`` as configured; empty for the identity.
        function: The user's function, ``None`` for the identity.
        source_keys: Key schema of the source.
        target_keys: Key schema of the target, in the same order (hash key, sort key).
        rekeys: Whether the target's key may differ from the source's.
    """

    name: str
    function: TransformFunction | None
    source_keys: KeySchema
    target_keys: KeySchema
    rekeys: bool = False

    @classmethod
    def load(
        cls, name: str | None, source_keys: KeySchema, target_keys: KeySchema, *, rekeys: bool
    ) -> Transform:
        """
        The transform that a pair names, the identity where it names none.

        Raises:
            ConfigurationError: It does not load.
        """
        return cls(name or "", load_function(name) if name else None, source_keys, target_keys, rekeys)

    def __call__(
        self, item: TypedItem, *, twice: bool = False, before: Before | None = None
    ) -> list[TypedItem]:
        """
        The target items of one source item, in typed form; empty when it has none.

        Args:
            item: It is not changed, whatever the function does with its own copy.
            twice: Whether to take only a result that comes twice.
            before: What a call on *item* has made before, which is the first of the two then.

        Raises:
            TransformError: The function raised, returned what the target cannot hold, or gave
                two results. The message names types and attributes, never values.
        """
        if self.function is None:
            return [item]
        typed = self._typed(item, self._called(self.function, item))
        if not twice:
            return typed
        again = self._typed(item, self._called(self.function, item)) if before is None else before.results
        if again != typed:
            raise self._error(
                "gave two results for one item",
                "make the result depend on the item alone: no clock, no chance, nothing kept between calls",
            )
        return typed

    def _called(self, function: TransformFunction, item: TypedItem) -> Any:
        try:
            return function(item_from_typed(item))
        # The user's code may raise anything, and call `sys.exit`; its text may hold values, so only the type
        # is kept.
        except (Exception, SystemExit, GeneratorExit) as error:  # noqa: BLE001
            what = f"raised {type(error).__name__}"
            raise self._error(what, "run it on that item in a unit test") from None

    def _typed(self, item: TypedItem, result: Any) -> list[TypedItem]:
        results = [] if result is None else result if isinstance(result, list) else [result]
        if isinstance(result, list) and not self.rekeys:
            raise self._error("returned a list", "return one item or None, or set rekeys = true for the pair")
        try:
            typed: list[TypedItem] = [checked_item(one, self.target_keys, self._error) for one in results]
        except TransformError:
            raise
        except RecursionError:
            what = "returned an item that is nested without end"
            raise self._error(what, "return no list or dict that holds itself") from None
        # Reading it can run the user's code again: what loads when it is looked at.
        except (Exception, SystemExit, GeneratorExit) as error:  # noqa: BLE001
            what = f"returned what cannot be read: {type(error).__name__}"
            raise self._error(what, "return plain values") from None
        self._check_keys(item, typed)
        return typed

    def target_key(self, item: TypedItem) -> dict[str, Any]:
        """The key attributes of a target item."""
        return {name: item[name] for name in self.target_keys}

    def target_key_of(self, source_key: TypedItem) -> dict[str, Any]:
        """
        The target key that belongs to a source key, where keys go one to one.

        Raises:
            ValueError: The pair re-keys, so no key tells without its item.
        """
        if self.rekeys:
            raise ValueError("a re-keying pair has no target key without the item")
        return {new: source_key[old] for old, new in zip(self.source_keys, self.target_keys, strict=True)}

    def _check_keys(self, item: TypedItem, results: Sequence[TypedItem]) -> None:
        if self.rekeys:
            keys = {canonical_key(self.target_key(result), self.target_keys) for result in results}
            if len(keys) != len(results):
                raise self._error(
                    "returned two items with one target key", "make the keys of the list differ"
                )
            return
        source_key = {name: item[name] for name in self.source_keys}
        target_key = self.target_key_of(source_key)
        for result in results:
            if self.target_key(result) == target_key:  # in one spelling, as nearly all are
                continue
            wanted = canonical_key(target_key, self.target_keys)
            if canonical_key(self.target_key(result), self.target_keys) != wanted:
                raise self._error(
                    "changed the item's key",
                    "keep the values of the key attributes, or set rekeys = true for the pair",
                )

    def _error(self, what: str, hint: str) -> TransformError:
        return TransformError(f"The transform {self.name} {what}.", f"{hint}.")


def checked_item(result: Any, keys: KeySchema, error: Callable[[str, str], TransformError]) -> dict[str, Any]:
    """
    What a function of the user's has returned, in typed form; an item of a table with *keys*.

    Args:
        error: Makes the error of what is wrong and what to do.

    Raises:
        TransformError: It is no item, or none of that table. Whatever reading it raises comes out, too.
    """
    if not isinstance(result, Mapping):
        raise error(f"returned a {type(result).__name__}", "return a dict, or None for no item")
    try:
        typed = item_to_typed(result)
    except ValueNotAllowed as why:
        hint = "return only str, Decimal, int, bool, None, bytes, dict, list and set"
        raise error(f"returned {why}", hint) from None
    for name, kind in keys.items():
        value = typed.get(name)
        if value is None or set(value) != {kind} or value[kind] == "":
            raise error(
                f"returned an item without a valid key attribute {name!r} ({kind})",
                "return every key attribute of the table, of its type and not empty",
            )
    return typed


def canonical_key(key: TypedItem, schema: KeySchema) -> str:
    """
    One text per key, whatever the spelling of its numbers; equal exactly when the keys are.

    Args:
        key: Key attributes in typed form; further attributes are ignored.
        schema: Which attributes, and in which order.
    """
    parts = []
    for name, kind in schema.items():
        content = key[name][kind]
        if kind == "N" and not _is_canonical(content):
            # Not with the default context: its 28 digits would make one key of two.
            number = _KEY_DIGITS.normalize(item_from_typed({"n": {"N": content}})["n"])
            content = str(number) if number else "0"
        elif kind == "B" and isinstance(content, bytes):
            content = item_to_typed({"b": content})["b"]["B"]
        parts.append(f"{kind}{len(content)}:{content}")
    return "".join(parts)


def _is_canonical(number: str) -> bool:
    """Whether a number is a plain integer that is spelt the one way that `canonical_key` spells it."""
    return number.isascii() and number.isdigit() and number[0] != "0" and number[-1] != "0"


def key_hash(key: TypedItem, schema: KeySchema) -> str:
    """64 hexadecimal digits that stand for a key in the ledger, in groups and in logs."""
    return hashlib.sha256(canonical_key(key, schema).encode("utf-8", "surrogatepass")).hexdigest()


def load_function(name: str, what: str = "transform") -> TransformFunction:
    """
    Import ``module:function``, from `sys.path` as it stands.

    Args:
        what: What it is to the user, in messages.

    Raises:
        ConfigurationError: No such module, no such function, or the import raised. Never
            the identity instead.
    """
    module_name, _, function_name = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    # An import runs the user's code; whatever it raises, the transform cannot be used.
    except (Exception, SystemExit) as error:
        raise ConfigurationError(
            f"The {what} {name} does not load: {type(error).__name__}: {error}",
            "run in the folder that holds its package, or install the package beside ddbverify.",
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise ConfigurationError(
            f"The {what} {name} does not load: {module_name} has no function {function_name}.",
            f"Python has a module {module_name} of its own, which is found first: rename yours."
            if module_name.partition(".")[0] in sys.stdlib_module_names
            else f"mend the name of the {what}.",
        )
    return function  # type: ignore[no-any-return]  # callable() narrows Any to a bare callable


def contents_digest(contents: Mapping[str, bytes]) -> str:
    """SHA-256, in hex, over the places of files and what is in them."""
    digest = hashlib.sha256()
    for place, content in sorted(contents.items()):
        digest.update(f"{len(place)}:{place}{len(content)}:".encode() + content)
    return digest.hexdigest()


def bundled_digest(name: str, bundle: Path = BUNDLE) -> str:
    """
    The digest of the files of a transform as they lie in a bundle; empty if that was made without it.

    Args:
        name: ``module:function``.
        bundle: Where the bundle is unpacked; its `MANIFEST` names the files.

    Raises:
        OSError: One of them, or the list, is not there.
    """
    places = json.loads((bundle / MANIFEST).read_text(encoding="utf-8")).get(name)
    if not places:
        return ""
    return contents_digest({place: (bundle / place).read_bytes() for place in places})
