"""What looking again costs, which nobody knows before: how many keys differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

SHARES: Final = (0.0, 0.01, 1.0)
"""Of the keys, that a plan says the price of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settling:
    """
    What is read beyond the pass, for each key that differs: nobody knows how many there are.

    A look at a key reads source, target, and source again, and an item of average size costs
    `source_units` or `target_units`. `looks_at_least` decide a key that the scan has seen longer than
    the settle time ago; `looks_at_most` are made at one that it saw last. Keys that are written
    all the time are looked at more often still, until `ceiling_seconds`.
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
    look_cpu_seconds: float

    @property
    def units_per_key(self) -> tuple[int, int]:
        """Read units for one key that differs, at least and at most."""
        look = 2 * self.source_units + self.target_units
        return look * self.looks_at_least, look * self.looks_at_most

    def of(self, keys: int) -> tuple[int, int]:
        """Read units for so many keys that differ, at least and at most."""
        least, most = self.units_per_key
        return least * keys, most * keys + self.second_pass_units * (keys > 0)

    def seconds(self, keys: int) -> tuple[float, float]:
        """How much longer it takes if so many keys differ, at least and at most."""
        if not keys:
            return 0.0, 0.0
        least, most = (
            max(
                self.settle_seconds,
                keys * looks * 2 * self.source_units / self.source_rate,
                keys * looks * self.target_units / self.target_rate,
                keys * looks * self.look_cpu_seconds,
            )
            for looks in (self.looks_at_least, self.looks_at_most)
        )
        return least, most + self.second_pass_units / self.source_rate

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
