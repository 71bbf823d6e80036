"""
How the target is filled: restored as a whole, or loaded through the transform.

A backup (or a second of the past) becomes the target itself where there is no transform, no other
account and no table of that name; else it becomes a staging table, and that is loaded. A scan loads
from the source as it is, an export from its data files; or those are imported as the target.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from ddbverify.errors import EngineError, Refused
from ddbverify.names import Fact, table_name
from ddbverify.words import number_of
from replicator.backfill import backups, boundary, exports, importing, ownership, workers
from replicator.backfill.files import Place
from replicator.backfill.load import LOADERS
from replicator.backfill.ownership import FILLING, MADE, STAGING
from replicator.backfill.plan import Plan
from replicator.backfill.rate import Rate
from replicator.backfill.share import Share, load_of
from replicator.context import tables
from replicator.context.console import Step
from replicator.context.context import Context
from replicator.context.lock import Lock
from replicator.context.tables import NameTaken, TableFacts
from replicator.handlers.state import now_text

_BEGIN_ANEW = "begin anew with `replicator restart`."


def fill(context: Context, plan: Plan, lock: Lock, step: Step) -> dict[str, Any]:
    """
    Fill the target; a run that was killed goes on where it stopped.

    Raises:
        Refused: The target was made by somebody else since the command began: it may be hours ago.
    """
    state = context.state(plan.pair)
    how = (state.get(Fact.STEP + "backup") or {}).get("how", "backup")
    target = context.target_table(plan.pair)
    ours = target is not None and ownership.is_ours(context, plan.pair, MADE, target)
    if target is not None and not ours and (plan.target is None or plan.target.id != target.id):
        raise _made_by_another(plan)
    if how == "scan":
        return _by_scan(context, plan, lock, step)
    if how == "export":
        return _by_export(context, plan, lock, step)
    origin = state.get(Fact.BOUNDARY) or {}
    restored = ours and (state.get(MADE) or {})["how"] == "restore"
    if restored or (target is None and not plan.needs_staging):
        answer = _as_a_whole(context, plan, origin, target, step)
        if answer is not None:
            return answer
    return _by_staging(context, plan, origin, lock, step)


def _made_by_another(plan: Plan) -> Refused:
    return Refused(
        f"The target {plan.pair.target} was not there when this command began, and is now.",
        "find out who made it and remove it, or run the command again to fill it; it has to be empty.",
    )


def _as_a_whole(
    context: Context, plan: Plan, origin: Mapping[str, Any], target: TableFacts | None, step: Step
) -> dict[str, Any] | None:
    """The restored backup as the target; ``None`` under an emulator that restores in one region only."""
    state, name = context.state(plan.pair), table_name(plan.pair.target)
    made = _restore(context, plan, origin, name, MADE, how="restore") if target is None else target.id
    if made is None:
        if context.emulator:
            return None
        raise EngineError(
            f"AWS does not find the backup from {context.target.meta.region_name}.",
            f"look whether it still exists; without it {_BEGIN_ANEW}",
        )
    state.put(MADE, how="restore", id=made, at=now_text())
    state.put(FILLING, id=made, at=now_text())
    tables.wait_until_active(context.target, name, poll_seconds=context.pace.poll_seconds)
    step.result = f"restored in {context.target.meta.region_name}"
    return {"how": "restore"}


def _by_staging(
    context: Context, plan: Plan, origin: Mapping[str, Any], lock: Lock, step: Step
) -> dict[str, Any]:
    target = _target(context, plan)
    staging = _staging(context, plan, origin, step)
    with _one_load(context, step):
        answer = _told(plan, _load(context, plan, staging, target, lock, step, read_units=None), step)
    tables.delete(context.source, staging.name, poll_seconds=context.pace.poll_seconds)
    context.state(plan.pair).delete(STAGING)
    return answer


def _by_scan(context: Context, plan: Plan, lock: Lock, step: Step) -> dict[str, Any]:
    target = _target(context, plan)
    boundary.begin_scan(context, plan)
    units = context.config.replicated.read_units
    with _one_load(context, step):
        return _told(plan, _load(context, plan, plan.source, target, lock, step, read_units=units), step)


def _by_export(context: Context, plan: Plan, lock: Lock, step: Step) -> dict[str, Any]:
    origin = context.state(plan.pair).get(Fact.BOUNDARY) or {}
    address, manifests = str(origin["export"]), dict(origin["manifests"])
    full = exports.bound(context, plan.source.keys, address, manifests).full
    reading = f"{full.export_arn} {context.restart_number(plan.pair)}"

    def load(reading: str, files: Place | None) -> dict[str, int]:
        name = table_name(plan.pair.target)
        with _one_load(context, step):
            whole = msgspec.structs.replace(
                _share(context, plan, plan.source, name, reading, len(full.parts)),
                export=address,
                manifests=manifests,
                files=files,
            )
            return _load_share(context, plan, whole, lock, step, Rate(full.items))

    importing.remove_failed(context, plan, lock, step)
    asked = context.config.replicated.import_from is not None or importing.is_under_way(context, plan.pair)
    why_not = importing.why_not(context, plan, full) if asked else ""
    if asked and not why_not:
        try:
            # A place of a file is none of a load.
            counts = importing.fill(
                context, plan, lock, step, lambda place: load(f"{reading} {place.address}", place)
            )
        except NameTaken as error:
            raise _made_by_another(plan) from error
        if counts is not None:
            answer = _told(plan, counts, step)
            step.result += ", imported"
            return {**answer, "how": "import"}
        why_not = "the transform leaves no item"
    _target(context, plan)
    answer = _told(plan, load(reading, None), step)
    if why_not:
        step.result += f"; not imported: {why_not}"
    return answer


def _target(context: Context, plan: Plan) -> str:
    state, name = context.state(plan.pair), table_name(plan.pair.target)
    begun, there = state.get(FILLING), context.target_table(plan.pair)
    # The places of a load are those of one table: in another, what they say is done would be missing.
    if begun is not None and any(state.all(Fact.LOADED)) and (there is None or there.id != begun["id"]):
        raise Refused(
            f"The target {plan.pair.target} is not the table that the load began to fill.", _BEGIN_ANEW
        )
    if there is None:
        try:
            made = tables.create_like(context.target, plan.source, name)
        except NameTaken as error:
            raise _made_by_another(plan) from error
        # Behind it: one that is killed in between leaves an empty table, which the next run fills as it is.
        state.put(MADE, how="load", id=made, at=now_text())
    target = tables.wait_until_active(context.target, name, poll_seconds=context.pace.poll_seconds)
    state.put(FILLING, id=target.id, at=now_text())
    return name


def _staging(context: Context, plan: Plan, origin: Mapping[str, Any], step: Step) -> TableFacts:
    """The backup as a table beside the source, to load from; an interrupted run's is used again."""
    name = f"replicator-{context.config.name}-{plan.pair.id}-staging"
    found = tables.find(context.source, name)
    if found is None:
        step.at("restoring the staging table")
        made = _restore(context, plan, origin, name, STAGING, table=name)
        if made is None:
            raise EngineError("The backup is gone.", _BEGIN_ANEW)
        context.state(plan.pair).put(STAGING, table=name, id=made, at=now_text())
    elif not ownership.is_ours(context, plan.pair, STAGING, found):
        raise _in_the_way(name)
    return tables.wait_until_active(context.source, name, poll_seconds=context.pace.poll_seconds)


