"""
Negative controls of plugins: one that hides whatever differs has to be noticed.

A plugin may hide a difference that it knows by name, of an attribute or of a key. So each pass with
plugins ends with a few pairs of items that differ, under a key and in an attribute that nobody knows,
and in all attributes of real items one by one: through the rules and the plugins of the pass itself.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

from ddbverify.compare.alterations import ADDED
from ddbverify.compare.judge import Judge, Uncomparable
from ddbverify.items.differences import differences
from ddbverify.items.states import Difference, State
from ddbverify.names import TypedItem

UNLIKE: Final[dict[str, tuple[Any, Any]]] = {
    "S": ("ddbverify", "0 1 2 3"),
    "N": ("-7", "9.5E+20"),
    "B": ("AAEC", "ZGRidmVyaWZ5"),
    "BOOL": (True, False),
    "SS": (["ddbverify"], ["0", "1"]),
    "NS": (["-7"], ["1", "9.5E+20"]),
    "BS": (["AAEC"], ["ZGRidmVyaWZ5"]),
    "L": ([{"S": "ddbverify"}], [{"N": "-7"}, {"BOOL": True}]),
    "M": ({"a": {"S": "ddbverify"}}, {"b": {"N": "-7"}}),
}
"""Type -> two values that no tolerance makes equal."""


def hidden(specimens: Sequence[TypedItem], judge: Judge) -> list[str]:
    """
    Which differences plugins hide whatever it is that differs, in words without values.

    Every key is made up, so that no plugin knows it, and values differ as widely as they can.

    Args:
        specimens: A few items of the source.
        judge: The rules of the pair, with what plugins say.
    """
    expected: list[TypedItem] = []
    for item in specimens:
        with suppress(Uncomparable):  # the pass has said so
            expected += [claim.item for claim in judge.claims(item)[:1]]
    keys = judge.transform.target_keys
    made_up: TypedItem = {name: {kind: _made_up(kind)} for name, kind in keys.items()}
    with_own_key: list[TypedItem] = [{**item, **made_up} for item in expected] or [made_up]
    base = with_own_key[0]
    missed = [
        what
        for what, ours, theirs in _unlike_pairs(base, made_up)
        if not _notices(judge, made_up, ours, theirs)
    ]
    for what, alter in (("another value", _another), ("a missing attribute", _without)):
        noticed = [
            _notices(judge, made_up, item, altered)
            for item in with_own_key
            for name in judge.form.without_ignored(item)
            if name not in keys and (altered := alter(item, name)) is not None
        ]
        if noticed and not any(noticed):
            missed.append(f"{what} of any attribute")
    return missed


def _unlike_pairs(
    base: TypedItem, made_up: TypedItem
) -> Iterator[tuple[str, TypedItem | None, TypedItem | None]]:
    yield "a missing item", made_up, None
    yield "an item too many", None, made_up
    for kind, (one, other) in UNLIKE.items():
        yield f"another value of type {kind}", {**base, ADDED: {kind: one}}, {**base, ADDED: {kind: other}}
    yield "another type", {**base, ADDED: {"S": UNLIKE["S"][0]}}, {**base, ADDED: {"N": UNLIKE["N"][0]}}
    yield "an attribute too few", {**base, ADDED: {"S": UNLIKE["S"][0]}}, base
    yield "an attribute too many", base, {**base, ADDED: {"S": UNLIKE["S"][0]}}


def _notices(judge: Judge, key: TypedItem, expected: TypedItem | None, target: TypedItem | None) -> bool:
    try:
        state = judge.verdict(expected, target, 0.0)
        if state is State.MATCHED:
            return False
        paths: tuple[str, ...] = ()
        if expected is not None and target is not None:
            paths = differences(*judge.remaining(expected, target), judge.form)
    except Uncomparable:
        return True  # it is no match, and the pass says why
    accepted = judge.rulings.known(Difference(state=state, key=key, paths=paths)) if judge.rulings else None
    return accepted is None or accepted.is_over


def _another(item: TypedItem, name: str) -> TypedItem | None:
    ((kind, content),) = item[name].items()
    values = [value for value in UNLIKE.get(kind, ()) if value != content]
    return {**item, name: {kind: values[-1]}} if values else None


def _without(item: TypedItem, name: str) -> TypedItem:
    return {one: value for one, value in item.items() if one != name}


def _made_up(kind: str) -> str:
    """The value of a key attribute that nothing tells from a real one, and that nobody has."""
    match kind:
        case "N":
            return str(10**30 + secrets.randbits(80))
        case "B":
            return base64.b64encode(secrets.token_bytes(16)).decode()
    return secrets.token_hex(16)
