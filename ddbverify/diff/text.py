"""A diff for people to read: bounded, the verdict last. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from tabulate import tabulate

from ddbverify.compare.causes import CAUSES_SHOWN, Causes
from ddbverify.diff.findings import FINDING_STATES, STATES
from ddbverify.diff.result import Result
from ddbverify.errors import ConfigurationError
from ddbverify.items.paths import AttributePath, parse_path
from ddbverify.words import as_json, number_of

PATHS_SHOWN: Final = 10  # of one finding
VALUE_CHARACTERS: Final = 300
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
        yield f"{one['finding']:<{width}}  {as_json(one['key'])}"
        indent = " " * (width + 2)
        yield from (f"{indent}{line}" for line in _details(one))
    more = result.findings - len(result.shown)
    if more > 0:
        where = (
            f"all of them: {result.findings_file}"
            if result.findings_file is not None
            else "for all of them give --out DIR or --format jsonl"
        )
        yield f"... and {more:,} more; {where}"
    elif result.shown and result.findings_file is not None:
        yield f"The same as JSON Lines: {result.findings_file}"
    if result.repair is not None:
        yield f"To write them as the source has them: replicator repair --from {result.repair} --dry-run"


def _details(finding: Mapping[str, Any]) -> Iterator[str]:
    items = finding.get("items")
    for path in finding["paths"][:PATHS_SHOWN]:
        yield printable(path)
        if items is not None:
            yield from _values_at(path, items)
    if len(finding["paths"]) > PATHS_SHOWN:
        yield f"and {number_of(len(finding['paths']) - PATHS_SHOWN, 'path')} more"
    if finding.get("reason"):
        yield printable(finding["reason"])
    if items is None:
        return
    if not finding["paths"]:
        for side in ("source", "target"):
            if items.get(side) is not None:
                yield f"  {side}  {_cut(items[side])}"
    for side, reason in items.get("unread", {}).items():
        yield f"  {side}  not read: {printable(reason)}"
    yield f"  (as read again at {items['read_at']})"


def _values_at(shown_path: str, items: Mapping[str, Any]) -> Iterator[str]:
    """What stands at a path now. With a transform it is a path of what that makes of the source item."""
    try:
        path = parse_path(shown_path.rpartition(": ")[0])
    except ConfigurationError:  # "(and 7 more)" is no path
        return
    for side in ("expected" if "expected" in items else "source", "target"):
        if side in items:
            value = _at(items[side], path)
            yield f"  {side}  {'nothing' if value is None else _cut(value)}"


def _at(item: Mapping[str, Any] | None, path: AttributePath) -> Any:
    value: Any = {"M": item or {}}
    for step in path:
        inside = value.get("M" if isinstance(step, str) else "L")
        if isinstance(step, str):
            value = inside.get(step) if inside else None
        else:
            value = inside[step] if inside and step < len(inside) else None
        if value is None:
            return None
    return value


def _cut(value: Any) -> str:
    shown = as_json(value)
    if len(shown) <= VALUE_CHARACTERS:
        return shown
    return f"{shown[:VALUE_CHARACTERS]}... ({len(shown):,} characters)"


def _causes(causes: Causes) -> Iterator[str]:
    if not causes.findings:
        return
    at_least = "at least " if causes.uncertain else ""
    listed = causes.most_common()
    yield "Causes"
    for cause in listed:
        share = _share(cause.findings / causes.findings)
        yield f"  {share:>6}  {printable(cause.text)} ({at_least}{number_of(cause.findings, 'finding')})"
    if causes.uncertain:
        off = causes.uncertain / causes.findings
        yield f"  There are too many causes to count: shares may be too low by up to {_share(off)}."
    elif causes.distinct > CAUSES_SHOWN:
        yield f"  and {number_of(causes.distinct - CAUSES_SHOWN, 'cause')} more, each rarer than these"


def _share(fraction: float) -> str:
    """``98 %``; neither 0 nor 100 for what is not."""
    if 0 < fraction < 0.005:
        return "< 1 %"
    return f"{min(fraction, 0.99 if fraction < 1 else 1.0):.0%}".replace("%", " %")


def _counts(summary: Mapping[str, Any]) -> Iterator[str]:
    counts = [
        (str(state), f"{summary[state]:,}")
        for state in STATES
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
        if result.findings_file is not None and not summary["finished"]:
            yield "The same command with --resume goes on with it."
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
