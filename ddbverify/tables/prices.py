"""What AWS asks for reading, in US dollars: a list price, for estimates. The replicator uses it, too."""

from __future__ import annotations

from typing import Final

PER_MILLION_READ_UNITS: Final = 0.125
"""
On demand, table class Standard, us-east-1, since 1 November 2024. Other regions cost up to about
twice as much.
https://aws.amazon.com/dynamodb/pricing/on-demand/
"""

SOURCE: Final = "AWS's price for us-east-1 since November 2024; other regions cost more, see --price"
