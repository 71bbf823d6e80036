"""
Where replay starts, and what the target is filled from: a backup, a second, an export, or the live source.

All but a scan's are fixed in phase 1; a scan fixes its boundary when it begins.
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ddbverify.config import Pair
from ddbverify.errors import ConfigurationError, Refused
from ddbverify.names import Fact
from ddbverify.tables.aws import translated
from ddbverify.tables.references import require_named
from replicator.backfill import backups, exports, imports
from replicator.backfill.backups import Backup
from replicator.backfill.exports import Found
from replicator.backfill.plan import Plan
from replicator.context.console import Step
from replicator.context.context import Context
from replicator.context.lock import Lock
from replicator.context.tables import TableFacts
from replicator.handlers.state import State, now_text, text_of

ASKED = "backup-asked"
"""
Fact of a pair: ``name`` of the backup that it asks for, so that a run after a kill finds it again; of an
export ``token``, ``second`` and, once it was accepted, ``arn``.
"""

EXPORTS = "export-made#"
"""Prefix of facts of a pair, one for each export that it asked for: ``export`` (address). They, too."""

BACKUPS = "backup-taken#"
"""Prefix of facts of a pair, one for each backup that it took: ``arn``. They outlive restarts."""

QUEUE_KEEPS_SECONDS = 14 * 86400
STREAM_KEEPS_SECONDS = 24 * 3600
_MARGIN_SECONDS = 3600


def boundary_of(epoch: float, overlap_seconds: float) -> int:
    """Where replay starts: ``floor(backup time) - overlap``, in seconds since the epoch (docs/aws.md T1)."""
    return math.floor(epoch) - math.ceil(overlap_seconds)


def named_export(context: Context, pair: Pair) -> str:
    """Address of the export that the settings name for a pair; empty where another way is taken."""
    return (pair.export or "") if context.config.replicated.backfill == "export" else ""


def title(context: Context, plan: Plan) -> str:
    """What the step is called in front of the operator."""
    name = plan.source.name
    return {
        "backup": f"backup of {name}",
        "pitr": f"a second of {name}'s past is chosen",
        "scan": f"no backup: {name} itself is read",
        "export": f"export of {name}",
    }[context.config.replicated.backfill]


def ready_epoch(context: Context, pair: Pair) -> float:
    """
    The moment before which no backup may be asked for and no second chosen.

    The stream has to have covered the overlap by then; and so long after the consumer of a restart
    stopped that the backup cannot miss what was consumed before.
    """
    state, overlap = context.state(pair), context.config.replicated.overlap
    since = (state.get(Fact.STEP + "stream") or {})["since"]
    began = datetime.fromisoformat(since).replace(tzinfo=UTC).timestamp()
    restarting = state.get(Fact.RESTARTING) or {}
    # An older backup was chosen because nothing at or after its boundary had been consumed.
    stopped = 0.0 if restarting.get("backup") else float(restarting.get("stopped_epoch", 0))
    return max(began, stopped) + overlap + 1


def wait_for(context: Context, moment: float, step: Step) -> None:
    """Wait until the server's clock has passed *moment* (seconds since the epoch)."""
    while (left := moment - context.server_time()) > 0:
        context.need_going_on()
        step.at(f"{left:.0f} s to go")
        time.sleep(min(left, 1.0))


def fix(context: Context, plan: Plan, lock: Lock, step: Step) -> Mapping[str, Any]:
    """Fix the boundary in the pair's way; a scan's is fixed when it begins."""
    how = context.config.replicated.backfill
    if how == "backup":
        _of_backup(context, plan, lock, step)
    elif how == "pitr":
        _of_past(context, plan, lock, step)
    elif how == "export":
        _of_export(context, plan, lock, step)
    return {"how": how}


def _of_backup(context: Context, plan: Plan, lock: Lock, step: Step) -> None:
    state, pace = context.state(plan.pair), context.pace.poll_seconds
    chosen = (state.get(Fact.RESTARTING) or {}).get("backup")
    if chosen:
        backup = backups.await_backup(context.source, chosen, poll_seconds=pace)
    else:
        backup = _new_backup(context, plan, state, step)
    lock.check()  # minutes may have passed
    _record(context, state, "backup", backup.created_epoch, step, backup_arn=backup.arn)


def _new_backup(context: Context, plan: Plan, state: State, step: Step) -> Backup:
    pace = context.pace.poll_seconds
    step.at("asking for it")
    # A name of its own for every migration: an older migration's backup must never be taken for ours.
    unique = f"replicator-{context.config.name}-{plan.pair.id}-{secrets.token_hex(4)}"
    state.put_once(ASKED, name=unique, at=now_text())
    name = (state.get(ASKED) or {})["name"]
    begun = backups.find_backup(context.source, plan.source, name)
    backup = (
        backups.await_backup(context.source, begun, poll_seconds=pace)
        if begun
        else backups.take_backup(context.source, plan.source, name, poll_seconds=pace)
    )
    state.put(BACKUPS + backup.arn.rpartition("/")[2], arn=backup.arn)
    return backup


