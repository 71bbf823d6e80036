"""
What a change of the table that leads asks of the one that follows through an inverse. Pure.

The follower's item under the key is read before; what is decided here holds only of the state that was read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NotRequired, TypedDict

from ddbverify.errors import TransformError
from ddbverify.items.inverse import Inverse
from ddbverify.items.transform import Transform
from ddbverify.names import KeySchema, TypedItem
from replicator.handlers.ledger import Applied, Write
from replicator.handlers.same import OF_AWS, other_attributes

MOST_OPERATORS: Final = 300
MOST_BYTES: Final = 4_096
"""Of one expression; comparisons, functions and each AND count (docs/aws.md T32)."""

TOO_MANY: Final = "the item that it would replace has too many attributes to ask that none has changed"
LEFT_OUT: Final = "the item under its key is one that the transform leaves out"


class Condition(TypedDict):
    """That an item is as it was read, as a request has it."""

    ConditionExpression: str
    ExpressionAttributeNames: Mapping[str, str]
    ExpressionAttributeValues: NotRequired[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Present:
    """
    What the follower holds under one key.

    Args:
        number: In the key's entry of the ledger; empty where there is none.
        item: ``None`` where there is none.
    """

    number: str
    item: TypedItem | None


@dataclass(frozen=True, slots=True)
class Intended:
    """
    What to write over what is present.

    Args:
        item: ``None``: delete it.
    """

    item: TypedItem | None


def intended(
    write: Write, present: Present, transform: Transform, inverse: Inverse
) -> Intended | Applied | str:
    """
    What a change asks for, given what is present.

    Args:
        write: Its result, if any, is the leader's own item.
        present: Of the follower.
        transform: Of a follower's item it makes a leader's.
        inverse: The other way round.

    Returns:
        What to write; that a later change was applied; or why the change can never be applied, in words
        without values.
    """
    if present.number > write.number or (present.number == write.number and not write.repair):
        return Applied.SUPERSEDED
    try:
        # One that the transform leaves out belongs to no item of the leader: it is nobody's to change there.
        if present.item is not None and not transform(present.item):
            return LEFT_OUT
        if not write.results:
            return Intended(None)
        (item,) = write.results
        made = inverse(item, None if write.anew else present.item)
        again = transform(made)
    except TransformError as error:
        return error.message
    if not again:
        return f"the transform leaves out what the inverse {inverse.name} makes of it"
    if others := other_attributes(again[0], item):
        named = ", ".join(others[:_NAMES_SHOWN])
        return f"transform(inverse(item, before)) is another item than the one that was written, in {named}"
    return Intended(made)


_NAMES_SHOWN: Final = 10


def unchanged(
    present: TypedItem | None,
    made: TypedItem | None,
    keys: KeySchema,
    as_taken: Callable[[TypedItem], TypedItem],
) -> Condition | None:
    """
    The condition that an item is as it was read, for a request; ``None`` where no expression can say it.

    Each attribute is as it was, and none is there that would be added. An attribute that somebody else adds
    meanwhile, and that neither item has, cannot be asked for.
    """
    first = next(iter(keys))
    if present is None:
        return {"ConditionExpression": "attribute_not_exists(#0)", "ExpressionAttributeNames": {"#0": first}}
    there = {
        name: value
        for name, value in present.items()
        if (name not in keys or name == first) and not name.startswith(OF_AWS)
    }
    added = [name for name in made or () if name not in present]
    terms = [f"#{at} = :{at}" for at in range(len(there))]
    terms += [f"attribute_not_exists(#{at})" for at in range(len(there), len(there) + len(added))]
    expression = " AND ".join(terms)
    if 2 * len(terms) - 1 > MOST_OPERATORS or len(expression) > MOST_BYTES:
        return None
    taken = as_taken(there)
    return {
        "ConditionExpression": expression,
        "ExpressionAttributeNames": {f"#{at}": name for at, name in enumerate([*there, *added])},
        "ExpressionAttributeValues": {f":{at}": taken[name] for at, name in enumerate(there)},
    }