def _in_the_way(name: str) -> Refused:
    return Refused(
        f"There is a table {name}, and this migration has not restored it.",
        "find out who made it and remove it, then run the command again.",
    )


def _restore(
    context: Context, plan: Plan, origin: Mapping[str, Any], name: str, fact: str, **facts: str
) -> str | None:
    """
    Ask for the target (`MADE`) or the staging table (`STAGING`).

    The intent stands in *fact* before it is asked for, and is taken back where nothing was made.

    Returns:
        The table's id; ``None`` where the backup is not found.
    """
    state, to_target = context.state(plan.pair), fact == MADE
    client = context.target if to_target else context.source
    state.put(fact, at=now_text(), **facts)
    try:
        if origin.get("how") == "pitr":
            second = int(origin["backup_epoch"])
            made = backups.restore_past(client, plan.source, second, name, indexes=to_target)
        else:
            made = backups.restore(client, origin["backup_arn"], name, indexes=to_target)
    except NameTaken as error:
        there = tables.find(client, name)
        if there is not None and ownership.was_restored(context, plan.pair, there):
            return there.id  # by this very request, whose first answer was lost
        state.delete(fact)
        raise (_made_by_another(plan) if to_target else _in_the_way(name)) from error
    if made is None:
        state.delete(fact)
    return made


