"""What has to be known of a pass beside its counts, in words without values. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Set

from ddbverify.compare.groups import SAMPLE
from ddbverify.compare.judge import Judge
from ddbverify.compare.tally import REASONS_ACCEPTED, Tally
from ddbverify.items.paths import show_path
from ddbverify.tables import sampling
from ddbverify.tables.segments import Plan
from ddbverify.words import are, number_of, were


def notes(
    tally: Tally, judge: Judge, planned: Plan, finished: Set[int], settle_seconds: float
) -> Iterator[str]:
    """
    What was left out, what counts by whose word only, and what a sample says of the rest.

    Args:
        tally: Of the pass.
        judge: Its rules.
        planned: The segments that were to be read.
        finished: Those that were read to their end on both sides.
        settle_seconds: That a difference has to outlast.
    """
    if judge.form.ignore:
        yield f"left out by `ignore`: {', '.join(sorted(map(show_path, judge.form.ignore)))}"
    if tally.dropped:
        yield f"{number_of(tally.dropped, 'source item')} dropped by the transform, and counted as excluded"
    yield from _by_word_of_plugins(tally)
    if tally.different_by_cause:
        yield (
            f"at most {number_of(tally.different_by_cause, 'difference')} established by cause: each looks "
            f"like {SAMPLE} drawn at random that have proven persistent, and had not moved in a second look"
        )
    if tally.by_time_only:
        yield (
            f"{number_of(tally.by_time_only, 'difference')} {were(tally.by_time_only)} decided by the settle "
            f"time of {settle_seconds:g} s alone: it was not known whether the pipeline had passed "
            f"{'that key' if tally.by_time_only == 1 else 'those keys'}"
        )
    if planned.is_sample and planned.segments:
        mismatching = len(tally.mismatching_segments & finished)
        bound = sampling.mismatch_bound(planned.total, len(finished), mismatching)
        yield (
            f"a sample: {len(finished)} of {planned.total} segments were read; with 95 % confidence "
            f"at most {bound:.2%} of the segments hold a mismatch"
        )


def _by_word_of_plugins(tally: Tally) -> Iterator[str]:
    for (plugin, hook), keys in tally.equal_by.items():
        yield f"{number_of(keys, 'key')} {are(keys)} equal by the word of the plugin {plugin} ({hook}) only"
    for (plugin, expired), keys in tally.known_no_more.items():
        yield (
            f"{number_of(keys, 'difference')} {were(keys)} known to the plugin {plugin} until {expired}, "
            "and no longer"
        )
    if tally.unaccepted:
        yield (
            f"{number_of(tally.unaccepted, 'difference')} known to a plugin, and counted: "
            f"it has given more than {REASONS_ACCEPTED} reasons"
        )
