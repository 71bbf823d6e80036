"""
What AWS bills for a migration under way, in US dollars. Pure.

List prices of us-east-1 without free tiers and discounts: an estimate, never a bill. The application's own
table is not in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ddbverify.tables.prices import PER_MILLION_READ_UNITS

AS_OF: Final = "2026-06"
REGION: Final = "us-east-1"


@dataclass(frozen=True, slots=True)
class Prices:
    """
    Dollars a million, but where it says otherwise.

    Source:
        https://aws.amazon.com/sqs/pricing/ (FIFO), https://aws.amazon.com/dynamodb/pricing/on-demand/
        (since November 2024), https://aws.amazon.com/lambda/pricing/ (arm64),
        https://aws.amazon.com/cloudwatch/pricing/, https://aws.amazon.com/codebuild/pricing/,
        https://aws.amazon.com/ec2/pricing/on-demand/ (transfer).
    """

    fifo_requests: float = 0.50  # of 64 KB
    write_units: float = 0.625
    read_units: float = PER_MILLION_READ_UNITS
    lambda_requests: float = 0.20
    lambda_gb_second: float = 0.0000133334  # one, not a million
    backup_gb_month: float = 0.10  # one, like all below: an on-demand backup
    export_gb: float = 0.10  # a full export to S3
    import_gb: float = 0.15  # of files that a table is imported from, before they are packed
    restore_gb: float = 0.15  # of a backup or a point in time; a global table's first copy is billed likewise
    storage_gb_month: float = 0.25
    transfer_gb: float = 0.02  # between regions
    alarm_month: float = 0.10
    dashboard_month: float = 3.0
    build_minute: float = 0.01  # of CodeBuild on general1.medium, as the template `verify` has it


PRICES: Final = Prices()
