"""What the story says of runs, gates and keys. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from tabulate import tabulate

from replicator.demo.shapes import Item, Schema


def examined(outcome: dict[str, Any]) -> str:
    """What a run of the checks has looked at."""
    counts: dict[str, int] = {}
    for pair in outcome.get("pairs", ()):
        counts = {state: counts.get(state, 0) + number for state, number in pair["counts"].items()}
    said = ", ".join(f"{number} {state}" for state, number in counts.items() if number)
    return f"{len(outcome.get('checks', ()))} checks" + (f": {said}" if said else "")


def steps_table(steps: Iterable[tuple[bool, str, str, float]]) -> str:
    """Each step: whether it held, its name, what came of it, its seconds."""
    rows = [("✓" if held else "✗", step, result, f"{seconds:.1f}") for held, step, result, seconds in steps]
    return tabulate(rows, headers=("", "step", "result", "seconds"), maxcolwidths=[None, 52, 60, None])


def reasons(gate: dict[str, Any]) -> str:
    """Why a gate is closed."""
    return "; ".join(
        str(reason.get("message", reason)) if isinstance(reason, dict) else str(reason)
        for reason in gate.get("reasons", ())
    )


def typed_key(item: Item, schema: Schema) -> dict[str, Any]:
    """An item's key, in DynamoDB's typed form."""
    return {name: {kind: str(item[name])} for name, kind in schema.items()}


def key_text(key: dict[str, Any]) -> str:
    """A key as text that is the same for the same key."""
    return json.dumps(key, sort_keys=True)


def key_words(schema: Schema) -> str:
    """A key schema, for people."""
    return " + ".join(f"{name} ({kind})" for name, kind in schema.items())