def _of_past(context: Context, plan: Plan, lock: Lock, step: Step) -> None:
    chosen = _second(context, plan, step)
    lock.check()  # minutes may have passed
    _record(context, context.state(plan.pair), "pitr", chosen, step)


def _second(context: Context, plan: Plan, step: Step) -> int:
    """The latest second that can be restored, once that is late enough: minutes ago, on AWS."""
    ready = math.ceil(ready_epoch(context, plan.pair))
    while True:
        window = restorable(context, plan.source)
        if window is None:
            raise need_recovery(plan.source, context.config.replicated.backfill)
        chosen = math.floor(window[1])
        if chosen >= ready:
            return chosen
        step.at(f"{ready - chosen} s until it can be restored")
        time.sleep(context.pace.poll_seconds)


def _of_export(context: Context, plan: Plan, lock: Lock, step: Step) -> None:
    state, address = context.state(plan.pair), plan.pair.export
    if address is None:
        found = _new_export(context, plan, lock, step)
    else:
        found = exports.named(context, plan.source, address)
        # Of a restart that was asked for and begun with it, before its consumer was stopped.
        if (state.get(Fact.RESTARTING) or {}).get("backup") != address:
            _need_reusable(context, plan.pair, found)
    lock.check()  # hours may have passed
    more = {"export": found.address, "export_arn": found.arn, "manifests": dict(found.manifests)}
    _record(context, state, "export", found.epoch, step, **more)


def _new_export(context: Context, plan: Plan, lock: Lock, step: Step) -> Found:
    state = context.state(plan.pair)
    asked = state.get(ASKED)
    if asked is None:
        second = _second(context, plan, step)
        lock.check()
        # All of the request: what is asked for again after a kill is the same export.
        asked = {"token": secrets.token_hex(16), "second": second, "at": now_text()}
        state.put(ASKED, **asked)
    try:
        if "arn" not in asked:
            step.at("asking for it")
            arn = exports.ask(context, plan.source, int(asked["second"]), asked["token"])
            asked = {**asked, "arn": arn}
            state.put(ASKED, **asked)
        said = exports.awaited(context, asked["arn"], step)
    except exports.Unusable:
        state.delete(ASKED)
        raise
    address = exports.address_of(said)
    state.put(EXPORTS + asked["arn"].rpartition("/")[2], export=address)
    return exports.found(context, plan.source, address, said)


def foresee_export(context: Context, pair: Pair, source: TableFacts, *, begun: bool) -> None:
    """
    Refuse beforehand what would fail once the stacks are there; nothing is asked for.

    Args:
        begun: Whether there is a state table.

    Raises:
        ConfigurationError: The bucket, or the export that is named, will not do.
        EngineError: AWS refused to say.
    """
    if pair.export is None:
        exports.need_bucket(context)
        return
    found = exports.named(context, source, pair.export)
    boundary = boundary_of(found.epoch, context.config.replicated.overlap)
    if begun and "captured_epoch" in context.resources(pair):
        problem = _not_covered(context, pair, source, boundary)
    elif source.stream_arn is None:
        problem = "its stream is off, so nobody knows what has changed since"
    else:
        problem = _forgotten(context, source, boundary, context.server_time())
    if problem:
        raise _too_old(pair, found, problem)


def need_export(context: Context, pair: Pair) -> None:
    """
    Whether a restart may begin as the settings say, from an export; nothing has been touched.

    Raises:
        Refused: The export that is named is too old.
        ConfigurationError: It is of no use, or there is no bucket to export to, or to import from.
        EngineError: AWS refused to say.
    """
    source = context.source_table(pair)
    if context.config.replicated.import_from:
        imports.need_bucket(context)
    if pair.export is None:
        exports.need_bucket(context)
    else:
        _need_reusable(context, pair, exports.named(context, source, pair.export))


def _need_reusable(context: Context, pair: Pair, found: Found) -> None:
    boundary = boundary_of(found.epoch, context.config.replicated.overlap)
    source = context.source_table(pair)
    problem = _not_covered(context, pair, source, boundary) or _consumed(context.state(pair), boundary)
    if problem:
        raise _too_old(pair, found, problem)


def _too_old(pair: Pair, found: Found, problem: str) -> Refused:
    return Refused(
        f"{pair} cannot be filled from the export {found.address}: {problem}.",
        "leave [[tables]] export out: a new one is asked for.",
    )


def begin_scan(context: Context, plan: Plan) -> None:
    """Fix the boundary of a scan before its first page; one that goes on keeps that of its first run."""
    now = math.floor(context.server_time())
    context.state(plan.pair).put_once(
        Fact.BOUNDARY,
        how="scan",
        backup_epoch=now,
        boundary_epoch=boundary_of(now, context.config.replicated.overlap),
    )


