"""
Live tables on Spark: this process gives each task one segment, and joins what is open of all of them.

It is the pass of one machine (`runner`), with tasks in place of processes (`compare.crew`). A job has one
task of one segment, and its rows come back as a whole or not at all. So no plan reads a table a second time,
whatever is lost on the way. This process decides how many tasks run at once, and divides rate and budget.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

import msgspec

from ddbverify.compare import runner
from ddbverify.compare.comparison import Comparison
from ddbverify.compare.processes import Begin
from ddbverify.compare.request import Listeners, PassRequest
from ddbverify.compare.sides import Role
from ddbverify.compare.work import Hiring
from ddbverify.config import Config, Pair, Side
from ddbverify.errors import ConfigurationError
from ddbverify.spark import bound
from ddbverify.spark.item_checks import TaskChecks
from ddbverify.spark.job import MOST_MEMORY, code_of
from ddbverify.spark.lanes import LiveCluster, LiveCrew
from ddbverify.spark.segments import Live
from ddbverify.spark.settled import SettlingTasks
from ddbverify.spark.shares import Lanes, Shares
from ddbverify.spark.staging import Staging
from ddbverify.tables import aws
from ddbverify.tables.capacity import ReadRate
from ddbverify.tables.hosts import is_aws
from ddbverify.tables.pace import Budget
from ddbverify.tables.segments import Plan
from ddbverify.tables.wire import TableReader

MOST_AT_ONCE: Final = 128
"""Tasks: each has a thread of this process, and together they read more than tables usually allow."""

UNITS_PER_PAGE: Final = 256.0
"""Of a page of 1 MB. Less than this a second would be no rate but a row of pauses."""


def compare(
    cluster: LiveCluster,
    config: Config,
    pair: Pair,
    request: PassRequest | None = None,
    listeners: Listeners | None = None,
    *,
    staging: str | None = None,
) -> Comparison:
    """
    As `runner.compare`, with segments as tasks of *cluster*.

    Args:
        cluster: Where tasks run.
        config: As `runner.compare` has it.
        pair: Likewise.
        request: Likewise.
        listeners: Likewise.
        staging: Where items wait that meet no partner in their segment; by default they come back at once.

    Raises:
        ConfigurationError: As `runner.compare`; tasks may run twice at once, or reach other tables.
        EngineError: As `runner.compare`; or AWS refuses the tasks.
        Inconclusive: As `runner.compare`; a task has failed for good, receipts do not add up, or more is
            open than one process should join.
    """
    checks = TaskChecks.of(request.item_checks if request else ())
    if checks and staging is not None:
        raise ConfigurationError(
            "[verification] spark_staging: items that wait there are not shown to checks on items.",
            'mark these @each_item(only="different"), or leave out spark_staging.',
        )
    cluster.require_one_attempt_at_a_time()
    crews: list[LiveCrew] = []

    def hire(
        begin: Begin, readers: Mapping[Role, TableReader], budget: Budget, stop: threading.Event
    ) -> Hiring:
        live = Live(
            id=uuid.uuid4().hex,
            sides={role: _reached(begin.sides[role], readers[role]) for role in Role},
            tables=begin.tables,
            transform=begin.transform,
            folder=str(config.folder.resolve()),
            code=code_of(config, pair),
            ignore=begin.ignore,
            secret=begin.secret,
            ttl_attributes=begin.ttl_attributes,
            covered=begin.covered,
            plan=Plan.of_none(begin.plan.total),  # a task is told its segment
            judges=begin.judges,
            memory=min(begin.memory, MOST_MEMORY),
            staging=None if staging is None else Staging.of(staging, config.source),
            bound=bound.here(),
            checks=checks,
        )
        rates = {
            role: ReadRate.of(table, config.verification.read_units).ceiling
            for role, table in begin.tables.items()
        }
        planned = len(begin.plan.segments)
        number = at_once(config.verification.processes or cluster.slots, planned, rates.values())
        lanes = Lanes(number, rates)

        def clock() -> float:
            return time.monotonic() + begin.clock_ahead

        settling = SettlingTasks(
            cluster,
            live,
            readers,
            budget,
            lanes,
            stop,
            settle_seconds=config.verification.settle,
            clock=clock,
        )
        shares = Shares(budget, number, planned)
        crew = LiveCrew(cluster, live, readers, shares, lanes, stop, settling=settling, clock=clock)
        crews.append(crew)
        return crew

    comparison = runner.compare(config, pair, request, listeners, hire=hire)
    (crew,) = crews
    return replace(comparison, notes=(*comparison.notes, *crew.notes))


def at_once(slots: int, segments: int, rates: Iterable[float | None]) -> int:
    """How many tasks read at once: each has to have a rate that a page of its own fits into."""
    allowed = [int(rate // UNITS_PER_PAGE) for rate in rates if rate is not None]
    return max(1, min(slots, segments, MOST_AT_ONCE, *allowed))


def _reached(side: Side, reader: TableReader) -> Side:
    """*side* as tasks reach it: where the environment names an endpoint, theirs may not."""
    if side.endpoint_url is not None:
        return side
    endpoint: str = aws.client(side, "dynamodb", region=reader.table.region).meta.endpoint_url
    return side if is_aws(endpoint) else msgspec.structs.replace(side, endpoint_url=endpoint)
