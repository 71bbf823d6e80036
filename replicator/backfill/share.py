"""A share of a load: some of its segments, as one process loads them."""

from __future__ import annotations

import threading
from collections.abc import Callable

import msgspec

from ddbverify.config import Pair
from ddbverify.items.transform import Transform
from replicator.backfill import exports
from replicator.backfill.exported import ExportedItems
from replicator.backfill.files import Files, Place
from replicator.backfill.load import Load, ReadPace
from replicator.backfill.pages import scanning_session
from replicator.context.ceiling import ceiling_of
from replicator.context.context import Context
from replicator.context.lock import Borrowed, Lock
from replicator.handlers.ledger import Ledger
from replicator.handlers.wire import JsonTransactions


class Share(msgspec.Struct, frozen=True):
    """
    What a process has to know of its share. Everything else it finds in the settings.

    Args:
        config: Path of the settings.
        pair: The pair's id.
        origin: Name of the table that is read.
        target: Name of the table that is written.
        source_keys: Key schema of the source.
        target_keys: Key schema of the target.
        digest: Of the transform that the pair is bound to; empty without one.
        ledger: Name of the ledger table.
        reading: See `Load`.
        segments: Those of this share, of so many as *of*.
        of: Segments of the whole load.
        read_units: Ceiling of this share's reads a second; ``None`` for none.
        export: Address of the export that is read in place of the table; empty for none.
        manifests: Digests of its manifests.
        files: Where the items are put, to be imported; ``None``: they are written to the table.
    """

    config: str
    pair: str
    origin: str
    target: str
    source_keys: dict[str, str]
    target_keys: dict[str, str]
    digest: str
    ledger: str
    reading: str
    segments: tuple[int, ...]
    of: int
    read_units: int | None
    export: str = ""
    manifests: dict[str, str] = {}
    files: Place | None = None


def load_of(
    context: Context,
    pair: Pair,
    share: Share,
    transform: Transform,
    lock: Lock | Borrowed,
    progress: Callable[[int, float], None],
    stop: threading.Event,
) -> Load:
    """The load of a share, with clients of its own; *stop* ends it with the pages in hand."""
    state = context.state(pair)
    ceiling = ceiling_of(context.config.replicated.write_units, state)
    client = context.own_client(context.target_side, "dynamodb")
    ledger = Ledger(
        client=JsonTransactions(client),
        table=share.ledger,
        target=share.target,
        target_keys=transform.target_keys,
        contest=state.contest,
        ceiling=ceiling,
    )
    return Load(
        origin_client=context.own_client(context.source_side, "dynamodb", core=scanning_session()),
        origin=share.origin,
        target_client=client,
        target=share.target,
        transform=transform,
        ledger=ledger,
        state=state,
        lock=lock,
        progress=progress,
        reading=share.reading,
        pace=ReadPace(share.read_units),
        ceiling=ceiling,
        segments=share.segments,
        of=share.of,
        stop=stop,
        summed=not context.emulator,
        export=_export_of(context, share),
        files=_files_of(context, share),
    )


def _export_of(context: Context, share: Share) -> ExportedItems | None:
    if not share.export:
        return None
    return ExportedItems(exports.bound(context, share.source_keys, share.export, share.manifests))


def _files_of(context: Context, share: Share) -> Files | None:
    if share.files is None:
        return None
    return Files(context.own_client(context.target_side, "s3"), share.files, share.target_keys)
