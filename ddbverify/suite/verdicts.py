"""
What a check learned (`Verdict`), and how it says so (`require`). Pure.

The outcome is derived from the evidence, never chosen: a check that looked at nothing, or not
at everything, cannot look green.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from ddbverify.compare.comparison import Comparison
from ddbverify.errors import CheckFailed, Inconclusive
from ddbverify.items.states import State
from ddbverify.suite.marks import CheckSettings
from ddbverify.words import are, number_of

UNDECIDED: Final = "Not decided: "
"""How the message of a check begins that could not decide."""

FINDINGS_SHOWN: Final = 5
HASH_DIGITS: Final = 16

_HASH = re.compile(rf"\b[0-9a-f]{{{HASH_DIGITS}}}\b")
_LOOK_UP = "ddbverify explain HASH, which shows the key and the attribute paths."
_MEND = "make the target as the check wants it, or mend the check."
_REMOVE = "remove the cause, then run the checks again."
_AGAIN = "run the checks again when less is written; a cutover decides these keys under its fence."


class Outcome(StrEnum):
    """What can be said about a claim."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Finding:
    """One counter-example to a check's claim, in words without values and without raw keys."""

    what: str

    def __str__(self) -> str:
        return self.what


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a check learned. The outcome follows from the evidence."""

    examined: int  # items, settings or facts looked at
    findings: tuple[Finding, ...] = ()  # counter-examples, in the order met
    unlisted: int = 0  # further ones, that were counted only
    unexamined: tuple[str, ...] = ()  # what could not be looked at, in words
    churning: int = 0  # keys that never held still: undecided too, but on their own account
    tolerated: int = 0  # so many counter-examples are allowed; they are listed and counted all the same
    accepted: tuple[str, ...] = ()  # what differs, and is no counter-example since the configuration says so
    causes: tuple[str, ...] = ()  # how the counter-examples differ, for evidence that others read: no values
    hint: str = ""  # what to do about counter-examples; by default, to look them up
    empty: bool = False  # neither table holds an item
    unchanged: bool = False  # nothing was written since a pass on which the claim was shown
    may_be_empty: bool = False  # and `[[tables]] may_be_empty` says that this is as it should be

    @property
    def outcome(self) -> Outcome:
        """
        Failed with a finding too many; passed only if something, and everything, was examined.

        Of two tables that may be empty, and are, everything is nothing; likewise of those in which nothing
        has changed since an earlier pass.
        """
        if self.is_refuted:
            return Outcome.FAILED
        if self.unexamined or self.churning:
            return Outcome.INCONCLUSIVE
        if self.examined == 0 and not (self.empty and self.may_be_empty) and not self.unchanged:
            return Outcome.INCONCLUSIVE
        return Outcome.PASSED

    def __bool__(self) -> bool:
        """Whether it has passed: ``assert pair.verdict(...)`` means what it says."""
        return self.outcome is Outcome.PASSED

    @property
    def refuted(self) -> int:
        """How many counter-examples there are, listed or not."""
        return len(self.findings) + self.unlisted

    @property
    def is_refuted(self) -> bool:
        """Whether there are more counter-examples than are tolerated."""
        return self.refuted > self.tolerated

    @property
    def only_churning(self) -> bool:
        """Whether keys that never held still are all that keeps the verdict from `Outcome.PASSED`."""
        return self.churning > 0 and self.examined > 0 and not self.is_refuted and not self.unexamined


@dataclass(frozen=True, slots=True, eq=False)  # told by identity
class _Learning:
    settings: CheckSettings
    read: Callable[[], Comparison | None]
    verdicts: list[Verdict] = field(default_factory=list)


_learned: ContextVar[_Learning | None] = ContextVar("ddbverify_learned", default=None)
_under_way: list[_Learning] = []
"""The same, for threads that a check starts: they begin with an empty context. The last one counts."""


@contextmanager
def learning(
    settings: CheckSettings = CheckSettings(),  # noqa: B008 - frozen
    read: Callable[[], Comparison | None] = lambda: None,
) -> Iterator[list[Verdict]]:
    """
    Gather every verdict that `require` is given inside the block, also those that raise.

    Args:
        settings: Of the check.
        read: The shared pass over its pair, asked for where a verdict has examined nothing.
    """
    gathered = _Learning(settings, read)
    token = _learned.set(gathered)
    _under_way.append(gathered)
    try:
        yield gathered.verdicts
    finally:
        _under_way.remove(gathered)
        _learned.reset(token)


def require(verdict: Verdict) -> None:
    """
    End the check here unless *verdict* has passed, given what `ddbverify.check` says is tolerated.

    Raises:
        CheckFailed: There is a counter-example, or more than are tolerated.
        Inconclusive: Not everything was examined, or nothing was.
    """
    gathered = _learned.get() or (_under_way[-1] if _under_way else None)
    if gathered is not None:
        allowed = gathered.settings.allowed(verdict.examined)
        verdict = replace(verdict, tolerated=max(verdict.tolerated, allowed))
        if verdict.examined == 0 and (read := gathered.read()) is not None:
            verdict = replace(
                verdict,
                empty=read.holds_nothing,
                may_be_empty=read.may_be_empty,
                unchanged=verdict.unchanged or (gathered.settings.by_key and read.of_changes),
            )
        gathered.verdicts.append(verdict)
    match verdict.outcome:
        case Outcome.FAILED:
            said = _counted(verdict)
            has_hashes = _HASH.search(said) is not None
            raise CheckFailed(said, verdict.hint or (_LOOK_UP if has_hashes else _MEND))
        case Outcome.INCONCLUSIVE:
            kind = StillChurning if verdict.only_churning else Inconclusive
            raise kind(_why_undecided(verdict), _AGAIN if verdict.only_churning else _REMOVE)


def only_if(applies: bool, otherwise: str) -> None:
    """
    End a check of the default suite here unless it *applies*: another check says the same of this pair.

    Args:
        applies: A fact about the pair, not about its items.
        otherwise: Why the check does not, in a line.

    Raises:
        NotApplicable: It does not apply. Of another check than the default suite's this decides nothing.
    """
    if not applies:
        raise NotApplicable(
            f"Not applicable: {otherwise}.", "let checks of your own claim what they are about."
        )


class NotApplicable(Inconclusive):
    """A check of the default suite has nothing of its own to say about a pair; any other is undecided."""


class StillChurning(Inconclusive):
    """Not decided, for no other reason than keys that never held still; a gate may allow that."""


def comparison_verdict(
    comparison: Comparison, *, findings: tuple[Finding, ...] = (), refuting: tuple[State, ...] = ()
) -> Verdict:
    """
    The verdict of a claim about all keys of *comparison*, given its counter-examples.

    Whatever the engine could not decide leaves the claim undecided. So does a state in
    *refuting* that was counted without an example: the count outranks the list.
    """
    counts = comparison.counts
    undecided = [
        *comparison.unexamined,
        *(
            f"{number_of(counts[state], 'key')} {are(counts[state])} {state}{_reasons(comparison, state)}"
            for state in (State.UNCOMPARABLE, State.UNDECIDED)
            if counts.get(state)
        ),
    ]
    if comparison.segments_finished < comparison.segments_planned:
        undecided.append(
            f"{comparison.segments_finished} of {comparison.segments_planned} segments have a proven end"
        )
    return Verdict(
        # An excluded key was not compared with anything, and a known one is a difference: neither can
        # stand for an examined one.
        examined=comparison.examined - counts.get(State.EXCLUDED, 0) - counts.get(State.KNOWN, 0),
        findings=findings,
        unlisted=max(0, sum(counts.get(state, 0) for state in refuting) - len(findings)),
        unexamined=tuple(undecided),
        churning=counts.get(State.CHURNING, 0),
        empty=comparison.holds_nothing,
        unchanged=comparison.of_changes,
        may_be_empty=comparison.may_be_empty,
    )


def _reasons(comparison: Comparison, state: State) -> str:
    """The commonest reasons; equally common ones by their text, in whatever order they were met."""
    counts = Counter(one.reason for one in comparison.only(state) if one.reason)
    ranked = sorted(counts, key=lambda reason: (-counts[reason], reason))
    return f" ({'; '.join(ranked[:3])})" if ranked else ""


def _counted(verdict: Verdict) -> str:
    shown = [str(one) for one in verdict.findings[:FINDINGS_SHOWN]]
    more = verdict.refuted - len(shown)
    noun = "finding" if verdict.refuted == 1 else "findings"
    allowed = f" ({verdict.tolerated} tolerated)" if verdict.tolerated else ""
    lines = [*shown, *([f"and {more:,} more"] if more else [])]
    separator = "\n  " if len(lines) > 1 else " "
    return separator.join([f"{verdict.refuted:,} {noun}{allowed}:", *lines])


def _why_undecided(verdict: Verdict) -> str:
    why = list(verdict.unexamined)
    if verdict.churning:
        why.append(f"{number_of(verdict.churning, 'key')} never held still long enough to be decided")
    if verdict.empty and not verdict.may_be_empty:
        why.append(
            "both tables are empty, and nothing proves nothing; if they may be, write may_be_empty = true "
            "under their [[tables]]"
        )
    elif verdict.examined == 0 and not verdict.empty and not verdict.unchanged:
        silent = "; may_be_empty excuses tables without any item only" if verdict.may_be_empty else ""
        why.append(f"nothing was examined, and nothing proves nothing{silent}")
    return UNDECIDED + "; ".join(why)


def without_hashes(text: str) -> str:
    """A message in one line, in which nothing stands for a single key any more."""
    return " ".join(_HASH.sub("(a key)", text).split())
