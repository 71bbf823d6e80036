"""``replicator plan``: what a migration will take, and whether another way is cheaper; nothing is changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from tabulate import tabulate

from ddbverify.config import Pair
from ddbverify.errors import EngineError, NotFoundError
from ddbverify.names import table_name
from ddbverify.reports.plan import Estimate, estimate
from ddbverify.tables import table as verified
from ddbverify.tables.aws import translated
from ddbverify.tables.references import arn_at
from ddbverify.tables.table import Table
from ddbverify.words import about, duration_in_words, money, number_of, size_in_words
from replicator.aws import prices
from replicator.backfill import imports
from replicator.commands import target_closing, way_back_possible
from replicator.commands.invocation import config_option, execute, json_option
from replicator.context.context import Context
from replicator.estimate import costs, resources, ways
from replicator.estimate.costs import Part
from replicator.estimate.moved import Moved
from replicator.estimate.ways import Way

VERSION: Final = 1
"""Of the JSON document; a member that changes its meaning makes it another."""

DAYS: Final = 7.0
_DAY_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True)
class Planned:
    """
    What one pair will take.

    Args:
        moved: What is known of it.
        source: As described.
        verification: Of a whole pass over both tables.
        unknown: Why the source's writes are not known; empty where they are.
        passes: Whole passes: one opens the gate, and one stands under the fence, where that does not look at
            what has changed alone.
    """

    moved: Moved
    source: Table
    verification: Estimate
    unknown: str
    passes: int


def plan(context: Context, *, days: float = DAYS) -> dict[str, Any]:
    """
    Describe the tables, estimate, and print.

    Args:
        context: Of the migration.
        days: From `up` to `down`: what is billed by time.

    Returns:
        For machines: time, money, resources and ways.

    Raises:
        ConfigurationError: A source does not exist, or an ARN is of somebody else.
        EngineError: AWS refused to describe a table.
    """
    context.need_own_tables()
    made = [planned(context, pair) for pair in context.config.tables]
    console, config = context.console, context.config
    console.line(f"Migration {config.name}: what it will take. Nothing is changed, and no item is read.")
    answers = {one.moved.name: _pair(context, one, days) for one in made}
    pairs = [(pair.id, one.moved.crosses_accounts) for pair, one in zip(config.tables, made, strict=True)]
    made_of = partial(
        resources.stacks_of,
        dashboard=config.replicated.dashboard,
        worker=config.replicated.worker,
        audited=config.replicated.scheduled_audit,
    )
    stacks = made_of(config.name, pairs)
    if _way_back_days(context):
        back = config.turned(1)
        turned = [(pair.id, crosses) for pair, (_, crosses) in zip(back.tables, pairs, strict=True)]
        of_back = made_of(back.name, turned)
        stacks += resources.of_way_back(of_back)
    if config.verification.every is not None:
        stacks.append(resources.verifying(config.name))
    _stacks(context, stacks)
    shared = costs.shared(sum("CloudWatch::Dashboard" in one.holds for one in stacks), days=days)
    if config.verification.every is not None:
        shared.append(_scheduled(context, made, config.verification.every, days))
    for part in shared:
        console.line(f"{part.name}: {_usd(part.number)} {part.how}")
    usd = sum(one["usd"] for one in answers.values()) + costs.total(shared)
    seconds = max((one["seconds"] for one in answers.values()), default=0.0)
    unknown = sorted({*costs.unknown(shared), *(part for one in answers.values() for part in one["unknown"])})
    rest = f", and what is not known ({', '.join(unknown)})" if unknown else ""
    console.line(
        f"In all {about(money(usd))}{rest}, and {about(duration_in_words(seconds))} until the targets follow "
        f"and are verified: list prices of {prices.REGION}, {prices.AS_OF}."
    )
    console.line("What would go wrong is not in it. Next: replicator doctor")
    return {
        "command": "plan",
        "version": VERSION,
        "name": config.name,
        "days": days,
        "usd": usd,
        "seconds": seconds,
        "unknown": unknown,
        "prices": f"list prices of {prices.REGION}, {prices.AS_OF}",
        "shared": [part.as_json() for part in shared],
        "stacks": [one.as_json() for one in stacks],
        "pairs": answers,
    }


def _scheduled(context: Context, made: Sequence[Planned], every: float, days: float) -> Part:
    """The builds of ``[verification] every``. A pair whose changes name no key is read whole each time."""
    passes = [
        costs.Pass(
            seconds=one.verification.seconds,
            usd=one.verification.money,
            each_time=pair.rekeys or every > costs.LINKED_SECONDS,
        )
        for pair, one in zip(context.config.tables, made, strict=True)
    ]
    return costs.scheduled(passes, every, alarms=resources.alarms_of_verifying(), days=days)


def _way_back_days(context: Context) -> float | None:
    """For how many days the sources will follow behind the flip; ``None``: they will not."""
    settings = context.config.cutover
    if settings.pointer is None or not way_back_possible.wanted(context):
        return None
    return (settings.way_back_seconds or 0.0) / _DAY_SECONDS


def planned(context: Context, pair: Pair) -> Planned:
    """What is known of a pair before anything is made."""
    found = context.source_table(pair)  # in the words of the settings where there is none
    source = verified.describe(context.source_side, pair.source)
    try:
        target = verified.describe(context.target_side, pair.target)
    except NotFoundError:
        target = None
    writes, unknown = _writes(context, source)
    like = target or source
    provisioned = (like.raw.get("ProvisionedThroughput") or {}).get("WriteCapacityUnits") or 0
    moved = Moved(
        name=str(pair),
        source=found.arn,
        target=target.arn if target else _arn_to_be(context, pair),
        target_exists=target is not None,
        items=source.item_count,
        size_bytes=source.size_bytes,
        indexes=len(like.indexes),
        backfill=context.config.replicated.backfill,
        transforms=pair.transform is not None,
        writes_per_second=writes,
        ceiling=context.config.replicated.write_units,
        exported=pair.export is not None,
        imported=_is_imported(context, pair, source, target),
        capacity=int(provisioned) if like.billing_mode != "PAY_PER_REQUEST" and provisioned else None,
    )
    alone = msgspec.structs.replace(context.config, tables=(pair,))
    # The target will hold about what the source does now, whatever it holds yet.
    passes = 1 if context.config.verification.last == "changes" and not pair.rekeys else 2
    return Planned(moved, source, estimate(alone, source, source), unknown, passes)


def _is_imported(context: Context, pair: Pair, source: Table, target: Table | None) -> bool:
    if context.config.replicated.import_from is None or target is not None:
        return False
    return not imports.cannot(source.raw, rekeys=pair.rekeys)


def _arn_to_be(context: Context, pair: Pair) -> str:
    resource = f"table/{table_name(pair.target)}"
    region = context.target.meta.region_name
    return arn_at(context.target_identity, service="dynamodb", region=region, resource=resource)


def _writes(context: Context, source: Table) -> tuple[float | None, str]:
    """Write units a second over the last day; or ``None``, and why it is not known."""
    now = datetime.now(UTC)
    try:
        with translated(f"read how much is written to {source.name} (cloudwatch:GetMetricData)"):
            answer = context.source_client("cloudwatch").get_metric_data(
                MetricDataQueries=[
                    {
                        "Id": "writes",
                        "MetricStat": {
                            "Metric": {
                                "Namespace": "AWS/DynamoDB",
                                "MetricName": "ConsumedWriteCapacityUnits",
                                "Dimensions": [{"Name": "TableName", "Value": source.name}],
                            },
                            "Period": 3600,
                            "Stat": "Sum",
                        },
                    }
                ],
                StartTime=now - timedelta(seconds=_DAY_SECONDS),
                EndTime=now,
            )
    except EngineError as error:
        return None, error.message
    values = [value for one in answer.get("MetricDataResults") or () for value in one.get("Values") or ()]
    if not values:
        return None, f"CloudWatch has no writes of {source.name} for the last day: none, or not yet"
    return sum(values) / _DAY_SECONDS, ""


def _pair(context: Context, one: Planned, days: float) -> dict[str, Any]:
    """What one pair will take, printed, and for machines."""
    moved, checked = one.moved, one.verification
    time = costs.times(
        moved,
        overlap_seconds=float(context.config.replicated.overlap),
        verification_seconds=checked.seconds,
    )
    bill = costs.money(
        moved,
        days=days,
        verification_usd=checked.money,
        verifications=one.passes,
        alarms=resources.alarms_of_a_pair(
            worker=context.config.replicated.worker, audited=context.config.replicated.scheduled_audit
        ),
    )
    # What a way back costs is no part of the price that other ways, which have none, are held against.
    found = ways.ways(moved, days=days, ours_usd=None if costs.unknown(bill) else costs.total(bill))
    if back := _way_back_days(context):
        bill.append(costs.way_back(moved, days=back))
    best = ways.cheapest(found)
    beside = resources.beside(
        moved,
        stream_is_on=one.source.stream_view is not None,
        closes_target=target_closing.is_wanted(context),
    )
    _print_pair(context, one, time, bill, found, best, beside)
    return {
        "source": moved.source,
        "target": moved.target,
        "items": moved.items,
        "size_bytes": moved.size_bytes,
        "writes_per_second": moved.writes_per_second,
        "seconds": costs.total(time),
        "usd": costs.total(bill),
        "unknown": costs.unknown(bill),
        "time": [part.as_json() for part in time],
        "money": [part.as_json() for part in bill],
        "beside_stacks": beside,
        "ways": [way.as_json() for way in found],
        "cheapest": best.name if best else None,
    }


def _print_pair(
    context: Context,
    one: Planned,
    time: Sequence[Part],
    bill: Sequence[Part],
    found: Sequence[Way],
    best: Way | None,
    beside: Sequence[str],
) -> None:
    moved, line = one.moved, context.console.line
    line(f"\n{moved.name}")
    writes = (
        f"{moved.writes_per_second:,.1f} write units a second over the last day"
        if moved.writes_per_second is not None
        else "writes not known"
    )
    line(f"  {number_of(moved.items, 'item')}, {size_in_words(moved.size_bytes)}, {writes}; hours old")
    rows = [("  time", part.name, _seconds(part), part.how) for part in time]
    rows += [("  money", part.name, _usd(part.number), part.how) for part in bill]
    rows += [("  makes", "beside the stacks", "", what) for what in beside]
    rows += [
        (
            "  way" if way.is_possible else "  no way",
            way.name,
            _usd(way.usd) if way.usd is not None else "",
            way.why,
        )
        for way in found
    ]
    line(tabulate(rows, tablefmt="plain", maxcolwidths=[None, None, None, 80], disable_numparse=True))
    if one.unknown:
        context.console.warn(one.unknown)
    if best is None:
        line("  Which way is cheapest is not known while a price is not.")
    elif best.name == ways.REPLICATOR:
        others = any(way.is_possible and way is not best for way in found)
        line(f"  Of the ways that do it, this one is {'the cheapest' if others else 'the only one'}.")
    else:
        line(f"  Cheaper than this tool: {best.name}, for {_usd(best.usd)}. {best.why}.")


def _seconds(part: Part) -> str:
    return "not known" if part.number is None else about(duration_in_words(part.number))


def _usd(number: float | None) -> str:
    return "not known" if number is None else money(number)


def _stacks(context: Context, found: Sequence[resources.Stack]) -> None:
    context.console.line(f"\n{number_of(len(found), 'stack')}, which `down` removes:")
    rows = [
        (f"  {one.name}", one.where, one.made_by, ", ".join(f"{n} {kind}" for kind, n in one.holds.items()))
        for one in found
    ]
    table = tabulate(rows, tablefmt="plain", maxcolwidths=[None, None, None, 70], disable_numparse=True)
    context.console.line(table + "\n")


@click.command("plan")
@config_option
@json_option
@click.option(
    "--days",
    type=click.FloatRange(min=0, min_open=True),
    default=DAYS,
    show_default=True,
    help="From `up` to `down`: what is billed by time.",
)
def command(path: Path, as_json: bool, days: float) -> None:
    """
    What it will take, before `up`: time, money, stacks, cheapest way.

    Reads what DynamoDB and CloudWatch say of the tables; no item.

    Exit status: 0 done, 2 usage or configuration, 6 AWS refused.
    """
    execute(path, as_json=as_json, run=lambda context: plan(context, days=days))
