"""What took how long while nobody could write. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise
from typing import Final

LEAST_SHOWN_SECONDS: Final = 0.05


def parts(steps: Mapping[str, str]) -> str:
    """
    How long each step of a cutover took from the fence on, in words.

    Args:
        steps: Step -> ISO 8601 time at which it was done, in order, as the evidence of a cutover has them.
    """
    times = [(step, datetime.fromisoformat(at)) for step, at in steps.items()]
    begins = next(number for number, (step, _) in enumerate(times) if step == "fence")
    took = {step: (at - before).total_seconds() for (_, before), (step, at) in pairwise(times[begins:])}
    return ", ".join(
        f"{step} {seconds:.1f}" for step, seconds in took.items() if seconds >= LEAST_SHOWN_SECONDS
    )
