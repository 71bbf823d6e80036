"""
``ddbverify plan``: what a comparison of two tables costs, before it is made.

It asks DynamoDB what the tables are, and touches no item unless a transform or checks have to be measured.
`estimate` is pure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from ddbverify.compare.inspection import ItemCheck
from ddbverify.compare.looks import ceiling_seconds, fewest_looks, most_looks
from ddbverify.compare.processes import chosen
from ddbverify.config import Config
from ddbverify.errors import ConfigurationError
from ddbverify.evidence.folders import make_importable
from ddbverify.items import transform as transforms
from ddbverify.items.inverse import takes_before
from ddbverify.reports.plan_cpu import (
    LOOK_CPU_SECONDS,
    SECOND_LOOK_CPU_SECONDS,
    Cpu,
    measure,
    pass_seconds,
)
from ddbverify.reports.plan_settling import Settling
from ddbverify.tables import prices
from ddbverify.tables import table as tables
from ddbverify.tables.capacity import DEFAULT_SHARE, ReadRate
from ddbverify.tables.segments import Plan, cut
from ddbverify.tables.table import Table
from ddbverify.words import duration_in_words

NEW_TABLE_UNITS_PER_SECOND: Final = 12_000
"""
What a new on-demand table gives; one that has had more traffic gives more.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html
"""

LONG_SECONDS: Final = 86_400.0

FLIP_SECONDS: Final = 30.0
"""Less than this of `fence_limit` must not be left when the application is moved (`replicator cutover`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SideEstimate:
    """One table's part."""

    table: Table
    items: int
    read_units: int
    seconds: float
    units_per_second: float  # at which it is read
    is_ceiling: bool  # whether `read_units` is what limits that
    capacity: float | None  # read units per second; None: on demand, without a maximum of its own
    share_of_capacity: float | None  # that the reads take while they last; None: there is no limit
    is_provisioned: bool
    money: float | None  # US dollars; None: provisioned, so the reads cost nothing of their own

    def as_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "table": self.table.arn,
            "items": self.items,
            "size_bytes": self.table.size_bytes,
            "read_units": self.read_units,
            "billing": "provisioned" if self.is_provisioned else "on demand",
            "usd": self.money,
            "share_of_capacity": self.share_of_capacity,
            "units_per_second": self.units_per_second,
            "seconds": self.seconds,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LastVerification:
    """The verification under the fence, which has to end before the fence does."""

    fence_seconds: float  # `fence_limit`
    available_seconds: float  # of these, when `quiet` is over and the flip still has to be made
    seconds: float

    @property
    def fits(self) -> bool:
        """Whether it ends in time, if nothing differs."""
        return self.seconds <= self.available_seconds

    @property
    def times_as_large(self) -> float:
        """How many times as large the tables may be, for it just to fit; below 1 it does not now."""
        return self.available_seconds / self.seconds if self.seconds else math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a comparison costs, as far as DynamoDB's own figures can tell."""

    source: SideEstimate
    target: SideEstimate
    segments: Plan
    price_per_million: float
    price_source: str
    settle_seconds: float
    settling: Settling
    cpu: Cpu
    processes: int
    is_rekeyed: bool
    last_verification: LastVerification
    inverse: str | None = None
    refused: tuple[str, ...] = ()  # why the comparison would not start
    warnings: tuple[str, ...] = ()

    @property
    def items(self) -> int:
        """Of both tables, that would be read."""
        return self.source.items + self.target.items

    @property
    def read_units(self) -> int:
        """Of both tables."""
        return self.source.read_units + self.target.read_units

    @property
    def money(self) -> float:
        """US dollars for both; provisioned tables add nothing."""
        return sum(side.money or 0.0 for side in (self.source, self.target))

    @property
    def cpu_seconds(self) -> float:
        """Of one core, without settling."""
        return self.cpu.seconds(self.source.items, self.target.items)

    @property
    def seconds(self) -> float:
        """Until both are read and compared, without settling."""
        reading = self.source.seconds, self.target.seconds
        items = self.source.items, self.target.items
        return pass_seconds(self.cpu, items, reading, self.processes, rekeys=self.is_rekeyed)

    @property
    def bound_by(self) -> str:
        """What decides how long it takes, in words."""
        if self.cpu_seconds / self.processes >= max(self.source.seconds, self.target.seconds):
            return "the processor"
        role, slower = max((("source", self.source), ("target", self.target)), key=lambda one: one[1].seconds)
        if slower.is_ceiling:
            return "the read ceiling"
        return f"the capacity of the {role}"

    @property
    def fits_up_to_items(self) -> int | None:
        """So many items of the source can be verified under the fence; ``None`` for an empty table."""
        times = self.last_verification.times_as_large
        items = self.source.table.item_count
        return int(times * items) if items and math.isfinite(times) else None

    @property
    def exit_code(self) -> int:
        """2 where ``diff`` would refuse."""
        return 2 if self.refused else 0

    def as_json(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        return {
            "command": "plan",
            "exit_code": self.exit_code,
            "source": self.source.as_json(),
            "target": self.target.as_json(),
            "segments": {"planned": len(self.segments.segments), "total": self.segments.total},
            "read_units": self.read_units,
            "usd": self.money,
            "usd_per_million_read_units": self.price_per_million,
            "price_source": self.price_source,
            "seconds": self.seconds,
            "bound_by": self.bound_by,
            "cpu": self.cpu.as_json() | {"seconds": self.cpu_seconds},
            "processes": self.processes,
            "last_verification": {
                "fence_limit_seconds": self.last_verification.fence_seconds,
                "available_seconds": self.last_verification.available_seconds,
                "fits": self.last_verification.fits,
                "fits_up_to_items": self.fits_up_to_items,
            },
            "settle_seconds": self.settle_seconds,
            "settling": self.settling.as_json(),
            "refused": list(self.refused),
            "inverse": self.inverse,
            "warnings": list(self.warnings),
        }


def plan(
    config: Config,
    *,
    seed: int | None = None,
    segments: int | None = None,
    price: float | None = None,
    checks: Sequence[ItemCheck] = (),
) -> Estimate:
    """
    Describe both tables of the one pair in *config*, and estimate.

    With a transform or *checks* on items, a page of the source is read, and they are run over it.

    Raises:
        ConfigurationError: The transform does not load, or no region or profile.
        EngineError: AWS refused to describe a table.
    """
    (pair,) = config.tables
    if pair.transform is not None:
        make_importable(config)
        transforms.load_function(pair.transform)
    if pair.inverse is not None:
        takes_before(pair.inverse, transforms.load_function(pair.inverse, "inverse"))
    source = tables.describe(config.source, pair.source)
    target = tables.describe(config.target, pair.target)
    made = estimate(config, source, target, seed=seed, segments=segments, price=price)
    if made.refused:
        return made
    cpu = measure(config, source, target, made.segments.total, checks)
    return estimate(config, source, target, seed=seed, segments=segments, price=price, cpu=cpu, checks=checks)


def estimate(
    config: Config,
    source: Table,
    target: Table,
    *,
    seed: int | None = None,
    segments: int | None = None,
    price: float | None = None,
    cpu: Cpu = Cpu(),  # noqa: B008 - frozen
    checks: Sequence[ItemCheck] = (),
) -> Estimate:
    """
    What comparing two tables as described costs.

    Args:
        config: With one pair.
        source: As described: its size and count are up to six hours old.
        target: Likewise.
        seed: Of a sample.
        segments: Overrides the rule of `segments.cut`.
        price: US dollars for a million read request units, in place of `prices.PER_MILLION_READ_UNITS`.
        cpu: As measured; by default what equal items without transform and checks take.
        checks: On items: with some of them, one process does it all.
    """
    (pair,), settings = config.tables, config.verification
    fraction = settings.sampled_fraction
    planned = cut(source, target, sample=fraction, seed=seed, segments=segments)
    sides = [
        _side(
            table,
            planned,
            settings.read_units,
            prices.PER_MILLION_READ_UNITS if price is None else price,
            is_exported=export is not None,
        )
        for table, export in ((source, pair.source_export), (target, pair.target_export))
    ]
    refused = []
    try:
        tables.require_comparable(pair, source, target)
    except ConfigurationError as error:
        refused.append(str(error))
    made = Estimate(
        source=sides[0],
        target=sides[1],
        segments=planned,
        price_per_million=prices.PER_MILLION_READ_UNITS if price is None else price,
        price_source=prices.SOURCE if price is None else "as given with --price",
        settle_seconds=settings.settle,
        settling=Settling(
            source_units=_units_of_an_item(source),
            target_units=_units_of_an_item(target),
            looks_at_least=fewest_looks(settings.settle),
            looks_at_most=most_looks(settings.settle),
            settle_seconds=settings.settle,
            keys=max(side.items for side in sides),
            source_rate=sides[0].units_per_second,
            target_rate=sides[1].units_per_second,
            pass_units=sum(side.read_units for side in sides),
            has_groups=not pair.rekeys,
            look_cpu_seconds=LOOK_CPU_SECONDS,
            second_look_cpu_seconds=SECOND_LOOK_CPU_SECONDS,
            ceiling_seconds=ceiling_seconds(settings.settle, 0),
            second_pass_units=sides[0].read_units if pair.rekeys else 0,
        ),
        cpu=cpu,
        processes=chosen(settings, pair, source, target, len(planned.segments), checks),
        is_rekeyed=pair.rekeys,
        last_verification=LastVerification(
            fence_seconds=config.cutover.fence_limit,
            available_seconds=max(0.0, config.cutover.fence_limit - config.cutover.quiet - FLIP_SECONDS),
            seconds=_whole_pass_seconds(config, source, target, cpu, checks),
        ),
        inverse=pair.inverse,
        refused=tuple(refused),
    )
    return _with_warnings(made, config)


def _units_of_an_item(table: Table) -> int:
    """Of one strongly consistent read of an item of average size; also where there is none."""
    return max(1, math.ceil(table.size_bytes / max(1, table.item_count) / prices.UNIT_BYTES))


def _side(
    table: Table, planned: Plan, ceiling: int | None, price: float, *, is_exported: bool = False
) -> SideEstimate:
    share = len(planned.segments) / planned.total
    units = 0 if is_exported else prices.pass_units(table.size_bytes * share, len(planned.segments))
    allowed = ReadRate.of(table, ceiling)
    rate = min(allowed.ceiling or math.inf, allowed.capacity or NEW_TABLE_UNITS_PER_SECOND)
    return SideEstimate(
        table=table,
        items=round(table.item_count * share),
        read_units=units,
        seconds=units / rate,
        units_per_second=rate,
        is_ceiling=ceiling is not None and rate == ceiling,
        capacity=allowed.capacity,
        share_of_capacity=allowed.share,
        is_provisioned=allowed.is_provisioned,
        money=None if allowed.is_provisioned else units * price / 1e6,
    )


def _whole_pass_seconds(
    config: Config, source: Table, target: Table, cpu: Cpu, checks: Sequence[ItemCheck]
) -> float:
    """Of a pass that leaves nothing out, as the last verification is, whatever is sampled now."""
    (pair,), settings = config.tables, config.verification
    whole = cut(source, target, sample=None, seed=None, segments=None)
    ours, theirs = (_side(table, whole, settings.read_units, 0.0) for table in (source, target))
    processes = chosen(settings, pair, source, target, whole.total, checks)
    items, reading = (ours.items, theirs.items), (ours.seconds, theirs.seconds)
    return pass_seconds(cpu, items, reading, processes, rekeys=pair.rekeys)


def _with_warnings(made: Estimate, config: Config) -> Estimate:
    (pair,), settings = config.tables, config.verification
    warnings = []
    for role, side in (("source", made.source), ("target", made.target)):
        if side.share_of_capacity is not None and side.share_of_capacity > DEFAULT_SHARE:
            warnings.append(
                f"The {role} has {side.capacity:,.0f} read units per second, and --read-units allows the "
                f"comparison to take {side.share_of_capacity:.0%} of them from its other users."
            )
        if not side.table.item_count:
            warnings.append(
                f"DynamoDB says that the {role} is empty; its figures are up to six hours old, so a "
                "table that was just filled looks like that, too."
            )
    if made.cpu.problem:
        warnings.append(
            f"How long transform and checks take could not be measured ({made.cpu.problem}): the time is "
            "that of items that are read and equal."
        )
    budget = settings.max_read_units
    if budget is not None and budget < made.read_units:
        warnings.append(
            f"--max-read-units {budget:,} is spent before the end: the verdict would be inconclusive."
        )
    if made.seconds > LONG_SECONDS:
        warnings.append(_long(made, settings.read_units))
    if pair.rekeys:
        warnings.append(
            "A re-keyed pair: items of the target that no source item claims cost one more pass over "
            f"the source, {made.source.read_units:,} read units."
        )
    if made.segments.is_sample:
        warnings.append("A sample can show that tables differ, and never that they are equal.")
    return replace(made, warnings=tuple(warnings))


def _long(made: Estimate, read_units: int | None) -> str:
    if made.bound_by == "the processor":
        cause, advice = "With transform and checks it takes", "make them faster, or read a --sample first"
    else:
        limited = any(side.capacity is not None for side in (made.source, made.target))
        default = "half of the tables' capacity" if limited else "what new on-demand tables give"
        cause = f"With {'--read-units' if read_units else default} it takes"
        advice = "raise --read-units, or read a --sample first"
    took = duration_in_words(made.seconds)
    return f"{cause} {took}: {advice}. With --out it can be interrupted and resumed."
