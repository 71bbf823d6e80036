"""A run in a table: for a terminal, and in Markdown for a job summary. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from tabulate import tabulate

from ddbverify.compare.comparison import Comparison, KnownKeys
from ddbverify.evidence import links
from ddbverify.evidence.evidence import Evidence, Unclaimed
from ddbverify.evidence.record import CheckRecord, CheckState, ComparisonRecord
from ddbverify.words import number_of

_HEADERS = ("check", "pair", "examined", "findings", "state")

MOST_BYTES: Final = 900_000
"""Of a summary in Markdown. GitHub takes 1 MiB for all of a step, and nothing at all of more."""

_MOST_CHARACTERS: Final = 300


def check_table(checks: Sequence[CheckRecord], *, markdown: bool = False) -> str:
    """One line per check; names are shown in one line, and not endless."""
    shown = escaped if markdown else printable
    rows = [
        (shown(check.name), check.pair or "", check.examined, check.findings, check_state(check))
        for check in checks
    ]
    # Without disable_numparse a pair named like a number would lose its form.
    return tabulate(rows, _HEADERS, tablefmt="github" if markdown else "simple", disable_numparse=True)


def accepted_lines(checks: Sequence[CheckRecord]) -> list[str]:
    """What differs and refutes nothing: one line for each pair and difference."""
    return [
        printable(f"accepted: {check.pair or check.name}: {one}")
        for check in checks
        for one in check.accepted
    ]


def printable(text: str, most: int = _MOST_CHARACTERS) -> str:
    """Text in one line without control characters, of 300 characters at most unless told otherwise."""
    line = "".join(char if char.isprintable() else " " for char in text[: most + 1])
    return line if len(line) <= most else line[:most] + "…"


def escaped(text: str) -> str:
    """The same, so that Markdown and HTML show it as it is."""
    line = printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{char}" if char in r"\`*_{}[]()#+!|~@" else char for char in line)


def cut(text: str, most_bytes: int = MOST_BYTES) -> bytes:
    """*text* in UTF-8, or its first lines and one that says that there were more."""
    whole = text.encode("utf-8", "replace")
    if len(whole) <= most_bytes:
        return whole
    note = b"\n\n(Cut here: the rest is too long for this page. It is in the run's evidence.)\n"
    kept = whole[: max(0, most_bytes - len(note))]
    return kept[: kept.rfind(b"\n") + 1] + note if len(note) <= most_bytes else b""


def said_by_plugins(read: Comparison | ComparisonRecord | None) -> list[str]:
    """What a pass owes to plugins and to the settle time alone, and what it left out: a line each."""
    if read is None:
        return []
    return [*map(known_in_words, read.known), *(f"note: {note}" for note in read.notes)]


def why_in_words(check: CheckRecord) -> str:
    """A check that has not passed, and why; empty where there is nothing to say."""
    if check.state is CheckState.PASSED or not check.why:
        return ""
    return f"{check.name}{f' ({check.pair})' if check.pair else ''}: {check.why}"


def unclaimed_in_words(one: Unclaimed) -> str:
    """A difference that no check looks at, and whether that is allowed."""
    return f"allowed by [gate] unclaimed: {one}" if one.allowed else f"unclaimed: {one}"


def empty_in_words(pair_id: str) -> str:
    """A pair of which there was nothing to compare."""
    return f"empty: {pair_id}: neither table holds an item, and may_be_empty = true allows that"


def known_in_words(one: KnownKeys) -> str:
    """Differences that a plugin accepts, whose, until when, and why."""
    return f"known: {number_of(one.keys, 'key')}, accepted by {one.plugin} until {one.expires}: {one.reason}"


def markdown(evidence: Evidence) -> str:
    """``summary.md`` of a run: what has not passed comes first, since a page may be cut."""
    in_order = sorted(evidence.checks, key=lambda check: not check.is_open)
    lines = [
        f"# Verification {evidence.verdict}",
        "",
        f"Run `{evidence.run_id}`, {_coverage(evidence)}"
        + (", against an emulator" if evidence.emulator else "")
        + ".",
        *_since(evidence),
        "",
        *_listed("Not complete:", evidence.shortcomings),
        *_listed("No check looks at:", [unclaimed_in_words(one) for one in evidence.unclaimed]),
        *_listed("Has not passed:", _why(check for check in in_order if check.is_open)),
        check_table(in_order, markdown=True),
        "",
    ]
    for pair in evidence.pairs:
        what = "empty on both sides" if pair.id in evidence.empty_pairs else _counts(pair.comparison)
        lines += [f"* `{pair.source.arn}` -> `{pair.target.arn}`: {what}"]
        lines += [f"  * {escaped(line)}" for line in said_by_plugins(pair.comparison)]
    lines += ["", *_listed("Differs, and refutes nothing:", accepted_lines(evidence.checks))]
    # Last: a reader of a run that passed is to find nothing here to worry about.
    lines += _listed("Not applicable:", _why(check for check in in_order if not check.is_open))
    return "\n".join(lines) + "\n"


def _coverage(evidence: Evidence) -> str:
    return "changes only" if links.is_link(evidence) else f"coverage {evidence.coverage}"


def _since(evidence: Evidence) -> list[str]:
    """What a run says that has looked at changes only, or that was asked to."""
    if changed := links.changed_in(evidence):
        keys = ", ".join(f"{number_of(count, 'key')} of {escaped(pair)}" for pair, count in changed.items())
        ends = links.ends_in_words(evidence)
        said = f" Of the streams, {ends}." if ends else ""
        return [f"Only what was written since an earlier run was looked at: {keys}.{said}"]
    why = links.why_full(evidence)
    return [f"The whole tables were read: {escaped(why)}."] if why else []


def _why(checks: Iterable[CheckRecord]) -> list[str]:
    return [said for check in checks if (said := why_in_words(check))]


def _listed(title: str, texts: Sequence[str]) -> list[str]:
    return [title, "", *(f"* {escaped(text)}" for text in texts), ""] if texts else []


def _counts(comparison: ComparisonRecord | None) -> str:
    if comparison is None:
        return "not compared"
    return ", ".join(f"{count} {state}" for state, count in comparison.counts.items() if count) or "no keys"


def check_state(check: CheckRecord) -> str:
    """Where a check stands, in words."""
    if check.state is CheckState.INCONCLUSIVE and check.only_churning:
        return "inconclusive (only churning keys)"
    if check.findings and check.state is CheckState.PASSED:
        return f"passed ({number_of(check.tolerated, 'finding')} tolerated)"
    if check.state is not CheckState.PASSED and not check.counts:
        return f"{check.state} (warns only)"
    return str(check.state)
