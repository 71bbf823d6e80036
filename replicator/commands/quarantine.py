"""
What was not applied: keys in the quarantine, dead letters, and writes behind the flip, without values.

`replicator.commands.repair` puts the keys of dead letters into the quarantine, and mends what stands there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from ddbverify.config import Pair
from ddbverify.words import number_of, plain
from replicator.aws.queue import dead_letters
from replicator.commands.invocation import config_option, execute, json_option
from replicator.context import live
from replicator.context.context import Context
from replicator.handlers import late
from replicator.handlers.records import NO_NUMBER


def listed(context: Context, *, keys: bool = False) -> dict[str, Any]:
    """
    Print and return what stands in the quarantine of every pair; nothing is changed.

    Args:
        keys: Show the raw keys, too.
    """
    context.need_begun()
    context = live.direction(context)
    return {"pairs": {str(pair): _of_pair(context, pair, keys=keys) for pair in context.config.tables}}


def _of_pair(context: Context, pair: Pair, *, keys: bool) -> dict[str, Any]:
    entries = sorted(context.state(pair).quarantined().items(), key=lambda one: (one[1].reason, one[0]))
    reasons = Counter(entry.reason for _, entry in entries)
    url = context.resources(pair).get("dead_letter_url")
    dead = dead_letters(context, url) if url else 0
    console = context.console
    console.line(
        f"{pair}: {number_of(len(entries), 'key')} in the quarantine, {number_of(dead, 'dead letter')}"
    )
    for reason, count in reasons.most_common():
        console.line(f"  {count} x {reason}")
        for name, entry in entries:
            if entry.reason == reason:
                raw = f"  {_words(entry.key)}" if keys else ""
                console.line(f"    {name}  {_age(entry.number)}  since {entry.at}{raw}")
    written = sorted(late.noted(context.state(pair)).items())
    if written:
        console.line(f"{pair}: {number_of(len(written), 'key')} written to the source behind the flip")
        for name, one in written:
            raw = f"  {_words(one.key)}" if keys else ""
            console.line(f"    {name}  written at {one.at}{raw}")
    if (entries or written) and not keys:
        console.line("  --keys shows the keys behind the hashes")
    if dead:
        console.warn("dead letters are listed here, key by key, once `replicator repair` has taken them up")
    return {
        "quarantined": len(entries),
        "dead_letters": dead,
        "reasons": dict(reasons),
        "keys": [
            {
                "key_hash": name,
                "reason": entry.reason,
                "since": entry.at,
                "from_the_load": entry.number == NO_NUMBER,
                **({"key": entry.key} if keys else {}),
            }
            for name, entry in entries
        ],
        "late_writes": [
            {"key_hash": name, "written_at": one.at, **({"key": one.key} if keys else {})}
            for name, one in written
        ],
    }


def _age(number: str) -> str:
    return "from the load" if number == NO_NUMBER else "from a change"


def _words(key: Mapping[str, Mapping[str, Any]]) -> str:
    shown = (f"{name} = {value}" for name, typed in key.items() for value in typed.values())
    return plain(", ".join(shown))


@click.command(name="quarantine")
@config_option
@json_option
@click.option("--keys", is_flag=True, help="Show the raw keys, too.")
def command(path: Path, as_json: bool, keys: bool) -> None:
    """What could not be applied: hashes of keys, reasons, counts."""
    execute(path, as_json=as_json, run=lambda context: listed(context, keys=keys))
