"""Into how many segments two tables are cut, and which of them are read. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from ddbverify.tables import sampling
from ddbverify.tables.table import Table

SMALL_TABLE_BYTES: Final = 8_000_000
BYTES_PER_SEGMENT: Final = 64_000_000
ITEMS_PER_SEGMENT: Final = 150_000  # if all of them differ they are held at once, about a kilobyte each
SEGMENTS_AT_ONCE: Final = 8  # one thread each
MOST_SEGMENTS: Final = 1_000_000  # of a parallel scan (docs/aws.md T19)
SEGMENTS_IN_A_SAMPLE: Final = 100  # a clean one bounds the mismatching segments at about 3 %
ITEMS_PER_SAMPLED_SEGMENT: Final = 20


@dataclass(frozen=True, slots=True)
class Plan:
    """Which segments are read, of how many."""

    total: int
    segments: tuple[int, ...]
    seed: int | None = None

    @classmethod
    def of_none(cls, total: int) -> Plan:
        """No segment is read, of so many."""
        return cls(total, ())

    @property
    def is_sample(self) -> bool:
        """Whether some are left out."""
        return len(self.segments) < self.total


def cut(
    source: Table, target: Table, *, sample: float | None, seed: int | None, segments: int | None = None
) -> Plan:
    """
    Cut two tables into segments, and say which of them are read.

    One segment for tables under 8 MB, else one per 64 MB or 150,000 items begun, and at least one per thread.
    A sample needs many: as many as make 100 in it, but none so small that it would hold fewer
    than 20 items. Sizes are those of the larger table, and hours old: they decide about speed
    and about the sharpness of a sample, never about what is found.

    Args:
        source: As described.
        target: As described.
        sample: Fraction to read; ``None`` or 1 for everything.
        seed: Of the sample.
        segments: Overrides the rule.
    """
    size = max(source.size_bytes, target.size_bytes)
    items = max(source.item_count, target.item_count)
    by_size, by_items = math.ceil(size / BYTES_PER_SEGMENT), math.ceil(items / ITEMS_PER_SEGMENT)
    total = 1 if size < SMALL_TABLE_BYTES else max(SEGMENTS_AT_ONCE, by_size, by_items)
    if sample is not None and sample < 1:
        enough = math.ceil(SEGMENTS_IN_A_SAMPLE / sample)
        total = max(total, SEGMENTS_AT_ONCE, min(enough, items // ITEMS_PER_SAMPLED_SEGMENT))
    total = min(segments or total, MOST_SEGMENTS)
    if sample is None or sample >= 1:
        return Plan(total, tuple(range(total)))
    seed = sampling.new_seed() if seed is None else seed
    return Plan(total, sampling.draw(total, sample, seed), seed)
