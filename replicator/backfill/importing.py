"""
A target that `ImportTable` makes: its files are written and imported, and the counts of the import proven.

The intent stands in `MADE`, with the token of the request and the counts of the files, before the import is
asked for. So a run after a kill finds the import, and writes no file of one that may have begun.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final

from ddbverify.config import Pair
from ddbverify.errors import Refused
from ddbverify.exports.manifest import Manifest
from ddbverify.names import Fact, table_name
from replicator.backfill import imports
from replicator.backfill.files import Place, need_exactly
from replicator.backfill.ownership import FILLING, MADE
from replicator.backfill.plan import Plan
from replicator.context import tables
from replicator.context.console import Step
from replicator.context.context import Context
from replicator.context.lock import Lock
from replicator.context.tables import NameTaken, TableFacts
from replicator.handlers.state import State, now_text

FILES: Final = "import-files"
"""Fact of a pair: ``bucket`` and ``prefix`` that its files are put to, and ``setting``, which it is of."""

IMPORTS: Final = "import-written#"
"""Prefix of facts of a pair, one for each place that it puts files to: ``files``. They outlive restarts."""

_COUNTS: Final = ("read", "written", "quarantined")
_BEGIN_ANEW: Final = "begin anew with `replicator restart`."


def is_under_way(context: Context, pair: Pair) -> bool:
    """Whether an import was asked for, and is not known to have failed."""
    made = context.state(pair).get(MADE) or {}
    return made.get("how") == "import" and "failed" not in made


def why_not(context: Context, plan: Plan, full: Manifest) -> str:
    """Why a target that is to be imported is loaded by writes all the same; empty where it is imported."""
    if is_under_way(context, plan.pair):
        return ""
    if context.target_table(plan.pair) is not None:
        return "the target is there already"
    files = sum(part.items > 0 for part in full.parts)
    return imports.cannot(plan.source.description, rekeys=plan.pair.rekeys, files=files, items=full.items)


def remove_failed(context: Context, plan: Plan, lock: Lock, step: Step) -> None:
    """Remove what an import that has failed left behind, so that the target can be made anew."""
    state, there = context.state(plan.pair), context.target_table(plan.pair)
    made = state.get(MADE) or {}
    if "failed" not in made:
        return
    if there is not None and there.id == made.get("id"):
        step.at(f"removing {there.name}, which an import filled by half")
        lock.check()
        tables.delete(context.target, there.name, poll_seconds=context.pace.poll_seconds)
    for fact in (FILLING, MADE):
        state.delete(fact)


def fill(
    context: Context, plan: Plan, lock: Lock, step: Step, write: Callable[[Place], Mapping[str, int]]
) -> dict[str, int] | None:
    """
    Make the target by an import; a run that was killed goes on where it stopped.

    Args:
        write: Puts the files to a place, and counts as a load does.

    Returns:
        The counts of *write*; ``None`` where the transform leaves nothing to import.

    Raises:
        NameTaken: Somebody else has made the target.
        Failed: The import has not taken exactly what was written.
        Refused: Others have put files to its place, or replaced its table.
    """
    state, name = context.state(plan.pair), table_name(plan.pair.target)
    place = _place(context, plan)
    made = state.get(MADE) or {}
    if made.get("how") != "import":
        counts = write(place)
        if not counts["written"]:
            return None
        lock.check()  # hours may have passed
        kept = {int(segment): said for segment, said in state.all(Fact.LOADED)}
        need_exactly(context.target_client("s3"), place, kept)
        made = {"how": "import", "token": secrets.token_hex(16), "at": now_text(), **counts}
        state.put(MADE, **made)
    if "arn" not in made:
        step.at("asking for the import")
        said = _accepted(context, plan, name, place, state)
        made = {**made, "id": str(said["TableId"]), "arn": said["ImportArn"]}
        state.put(MADE, **made)
    state.put(FILLING, id=made["id"], at=now_text())
    said = imports.awaited(context, made["arn"], step)
    lock.check()
    try:
        imports.need_all(said, int(made["written"]), name)
    except imports.Failed:
        state.put(MADE, **made, failed=str(said.get("FailureCode") or said.get("ImportStatus")))
        raise
    target = tables.wait_until_active(context.target, name, poll_seconds=context.pace.poll_seconds)
    if target.id != made["id"]:
        raise Refused(f"The target {name} is not the table that was imported.", _BEGIN_ANEW)
    return {count: int(made[count]) for count in _COUNTS}


def _place(context: Context, plan: Plan) -> Place:
    state, setting = context.state(plan.pair), context.config.replicated.import_from
    kept = state.get(FILES)
    if kept is None or (kept["setting"] != setting and not is_under_way(context, plan.pair)):
        bucket, _, prefix = (setting or "").removeprefix("s3://").partition("/")
        # Of its own for each beginning: what an earlier one has put is never among what is imported.
        folder = (prefix, context.config.name, plan.pair.id, secrets.token_hex(4), "")
        kept = {"setting": setting, "bucket": bucket, "prefix": "/".join(folder).lstrip("/")}
        state.put(FILES, **kept)
    owner, indexes = imports.account_of(context), tuple(_indexes(plan.source))
    place = Place(str(kept["bucket"]), str(kept["prefix"]), owner, indexes)
    state.put(IMPORTS + place.prefix.rstrip("/").rpartition("/")[2], files=place.address)
    return place


def _indexes(source: TableFacts) -> list[dict[str, str]]:
    types = {one["AttributeName"]: one["AttributeType"] for one in source.description["AttributeDefinitions"]}
    return [
        {part["AttributeName"]: types[part["AttributeName"]] for part in one["KeySchema"]}
        for one in source.description.get("GlobalSecondaryIndexes", ())
    ]


def _accepted(context: Context, plan: Plan, name: str, place: Place, state: State) -> Mapping[str, Any]:
    """The import as DynamoDB accepted it, now or when its answer was lost."""
    token = str((state.get(MADE) or {})["token"])
    there = context.target_table(plan.pair)
    if there is None:
        try:
            return imports.ask(context, plan.source, name, place, token)
        except NameTaken:
            there = context.target_table(plan.pair)
            said = None if there is None else imports.found(context.target, there.arn, token)
            if said is None:
                state.delete(MADE)  # nothing was made by us
                raise
            return said
    said = imports.found(context.target, there.arn, token)
    if said is None:
        raise Refused(f"The target {name} is not the table that was imported.", _BEGIN_ANEW)
    return said
