"""What `replicator status` makes of metrics and counters."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from botocore.exceptions import ClientError

from replicator.aws import sight
from replicator.aws.prices import Prices
from replicator.handlers.envelope import sqs_units

PAIR = SimpleNamespace(id="orders-00000000")
RESOURCES = {"forwarder": "f", "queue_url": "https://sqs/1/q.fifo"}


class CloudWatch:
    def __init__(self, values):
        self.values, self.asked = values, []

    def get_metric_data(self, *, MetricDataQueries, **_):  # noqa: N803
        if isinstance(self.values, Exception):
            raise self.values
        self.asked = [query["MetricStat"]["Metric"] for query in MetricDataQueries]
        return {
            "MetricDataResults": [
                {"Id": query["Id"], "Values": values}
                for query, values in zip(MetricDataQueries, self.values, strict=True)
            ]
        }


def seen(values):
    client = CloudWatch(values)
    context = SimpleNamespace(
        source_client=lambda service: {"cloudwatch": client}[service],
        config=SimpleNamespace(name="shop"),
    )
    return sight.metrics(context, PAIR, RESOURCES), client


def test_the_newest_value_counts_in_seconds():
    found, client = seen([[90_000.0, 1.0], [12.0], [600.0]])

    assert found == {
        "iterator_age_seconds": 90.0,
        "oldest_message_seconds": 12.0,
        "changes_per_second": 2.0,
        "unknown": None,
    }
    assert [one["MetricName"] for one in client.asked] == [
        "IteratorAge",
        "ApproximateAgeOfOldestMessage",
        "Applied",
    ]
    assert client.asked[1]["Dimensions"] == [{"Name": "QueueName", "Value": "q.fifo"}]


def test_what_nobody_has_reported_is_not_nought():
    found, _ = seen([[], [], []])
    assert found["oldest_message_seconds"] is None


def test_metrics_that_may_not_be_read_are_unknown_and_no_reason_to_fail():
    refused = ClientError({"Error": {"Code": "AccessDeniedException", "Message": ""}}, "GetMetricData")
    found, _ = seen(refused)

    assert found["iterator_age_seconds"] is None
    assert "AccessDenied" in found["unknown"]


def test_the_cost_is_what_was_counted_at_list_prices():
    made = sight.cost(
        {"calls": 100, "queue_units": 450, "write_units": 10_000, "busy_ms": 2_000},
        Prices(
            fifo_requests=1.0, write_units=10.0, read_units=0, lambda_requests=100.0, lambda_gb_second=0.5
        ),
    )

    assert made["queue_usd"] == pytest.approx(1000 / 1e6, abs=1e-4)
    assert made["write_usd"] == pytest.approx(10_200 * 10 / 1e6, abs=1e-4)
    assert made["lambda_usd"] == pytest.approx(100 * 100 / 1e6 + 1.0, abs=1e-4)
    assert made["usd"] == pytest.approx(made["queue_usd"] + made["write_usd"] + made["lambda_usd"], abs=1e-3)
    assert "estimate" in made["prices"]
    assert sight.cost({})["usd"] == 0


def test_sqs_bills_64_kb_at_a_time():
    assert [sqs_units(size) for size in (0, 65_536, 65_537)] == [1, 1, 2]
