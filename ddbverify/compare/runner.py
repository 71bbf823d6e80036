"""
One pass over one pair of real tables: describe them, plan the segments, and let a `Pass` run over them.

`compare` is what checks and commands call. Everything that knows AWS or the configuration is here;
the pass itself (`ddbverify.compare.one_pass`) reads from any reader.
"""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from ddbverify.code import source as source_texts
from ddbverify.code.digest import transform_digest
from ddbverify.compare import exported
from ddbverify.compare.checkpoint import Checkpoint
from ddbverify.compare.comparison import Comparison
from ddbverify.compare.judge import Judge
from ddbverify.compare.one_pass import Pass
from ddbverify.compare.processes import Begin, PlacedCheck, Processes, chosen
from ddbverify.compare.request import Listeners, PassRequest, Running
from ddbverify.compare.sides import Role
from ddbverify.compare.work import Hiring
from ddbverify.config import Config, Side
from ddbverify.config import Pair as PairSettings
from ddbverify.errors import ConfigurationError, EngineError
from ddbverify.items.form import Form
from ddbverify.items.transform import Transform
from ddbverify.names import table_name
from ddbverify.plugins.rulings import Rulings
from ddbverify.tables import credentials
from ddbverify.tables.capacity import ReadRate
from ddbverify.tables.pace import Budget
from ddbverify.tables.segments import Plan, cut
from ddbverify.tables.table import Table, describe, describe_pair
from ddbverify.tables.wire import TableReader

Hire = Callable[[Begin, Mapping[Role, TableReader], Budget, threading.Event], Hiring]
"""
Those who read the segments of a pass, in place of processes of this machine: given what each is told first,
the readers that count what all of them consume, the budget, and what is set when the pass ends early.
"""


def compare(
    config: Config,
    pair: PairSettings,
    request: PassRequest | None = None,
    listeners: Listeners | None = None,
    *,
    hire: Hire | None = None,
) -> Comparison:
    """
    Read both tables of a pair once, and say for every key where it stands.

    Neither table has to be quiet: what looks different is settled before it is reported.

    Args:
        config: The whole configuration.
        pair: One of its tables.
        request: What else is asked; by default a whole pass and nothing more.
        listeners: Who is told while it runs; by default nobody.
        hire: Who reads the segments; by default this machine. Not of a re-keyed pair.

    Raises:
        ConfigurationError: The tables are no pair, the transform does not load, the sample
            is asked of a re-keyed pair, or the checkpoint is another comparison's.
        EngineError: AWS refused before anything was read. Refused later, what could not be
            read stands in `Comparison.unexamined`.
        Inconclusive: What does not fit into ``[verification] memory`` does not fit on the disk either.
    """
    request, listeners = request or PassRequest(), listeners or Listeners()
    if pair.is_read_from_exports and request.changed is None:  # what has changed is looked up in the tables
        return exported.compare_tables(config, pair, request, listeners)
    if pair.rekeys and request.sample is not None and request.sample < 1:
        raise ConfigurationError(
            f"[[tables]] {pair}: a re-keyed pair cannot be sampled, its keys move between segments.",
            'set [verification] coverage = "full".',
        )
    if pair.rekeys and request.changed is not None:
        raise ConfigurationError(
            f"[[tables]] {pair}: a change of a re-keyed pair's source names no key of the target.",
            "compare the whole tables.",
        )
    source, target = describe_pair(config, pair)
    transform = request.transform or Transform.load(
        pair.transform, source.key_schema, target.key_schema, rekeys=pair.rekeys
    )
    attributes = dict.fromkeys(name for name in (source.ttl_attribute, target.ttl_attribute) if name)
    plugins = request.plugins
    rulings = Rulings(plugins, table_name(pair.source), target.key_schema) if plugins else None
    form = Form.of(pair.ignore, request.secret)
    planned = cut(source, target, sample=request.sample, seed=request.seed, segments=request.segments)
    if request.changed is not None:
        planned = Plan.of_none(planned.total)
    kept = None
    if request.checkpoint is not None:
        digest = transform_digest(config, pair)
        tables = [table.identity for table in (source, target)]
        asked = [request.sample, request.seed, request.segments]
        rules = [pair.transform, digest, pair.ignore, list(attributes), *asked]
        kept = Checkpoint.open(request.checkpoint, [tables, rules])
        planned, secret = _kept_plan(kept, planned, form.secret)
        form = Form.of(pair.ignore, secret)
    settings, running = (
        config.verification,
        Running(pipeline_passed=rulings.pipeline_passed if rulings else None),
    )
    budget = Budget(settings.max_read_units)

    def reader(side: Side, table: Table) -> TableReader:
        rate = ReadRate.of(table, settings.read_units).ceiling
        return TableReader(side, table, units_per_second=rate, budget=budget, stop=running.stop)

    readers = {Role.SOURCE: reader(config.source, source), Role.TARGET: reader(config.target, target)}
    judge = Judge(transform, form, tuple(attributes), rulings)

    def begin(shares: int) -> Begin:
        return _begin(config, pair, request, running, readers, judge, planned, shares)

    crew: Hiring | None
    if hire is not None:
        crew = hire(begin(1), readers, budget, running.stop)
    else:
        crew = _crew(config, pair, request, listeners, running, readers, judge, planned, begin)
    comparison = Pass(
        pair.id,
        readers[Role.SOURCE],
        readers[Role.TARGET],
        judge,
        planned,
        config.verification,
        request=request,
        listeners=listeners,
        running=running,
        checkpoint=kept,
        crew=crew,
    ).run()
    replaced = _replaced(config, pair, source, target)
    return replace(comparison, unexamined=(*comparison.unexamined, *replaced))


