"""A file for the textfile collector of node_exporter, by prometheus-client: whole, or as it was."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ddbverify.metrics.measures import METRICS, Measured


def write(measured: Sequence[Measured], folder: Path, name: str) -> None:
    """
    Write ``NAME.prom``; it takes the place of the last one in one step.

    All are gauges: they say how the last run was, and a process that ends has no counters.

    Args:
        folder: The collector's; it has to be there.
        name: Of the file, without its ending: one for each command and migration.

    Raises:
        ImportError: The extra is not installed.
        OSError: It cannot be written.
    """
    from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

    registry = CollectorRegistry()
    gauges: dict[str, Gauge] = {}
    for one in measured:
        metric = METRICS[one.metric]
        if metric.key not in gauges:
            gauges[metric.key] = Gauge(
                metric.prometheus, metric.meaning, labelnames=tuple(one.labels), registry=registry
            )
        gauges[metric.key].labels(**one.labels).set(one.value)
    write_to_textfile(str(folder / f"{name}.prom"), registry)
