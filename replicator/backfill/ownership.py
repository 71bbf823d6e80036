"""
Which tables are a migration's own: what `down` and `restart` may remove, and a run after a kill goes on with.

A name proves nothing: somebody else may make a table of it between a look and a request. The id in the
answer to our own request does. Of a restore whose answer nobody heard, the table says what it came from.
"""

from __future__ import annotations

from ddbverify.config import Pair
from ddbverify.names import Fact, table_name
from replicator.backfill import imports
from replicator.context import tables
from replicator.context.context import Context
from replicator.context.tables import TableFacts

MADE = "target-made"
"""
Fact of a pair: ``how`` its target was made (``restore``, ``load``, ``import``), and its ``id``, once the
request for it was accepted. A restore or an import is recorded before it is asked for, without an id: its
table is not empty, so a run after a kill could not take it for one that was there before. Of an import also
its ``token`` and ``arn``, the counts of its files, and ``failed`` once it has.
"""

STAGING = "staging"
"""Fact of a pair: the staging ``table``, and its ``id``, as for a restored target."""

FILLING = "filling"
"""Fact of a pair: the backfill has begun to put items into the table with this ``id``."""


def is_ours(context: Context, pair: Pair, fact: str, table: TableFacts) -> bool:
    """Whether *table* is the one of `MADE` or of `STAGING`."""
    made = context.state(pair).get(fact)
    if made is None:
        return False
    if "id" in made:
        return bool(made["id"] == table.id)
    if made.get("how") == "import":
        return imports.found(context.target, table.arn, str(made["token"])) is not None
    # ministack does not say what a table was restored from, so under an emulator the intent has to do.
    return context.emulator or was_restored(context, pair, table)


def was_restored(context: Context, pair: Pair, table: TableFacts) -> bool:
    """
    Whether *table* came from what the pair's boundary names: its backup, or its second of the past.

    https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_RestoreSummary.html
    """
    origin = context.state(pair).get(Fact.BOUNDARY) or {}
    summary = table.description.get("RestoreSummary") or {}
    if origin.get("how") == "pitr" and "RestoreDateTime" in summary:
        of = table_name(summary.get("SourceTableArn", ""))
        second = int(summary["RestoreDateTime"].timestamp())
        return of == table_name(pair.source) and second == int(origin["backup_epoch"])
    return "backup_arn" in origin and summary.get("SourceBackupArn") == origin["backup_arn"]


def is_being_filled(context: Context, pair: Pair, table: TableFacts) -> bool:
    """Whether what *table* holds was put there by this migration."""
    filling = context.state(pair).get(FILLING) or {}
    return filling.get("id") == table.id or is_ours(context, pair, MADE, table)


def staging(context: Context, pair: Pair) -> str | None:
    """Name of the pair's staging table, where there is one and it is ours."""
    name = (context.state(pair).get(STAGING) or {}).get("table")
    found = tables.find(context.source, name) if name else None
    return found.name if found is not None and is_ours(context, pair, STAGING, found) else None
