"""What a repair costs, said before anything is read. Pure: from DynamoDB's own counts, so an estimate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from ddbverify.words import duration_in_words, number_of
from replicator.aws.prices import PRICES

LOOKS: Final = 3
"""Reads of the verification for each key that is as it should be: source, target, source."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Units over both tables, the ledger and the verification."""

    keys: int
    read_units: float
    write_units: float
    seconds: float | None  # at the configured ceilings; None: there are none

    def __add__(self, other: Cost) -> Cost:
        seconds = [one for one in (self.seconds, other.seconds) if one is not None]
        return Cost(
            self.keys + other.keys,
            self.read_units + other.read_units,
            self.write_units + other.write_units,
            sum(seconds) if seconds else None,
        )

    @property
    def dollars(self) -> float:
        """At list prices."""
        return (self.read_units * PRICES.read_units + self.write_units * PRICES.write_units) / 1e6

    def in_words(self) -> str:
        """For people."""
        took = "" if self.seconds is None else f", {duration_in_words(self.seconds)} at the ceilings"
        return (
            f"about {self.read_units:,.0f} read units (its verification's among them) and up to "
            f"{self.write_units:,.0f} write units, about {self.dollars:.2f} USD{took}, for "
            f"{number_of(self.keys, 'key')}"
        )


def cost(
    keys: int,
    *,
    source_bytes: float,
    target_bytes: float,
    pipeline: bool,
    writes: bool,
    read_units: int | None = None,
    write_units: int | None = None,
) -> Cost:
    """
    What repairing so many keys costs.

    Args:
        keys: How many.
        source_bytes: Of an item of the source, on average.
        target_bytes: Of one of the target, likewise.
        pipeline: Whether it goes through the ledger.
        writes: Whether anything is written, or only looked at.
        read_units: Ceiling a second.
        write_units: Likewise.
    """
    source, target = (max(1, math.ceil(size / 4096)) for size in (source_bytes, target_bytes))
    looked_at = source + target + (1 if pipeline and writes else 0)
    verified = LOOKS * max(source, target) if writes else 0
    written = 0
    if writes:
        written = 2 * max(1, math.ceil(max(source_bytes, target_bytes) / 1024)) + (2 if pipeline else 0)
    seconds = [keys * looked_at / read_units] if read_units else []
    seconds += [keys * written / write_units] if write_units and written else []
    return Cost(keys, keys * (looked_at + verified), keys * written, max(seconds) if seconds else None)
