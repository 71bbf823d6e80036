"""
What a demonstration may cost at most in an account of the user's, in US dollars. Pure.

List prices of us-east-1, doubled, since other regions cost up to about twice as much; no free tier. It is a
ceiling because the time is one: traffic ends with it, and everything is removed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from replicator.aws.prices import PRICES, Prices

_REGIONS: Final = 2.0
_UNITS_OF_A_WRITE: Final = (
    1 + 4 + 2
)  # of the application; of target and ledger in a transaction; of the state
_READS_OF_A_WRITE: Final = 4  # of ledger and state, and of what an audit looks at
_PASSES: Final = 12  # of the checks over both tables, those of cutovers included
_REQUESTS_OF_A_WRITE: Final = 4  # sent, received, deleted, and once more
_POLLS_A_SECOND: Final = 2.0  # of both directions' queues, empty ones included
_CALLS_OF_A_WRITE: Final = 2
_GB_SECONDS_OF_A_CALL: Final = 0.25
_ALARMS: Final = 2 * 13
_METRICS: Final = 2 * 20
_METRIC_MONTH: Final = 0.30
_LOGS_GB: Final = 0.2
_LOG_GB: Final = 0.50
_HOURS_OF_A_MONTH: Final = 730.0


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What it may cost: each part in words, with its dollars."""

    parts: dict[str, float]

    @property
    def usd(self) -> float:
        """All of it."""
        return sum(self.parts.values())


def ceiling(*, items: int, traffic: float, minutes: float, at: Prices = PRICES) -> Ceiling:
    """
    The most that a run can cost.

    Args:
        items: That the source begins with, of less than 1 KB each.
        traffic: Writes a second, for as long as it lasts.
        minutes: Its limit.
    """
    seconds = minutes * 60
    writes = items + traffic * seconds
    hours = minutes / 60 + 1  # begun ones are billed whole
    return Ceiling(
        {
            "DynamoDB, writing": _usd(writes * _UNITS_OF_A_WRITE, at.write_units),
            "DynamoDB, reading": _usd(writes * (_READS_OF_A_WRITE + 2 * _PASSES), at.read_units),
            "SQS": _usd(writes * _REQUESTS_OF_A_WRITE + seconds * _POLLS_A_SECOND, at.fifo_requests),
            "Lambda": _REGIONS
            * writes
            * _CALLS_OF_A_WRITE
            * (at.lambda_requests / 1e6 + _GB_SECONDS_OF_A_CALL * at.lambda_gb_second),
            "backup, restore, storage": _REGIONS
            * (at.restore_gb + at.backup_gb_month + at.storage_gb_month)
            * writes
            / 1e6,
            "CloudWatch": _REGIONS
            * (
                (_ALARMS * at.alarm_month + _METRICS * _METRIC_MONTH) * hours / _HOURS_OF_A_MONTH
                + _LOGS_GB * _LOG_GB
            ),
        }
    )


def _usd(number: float, a_million: float) -> float:
    return _REGIONS * number * a_million / 1e6
