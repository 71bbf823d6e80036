"""What the operator asks of a running consumer, and how lags are kept. Pure; both sides use it."""

from __future__ import annotations

import bisect
from collections.abc import Mapping
from typing import Any, Final

from ddbverify.names import RUN

LAG_BOUNDS: Final = (1, 2, 3, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 86_400)
"""Seconds. A change's time has whole seconds, so a finer one would be invented."""

_BEYOND: Final = "more"


def is_paused(control: Mapping[str, Any] | None) -> bool:
    """Whether the consumer hands everything back. A word that this version does not know is a pause."""
    return control is not None and control.get("state") != RUN


def lag_bound(seconds: float) -> str:
    """The smallest of `LAG_BOUNDS` that is not below *seconds*, as a counter's name."""
    at = bisect.bisect_left(LAG_BOUNDS, seconds)
    return str(LAG_BOUNDS[at]) if at < len(LAG_BOUNDS) else _BEYOND


def percentile(counts: Mapping[str, int], share: float) -> int | None:
    """
    The bound in seconds that *share* per cent of the lags did not exceed; ``None`` where there are none.

    Args:
        counts: `lag_bound` -> how many.
    """
    wanted = share / 100 * sum(counts.values())
    seen = 0
    for bound in LAG_BOUNDS:
        seen += counts.get(str(bound), 0)
        if seen and seen >= wanted:
            return bound
    return None if not counts else 2 * LAG_BOUNDS[-1]
