"""
Which segments a sample reads, and what it says about those it did not. Pure.

Whole segments, without replacement: random places in a scan are a biased sample (docs/aws.md T20).
"""

from __future__ import annotations

import hashlib
import heapq
import math
import secrets

CONFIDENCE = 0.95


def new_seed() -> int:
    """A seed nobody chose; it is recorded, so that the draw can be repeated."""
    return secrets.randbits(63)


def draw(total_segments: int, fraction: float, seed: int) -> tuple[int, ...]:
    """
    The segments to read, in ascending order; the same for the same arguments, on any machine.

    Args:
        total_segments: At least 1.
        fraction: Above 0, up to 1; at least one segment is drawn.
        seed: See `new_seed`.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"a sample is a fraction above 0 and up to 1, not {fraction}")
    size = min(total_segments, max(1, math.ceil(total_segments * fraction - 1e-9)))

    # Not random.Random: its sequence is no promise across versions, and evidence outlives them.
    def lot(segment: int) -> bytes:
        return hashlib.blake2b(f"{seed}:{segment}".encode(), digest_size=16).digest()

    return tuple(sorted(heapq.nsmallest(size, range(total_segments), key=lot)))


def mismatch_bound(
    total_segments: int, sampled: int, mismatching: int, *, confidence: float = CONFIDENCE
) -> float:
    """
    Upper bound on the fraction of all segments that hold a mismatch.

    Exact (Clopper-Pearson's argument with the hypergeometric distribution, the draw being
    without replacement): the largest number of mismatching segments under which a sample as
    good as this one still has a probability above ``1 - confidence``.

    Args:
        total_segments: From which the sample was drawn.
        sampled: Segments read to their end.
        mismatching: Those of them with at least one mismatch.
        confidence: Of the one-sided bound.

    Returns:
        A fraction from 0 to 1; 1 when nothing was sampled.
    """
    if not 0 <= mismatching <= sampled <= total_segments:
        raise ValueError("a sample holds at most all segments, and mismatches at most the sample")
    if sampled == 0:
        return 1.0
    # Mismatching segments in all: at least those seen, at most all but the clean ones seen.
    low, high = mismatching, total_segments - (sampled - mismatching)
    while low < high:
        middle = (low + high + 1) // 2
        # A hair above the limit, so that a probability that equals it is not taken for more by rounding.
        if _at_most(mismatching, total_segments, middle, sampled) > (1 - confidence) * (1 + 1e-9):
            low = middle
        else:
            high = middle - 1
    return low / total_segments


def _at_most(seen: int, total: int, bad: int, drawn: int) -> float:
    """Probability of at most *seen* bad ones among *drawn* of *total*, *bad* of which are bad."""
    least = max(0, drawn - (total - bad))
    logs = [
        _log_choose(bad, k) + _log_choose(total - bad, drawn - k) - _log_choose(total, drawn)
        for k in range(least, min(seen, bad, drawn) + 1)
    ]
    return math.fsum(map(math.exp, logs))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