def _crew(
    config: Config,
    pair: PairSettings,
    request: PassRequest,
    listeners: Listeners,
    running: Running,
    readers: Mapping[Role, TableReader],
    judge: Judge,
    planned: Plan,
    begin: Callable[[int], Begin],
) -> Processes | None:
    """The processes that read the segments; ``None``: the threads of this one do."""
    settings = config.verification
    source, target = (readers[role].table for role in Role)
    number = chosen(settings, pair, source, target, len(planned.segments), request.item_checks)
    if number < 2 or judge.transform.name != (pair.transform or ""):  # another process loads it by its name
        return None
    return Processes(number, begin, readers, running.stop, listeners.elsewhere)


def _begin(
    config: Config,
    pair: PairSettings,
    request: PassRequest,
    running: Running,
    readers: Mapping[Role, TableReader],
    judge: Judge,
    planned: Plan,
    shares: int,
) -> Begin:
    checks = [PlacedCheck.of(check) for check in request.item_checks if not check.only_different]
    return Begin(
        sides={Role.SOURCE: config.source, Role.TARGET: config.target},
        tables={role: reader.table for role, reader in readers.items()},
        is_free={role: reader.is_free for role, reader in readers.items()},
        transform=pair.transform,
        rekeys=pair.rekeys,
        ignore=judge.form.ignore,
        secret=judge.form.secret,
        ttl_attributes=judge.ttl_attributes,
        covered=frozenset(request.covered),
        plan=planned,
        judges=not judge.rulings,
        memory=config.verification.memory,
        shares=shares,
        clock_ahead=running.clock() - time.monotonic(),
        silence_seconds=config.verification.time_limit,
        assumed=credentials.assumed(),
        bound=source_texts.installed(),
        filters=tuple(warnings.filters),
        checks=tuple(check for check in checks if check is not None),
    )


def _replaced(config: Config, pair: PairSettings, source: Table, target: Table) -> Iterator[str]:
    """Which table is not the one any more that the pass began with, in words: it was read in two states."""
    for side, reference, before in (
        (config.source, pair.source, source),
        (config.target, pair.target, target),
    ):
        try:
            now = describe(side, reference)
        except EngineError as error:
            yield f"the table {before.name} could not be looked at again at the end: {error.message}"
            continue
        if now.identity != before.identity:
            yield f"the table {before.name} was deleted and made anew while it was read"


def _kept_plan(kept: Checkpoint, planned: Plan, secret: bytes) -> tuple[Plan, bytes]:
    """Plan and secret of the pass that the checkpoint is of; the new ones where it has just begun."""
    drawn = list(planned.segments) if planned.is_sample else None
    kept.planned(total=planned.total, drawn=drawn, seed=planned.seed, secret=secret.hex())
    before = kept.plan or {}
    segments = range(before["total"]) if before["drawn"] is None else before["drawn"]
    return Plan(before["total"], tuple(segments), before["seed"]), bytes.fromhex(before["secret"])
