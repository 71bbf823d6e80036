"""
A user's inverse of a transform: loaded strictly, its results held to the contract.

What the source becomes when the application writes the target. Two laws make it one, see
``docs/transforms.md``: ``transform(inverse(item, before)) == item``, and
``inverse(transform(item), item) == item``. Standard library only, like `ddbverify.items.transform`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ddbverify.errors import ConfigurationError, TransformError
from ddbverify.items.transform import canonical_key, checked_item, load_function
from ddbverify.items.values import item_from_typed
from ddbverify.names import KeySchema, TypedItem

InverseFunction = Callable[..., Any]
"""``inverse(item)`` or ``inverse(item, before)``: a target item -> a source item. Pure."""

_BEFORE: Final = "before"


@dataclass(frozen=True, slots=True)
class Inverse:
    """
    What a target item becomes in the source.

    Args:
        name: ``module:function`` as configured.
        function: The user's function.
        source_keys: Key schema of the source.
        target_keys: Key schema of the target, in the same order (hash key, sort key).
        takes_before: Whether the function takes the source's present item as its second argument.
    """

    name: str
    function: InverseFunction
    source_keys: KeySchema
    target_keys: KeySchema
    takes_before: bool

    @classmethod
    def of(
        cls, name: str, function: InverseFunction, source_keys: KeySchema, target_keys: KeySchema
    ) -> Inverse:
        """
        The inverse that *function* is.

        Raises:
            ConfigurationError: It takes other arguments than ``item`` or ``item, before``.
        """
        return cls(name, function, source_keys, target_keys, takes_before(name, function))

    @classmethod
    def load(cls, name: str, source_keys: KeySchema, target_keys: KeySchema) -> Inverse:
        """
        The inverse that a pair names.

        Raises:
            ConfigurationError: It does not load, or takes other arguments.
        """
        return cls.of(name, load_function(name, "inverse"), source_keys, target_keys)

    def __call__(self, item: TypedItem, before: TypedItem | None) -> TypedItem:
        """
        The source item of one target item, in typed form.

        Args:
            item: The target's item. It is not changed, whatever the function does with its own copy.
            before: The source's present item under that key; ``None`` where there is none.

        Raises:
            TransformError: The function raised, or returned what the source cannot hold under that
                key. The message names types and attributes, never values.
        """
        try:
            arguments: list[dict[str, Any] | None] = [item_from_typed(item)]
            if self.takes_before:
                arguments.append(None if before is None else item_from_typed(before))
            result = self.function(*arguments)
        # The user's code may raise anything, and call `sys.exit`; its text may hold values, so only the type
        # is kept.
        except (Exception, SystemExit, GeneratorExit) as error:  # noqa: BLE001
            raise self._error(
                f"raised {type(error).__name__}", "run it on that item in a unit test"
            ) from None
        if not isinstance(result, Mapping):
            hint = "return a dict: what the target holds is in the source, too"
            raise self._error(f"returned a {type(result).__name__}", hint)
        try:
            made = checked_item(result, self.source_keys, self._error)
        except TransformError:
            raise
        except RecursionError:
            what = "returned an item that is nested without end"
            raise self._error(what, "return no list or dict that holds itself") from None
        # Reading it can run the user's code again: what loads when it is looked at.
        except (Exception, SystemExit, GeneratorExit) as error:  # noqa: BLE001
            what = f"returned what cannot be read: {type(error).__name__}"
            raise self._error(what, "return plain values") from None
        key = self.source_key_of(item)
        if any(made[name] != value for name, value in key.items()) and (  # in one spelling, as nearly all are
            canonical_key(made, self.source_keys) != canonical_key(key, self.source_keys)
        ):
            raise self._error("changed the item's key", "keep the values of the key attributes")
        return made

    def source_key_of(self, item: TypedItem) -> TypedItem:
        """The source key that belongs to a target item, or to its key."""
        return {old: item[new] for old, new in zip(self.source_keys, self.target_keys, strict=True)}

    def _error(self, what: str, hint: str) -> TransformError:
        return TransformError(f"The inverse {self.name} {what}.", f"{hint}.")


def takes_before(name: str, function: InverseFunction) -> bool:
    """
    Whether *function* is ``inverse(item, before)``, and not ``inverse(item)``.

    By its parameters: a second one of another name is no *before*, and would get an item that it was not
    written for.

    Raises:
        ConfigurationError: It is neither.
    """
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # of C, without a signature
        parameters = []
    by_place = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
    needed = [one for one in parameters if one not in by_place and one.kind is one.KEYWORD_ONLY]
    fits = len(by_place) == 1 or (len(by_place) == 2 and by_place[1].name == _BEFORE)
    others = any(one.kind is one.VAR_POSITIONAL for one in parameters)
    if not fits or others or any(one.default is one.empty for one in needed):
        raise ConfigurationError(
            f"The inverse {name} takes neither one item nor an item and what the source held before.",
            f"write it as inverse(item) or inverse(item, {_BEFORE}), with the second argument by that name; "
            "give others a default and make them keyword-only.",
        )
    return len(by_place) == 2
