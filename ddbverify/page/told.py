"""A run or a diff in sentences: what it came to, why it is not better, and what to do about that. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ddbverify.evidence import links
from ddbverify.evidence.evidence import Evidence, PairEvidence
from ddbverify.evidence.record import CheckRecord, CheckState
from ddbverify.page.origin import DiffSummary
from ddbverify.reports.summary import check_state
from ddbverify.setting_names import Pattern
from ddbverify.words import number_of

REFUTING: Final = ("missing", "extraneous", "different")

MEANINGS: Final = {
    "matched": "on both sides, equal",
    "missing": "expected in the target, not there",
    "extraneous": "in the target, expected by no item of the source",
    "different": "on both sides, attributes differ",
    "known": "differs, and a plugin accepts that until a day",
    "excluded": "left out by rule: canary, past its time to live, dropped by the transform",
    "uncomparable": "the transform raised, or a type that is not known",
    "churning": "never held still long enough to be decided",
    "undecided": "a read failed, or time ran out",
    "refuted": "a check on items failed on it",
}
"""What each state means, in the order in which they are shown."""

_WHAT_TO_DO: Final = {
    CheckState.FAILED: "Fix what differs, then run again.",
    CheckState.INCONCLUSIVE: "Remove the cause, then run again.",
    CheckState.ERRORED: "Mend the check or its fixtures, then run again.",
    CheckState.SKIPPED: "Take its mark away, or do not require it.",
    CheckState.XFAILED: "Take its mark away, or do not require it.",
    CheckState.DESELECTED: "Run again without the arguments that leave it out.",
    CheckState.NOT_RUN: "Run again: the run ended before it.",
}

_DIFFERS: Final = " differs"


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that keeps a verdict from "passed", and what to do about it."""

    what: str
    do: str


@dataclass(frozen=True, slots=True)
class SettingLine:
    """A setting of a pair that differs."""

    pair: str
    what: str
    accept: str  # the line that would accept it; empty where it is accepted


def sentence(about: Evidence | DiffSummary) -> str:
    """The verdict."""
    return _of_run(about) if isinstance(about, Evidence) else _of_diff(about)


def _of_run(found: Evidence) -> str:
    counting = [
        check for check in found.checks if check.counts and check.state is not CheckState.NOT_APPLICABLE
    ]
    differences = _differences(found)
    match found.verdict:
        case "passed":
            matched = sum(pair.comparison.counts.get("matched", 0) for pair in found.pairs if pair.comparison)
            allowed = " Not all is equal: what differs is allowed, and listed below." if differences else ""
            over = "and nothing was left out"
            if links.is_link(found):
                over = "on what was written since an earlier run"
            return (
                f"All {number_of(len(counting), 'check')} passed {over}: "
                f"{number_of(matched, 'key')} match.{allowed}"
            )
        case "failed":
            failed = sum(check.state is CheckState.FAILED for check in counting)
            what = f": {differences}" if differences else ""
            rest = "" if found.complete else " The run is not complete: there may be more."
            return f"{failed:,} of {number_of(len(counting), 'check')} failed{what}.{rest}"
        case _:
            undecided = sum(check.is_open for check in counting)
            also = f" Found all the same: {differences}." if differences else ""
            return (
                f"It is not known whether the tables hold what they should: {undecided:,} of "
                f"{number_of(len(counting), 'check')} did not pass"
                f"{'' if found.complete else ', and the run is not complete'}.{also}"
            )


def _differences(found: Evidence) -> str:
    counts = [
        (state, sum(pair.comparison.counts.get(state, 0) for pair in found.pairs if pair.comparison))
        for state in REFUTING
    ]
    return ", ".join(f"{number_of(count, 'key')} {state}" for state, count in counts if count)


def _of_diff(about: DiffSummary) -> str:
    found = ", ".join(
        f"{number_of(count, 'key')} {state}" for state in REFUTING if (count := getattr(about, state) or 0)
    )
    match about.verdict:
        case "equal":
            return f"The tables are equal: {number_of(about.matched or 0, 'key')} match, and all was read."
        case "different":
            rest = "" if about.complete else " Not everything was read or decided: there may be more."
            return f"The tables differ: {found or 'in keys of a list given with --stratum'}.{rest}"
        case _:
            return "It is not known whether the tables are equal."


def reasons(about: Evidence | DiffSummary) -> list[Reason]:
    """Everything that has to be mended, the gravest first."""
    if isinstance(about, DiffSummary):
        return list(_reasons_of_diff(about))
    return [
        *_checks(about, CheckState.FAILED),
        *(Reason(f"{one}.", _claim(one.state)) for one in about.unclaimed if not one.allowed),
        *(
            Reason(f"The run is not complete: {one.rstrip('.')}.", "Remove the cause, then run again.")
            for one in about.shortcomings
        ),
        *_checks(about, *(state for state in _WHAT_TO_DO if state is not CheckState.FAILED)),
        *_limits(about),
    ]


def _claim(state: str) -> str:
    return f'Add a check that looks at them, or leave them to yourself: [gate] unclaimed = ["{state}"].'


