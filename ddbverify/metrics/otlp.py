"""
OTLP over HTTP, by OpenTelemetry's own exporter: one request, and its outcome.

Headers, certificates and compression are those of ``OTEL_EXPORTER_OTLP_…``, which the exporter reads itself,
so that no secret stands in ``migration.toml``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final
from urllib.parse import urlsplit

from ddbverify.metrics.measures import METRICS, Measured

SECONDS: Final = 10
"""For all attempts together."""


def send(measured: Sequence[Measured], endpoint: str) -> None:
    """
    Send the numbers as gauges.

    Args:
        endpoint: Of the collector, with or without ``/v1/metrics``.

    Raises:
        ImportError: The extra is not installed.
        OSError: They did not arrive.
    """
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricExportResult
    from opentelemetry.sdk.resources import Resource

    reader = InMemoryMetricReader()
    # No reader with a thread of its own: what is sent, and what came of it, is known here.
    provider = MeterProvider([reader], Resource.create({"service.name": "ddbverify"}), shutdown_on_exit=False)
    meter = provider.get_meter("ddbverify")
    gauges = {}
    for one in measured:
        metric = METRICS[one.metric]
        if metric.name not in gauges:
            gauges[metric.name] = meter.create_gauge(
                metric.name, unit=metric.unit, description=metric.meaning
            )
        gauges[metric.name].set(one.value, dict(one.labels))
    data = reader.get_metrics_data()
    if data is None:  # nothing was measured
        provider.shutdown()
        return
    with _quietly():
        exporter = OTLPMetricExporter(endpoint=address(endpoint), timeout=SECONDS)
        try:
            arrived = exporter.export(data, timeout_millis=SECONDS * 1000) is MetricExportResult.SUCCESS
        finally:
            exporter.shutdown()
            provider.shutdown()
    if not arrived:
        raise OSError(f"the collector at {urlsplit(endpoint).netloc} did not take them")


def address(endpoint: str) -> str:
    """Where metrics go: a collector's base address, or the very one that was given."""
    parts = urlsplit(endpoint)
    return endpoint if parts.path.strip("/") else f"{endpoint.rstrip('/')}/v1/metrics"


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the exporter's own words on standard error: what failed is told in one sentence."""
    logger = logging.getLogger("opentelemetry")
    before, logger.disabled = logger.level, False
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)