def _load(
    context: Context,
    plan: Plan,
    origin: TableFacts,
    target: str,
    lock: Lock,
    step: Step,
    *,
    read_units: int | None,
) -> dict[str, int]:
    """Load *origin* into *target*, in the segments that this was begun with."""
    reading = reading_of(origin, context.restart_number(plan.pair))
    kept = context.state(plan.pair).get(f"{Fact.LOADED}0") or {}
    # A load that goes on has the segments that it began with, whatever machine it goes on.
    of = int(kept["of"]) if kept.get("reading") == reading else LOADERS * _processes(plan)
    whole = _share(context, plan, origin, target, reading, of)
    rate = Rate(int(plan.source.description.get("ItemCount") or 0))
    return _load_share(context, plan, msgspec.structs.replace(whole, read_units=read_units), lock, step, rate)


def _share(context: Context, plan: Plan, origin: TableFacts, target: str, reading: str, of: int) -> Share:
    return Share(
        config=str(context.config_path),
        pair=plan.pair.id,
        origin=origin.name,
        target=target,
        source_keys=dict(plan.transform.source_keys),
        target_keys=dict(plan.transform.target_keys),
        digest=plan.digest,
        ledger=context.resources(plan.pair)["ledger_table"],
        reading=reading,
        segments=tuple(range(of)),
        of=of,
        read_units=None,
    )


def _processes(plan: Plan) -> int:
    return workers.processes_for(int(plan.source.description.get("TableSizeBytes") or 0))


def _load_share(
    context: Context, plan: Plan, whole: Share, lock: Lock, step: Step, rate: Rate
) -> dict[str, int]:
    """Load all of a share: a large table in several processes."""

    def progress(read: int, units: float) -> None:
        step.at(rate.words(read, units))

    processes = _processes(plan)
    if processes == 1:
        load = load_of(context, plan.pair, whole, plan.transform, lock, progress, threading.Event())
        return load.run()
    units = whole.read_units
    shares = [
        msgspec.structs.replace(
            whole,
            segments=whole.segments[at::processes],
            read_units=None if units is None else max(1, units // processes),
        )
        for at in range(processes)
    ]
    return workers.run(context, lock, shares, progress)


def reading_of(origin: TableFacts, restart: int) -> str:
    """
    What a load reads, for the places that it keeps.

    The restart belongs to it: of a scan the table is the same before and after one, and a loader that
    was stopped before may still write its place.
    """
    return f"{tables.id_of(origin.description)} {restart}"


@contextmanager
def _one_load(context: Context, step: Step) -> Iterator[None]:
    """One load at a time: of several pairs the restores go on meanwhile."""
    if not context.one_load.acquire(blocking=False):
        step.at("waiting for the load of another pair")
        context.one_load.acquire()
    try:
        yield
    finally:
        context.one_load.release()


def _told(plan: Plan, counts: Mapping[str, int], step: Step) -> dict[str, Any]:
    # Of one source item a pair that changes its keys makes none, or many.
    source, target = (" of the source", " of the target") if plan.transform.rekeys else ("", "")
    aside = f", {counts['quarantined']}{source} in the quarantine" if counts["quarantined"] else ""
    read = f"{number_of(counts['read'], 'item')}{source} read"
    step.result = f"{read}, {counts['written']}{target} written{aside}"
    return {"how": "load", **counts}
