"""
A clock that goes on while the machine sleeps.

`time.monotonic` stands still then, on Linux and on macOS: to an operator's laptop that was closed for
an hour, no time would have passed since it renewed its lease.
https://man7.org/linux/man-pages/man2/clock_gettime.2.html (CLOCK_BOOTTIME); on macOS it is
CLOCK_MONOTONIC that goes on, and Python's own clock that does not; on Windows Python's own goes on.
"""

from __future__ import annotations

import time

_GOES_ON = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))


def seconds() -> float:
    """Seconds since some moment before the program began, those asleep included."""
    return time.monotonic() if _GOES_ON is None else time.clock_gettime(_GOES_ON)
