"""
How the target is filled: restored as a whole, or loaded through the transform.

A backup (or a second of the past) becomes the target itself where there is no transform, no other
account and no table of that name; else it becomes a staging table, and that is loaded. A scan loads
from the source as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ddbverify.errors import EngineError, Refused
from ddbverify.names import Fact, table_name
from replicator import backfill, boundary, tables
from replicator.ceiling import ceiling_of
from replicator.console import Step
from replicator.context import Context
from replicator.ledger import Ledger
from replicator.lock import Lock
from replicator.preflight import FILLING, Plan
from replicator.state import now_text
from replicator.tables import TableFacts

MADE, STAGING = "target-made", "staging"
"""Facts of a pair: ``how`` its target was made, the staging ``table``. `down` and `restart` remove both."""

_BEGIN_ANEW = "begin anew with `replicator restart`."


def fill(context: Context, plan: Plan, lock: Lock, step: Step) -> dict[str, Any]:
    """
    Fill the target; a run that was killed goes on where it stopped.

    Raises:
        Refused: The target was made by somebody else since the command began: it may be hours ago.
    """
    state = context.state(plan.pair)
    how = (state.get(Fact.STEP + "backup") or {}).get("how", "backup")
    made = state.get(MADE)
    if plan.target is None and made is None and context.target_table(plan.pair) is not None:
        raise Refused(
            f"The target {plan.pair.target} was not there when this command began, and is now.",
            "find out who made it and remove it, or run the command again to fill it; it has to be empty.",
        )
    state.put_once(FILLING, at=now_text())
    if how == "scan":
        return _by_scan(context, plan, lock, step)
    origin = state.get(Fact.BOUNDARY) or {}
    if not plan.needs_staging or (made and made.get("how") == "restore"):
        answer = _as_a_whole(context, plan, origin, step)
        if answer is not None:
            return answer
    return _by_staging(context, plan, origin, lock, step)


def _as_a_whole(context: Context, plan: Plan, origin: Mapping[str, Any], step: Step) -> dict[str, Any] | None:
    """The restored backup as the target; ``None`` under an emulator that restores in one region only."""
    state, name = context.state(plan.pair), table_name(plan.pair.target)
    state.put_once(MADE, how="restore", at=now_text())
    if context.target_table(plan.pair) is not None or _restore(context, plan, origin, name, to_target=True):
        tables.wait_until_active(context.target, name, poll_seconds=context.pace.poll_seconds)
        step.result = f"restored in {context.target.meta.region_name}"
        return {"how": "restore"}
    if not context.emulator:
        raise EngineError(
            f"AWS does not find the backup from {context.target.meta.region_name}.",
            f"look whether it still exists; without it {_BEGIN_ANEW}",
        )
    state.delete(MADE)
    return None


def _by_staging(
    context: Context, plan: Plan, origin: Mapping[str, Any], lock: Lock, step: Step
) -> dict[str, Any]:
    target = _target(context, plan)
    staging = _staging(context, plan, origin, step)
    load = _load(context, plan, staging, target, lock, step, read_units=None)
    answer = _told(load.run(), step)
    tables.delete(context.source, staging.name, poll_seconds=context.pace.poll_seconds)
    context.state(plan.pair).delete(STAGING)
    return answer


def _by_scan(context: Context, plan: Plan, lock: Lock, step: Step) -> dict[str, Any]:
    target = _target(context, plan)
    boundary.begin_scan(context, plan)
    units = context.config.replicated.read_units
    load = _load(context, plan, plan.source, target, lock, step, read_units=units)
    return _told(load.run(), step)


def _target(context: Context, plan: Plan) -> str:
    name = table_name(plan.pair.target)
    if context.target_table(plan.pair) is None:
        context.state(plan.pair).put(MADE, how="load", at=now_text())
        tables.create_like(context.target, plan.source, name)
    tables.wait_until_active(context.target, name, poll_seconds=context.pace.poll_seconds)
    return name


def _staging(context: Context, plan: Plan, origin: Mapping[str, Any], step: Step) -> TableFacts:
    """The backup as a table beside the source, to load from; an interrupted run's is used again."""
    name = f"replicator-{context.config.name}-{plan.pair.id}-staging"
    if tables.find(context.source, name) is None:
        context.state(plan.pair).put(STAGING, table=name, at=now_text())
        step.at("restoring the staging table")
        if not _restore(context, plan, origin, name, to_target=False):
            raise EngineError("The backup is gone.", _BEGIN_ANEW)
    return tables.wait_until_active(context.source, name, poll_seconds=context.pace.poll_seconds)


def _restore(context: Context, plan: Plan, origin: Mapping[str, Any], name: str, *, to_target: bool) -> bool:
    client = context.target if to_target else context.source
    if origin.get("how") == "pitr":
        return backfill.restore_past(
            client, plan.source, int(origin["backup_epoch"]), name, indexes=to_target
        )
    return backfill.restore(client, origin["backup_arn"], name, indexes=to_target)


def _load(
    context: Context,
    plan: Plan,
    origin: TableFacts,
    target: str,
    lock: Lock,
    step: Step,
    *,
    read_units: int | None,
) -> backfill.Load:
    state = context.state(plan.pair)
    ceiling = ceiling_of(context.config.replicated.write_units, state)
    ledger = Ledger(
        client=context.target,
        table=context.resources(plan.pair)["ledger_table"],
        target=target,
        target_keys=plan.transform.target_keys,
        contest=state.contest,
        ceiling=ceiling,
    )
    return backfill.Load(
        origin_client=context.source,
        origin=origin.name,
        target_client=context.target,
        target=target,
        transform=plan.transform,
        ledger=ledger,
        state=state,
        lock=lock,
        progress=lambda read: step.at(f"{read} items"),
        reading=reading_of(origin, context.restart_number(plan.pair)),
        pace=backfill.ReadPace(read_units),
        ceiling=ceiling,
    )


def reading_of(origin: TableFacts, restart: int) -> str:
    """
    What a load reads, for the places that it keeps.

    The restart belongs to it: of a scan the table is the same before and after one, and a loader that
    was stopped before may still write its place.
    """
    table = origin.description.get("TableId") or origin.description["CreationDateTime"]
    return f"{table} {restart}"


def _told(counts: Mapping[str, int], step: Step) -> dict[str, Any]:
    aside = f", {counts['quarantined']} in the quarantine" if counts["quarantined"] else ""
    step.result = f"{counts['read']} items read, {counts['written']} written{aside}"
    return {"how": "load", **counts}
