"""A diff as it is asked for, and what is left to do once its tables are known. Nothing is read here."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from ddbverify.code.digest import transform_digest
from ddbverify.compare import strata
from ddbverify.compare.point_values import PointValues
from ddbverify.config import Config
from ddbverify.diff.folder import settings_of
from ddbverify.diff.options import Options, config_of, key_of
from ddbverify.errors import ConfigurationError
from ddbverify.evidence.folders import make_importable
from ddbverify.exports.export import Export, open_export
from ddbverify.exports.store import is_address
from ddbverify.items.keys import JoinKey
from ddbverify.items.transform import Transform
from ddbverify.reports import plan as plans
from ddbverify.tables import prices, sampling
from ddbverify.tables import table as tables
from ddbverify.tables.capacity import ReadRate
from ddbverify.tables.prices import pass_units
from ddbverify.tables.table import Table
from ddbverify.tables.wire import TableReader


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A diff as the command line asks for it."""

    options: Options
    folder: Path  # where a transform's module is looked for
    out: Path | None = None
    resume: bool = False
    values: bool = False
    lines: bool = False  # findings go to standard output as they are decided
    max_differences: int | None = None  # the run ends after so many


@dataclass(frozen=True, slots=True)
class Cost:
    """What reading both sides takes, as far as it is known before."""

    items: int
    read_units: int
    usd_per_unit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A request that has been checked against its tables. Nothing has been read."""

    config: Config  # as the engine gets it
    options: Options
    source: Table
    target: Table
    exports: Mapping[str, Export]  # of the sides that are exports, by the role
    cost: Cost
    settings: Mapping[str, Any]
    strata: Mapping[str, Sequence[JoinKey]]
    values: PointValues | None
    started_epoch: float


def prepare(request: Request) -> Work:
    """
    Check a request against its tables.

    Raises:
        ConfigurationError: The options, the tables or the folder cannot be used.
        EngineError: AWS refused to describe a table.
    """
    options = _with_seed(request)
    if request.resume and options.spark_staging:
        raise ConfigurationError(
            "--resume: what a run has staged is removed at its end, so that it cannot go on.",
            "leave out --spark-staging or --resume.",
        )
    config = config_of(options, request.folder)
    (pair,) = config.tables
    make_importable(config)
    if options.exports:
        return _with_exports(request, options, config)
    source, target = tables.describe_pair(config, pair)
    chosen = {str(path): strata.read(path, source.key_schema, target.key_schema) for path in options.strata}
    estimate = plans.estimate(config, source, target, seed=options.seed, segments=options.segments)
    engine_config, values = _with_values(config, source, target) if request.values else (config, None)
    return Work(
        config=engine_config,
        options=options,
        source=source,
        target=target,
        exports={},
        cost=Cost(estimate.items, estimate.read_units, estimate.money / estimate.read_units),
        settings=_settings(config, options, source, target),
        strata=chosen,
        values=values,
        started_epoch=time.time(),
    )


def _with_exports(request: Request, options: Options, config: Config) -> Work:
    """As `prepare`, where at least one side is an export."""
    for option, given in (("--values", request.values), ("--resume", request.resume)):
        if given:
            raise ConfigurationError(
                f"{option}: an export is read from its beginning to its end, and not by key.",
                f"leave out {option}, or compare the tables themselves.",
            )
    (pair,) = config.tables
    source_key = key_of(options.key, "--key") if options.key else None
    target_key = key_of(options.target_key, "--target-key") if options.target_key else source_key
    exports: dict[str, Export] = {}
    for role, text, changes, side, key in (
        ("source", options.source, options.source_changes, options.source_side, source_key),
        ("target", options.target, options.target_changes, options.target_side, target_key),
    ):
        if is_address(text):
            exports[role] = open_export(
                text, changes, side, key, place=role.upper(), is_looked_at=options.settles_live
            )
    source = exports["source"].table if "source" in exports else tables.describe(config.source, pair.source)
    target = exports["target"].table if "target" in exports else tables.describe(config.target, pair.target)
    if source.arn != target.arn:  # two exports of one table show what has changed in it
        tables.require_comparable(pair, source, target)
    elif len(exports) == len(("source", "target")) and _same_state(exports["source"], exports["target"]):
        raise ConfigurationError("SOURCE and TARGET are the same export.", "name another one.")
    live = [table for role, table in (("source", source), ("target", target)) if role not in exports]
    units = sum(pass_units(table.size_bytes, 1) for table in live)
    said = {role: export.as_json() for role, export in exports.items()}
    return Work(
        config=config,
        options=options,
        source=source,
        target=target,
        exports=exports,
        cost=Cost(source.item_count + target.item_count, units, prices.PER_MILLION_READ_UNITS / 1e6),
        settings=_settings(config, options, source, target) | {"exports": said},
        strata={},
        values=None,
        started_epoch=time.time(),
    )


def _same_state(one: Export, other: Export) -> bool:
    manifests = [[it.full, *(its.manifest for its in it.changes)] for it in (one, other)]
    ours, theirs = ([manifest.export_arn for manifest in some] for some in manifests)
    return ours == theirs


def _with_seed(request: Request) -> Options:
    """The seed of a sample is drawn here: a resumed run has to draw the same segments."""
    options = request.options
    if options.sample is None or options.seed is not None:
        return options
    earlier = settings_of(request.out) if request.resume and request.out is not None else {}
    seed = earlier.get("seed")
    return replace(options, seed=sampling.new_seed() if seed is None else seed)


def _settings(config: Config, options: Options, source: Table, target: Table) -> dict[str, Any]:
    """What decides about the result: a resumed run needs the same."""
    (pair,) = config.tables
    return {
        "source": {"arn": source.arn, "id": source.id},
        "target": {"arn": target.arn, "id": target.id},
        "transform": pair.transform,
        "transform_digest": transform_digest(config, pair) or None,
        "rekeys": pair.rekeys,
        "ignore": sorted(pair.ignore),
        "coverage": config.verification.coverage,
        "seed": options.seed,
        "segments": options.segments,
        "strata": {str(path): strata.digest(path) for path in options.strata},
        "settle_seconds": float(config.verification.settle),
        "settles_live": options.settles_live,
    }


def _with_values(config: Config, source: Table, target: Table) -> tuple[Config, PointValues]:
    """
    Readers for ``--values``, and the settings that are left for the engine.

    Ceiling and budget hold for both together: a tenth of each goes to the values. Without a ceiling, the
    lower one of what the two tables allow is split.
    """
    (pair,), settings = config.tables, config.verification
    rate, budget, for_values = settings.read_units, settings.max_read_units, None
    if rate is None:
        allowed = [ReadRate.of(table, None).ceiling for table in (source, target)]
        rate = min((int(one) for one in allowed if one is not None), default=None)
    changes: dict[str, int] = {}
    if rate is not None:
        if rate < 2:
            raise ConfigurationError(
                "--values needs a --read-units of 2 or more.", "raise it, or leave one of the two out."
            )
        whole, rate = rate, max(1, rate // 10)
        changes["read_units"] = whole - rate
    if budget is not None:
        for_values = budget // 10
        changes["max_read_units"] = budget - for_values
    transform = None
    if pair.transform is not None:
        transform = Transform.load(pair.transform, source.key_schema, target.key_schema, rekeys=pair.rekeys)
    values = PointValues(
        TableReader(config.source, source, units_per_second=rate),
        TableReader(config.target, target, units_per_second=rate),
        source_keys=source.key_schema,
        target_keys=target.key_schema,
        rekeys=pair.rekeys,
        transform=transform,
        max_read_units=for_values,
    )
    left = msgspec.structs.replace(settings, **changes)
    return msgspec.structs.replace(config, verification=left), values
