"""What a later command would refuse: the way back, and the time in which nobody may write. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ddbverify.words import duration_in_words
from replicator.doctor.findings import Finding, not_checked, ok, problem, warning
from replicator.doctor.looking import Looked, Unknown


def way_back(
    migration: str, *, asked: bool | None, why_not: str, ttl: Mapping[str, Looked[str | None]]
) -> Iterator[Finding]:
    """
    Whether the application could return behind the flip without losing a write.

    Args:
        asked: ``[cutover] way_back`` asks for one, or for none; ``None``: for one where there can be.
        why_not: Why the pairs cannot have one; empty where they can.
        ttl: Source -> attribute of its time to live: behind the flip it is the table that follows.
    """
    removing = sorted(
        name for name, looked in ttl.items() if not isinstance(looked, Unknown) and looked.value is not None
    )
    unknown = sorted(name for name, looked in ttl.items() if isinstance(looked, Unknown))
    reason = why_not.rstrip(".")
    if asked and reason:
        yield problem(
            "way-back",
            migration,
            f"`cutover` would refuse: {reason}",
            'change that, or set [cutover] way_back = "off".',
        )
    elif reason:
        yield warning(
            "way-back",
            migration,
            f"there will be none: {reason}",
            "be sure before the flip: behind it, going back loses what was written since.",
        )
    elif asked is False:
        yield ok("way-back", migration, 'none is asked for ([cutover] way_back = "off")')
    elif unknown:
        yield not_checked(
            "way-back",
            migration,
            f"whether time to live is on in {', '.join(unknown)} is not known, which would follow with it on",
            "allow dynamodb:DescribeTimeToLive on them, then look again.",
        )
    elif removing:
        yield warning(
            "way-back",
            migration,
            f"time to live is on in {', '.join(removing)}: behind the flip it goes on removing items past "
            "their time there, while that table follows",
            "turn it off there at the flip, and on in the target; AWS takes up to an hour for that, so turn "
            "it off before the cutover where you may want to go back within that hour.",
        )
    else:
        yield ok("way-back", migration, "behind the flip the sources will follow the targets")


@dataclass(frozen=True, slots=True)
class Budget:
    """
    The time in which nobody may write, as far as it is known before anything is made.

    Args:
        limit_seconds: ``[cutover] fence_limit``.
        parts: What is in it -> seconds, of what is known.
        open_parts: What is in it, and nobody can know yet.
        end_margin_seconds: What has to be left when the fence is fastened.
    """

    limit_seconds: float
    parts: Mapping[str, float]
    open_parts: tuple[str, ...]
    end_margin_seconds: float

    @property
    def known_seconds(self) -> float:
        """Of all parts that are known."""
        return sum(self.parts.values())

    @property
    def left_seconds(self) -> float:
        """What the known parts leave for the others."""
        return self.limit_seconds - self.end_margin_seconds - self.known_seconds


LEAST_LEFT_SECONDS = 60.0
"""Left for a drain: two audits, and the canary's way through a backlog. An assumption, and a small one."""


def fence_budget(migration: str, budget: Budget) -> Iterator[Finding]:
    """Whether a cutover can end before its fence does."""
    parts = ", ".join(f"{name} {duration_in_words(seconds)}" for name, seconds in budget.parts.items())
    limit, left = duration_in_words(budget.limit_seconds), duration_in_words(max(0.0, budget.left_seconds))
    rest = f"; what nobody can know yet: {', '.join(budget.open_parts)}" if budget.open_parts else ""
    if budget.left_seconds <= 0:
        yield problem(
            "fence-budget",
            migration,
            f"[cutover] fence_limit of {limit} is shorter than what is in it: {parts}, and "
            f"{duration_in_words(budget.end_margin_seconds)} before its end",
            'raise fence_limit; with [verification] last = "changes" the last verification does not grow '
            "with the tables.",
        )
    elif budget.left_seconds < LEAST_LEFT_SECONDS:
        yield warning(
            "fence-budget",
            migration,
            f"[cutover] fence_limit of {limit} leaves {left} beside {parts}{rest}",
            "raise fence_limit: a cutover whose fence ends is rolled back, and nothing is lost but the time.",
        )
    else:
        yield ok(
            "fence-budget",
            migration,
            f"[cutover] fence_limit of {limit} leaves {left} beside {parts}{rest}; `cutover --dry-run` "
            "measures it later",
        )
