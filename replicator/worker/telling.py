"""
What a worker tells CloudWatch each minute: how far each pair's stream is read.

It is told of the state table, by each process of the migration: one that stands is told of by the others, and
where none is left the metric is missing, which the alarm of the queue's stack takes for the worst.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ddbverify.config import Pair
from ddbverify.names import METRICS
from replicator.aws import workers
from replicator.context.context import Context

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch.type_defs import MetricDatumTypeDef

METRIC: Final = "StreamBehindSeconds"
"""As the template `queue` has it, with the dimensions ``migration`` and ``pair``."""

_MOST: Final = 1000
"""Metrics of one request: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html"""


def tell(direction: Context) -> int:
    """
    Put the metric of each pair of one direction.

    Returns:
        Of how many pairs: none of those whose stream is read nobody knows how far.

    Raises:
        ClientError, BotoCoreError, EngineError: AWS refused.
    """
    told = [one for pair in direction.config.tables if (one := _of_pair(direction, pair)) is not None]
    for at in range(0, len(told), _MOST):
        direction.source_client("cloudwatch").put_metric_data(
            Namespace=METRICS, MetricData=told[at : at + _MOST]
        )
    return len(told)


def _of_pair(direction: Context, pair: Pair) -> MetricDatumTypeDef | None:
    seen = workers.seen(direction, pair)
    if seen is None:
        return None
    # Switched off by an operator, nobody has to read: that is no lag.
    behind = seen.behind_seconds if workers.FORWARDER in seen.signs else 0.0
    if behind is None:
        return None
    return {
        "MetricName": METRIC,
        "Dimensions": [
            {"Name": "migration", "Value": direction.config.name},
            {"Name": "pair", "Value": pair.id},
        ],
        "Value": behind,
        "Unit": "Seconds",
    }