def _record(context: Context, state: State, how: str, epoch: float, step: Step, **more: Any) -> None:
    boundary = boundary_of(epoch, context.config.replicated.overlap)
    state.put(Fact.BOUNDARY, how=how, backup_epoch=int(epoch), boundary_epoch=boundary, **more)
    said = {"backup": "taken at", "export": "as of"}.get(how, "it is")
    step.result = f"{said} {text_of(epoch)}, replay starts at {text_of(boundary)}"


def restorable(context: Context, source: TableFacts) -> tuple[float, float] | None:
    """Earliest and latest second that *source* can be restored to; ``None`` where recovery is off."""
    with translated(f"look at the point-in-time recovery of {source.name}"):
        answer = context.source.describe_continuous_backups(TableName=source.name)
    found = answer["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription", {})
    if found.get("PointInTimeRecoveryStatus") != "ENABLED" or "LatestRestorableDateTime" not in found:
        return None
    return found["EarliestRestorableDateTime"].timestamp(), found["LatestRestorableDateTime"].timestamp()


def need_recovery(source: TableFacts, how: str) -> ConfigurationError:
    """The refusal of a way that needs the past of a table, *how*, on one that keeps none."""
    return ConfigurationError(
        f'[replication] backfill = "{how}", but point-in-time recovery of {source.name} is off.',
        'turn it on for that table, or use backfill = "backup" or "scan".',
    )


def check_reuse(context: Context, pair: Pair, arn: str) -> None:
    """
    Whether a restart may start from an older backup, anew from its boundary.

    Everything at or after that boundary has to be in the queue still, or to come: nothing of it was
    consumed, the stream and the forwarder have covered it, and the queue has kept it.

    Raises:
        Refused: One of these is not known to hold; nothing has been touched.
        NotFoundError: There is no such backup.
        ConfigurationError: AWS answers with another backup than *arn* names.
    """
    state, source = context.state(pair), context.source_table(pair)
    with translated("look at the backup"):
        described = context.source.describe_backup(BackupArn=arn)["BackupDescription"]
    require_named(arn, described["BackupDetails"].get("BackupArn"), place="--backup")
    details, of = described["BackupDetails"], described["SourceTableDetails"]
    created = details["BackupCreationDateTime"].timestamp()
    boundary = boundary_of(created, context.config.replicated.overlap)
    problem = (
        _not_ours(of, source, details["BackupStatus"])
        or _not_covered(context, pair, source, boundary)
        or _consumed(state, boundary)
    )
    if problem:
        raise Refused(
            f"A restart of {pair} cannot start from that backup: {problem}.",
            "take a new one with `replicator restart --backup new`.",
        )


def _not_ours(of: Mapping[str, Any], source: TableFacts, status: str) -> str:
    if of.get("TableArn", source.arn) != source.arn or of.get("TableId") != source.description.get("TableId"):
        return "it is of another table"
    return "" if status == "AVAILABLE" else f"it is {status}"


def _not_covered(context: Context, pair: Pair, source: TableFacts, boundary: int) -> str:
    state = context.state(pair)
    resources = context.resources(pair)
    if state.get(Fact.GAP) is not None:
        return "a gap is latched, so changes after it may be missing"
    if source.stream_arn is None or source.stream_arn != resources.get("stream_arn"):
        return "the source's stream is not the one that this migration is bound to"
    return _forgotten(context, source, boundary, float(resources.get("captured_epoch", math.inf)))


def _forgotten(context: Context, source: TableFacts, boundary: int, captured: float) -> str:
    """Why stream and queue may lack changes after *boundary*, with a forwarder of the time *captured*."""
    since = datetime.fromisoformat(str(source.stream_since)).replace(tzinfo=UTC).timestamp()
    if boundary < since + 1:
        return "the stream had not been on for the overlap when it was taken"
    if boundary < captured - STREAM_KEEPS_SECONDS + _MARGIN_SECONDS:
        return "the stream had forgotten changes after its boundary when the forwarder was made"
    if boundary < context.server_time() - QUEUE_KEEPS_SECONDS + _MARGIN_SECONDS:
        return "the queue, which keeps 14 days, no longer has all changes after its boundary"
    return ""


def _consumed(state: State, boundary: int) -> str:
    """Why changes at or after *boundary* may have been consumed; empty if none was."""
    noted, counted = state.get(Fact.CONSUMER), state.consumer_work()
    if noted is None:
        return "changes were consumed, nobody knows when" if counted else ""
    if noted["on"] or int(noted["since_epoch"]) >= boundary:
        return "the consumer was on after its boundary"
    return "" if counted == int(noted["counted"]) else "the consumer was switched on by somebody else"