def _checks(found: Evidence, *states: CheckState) -> Iterator[Reason]:
    for check in found.checks:
        if not check.counts or check.state not in states:
            continue
        on = f" on {check.pair}" if check.pair else ""
        why = f": {check.why}" if check.why else ""
        do = _WHAT_TO_DO[check.state]
        if check.only_churning:
            do = "Run again when less is written, or leave them to the fence: [gate] churning = true."
        yield Reason(f"{check.name}{on} {_stands(check)}{why.rstrip('.')}.", do)


def _stands(check: CheckRecord) -> str:
    if check.state is CheckState.FAILED:
        return f"has {number_of(check.findings, 'finding')} in {check.examined:,} examined"
    return f"is {check_state(check)}"


def _limits(found: Evidence) -> Iterator[Reason]:
    if links.is_link(found):
        changed = links.changed_in(found)
        keys = ", ".join(f"{number_of(count, 'key')} of {pair}" for pair, count in changed.items())
        yield Reason(
            f"Only what was written since an earlier run was looked at: {keys or 'no key'}.",
            "It is worth what the runs are that it goes on from, back to one that has read both tables.",
        )
    if found.coverage != "full":
        yield Reason(
            f"Only a sample was read: {found.coverage}.",
            'A sample shows differences, never that there are none: coverage = "full" reads all.',
        )
    for pair in found.pairs:
        if pair.comparison is None:
            yield Reason(f"{pair.id}: no check has read the tables.", "Run again with one that does.")
            continue
        for keys in pair.comparison.open_keys:
            yield Reason(f"{pair.id}: {keys}.", "Remove the cause, then run again.")
    if found.emulator:
        yield Reason(
            "It was made against an emulator, not AWS.",
            "Proves nothing about tables in AWS; in a rehearsal [gate] emulator = true lets it pass.",
        )


def _reasons_of_diff(about: DiffSummary) -> Iterator[Reason]:
    if about.verdict == "different":
        yield Reason(
            "Keys differ, and are listed below by their causes.",
            "Fix the commonest cause first, then compare again.",
        )
    again = "Remove the cause, then compare again."
    going_on = "The same command with --resume goes on with it."
    for reason in about.reasons:
        yield Reason(f"{reason.rstrip('.')}.", again if about.finished else going_on)


def allowed(found: Evidence) -> list[str]:
    """What differs, and refutes nothing: nobody shall overlook it."""
    return [
        *(f"Allowed by [gate] unclaimed: {one}." for one in found.unclaimed if one.allowed),
        *(
            f"{pair.id}: {number_of(one.keys, 'key')} accepted by the plugin {one.plugin} until "
            f"{one.expires}: {one.reason}"
            for pair in found.pairs
            for one in (pair.comparison.known if pair.comparison else ())
        ),
        *(
            f"{check.name}{f' on {check.pair}' if check.pair else ''} has found {check.findings:,} and "
            f"tolerates {check.tolerated:,}."
            for check in found.checks
            if check.state is CheckState.PASSED and check.findings
        ),
        *(
            f"{check.name} on {check.pair} warns only, and is {check_state(check)}."
            for check in found.checks
            if not check.counts and check.is_open
        ),
        *(
            f"{pair}: both tables are empty, and may_be_empty = true allows that."
            for pair in found.empty_pairs
        ),
    ]


def settings(found: Evidence) -> list[SettingLine]:
    """Settings that differ: first those that refute, with the line that would accept them."""
    refuting = [
        SettingLine(check.pair or "", f"{name} differs", f"accept = [{_in_toml(name)}]")
        for check in found.checks
        if check.state is CheckState.FAILED
        for name in _settings_in(check.why)
    ]
    accepted = [SettingLine(check.pair or "", one, "") for check in found.checks for one in check.accepted]
    return [*refuting, *accepted]


def _settings_in(why: str) -> Iterator[str]:
    """The settings that a check of them has found to differ, as it says why it failed."""
    for part in why.split("; "):
        name = part.removesuffix(_DIFFERS).rpartition(": ")[2]
        if part.endswith(_DIFFERS) and Pattern.parse(name) is not None:
            yield name


def _in_toml(name: str) -> str:
    return f"'{name}'" if '"' in name else f'"{name}"'


def settled(pair: PairEvidence) -> str:
    """How suspects ended, in a sentence; empty where there were none."""
    read = pair.comparison
    if read is None:
        return ""
    persistent = sum(read.counts.get(state, 0) for state in REFUTING)
    churning, by_cause = read.counts.get("churning", 0), read.different_by_cause
    if not (read.converged or persistent or churning):
        return "No key differed at first sight."
    said = [
        f"{number_of(read.converged, 'key')} differed at first sight and converged",
        f"{persistent:,} stayed different" + (f" ({by_cause:,} at most by their cause)" if by_cause else ""),
        f"{churning:,} never held still",
    ]
    return f"{', '.join(said)}."


def first(texts: Sequence[str], most: int) -> tuple[list[str], int]:
    """The first of many, and how many more there are."""
    return list(texts[:most]), max(0, len(texts) - most)
