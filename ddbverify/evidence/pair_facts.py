"""What a session says of a pair beside the numbers of its comparison, as facts."""

from __future__ import annotations

from collections.abc import Iterator

from ddbverify.compare.causes import Causes
from ddbverify.compare.comparison import Comparison
from ddbverify.compare.sides import Role
from ddbverify.evidence.record import Fact
from ddbverify.tables.prices import pass_units
from ddbverify.tables.table import Table
from ddbverify.words import number_of


def of(pair_id: str, tables: tuple[Table, Table], read: Comparison, causes: Causes) -> Iterator[Fact]:
    """
    Causes, and what the pass was to cost by the sizes that DynamoDB had told of the tables.

    Args:
        tables: Source and target, as they were described before anything was read.
    """
    if read.segments_total and read.segments_planned:
        share = read.segments_planned / read.segments_total
        live = [one for role, one in zip(Role, tables, strict=True) if role not in read.exports]
        units = sum(pass_units(one.size_bytes * share, read.segments_planned) for one in live)
        yield Fact(name="planned-units", about=pair_id, value=units)
    if read.engine:
        yield Fact(name="engine", about=pair_id, value=read.engine)
    for role, lines in read.exports.items():
        yield Fact(name=f"{role}-export", about=pair_id, value=lines)
    if found := causes.most_common():
        said = tuple(f"{one.text} ({number_of(one.findings, 'finding')})" for one in found)
        yield Fact(name="causes", about=pair_id, value=said)
