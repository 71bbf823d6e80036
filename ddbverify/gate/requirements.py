"""What the gate asks of a run in itself, whenever it was made and whatever has become of the tables. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from ddbverify.config import Config
from ddbverify.evidence.evidence import Evidence
from ddbverify.evidence.links import is_link
from ddbverify.evidence.record import CheckRecord, CheckState
from ddbverify.gate.reasons import FAILED, INCOMPLETE, NOT_TRUSTED, Reason
from ddbverify.gate.unclaimed import unclaimed
from ddbverify.items.states import State
from ddbverify.suite.definitions import Definition, is_brought, means
from ddbverify.suite.marks import Coverage
from ddbverify.words import number_of

_CHECKS_NAMED: Final = 3
"""Of those that were not reached."""


def unmet(
    config: Config,
    found: Evidence,
    defined: Mapping[str, Definition],
    *,
    churning: bool,
    exports: bool = False,
) -> Iterator[Reason]:
    """
    Every requirement that a run does not meet.

    Args:
        config: The settings as they are now.
        found: Of the run.
        defined: The checks that there are now, see `suite.defined_checks`.
        churning: Whether keys that never held still may pass.
        exports: Whether tables may have been read from exports: somebody looks at what was written since.
    """
    if not found.complete or found.verdict == "inconclusive":
        yield from _incomplete(found, churning=churning)
    if found.emulator and not config.gate.emulator:
        message = "The evidence was made against an emulator; [gate] emulator = true would allow that."
        yield Reason("emulator", NOT_TRUSTED, message)
    if not exports:
        yield from _exported(found)
    yield from _covered(config, found, churning=churning)
    yield from _unclaimed(config, found)
    yield from _required(config, found, defined, churning=churning)


def _unclaimed(config: Config, found: Evidence) -> Iterator[Reason]:
    """Every difference that the pass found was looked at by a required check."""
    for one in unclaimed(config.gate, found.pairs, found.checks):
        if not one.allowed:
            hint = f'add one that does, or leave these to yourself with [gate] unclaimed = ["{one.state}"]'
            yield Reason("unclaimed", INCOMPLETE, f"{one}; {hint}.")


def _incomplete(found: Evidence, *, churning: bool) -> Iterator[Reason]:
    if churning and found.only_churning:
        return
    for shortcoming in found.shortcomings:
        yield Reason(
            "incomplete", INCOMPLETE, f"The run is not complete: {shortcoming.rstrip('.')}; run again."
        )
    if not found.complete and not found.shortcomings:
        yield Reason("incomplete", INCOMPLETE, "The run is not complete, and does not say why; run again.")


def _exported(found: Evidence) -> Iterator[Reason]:
    """An export is of the past: what was written since, on either side, nobody has looked at."""
    for fact in found.facts:
        role, _, what = fact.name.partition("-")
        if what == "export":
            message = (
                f"{fact.about}: the {role} was read from an export, which opens no gate; run again with "
                f"--since latest, or with {role}_export taken out of [[tables]]."
            )
            yield Reason("exports", INCOMPLETE, message)


def _covered(config: Config, found: Evidence, *, churning: bool) -> Iterator[Reason]:
    """Every pair was read in full, and nothing stayed undecided."""
    wanted = {check.coverage for check in found.checks if check.counts}
    sample_will_do = wanted == {Coverage.SAMPLE}
    asked = config.verification.coverage
    if found.coverage != asked:
        how = "run again" if found.coverage == "full" else "run again without --sample"
        message = f"Coverage is {found.coverage}, and migration.toml asks for {asked}; {how}."
        yield Reason("coverage", INCOMPLETE, message)
    elif found.coverage != "full" and not sample_will_do:
        message = f"Coverage is {found.coverage}, a sample; set coverage to full, then run again."
        yield Reason("coverage", INCOMPLETE, message)
    in_evidence = {pair.id: pair for pair in found.pairs}
    for pair in config.tables:
        verified = in_evidence.get(pair.id)
        read = verified.comparison if verified else None
        if read is None:
            message = f"{pair}: no check has read the tables, so their items are unknown; run again with one."
            yield Reason("coverage", INCOMPLETE, message)
            continue
        # What a link has not read its base has; whether it stands on one is asked elsewhere (`gate.links`).
        shortcoming = read.gap if sample_will_do or is_link(found) else read.shortcoming
        if shortcoming is not None:
            yield Reason(
                "coverage", INCOMPLETE, f"{pair}: the pass over the tables {shortcoming}; run again."
            )
        for keys in read.open_keys:
            yield Reason("undecided", INCOMPLETE, f"{pair}: {keys}; remove the cause and run again.")
        moving = read.counts.get(State.CHURNING, 0)
        if moving and not churning:
            message = (
                f"{pair}: {number_of(moving, 'key')} never held still; run again when less is written, or "
                "leave them to the fence with [gate] churning = true."
            )
            yield Reason("churning", INCOMPLETE, message)


def _required(
    config: Config, found: Evidence, defined: Mapping[str, Definition], *, churning: bool
) -> Iterator[Reason]:
    """Every required check is there for every pair, and has passed."""
    by_name: dict[str, list[CheckRecord]] = {}
    for check in found.checks:
        by_name.setdefault(check.name, []).append(check)
    if all(map(is_brought, defined)):
        yield Reason(
            "missing",
            INCOMPLETE,
            "There is no check in the checks folder; `ddbverify init` puts the default suite there.",
        )
    elif not any(check.counts for check in found.checks):
        message = (
            "No check counts: every one is of severity warn, or none was run; run again with one that does."
        )
        yield Reason("missing", INCOMPLETE, message)
    # Both have to say so: the evidence, of what was read, and the settings, of what may be.
    may_be_empty = {pair.id for pair in config.tables if pair.may_be_empty} & set(found.empty_pairs)
    not_run: list[CheckRecord] = []
    for pattern in config.gate.required:
        # What ran but is not found by reading the source (a check made in a loop) is required, too.
        names = [name for name in dict.fromkeys((*defined, *by_name)) if means(pattern, name)]
        if not names:
            yield Reason(
                "missing",
                INCOMPLETE,
                f"The required check {pattern} is not in the checks folder; mend [gate] required.",
            )
        for name in names:
            ran = by_name.get(name, [])
            pairs = {check.pair for check in ran}
            definition = defined.get(name, Definition(of_a_pair=False))
            wanted = definition.pairs(config)
            absent = [pair for pair in wanted if pair not in pairs]
            if definition.of_a_pair and not wanted:
                message = f"The required check {name} is about no table of this migration; do not require it."
                yield Reason("missing", INCOMPLETE, message)
            elif unknown := definition.unknown(config):
                message = (
                    f"The required check {name} names {', '.join(unknown)}, the source of no pair of this "
                    "migration; correct its tables, or do not require it."
                )
                yield Reason("missing", INCOMPLETE, message)
            elif not ran:
                yield Reason(
                    "missing", INCOMPLETE, f"The required check {name} is not in the evidence; run again."
                )
            elif absent:
                yield Reason("missing", INCOMPLETE, f"{name} was not run on {', '.join(absent)}; run again.")
            open_checks = [check for check in ran if check.counts and check.is_open]
            not_run += [check for check in open_checks if check.state is CheckState.NOT_RUN]
            yield from (
                _not_passed(check)
                for check in open_checks
                if check.state is not CheckState.NOT_RUN and not (churning and check.only_churning)
            )
            yield from (
                Reason(
                    "vacuous",
                    INCOMPLETE,
                    f"{check.id} has passed without examining anything; run again on tables with items, or "
                    "write may_be_empty = true under the [[tables]] of a pair without any.",
                )
                for check in ran
                if check.counts and check.state is CheckState.PASSED and check.examined < 1
                if check.pair not in may_be_empty and not is_link(found)
            )

    yield from _not_reached(found, {check.id: check for check in not_run}.values())


def _not_reached(found: Evidence, checks: Collection[CheckRecord]) -> Iterator[Reason]:
    """One cause keeps a run from all checks behind it (a file that does not load, an end): one reason."""
    if len(checks) == 1:
        yield from map(_not_passed, checks)
    elif checks:
        ids = [check.id for check in checks]
        rest = f" and {len(ids) - _CHECKS_NAMED} more" if len(ids) > _CHECKS_NAMED else ""
        cause = f" ({found.shortcomings[0].rstrip('.')})" if found.shortcomings else ""
        message = (
            f"{number_of(len(ids), 'check')} were not reached, since the run ended before them{cause}: "
            f"{', '.join(ids[:_CHECKS_NAMED])}{rest}; remove the cause and run again."
        )
        yield Reason(str(CheckState.NOT_RUN), INCOMPLETE, message)


def _not_passed(check: CheckRecord) -> Reason:
    exit_code = FAILED if check.state is CheckState.FAILED else INCOMPLETE
    return Reason(str(check.state), exit_code, f"{check.id} {_said_of(check)}.")


def _said_of(check: CheckRecord) -> str:
    """What became of a check that has not passed, why, and what to do about it."""
    why = f" ({check.why})" if check.why else ""
    match check.state:
        case CheckState.FAILED:
            findings = number_of(check.findings, "finding")
            cause = f": {check.why}" if check.why else ""
            return f"has {findings} in {check.examined:,} examined{cause}; fix what differs and run again"
        case CheckState.INCONCLUSIVE if check.only_churning:
            return (
                f"could not decide keys that never held still among {check.examined:,} examined; run again "
                "when less is written, or leave them to the fence with [gate] churning = true"
            )
        case CheckState.INCONCLUSIVE:
            return f"could not decide{why or ' (the run says why)'}; remove the cause and run again"
        case CheckState.ERRORED:
            return f"broke{why}; mend the check or its fixtures and run again"
        case CheckState.SKIPPED:
            return "was skipped, which proves nothing; take its mark away, or do not require it"
        case CheckState.XFAILED:
            return "was expected to fail, which proves nothing; take its mark away, or do not require it"
        case CheckState.DESELECTED:
            return "was left out by the run's arguments; run again without them"
        case _:
            return "was not reached; the run ended before it, run again"
