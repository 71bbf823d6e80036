"""
``python -m benchmarks.billion``: what comparing a billion items costs on Glue and EMR Serverless. Pure.

From figures of `benchmarks.on_spark` and list prices. It writes the table that stands in docs/spark.md, which
a test holds against this.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Final

from replicator.aws.prices import PRICES

BILLION: Final = 1_000_000_000

ITEM_BYTES: Final = 480
"""Of the items that were measured."""

PER_PART: Final = 0.03
"""Seconds of CPU for each data file, beside its items: most of it the JVM's."""

BEGIN: Final = 15.0
"""Seconds of CPU until a session has made its first, small comparison."""

BUSY: Final = 0.5
"""Share of the vCPUs paid for that computes; the rest waits for S3, the last task or the driver. Assumed."""

PARTS: Final = 2_000
"""Data files of both exports together. Assumed."""


@dataclass(frozen=True, slots=True)
class Prices:
    """
    Dollars, us-east-1, on demand.

    Source:
        https://aws.amazon.com/glue/pricing/ (Spark jobs, by the second, a minute at least) and
        https://aws.amazon.com/emr/pricing/ (EMR Serverless, Linux on x86, likewise), as others have quoted
        them in May and June 2026.
    """

    dpu_hour: float = 0.44  # a DPU has 4 vCPUs and 16 GB
    flex_dpu_hour: float = 0.29  # on capacity that may be taken away
    vcpu_hour: float = 0.052624
    gb_hour: float = 0.0057785


PRICES_OF_SPARK: Final = Prices()

VCPUS_OF_A_DPU: Final = 4
GB_PER_VCPU: Final = 4
"""Of a worker of EMR Serverless with 4 vCPUs and 16 GB, its default."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one comparison."""

    cpu_hours: float
    dpu_hours: float
    glue: float  # dollars
    glue_flex: float
    vcpu_hours: float
    gb_hours: float
    emr_serverless: float


def cost(microseconds: float, *, items: int = BILLION, parts: int = PARTS, busy: float = BUSY) -> Cost:
    """
    What comparing two exports costs.

    Args:
        microseconds: Of CPU per item read.
        items: On each side; both are read.
        parts: Data files of both sides.
        busy: Share of the vCPUs paid for that computes.
    """
    cpu_hours = (2 * items * microseconds / 1e6 + parts * PER_PART + BEGIN) / 3600
    vcpu_hours = cpu_hours / busy
    dpu_hours, gb_hours = vcpu_hours / VCPUS_OF_A_DPU, vcpu_hours * GB_PER_VCPU
    prices = PRICES_OF_SPARK
    return Cost(
        cpu_hours=cpu_hours,
        dpu_hours=dpu_hours,
        glue=dpu_hours * prices.dpu_hour,
        glue_flex=dpu_hours * prices.flex_dpu_hour,
        vcpu_hours=vcpu_hours,
        gb_hours=gb_hours,
        emr_serverless=vcpu_hours * prices.vcpu_hour + gb_hours * prices.gb_hour,
    )


def exports_cost(items: int = BILLION) -> float:
    """Dollars for making both exports: by the GB of each table."""
    return 2 * items * ITEM_BYTES / 1e9 * PRICES.export_gb


MEASURED: Final = {"[exports](exports.md)": 12.9, "exports of a re-keyed pair": 24.8}
"""Microseconds of CPU per item read: docs/benchmarks.md, On Spark."""


def table() -> str:
    """As docs/spark.md has it."""
    lines = [
        "| | CPU per item read | CPU hours | Glue | Glue Flex | EMR Serverless |",
        "|---|---|---|---|---|---|",
    ]
    for what, microseconds in MEASURED.items():
        its = cost(microseconds)
        cells = (
            what,
            f"{microseconds:g} µs",
            f"{its.cpu_hours:.1f}",
            f"{its.dpu_hours:.1f} DPU hours, ${its.glue:.2f}",
            f"${its.glue_flex:.2f}",
            f"{its.vcpu_hours:.1f} vCPU hours, {its.gb_hours:.0f} GB hours, ${its.emr_serverless:.2f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(f"{table()}\n\nBoth exports: ${exports_cost():.0f}\n")
