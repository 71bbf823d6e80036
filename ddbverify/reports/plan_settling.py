"""What looking again costs, which nobody knows before: how many keys differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from ddbverify.compare.groups import FEWEST, SAMPLE
from ddbverify.compare.second_look import DEAR_POINT_READS

SHARES: Final = (0.0, 0.01, 0.1, 1.0)
"""Of the keys, that a plan says the price of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settling:
    """
    What is read beyond the pass, for each key that differs: nobody knows how many there are.

    A look at a key reads source, target, and source again, and an item of average size costs
    `source_units` or `target_units`. `looks_at_least` decide a key that the scan has seen longer than
    the settle time ago; `looks_at_most` are made at one that it saw last. Keys that are written
    all the time are looked at more often still, until `ceiling_seconds`.

    Of many keys that differ in one way a sample is settled like that, and the others are looked at once
    more, by segment where they are dense (`ddbverify.compare.second_look`). So the least is what it costs
    if all differ in one way, the most if each differs in a way of its own.
    """

    source_units: int
    target_units: int
    looks_at_least: int
    looks_at_most: int
    settle_seconds: float
    ceiling_seconds: float
    second_pass_units: int  # over the source, once, if items of a re-keyed target have no owner
    keys: int  # that there are
    source_rate: float  # read units per second
    target_rate: float
    pass_units: int  # read units of one pass over both tables
    has_groups: bool  # keys that differ in one way are settled by a sample; not where they are re-keyed
    look_cpu_seconds: float
    second_look_cpu_seconds: float

    @property
    def units_per_key(self) -> tuple[int, int]:
        """Read units for one key that differs, at least and at most."""
        look = 2 * self.source_units + self.target_units
        return look * self.looks_at_least, look * self.looks_at_most

    def of(self, keys: int) -> tuple[int, int]:
        """Read units for so many keys that differ, at least and at most."""
        singly = keys * self.units_per_key[1] + self.second_pass_units * (keys > 0)
        if not self._is_sampled(keys):
            return keys * self.units_per_key[0], singly
        return min(SAMPLE * self.units_per_key[0] + self._looked_at_once(keys - SAMPLE), singly), singly

    def seconds(self, keys: int) -> tuple[float, float]:
        """How much longer it takes if so many keys differ, at least and at most."""
        if not keys:
            return 0.0, 0.0
        least, most = (self._one_by_one(keys, looks) for looks in (self.looks_at_least, self.looks_at_most))
        if self._is_sampled(keys):
            others = keys - SAMPLE
            once = self._looked_at_once(others) / (self.source_rate + self.target_rate)
            # They are judged and told before and after it, and not meanwhile.
            least = min(least, self.settle_seconds + once + others * self.second_look_cpu_seconds)
        return least, most + self.second_pass_units / self.source_rate

    def _is_sampled(self, keys: int) -> bool:
        return self.has_groups and keys >= FEWEST

    def _looked_at_once(self, keys: int) -> int:
        """Read units for keys that are spread over all segments: point reads, or the segments once more."""
        is_dense = 2 * keys > DEAR_POINT_READS * self.pass_units
        return self.pass_units if is_dense else keys * (self.source_units + self.target_units)

    def _one_by_one(self, keys: int, looks: int) -> float:
        return max(
            self.settle_seconds,
            keys * looks * 2 * self.source_units / self.source_rate,
            keys * looks * self.target_units / self.target_rate,
            keys * looks * self.look_cpu_seconds,
        )

    def scenarios(self) -> list[tuple[float, int]]:
        """The shares of `SHARES`, and how many keys each is."""
        return [(share, round(share * self.keys)) for share in SHARES]

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "read_units_per_key": list(self.units_per_key),
            "looks_at_least": self.looks_at_least,
            "looks_at_most": self.looks_at_most,
            "ceiling_seconds": self.ceiling_seconds,
            "second_pass_read_units": self.second_pass_units,
            "scenarios": [
                {
                    "share": share,
                    "keys": keys,
                    "read_units": list(self.of(keys)),
                    "seconds": list(self.seconds(keys)),
                }
                for share, keys in self.scenarios()
            ],
        }
