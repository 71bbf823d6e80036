"""A broken invariant in words, with items that can be pasted into a test, or without their values. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from ddbverify.items.values import item_from_typed
from ddbverify.testing.invariants import Broken


def in_words(name: str, broken: Broken, visible: bool) -> str:
    """
    The message of a test that fails.

    Args:
        name: Of the transform, or of the inverse.
        broken: What does not hold.
        visible: Values may be shown.
    """
    lines = [f"{name} breaks {broken.of}: {broken.invariant}.", f"  {broken.what}"]
    if not broken.items:
        return "\n".join(lines)
    if not visible:
        lines += [f"  Counter-example ({broken.origin}), attributes and types only:"]
        for item in broken.items:
            lines += ["    " + ", ".join(f"{name} ({'/'.join(value)})" for name, value in item.items())]
        lines += ["  Values are not shown, since they may be real ones; reveal=True shows them."]
        return "\n".join(lines)
    lines += [f"  Counter-example ({broken.origin}), to be pasted into the test:", ""]
    lines += ["from decimal import Decimal", "", f"{broken.argument} = ["]
    pasted = [_literal(item_from_typed(item)) for item in broken.items]
    if broken.argument == "changes":
        pasted = [f"({', '.join(pasted if len(pasted) > 1 else [*pasted, 'None'])})"]
    return "\n".join([*lines, *(f"    {one}," for one in pasted), "]"])


_RUN_OF_ONE = re.compile(r"(.)\1{99,}", re.DOTALL)


def _literal(value: Any) -> str:
    """A Python expression for a value; what was filled up is written as a product."""
    match value:
        case dict():
            return "{" + ", ".join(f"{name!r}: {_literal(one)}" for name, one in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_literal, value)) + "]"
        case set():
            return "{" + ", ".join(sorted(map(_literal, value))) + "}"
        case str():
            return _short(value)
        case bytes():
            text = value.decode("latin-1")
            return _short(text, lambda part: repr(part.encode("latin-1")))
        case Decimal():
            return f"Decimal('{value}')"
    return repr(value)


def _short(text: str, shown: Callable[[str], str] = repr) -> str:
    parts, end = [], 0
    for found in _RUN_OF_ONE.finditer(text):
        if found.start() > end:
            parts.append(shown(text[end : found.start()]))
        parts.append(f"{shown(found[1])} * {len(found[0])}")
        end = found.end()
    if end < len(text) or not text:
        parts.append(shown(text[end:]))
    return " + ".join(parts)
