"""What CloudWatch, the ledger and the counters say about a pair: lag, throughput, size, cost. Reads only."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from ddbverify.config import Pair
from ddbverify.errors import AccessError, EngineError
from ddbverify.names import METRICS, Fact
from ddbverify.tables.aws import translated
from replicator.aws import prices, switch
from replicator.context import tables
from replicator.context.context import Context
from replicator.handlers.control import LAG_BOUNDS
from replicator.handlers.state import State

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch.type_defs import MetricStatTypeDef

_LOOK_BACK_SECONDS: Final = 600
_PERIOD_SECONDS: Final = 60
_RATE_PERIOD_SECONDS: Final = 300
_ON: Final = ("Enabled", "Enabling", "Updating")  # a mapping that is off says "Disabled" while it is changed
_CONSUMER_GB: Final = 1.0  # as the apply template has it


def from_cloudwatch(context: Context, pair: Pair, resources: Mapping[str, Any]) -> dict[str, float | None]:
    """
    The newest values of the last ten minutes; ``None`` for what nobody has reported.

    ``iterator_age_seconds`` (how far the forwarder is behind the stream), ``oldest_message_seconds``
    and ``changes_per_second``. CloudWatch is minutes late; an emulator may say nothing.
    """
    of_functions = {}
    if "forwarder" in resources:  # a worker's is nobody's metric
        of_functions["iterator_age_seconds"] = _query(
            "AWS/Lambda", "IteratorAge", {"FunctionName": resources["forwarder"]}, "Maximum"
        )
    queries = {
        **of_functions,
        "oldest_message_seconds": _query(
            "AWS/SQS",
            "ApproximateAgeOfOldestMessage",
            {"QueueName": resources["queue_url"].rpartition("/")[2]},
            "Maximum",
        ),
        "changes_per_second": _query(
            METRICS,
            "Applied",
            {"migration": context.config.name, "pair": pair.id, "service": "consumer"},
            "Sum",
            period=_RATE_PERIOD_SECONDS,
        ),
    }
    now = datetime.now(UTC)
    with translated(f"read the metrics of {pair}"):
        answer = context.source_client("cloudwatch").get_metric_data(
            MetricDataQueries=[
                {"Id": f"m{at}", "MetricStat": stat, "ReturnData": True}
                for at, stat in enumerate(queries.values())
            ],
            StartTime=now - timedelta(seconds=_LOOK_BACK_SECONDS),
            EndTime=now,
            ScanBy="TimestampDescending",
        )
    newest = {one["Id"]: one["Values"][0] for one in answer["MetricDataResults"] if one.get("Values")}
    divisors = {"iterator_age_seconds": 1000, "changes_per_second": _RATE_PERIOD_SECONDS}
    found = {
        name: newest[f"m{at}"] / divisors.get(name, 1) if f"m{at}" in newest else None
        for at, name in enumerate(queries)
    }
    return {"iterator_age_seconds": None, **found}


def _query(
    namespace: str, metric: str, dimensions: Mapping[str, str], stat: str, *, period: int = _PERIOD_SECONDS
) -> MetricStatTypeDef:
    return {
        "Metric": {
            "Namespace": namespace,
            "MetricName": metric,
            "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
        },
        "Period": period,
        "Stat": stat,
    }


def metrics(context: Context, pair: Pair, resources: Mapping[str, Any]) -> dict[str, Any]:
    """Like `from_cloudwatch`; where it may not be read, why it is not known. Never a reason to fail."""
    try:
        return {**from_cloudwatch(context, pair, resources), "unknown": None}
    except EngineError as error:
        return {
            "iterator_age_seconds": None,
            "oldest_message_seconds": None,
            "changes_per_second": None,
            "unknown": error.message,
        }


def consumer(context: Context, pair: Pair) -> dict[str, Any]:
    """Whether the consumer is on, or about to be; ``None``, and why, where it may not be looked at."""
    try:
        return {"on": switch.state_of_consumer(context, pair) in _ON, "unknown": None}
    except EngineError as error:
        return {"on": None, "unknown": error.message}


def canary_lags(context: Context, pair: Pair) -> dict[str, int | None]:
    """Seconds that half, and 99 of 100, of all canaries took at most, to the bounds that are kept."""
    counts = {name: int(number) for name, number in (context.state(pair).get(Fact.CANARY_LAGS) or {}).items()}
    return {"p50": percentile(counts, 50), "p99": percentile(counts, 99), "canaries": sum(counts.values())}


def percentile(counts: Mapping[str, int], share: float) -> int | None:
    """
    The bound in seconds that *share* per cent of the lags did not exceed; ``None`` where there are none.

    Args:
        counts: `replicator.handlers.control.lag_bound` -> how many.
    """
    wanted = share / 100 * sum(counts.values())
    seen = 0
    for bound in LAG_BOUNDS:
        seen += counts.get(str(bound), 0)
        if seen and seen >= wanted:
            return bound
    return None if not counts else 2 * LAG_BOUNDS[-1]


def ledger_items(context: Context, resources: Mapping[str, Any]) -> int | None:
    """Entries of the ledger, as DynamoDB counted them up to six hours ago; ``None`` where it is not."""
    if "ledger_table" not in resources:
        return None
    try:
        found = tables.find(context.target, resources["ledger_table"])
    except AccessError:
        return None  # not known is no reason to say nothing else
    return None if found is None else int(found.description.get("ItemCount", 0))


def last_applied(state: State) -> float | None:
    """When the newest change that was dealt with was made, in seconds since the epoch."""
    facts = state.get(Fact.COUNTERS) or {}
    moments = [float(value) for name, value in facts.items() if name.startswith(Fact.PROGRESS)]
    return max(moments, default=None)


def cost(costs: Mapping[str, int], at: prices.Prices = prices.PRICES) -> dict[str, Any]:
    """
    What following has cost since `up` or the last restart: an estimate in US dollars.

    Sending is taken to cost what receiving did, and each call one delete and two writes of state.
    The forwarder's Lambda, the backfill and everything of `prices` that it leaves out are not in it.
    """
    calls, units = costs.get("calls", 0), costs.get("queue_units", 0)
    queue = (2 * units + calls) * at.fifo_requests / 1e6
    writes = (costs.get("write_units", 0) + 2 * calls) * at.write_units / 1e6
    functions = calls * at.lambda_requests / 1e6
    functions += costs.get("busy_ms", 0) / 1000 * _CONSUMER_GB * at.lambda_gb_second
    return {
        "usd": round(queue + writes + functions, 6),
        "queue_usd": round(queue, 6),
        "write_usd": round(writes, 6),
        "lambda_usd": round(functions, 6),
        "prices": f"estimate; list prices of {prices.REGION}, {prices.AS_OF}",
    }
