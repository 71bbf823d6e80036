"""Metrics of the handlers, in CloudWatch's embedded format: counts and times, never keys or values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aws_lambda_powertools.metrics import EphemeralMetrics

from ddbverify.names import METRICS

_UNITS: Final = {"Milliseconds": "Milliseconds", "Seconds": "Seconds"}


def emit(service: str, environment: Mapping[str, str], values: Mapping[str, float]) -> None:
    """
    Write one line with these metrics to the log.

    Args:
        service: ``forwarder``, ``consumer`` or ``auditor``.
        environment: Of the function; names the migration and the pair.
        values: Name -> number. The unit is a suffix of the name, else it is a count.
    """
    metrics: Any = EphemeralMetrics(namespace=METRICS, service=service)  # nothing is kept between calls
    for dimension in ("migration", "pair"):
        metrics.add_dimension(name=dimension, value=environment.get(dimension.upper(), "none"))
    for name, value in values.items():
        unit = next((unit for suffix, unit in _UNITS.items() if name.endswith(suffix)), "Count")
        metrics.add_metric(name=name, unit=unit, value=value)
    metrics.flush_metrics()
