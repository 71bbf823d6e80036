"""
The differences that the shared pass found and no check of the run has claimed. Pure.

Checks may be missing, be skipped over, tolerate much or look elsewhere; what the pass has counted
stays. So the question is put from that side: who answers for each state in which there are keys?
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal

from ddbverify.config import Gate
from ddbverify.evidence.evidence import PairEvidence, Unclaimed
from ddbverify.evidence.record import CheckRecord, CheckState, ComparisonRecord
from ddbverify.suite.definitions import means
from ddbverify.words import are, number_of

_State = Literal["missing", "extraneous", "different"]

_ATTRIBUTES_NAMED: Final = 3


def unclaimed(
    gate: Gate, pairs: Iterable[PairEvidence], checks: Sequence[CheckRecord]
) -> tuple[Unclaimed, ...]:
    """
    Every state of every pair with keys that no check has claimed.

    A check claims what it covers and its negative controls have proven; it has to count (severity
    error), and ``[gate] required`` has to name it. One that has passed claims as many keys as it
    has found and tolerated: of more it knows nothing. One that has failed claims all.

    Args:
        gate: The settings: *required* names checks, *unclaimed* allows states.
        pairs: What the passes have counted.
        checks: Of the run.
    """
    found = []
    for pair in pairs:
        if pair.comparison is None:
            continue
        mine = [check for check in checks if check.pair == pair.id and check.claims]
        counting = [check for check in mine if _counts(check, gate.required)]
        for state, keys in _found(pair.comparison):
            if not _is_claimed(state, keys, pair.comparison, counting):
                passed_over = any(state in check.claims for check in mine if check not in counting)
                why = _in_words(state, keys, counting, others=passed_over)
                allowed = state in gate.unclaimed
                found.append(Unclaimed(pair=pair.id, state=state, keys=keys, allowed=allowed, why=why))
    return tuple(found)


def _found(read: ComparisonRecord) -> Iterator[tuple[_State, int]]:
    states: tuple[_State, ...] = ("missing", "extraneous", "different")
    for state in states:
        if read.counts.get(state, 0) > 0:
            yield state, read.counts[state]


def _counts(check: CheckRecord, required: Sequence[str]) -> bool:
    return check.counts and any(means(pattern, check.name) for pattern in required)


def _is_claimed(state: _State, keys: int, read: ComparisonRecord, checks: Sequence[CheckRecord]) -> bool:
    if _is_answered(state, keys, checks):
        return True
    return (
        state == "different"
        and read.different_told == keys  # of the others it is not known in what they differ
        and all(_is_answered(f"{one.kind}:{one.attribute}", one.keys, checks) for one in read.different_in)
    )


def _is_answered(claim: str, keys: int, checks: Sequence[CheckRecord]) -> bool:
    return any(
        claim in check.claims
        and (check.state is CheckState.FAILED or keys <= min(check.findings, check.tolerated))
        for check in checks
        if check.state in (CheckState.PASSED, CheckState.FAILED)
    )


def _in_words(state: _State, keys: int, checks: Sequence[CheckRecord], *, others: bool) -> str:
    """
    One sentence without its end.

    Args:
        state: Of the keys.
        keys: How many.
        checks: Those that count.
        others: Whether checks that do not count look at this state.
    """
    looks_at = "differences" if state == "different" else f"{state} keys"
    are_so = f"{are(keys)} {state}" if state != "different" else ("differs" if keys == 1 else "differ")
    found = f"{number_of(keys, 'key')} {are_so}"
    if any(state in check.claims for check in checks):
        return f"{found}, and the checks of this run that look at {looks_at} have passed all the same"
    some = sorted({claim for check in checks for claim in check.claims if ":" in claim})
    if state == "different" and some:
        named = ", ".join(some[:_ATTRIBUTES_NAMED]) + (", …" if len(some) > _ATTRIBUTES_NAMED else "")
        return f"{found}, and no check of this run looks at differences but those in {named}"
    but = " and counts: it has to be of severity error, and [gate] required has to name it" if others else ""
    return f"{found}, and no check of this run looks at {looks_at}{but}"
