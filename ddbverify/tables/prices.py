"""What AWS asks for reading, in US dollars: a list price, for estimates. The replicator uses it, too."""

from __future__ import annotations

import math
from typing import Final

PER_MILLION_READ_UNITS: Final = 0.125
"""
On demand, table class Standard, us-east-1, since 1 November 2024. Other regions cost up to about
twice as much.
https://aws.amazon.com/dynamodb/pricing/on-demand/
"""

SOURCE: Final = "AWS's price for us-east-1 since November 2024; other regions cost more, see --price"

UNIT_BYTES: Final = 4096
"""
Of a strongly consistent read.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
"""


def pass_units(size_bytes: float, segments: int) -> int:
    """
    Read units of one strongly consistent pass: 4 KB each.

    Each segment's last page is rounded up, and its end is asked for once more (`ddbverify.compare.reading`).
    """
    return math.ceil(size_bytes / UNIT_BYTES) + 2 * segments
