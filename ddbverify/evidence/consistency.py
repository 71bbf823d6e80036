"""
Whether evidence agrees with itself. Pure.

A trusted key has signed it, so a contradiction is a defect of whatever signed: not to be believed.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from ddbverify.evidence import folders
from ddbverify.evidence.evidence import Evidence, verdict_of
from ddbverify.evidence.links import is_link, link_of
from ddbverify.evidence.record import FACTS, CheckState, ComparisonRecord
from ddbverify.items.states import State
from ddbverify.suite.definitions import check_functions
from ddbverify.tables.hosts import is_aws

# A run's id is made, and its pass begins, moments apart from `started`; DynamoDB's clock has whole seconds.
_TOLERANCE_SECONDS = 5.0

_SIDES = {"source", "target"}
_STATES = {str(state) for state in State}


def contradictions(found: Evidence) -> Iterator[str]:
    """Everything that cannot be true at once, in words."""
    yield from _times(found)
    yield from _where(found)
    yield from _checks(found)
    yield from _unclaimed(found)
    yield from _facts(found)
    yield from _twice("plugin", (one.name for one in found.extensions))
    yield from _twice("pair", (pair.id for pair in found.pairs))
    yield from _links(found)
    for pair in found.pairs:
        if pair.comparison is not None:
            yield from (f"{pair.id}: {one}" for one in _pass(pair.comparison))
            yield from (f"{pair.id}: {one}" for one in _plugins(pair.comparison, found))


def _times(found: Evidence) -> Iterator[str]:
    if found.started_epoch > found.ended_epoch:
        yield "it ended before it began"
    if found.valid_until_epoch < found.ended_epoch:
        yield "it was valid until a moment before its end"
    try:
        named = datetime.strptime(found.run_id[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        yield "its run id names no moment"
    else:
        if abs(named - found.started_epoch) > _TOLERANCE_SECONDS:
            yield "its run id names another moment than its start"
    for pair in found.pairs:
        read = pair.comparison
        if read is not None and not (
            found.started_epoch - _TOLERANCE_SECONDS
            <= read.started_epoch
            <= read.ended_epoch
            <= found.ended_epoch + _TOLERANCE_SECONDS
        ):
            yield f"the pass over {pair.id} was not made during the run"


def _where(found: Evidence) -> Iterator[str]:
    if found.plugins.get("ddbverify") != found.tool_version:
        yield "two versions of ddbverify are named"
    if found.endpoints.keys() != _SIDES or found.identities.keys() != _SIDES:
        yield "its endpoints or identities are not those of a source and a target"
    if found.emulator != any(not is_aws(url) for url in found.endpoints.values()):
        yield "its endpoints do not agree with what it says about an emulator"


def _checks(found: Evidence) -> Iterator[str]:
    if found.complete == bool(found.shortcomings):
        yield "it is complete and names shortcomings, or is not and names none"
    verdict = verdict_of(found.checks, complete=found.complete, unclaimed=found.unclaimed)
    if found.verdict != verdict:
        yield f"its verdict is {found.verdict}, and its checks make it {verdict}"
    yield from _twice("check", (check.id for check in found.checks))
    ids = {pair.id for pair in found.pairs}
    for check in found.checks:
        if check.pair is not None and check.pair not in ids:
            yield f"the check {check.id} was run on a pair that is not in it"
        if min(check.examined, check.findings, check.tolerated) < 0:
            yield f"the check {check.id} has counted less than nothing"
        if check.state is CheckState.PASSED and check.findings > check.tolerated:
            yield f"the check {check.id} has passed with more findings than it tolerates"
        if check.state is CheckState.NOT_APPLICABLE and check.name not in _default_checks():
            yield f"the check {check.id} is said to be not applicable, and is none of the default suite"
        if check.only_churning and check.state is not CheckState.INCONCLUSIVE:
            yield f"the check {check.id} was decided, and is said to wait for churning keys"


@functools.cache
def _default_checks() -> frozenset[str]:
    return frozenset(check_functions(folders.default_suite()))


def _unclaimed(found: Evidence) -> Iterator[str]:
    counted = {pair.id: pair.comparison.counts for pair in found.pairs if pair.comparison is not None}
    for one in found.unclaimed:
        if one.keys != counted.get(one.pair, {}).get(one.state):
            yield f"it calls {one.keys} {one.state} keys of {one.pair} unclaimed, and has counted otherwise"
    yield from _twice("unclaimed state", (f"{one.state} of {one.pair}" for one in found.unclaimed))


def _facts(found: Evidence) -> Iterator[str]:
    subjects = {"", *(pair.id for pair in found.pairs), *(check.id for check in found.checks)}
    for fact in found.facts:
        if fact.name not in FACTS:
            yield f"it states a fact that is not known here, {fact.name}"
        if fact.name == "unbound" and found.complete:
            yield "files that no digest is over had a say in it, and it is complete"
        if fact.name == "empty" and not _held_nothing(found, fact.about):
            yield f"it calls the tables of {fact.about} empty, and has counted keys in them, or not read them"
        if fact.about not in subjects:
            yield f"it states a fact, {fact.name}, about something that is not in it"
    yield from _twice("fact", (f"{fact.name} about {fact.about or 'the run'}" for fact in found.facts))


def _links(found: Evidence) -> Iterator[str]:
    """A run that looks at changes reads no segment, and one that reads none looks at changes."""
    if is_link(found) and link_of(found) is None:
        yield "it goes on from another run, and does not say all of that"
    for pair in found.pairs:
        read = pair.comparison
        if read is None or read.segments_total < 1:
            continue
        if is_link(found) != (read.segments_planned == 0):
            yield f"the pass over {pair.id} is not of the kind that the run says it is"


def _held_nothing(found: Evidence, pair_id: str) -> bool:
    return any(
        pair.comparison is not None and pair.comparison.holds_nothing
        for pair in found.pairs
        if pair.id == pair_id
    )


def _pass(read: ComparisonRecord) -> Iterator[str]:
    if not read.counts.keys() <= _STATES:
        yield "keys are counted in a state that there is not"
    if sum(read.counts.values()) - read.counts.get(State.UNDECIDED, 0) != read.examined:
        yield "the keys counted are not the keys examined"
    if read.different_told > read.counts.get(State.DIFFERENT, 0):
        yield "more different keys were looked into than there are"
    refuting = (State.MISSING, State.EXTRANEOUS, State.DIFFERENT)
    if read.different_by_cause > sum(read.counts.get(state, 0) for state in refuting):
        yield "more keys differ by their cause than differ"
    if any(not 1 <= one.keys <= read.different_told for one in read.different_in):
        yield "more keys differ in one attribute than were looked into"
    if not read.segments_finished <= read.segments_planned <= read.segments_total:
        yield "more segments were read than there are"


def _plugins(read: ComparisonRecord, found: Evidence) -> Iterator[str]:
    deciding = {one.plugin for one in read.equal_by} | {one.plugin for one in read.known}
    if not deciding <= {one.name for one in found.extensions}:
        yield "a plugin has decided about keys that did not take part"
    if sum(one.keys for one in read.known) != read.counts.get(State.KNOWN, 0):
        yield "the known keys counted are not those that were accepted"
    if any(one.keys > read.counts.get(State.MATCHED, 0) for one in read.equal_by):
        yield "more keys are equal by the word of a plugin than have matched"


def _twice(what: str, names: Iterable[str]) -> Iterator[str]:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            yield f"the {what} {name} is there twice"
        seen.add(name)
