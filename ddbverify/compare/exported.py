"""
One pass over two tables of which at least one is an export: what was seen is what is.

An export does not move, so nothing is settled: a key is what the pass has seen of it. A live table beside an
export is read once, as it is now; what was written since the export differs, and cannot be told apart. Unless
the tables are asked: then keys that differ are settled there, and what the exports said of them is forgotten.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from ddbverify.compare import export_scan
from ddbverify.compare.comparison import Comparison
from ddbverify.compare.judge import Judge
from ddbverify.compare.one_pass import Pass, ScanOf
from ddbverify.compare.reading import Reader
from ddbverify.compare.request import Listeners, PassRequest, Running
from ddbverify.compare.sides import Role
from ddbverify.config import Config
from ddbverify.config import Pair as PairSettings
from ddbverify.errors import ConfigurationError
from ddbverify.exports.export import Export, open_export
from ddbverify.exports.reader import ExportReader
from ddbverify.items.form import Form
from ddbverify.items.transform import Transform
from ddbverify.plugins.rulings import Rulings
from ddbverify.tables.capacity import ReadRate
from ddbverify.tables.pace import Budget
from ddbverify.tables.segments import Plan
from ddbverify.tables.table import Table, describe_pair
from ddbverify.tables.wire import TableReader
from ddbverify.words import duration_in_words, instant_in_words


def compare(
    config: Config,
    pair: PairSettings,
    source: Export | Table,
    target: Export | Table,
    listeners: Listeners | None = None,
    *,
    settles: bool = False,
    scan: ScanOf | None = None,
    request: PassRequest | None = None,
) -> Comparison:
    """
    Read both sides once, and say for every key where it stands.

    Args:
        config: The whole configuration.
        pair: One of its tables.
        source: An export of it, or the table.
        target: Likewise.
        listeners: Who is told while it runs; by default nobody.
        settles: Keys that differ are looked at in the tables themselves, as they are now, and what
            these show counts; each export knows its table.
        scan: Reads both exports somewhere else.
        request: Checks, plugins, transform and secret of the pass; by default none of its own.

    Raises:
        ConfigurationError: The transform does not load, or makes keys of its own and *settles*.
        Inconclusive: What does not fit into ``[verification] memory`` does not fit on the disk either.
    """
    if pair.rekeys and settles:
        raise ConfigurationError(
            "--settle live: of a re-keyed pair an export does not tell which items to look at in the tables.",
            "leave out --settle live, or compare the tables themselves.",
        )
    sides = {Role.SOURCE: source, Role.TARGET: target}
    exports = {role: side for role, side in sides.items() if isinstance(side, Export)}
    tables = [side.table if isinstance(side, Export) else side for side in (source, target)]
    request = request or PassRequest()
    transform = request.transform or Transform.load(
        pair.transform, tables[0].key_schema, tables[1].key_schema, rekeys=pair.rekeys
    )
    rulings = None
    if request.plugins:
        rulings = Rulings(request.plugins, tables[0].name, tables[1].key_schema)
    attributes = dict.fromkeys(table.ttl_attribute for table in tables if table.ttl_attribute)
    parts = max(len(export.full.parts) for export in exports.values())
    planned = Plan(max(1, parts), tuple(range(max(1, parts))))
    began = time.time()
    # What expires is judged by the later of the two moments: by then it may be gone on one side.
    moment = max(export.until for export in exports.values()) if len(exports) == len(Role) else began
    running = Running(pipeline_passed=rulings.pipeline_passed if rulings else None)
    if not settles:
        running = Running(clock=lambda: moment)
    budget = Budget(config.verification.max_read_units)

    def table_reader(role: Role, table: Table) -> TableReader:
        reached = config.source if role is Role.SOURCE else config.target
        rate = ReadRate.of(table, config.verification.read_units).ceiling
        return TableReader(reached, table, units_per_second=rate, budget=budget, stop=running.stop)

    readers: dict[Role, Reader] = {}
    looks: dict[Role, Reader] = {}
    for role, side in sides.items():
        if isinstance(side, Export):
            readers[role] = ExportReader(side, memory=config.verification.memory)
            if side.live is not None:
                looks[role] = table_reader(role, side.live)
        else:
            readers[role] = looks[role] = table_reader(role, side)
    comparison = Pass(
        pair.id,
        readers[Role.SOURCE],
        readers[Role.TARGET],
        Judge(transform, Form.of(pair.ignore, request.secret), tuple(attributes), rulings),
        planned,
        config.verification,
        request=replace(request, still=not settles),
        listeners=listeners,
        running=running,
        looks=looks if settles else None,
        scan=scan or (None if pair.rekeys else export_scan.suspects),
    ).run()
    return replace(
        comparison,
        started_epoch=began,
        ended_epoch=time.time(),
        notes=(*comparison.notes, *_notes(exports, moment, settles=settles)),
        exports={str(role): export.lines for role, export in exports.items()},
    )


def compare_tables(
    config: Config,
    pair: PairSettings,
    request: PassRequest,
    listeners: Listeners,
    *,
    scan: Callable[[Mapping[Role, Export]], ScanOf] | None = None,
) -> Comparison:
    """
    As `compare`, from the exports that ``[[tables]]`` names; the tables that they are of are there.

    Keys that differ are looked at in the tables, but for those of a re-keyed pair.

    Args:
        config: The whole configuration.
        pair: One of its tables.
        request: What else is asked.
        listeners: Who is told.
        scan: Reads the exports of both sides somewhere else.

    Raises:
        ConfigurationError: As `compare`; an export is of another table, or a sample is asked for.
        EngineError: AWS refused to describe a table.
        Inconclusive: An export is not whole.
    """
    if request.sample is not None and request.sample < 1:
        raise ConfigurationError(
            f"[[tables]] {pair}: an export is read as a whole, and a sample was asked for.",
            "leave out the exports, or the sample.",
        )
    tables = describe_pair(config, pair)
    sides: list[Export | Table] = []
    for role, table, reached, address, changes in (
        (Role.SOURCE, tables[0], config.source, pair.source_export, pair.source_changes),
        (Role.TARGET, tables[1], config.target, pair.target_export, pair.target_changes),
    ):
        if address is None and changes:
            raise ConfigurationError(
                f"[[tables]] {pair}: {role}_changes needs {role}_export.", "name the full export, too."
            )
        if address is None:
            sides.append(table)
            continue
        place = f"[[tables]] {role}_export"
        export = open_export(
            address, changes, reached, None, place=place, option=f"{role}_changes", is_looked_at=True
        )
        if export.full.table_arn != table.arn:
            raise ConfigurationError(
                f"{place}: {address} is an export of another table than the {role}, {export.full.table_arn}.",
                f"name an export of {table.arn}.",
            )
        sides.append(export)
    source, target = sides
    exports = {role: side for role, side in zip(Role, sides, strict=True) if isinstance(side, Export)}
    return compare(
        config,
        pair,
        source,
        target,
        listeners,
        settles=not pair.rekeys,
        scan=scan(exports) if scan is not None else None,
        request=request,
    )


def _notes(exports: Mapping[Role, Export], moment: float, *, settles: bool) -> Iterator[str]:
    """Of which moments the sides are, and what is not known of them."""
    for role, export in exports.items():
        yield f"the {role} is an export as of {instant_in_words(export.until)}"
    moments = [export.until for export in exports.values()]
    apart = max(moments) - min(moments) if len(exports) == len(Role) else moment - moments[0]
    if settles:
        yield (
            "keys that differed were looked at in the tables, as these are now; those that were equal in the "
            "exports were not"
        )
    elif apart:
        yield (
            f"the sides are {duration_in_words(apart)} apart: what was written in between differs, and is "
            "not told from other differences"
        )
    for export in exports.values():
        yield from export.notes
