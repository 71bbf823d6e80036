"""What the operator asks of a running consumer, and how lags are kept. Pure; commands read it, too."""

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
