"""A diff for people to read: bounded, the verdict last. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from tabulate import tabulate

from ddbverify.causes import CAUSES_SHOWN, Causes
from ddbverify.comparison import State
from ddbverify.diff import FINDING_STATES, Result
from ddbverify.words import number_of

PATHS_SHOWN: Final = 10  # of one finding
ITEM_CHARACTERS: Final = 2_000
REASONS_SHOWN: Final = 10


def text(result: Result) -> str:
    """The whole report."""
    blocks = [
        _findings(result),
        _causes(result.causes),
        _counts(result.summary),
        _notes(result.summary["notes"]),
        _verdict(result),
    ]
    return "\n\n".join("\n".join(lines) for block in blocks if (lines := list(block)))


def _findings(result: Result) -> Iterator[str]:
    width = max((len(one["finding"]) for one in result.shown), default=0)
    for one in result.shown:
        yield f"{one['finding']:<{width}}  {json.dumps(one['key'])}"
        indent = " " * (width + 2)
        for path in one["paths"][:PATHS_SHOWN]:
            yield f"{indent}{printable(path)}"
        if len(one["paths"]) > PATHS_SHOWN:
            yield f"{indent}and {number_of(len(one['paths']) - PATHS_SHOWN, 'path')} more"
        if one.get("reason"):
            yield f"{indent}{printable(one['reason'])}"
        if "items" in one:
            yield from (f"{indent}{line}" for line in _items(one["items"]))
    more = result.findings - len(result.shown)
    if more > 0:
        where = (
            f"all of them: {result.findings_file}"
            if result.findings_file is not None
            else "for all of them give --out DIR or --format jsonl"
        )
        yield f"... and {number_of(more, 'finding')} more; {where}"
    elif result.shown and result.findings_file is not None:
        yield f"The same as JSON Lines: {result.findings_file}"


def _items(items: Mapping[str, Any]) -> Iterator[str]:
    unread = items.get("unread", {})
    yield f"read again at {items['read_at']}:"
    for side in ("source", "target"):
        if side in unread:
            yield f"  {side}  not read: {printable(unread[side])}"
        elif items[side] is None:
            yield f"  {side}  no item"
        else:
            shown = json.dumps(items[side])
            cut = f"... ({len(shown):,} characters in all)" if len(shown) > ITEM_CHARACTERS else ""
            yield f"  {side}  {shown[:ITEM_CHARACTERS]}{cut}"


def _causes(causes: Causes) -> Iterator[str]:
    if not causes.findings:
        return
    at_least = "at least " if causes.uncertain else ""
    listed = causes.most_common()
    yield "Causes"
    for cause in listed:
        share = f"{cause.findings / causes.findings:.0%}".replace("%", " %")
        yield f"  {share:>5}  {printable(cause.text)} ({at_least}{number_of(cause.findings, 'finding')})"
    if causes.uncertain:
        yield f"  There are too many causes to count: shares may be too low by {_uncertain(causes)}."
    elif causes.distinct > CAUSES_SHOWN:
        yield f"  and {number_of(causes.distinct - CAUSES_SHOWN, 'cause')} more, each rarer than these"


def _uncertain(causes: Causes) -> str:
    return f"{causes.uncertain / causes.findings:.1%}".replace("%", " %")


def _counts(summary: Mapping[str, Any]) -> Iterator[str]:
    counts = [
        (str(state), f"{summary[state]:,}")
        for state in State
        if summary[state] or (state not in FINDING_STATES and summary[state] is not None)
    ]
    if counts:
        yield tabulate(counts, ("state", "keys"), disable_numparse=True, colalign=("left", "right"))
        yield ""
    units, segments = summary["read_units"], summary["segments"]
    if units["source"] is None:
        yield f"read: {units['both']:,.1f} read units"
    else:
        rows = [
            (name, f"{summary[key]['source']:,{form}}", f"{summary[key]['target']:,{form}}")
            for name, key, form in (
                ("items", "items", ""),
                ("read units", "read_units", ".1f"),
                ("requests", "requests", ""),
            )
        ]
        yield tabulate(
            rows, ("", "source", "target"), disable_numparse=True, colalign=("left", "right", "right")
        )
    if segments["planned"] is not None:
        yield ""
        yield f"{segments['finished']:,} of {number_of(segments['planned'], 'segment')} read to the end"


def _notes(notes: list[str]) -> Iterator[str]:
    # The bound that a sample gives comes first: without it the counts say little.
    for note in sorted(notes, key=lambda note: not note.startswith("a sample")):
        yield f"note: {printable(note)}"


def _verdict(result: Result) -> Iterator[str]:
    summary = result.summary
    reasons = summary["reasons"]
    if reasons:
        yield "Not complete:"
        yield from (f"  {printable(reason)}" for reason in reasons[:REASONS_SHOWN])
        if len(reasons) > REASONS_SHOWN:
            yield f"  and {number_of(len(reasons) - REASONS_SHOWN, 'reason')} more (in the summary as JSON)"
        yield ""
    said = {
        "equal": f"{number_of(summary['matched'] or 0, 'key')} matched",
        "different": number_of(result.findings, "finding"),
        "inconclusive": "it is not known whether the tables are equal",
    }[summary["verdict"]]
    yield f"{summary['verdict']}: {result.source.name} -> {result.target.name}, {said}"


def printable(line: str) -> str:
    """Names and reasons come from tables: nothing in them may steer a terminal."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in line)
