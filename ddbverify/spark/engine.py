"""
The shared pass of a run of checks on Spark: the same `Comparison`, so that the same gate judges the evidence.

What tasks cannot do is refused by name before anything is read; nothing is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from ddbverify.compare import exported, runner
from ddbverify.compare.comparison import Comparison
from ddbverify.compare.request import Listeners, PassRequest
from ddbverify.compare.sides import Role
from ddbverify.compare.suspects import Suspect
from ddbverify.compare.work import Work
from ddbverify.config import Config, Pair
from ddbverify.errors import ConfigurationError
from ddbverify.exports.export import Export
from ddbverify.spark import live
from ddbverify.spark.cluster import SparkCluster
from ddbverify.spark.item_checks import TaskChecks
from ddbverify.spark.scan import Scan

_OF_ITEMS = "ddbverify_normalise_item", "ddbverify_compare_values"

_ELSE = 'leave out engine = "spark" under [verification]'


def compare(config: Config, pair: Pair, request: PassRequest, listeners: Listeners) -> Comparison:
    """
    As `runner.compare`, on Spark; what has changed since an earlier run is looked up by this process.

    Raises:
        ConfigurationError: As `runner.compare`; or the pair is none that is compared on Spark, or tasks
            cannot begin.
        EngineError: As `runner.compare`.
        Inconclusive: As `runner.compare`; a task has failed for good, or receipts do not add up.
    """
    if request.changed is not None:
        return runner.compare(config, pair, request, listeners)
    require_comparable(pair, request)
    cluster = SparkCluster.found_or_made()
    if pair.is_read_from_exports:

        def scan(exports: Mapping[Role, Export]) -> Callable[[Work], Iterator[Suspect]]:
            return Scan(cluster, config, pair, exports).suspects

        comparison = exported.compare_tables(config, pair, request, listeners, scan=scan)
    else:
        staging = config.verification.spark_staging if request.sample is None else None
        comparison = live.compare(cluster, config, pair, request, listeners, staging=staging)
    return replace(comparison, engine=cluster.name)


def require_comparable(pair: Pair, request: PassRequest) -> None:
    """Refuse what tasks would do otherwise than one machine, or not at all. Raises ConfigurationError."""
    place = f'[[tables]] {pair}: engine = "spark"'
    if pair.is_read_from_exports:
        if pair.source_export is None or pair.target_export is None:
            raise ConfigurationError(
                f"{place} compares exports of both sides, or tables, and no table beside an export.",
                f"name source_export and target_export, or {_ELSE}.",
            )
        if pair.rekeys and (pair.source_changes or pair.target_changes):
            raise ConfigurationError(
                f"{place}: incremental exports of a re-keyed pair are read on one machine only.",
                f"name a full export of the later time, or {_ELSE}.",
            )
        if pair.rekeys and request.plugins and any(map(request.plugins.implementations, _OF_ITEMS)):
            raise ConfigurationError(
                f"{place}: tasks judge the exports of a re-keyed pair, and no comparer or normaliser of "
                "[verification] plugins is asked in one.",
                f"leave out the plugins, or {_ELSE}.",
            )
    elif pair.rekeys:
        raise ConfigurationError(
            f"{place}: live tables of a re-keyed pair are compared on one machine only.",
            f"name source_export and target_export, or {_ELSE}.",
        )
    for check in request.item_checks:
        if pair.rekeys:
            raise ConfigurationError(
                f"{place}: {check.name} is a check on items, which is not called for a re-keyed pair.",
                f"leave it out, or {_ELSE}.",
            )
    try:
        TaskChecks.of(request.item_checks)
    except ConfigurationError as error:
        hint = f"{error.hint.rstrip('.')}; or {_ELSE}."
        raise ConfigurationError(f"{place}: {error.message}", hint) from None
